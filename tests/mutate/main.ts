/**
 * Takes out conditions, comparisons and numbers of the sources, one at a time, and
 * tells which of these edits no test notices.
 *
 * `deno task mutate [--sample N] [--seed S] [--filter TEXT]`
 *
 * The edits are a list, since StrykerJS can neither run `deno test` nor change SQL in
 * template strings.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { sharedServerUrl } from "../../bench/postgres_server.ts";
import { Chance } from "../chance.ts";
import { EQUIVALENTS } from "./equivalents.ts";
import type { Mutation } from "./mutation.ts";
import { MUTATIONS } from "./mutations.ts";
import { ProjectCopy } from "./project_copy.ts";

/** So many of the mutations, the same for the same seed. */
function sampleOf(size: number, seed: number): Mutation[] {
  const chance = new Chance(seed);
  return MUTATIONS
    .map((mutation) => ({ mutation, place: chance.next() }))
    .sort((a, b) => a.place - b.place)
    .slice(0, size)
    .map(({ mutation }) => mutation);
}

function chosen(args: string[]): readonly Mutation[] {
  const { values: { filter, sample, seed = Date.now() % 1_000_000 } } =
    parseArgs({
      args,
      options: {
        filter: { type: "string" },
        sample: { type: "string" },
        seed: { type: "string" },
      },
    });
  if (filter !== undefined) {
    return MUTATIONS.filter(({ file, name }) =>
      `${file}: ${name}`.includes(filter)
    );
  }
  if (sample === undefined) return MUTATIONS;
  console.log(`A sample of ${sample}, with --seed ${seed}`);
  return sampleOf(Number(sample), Number(seed));
}

/** The edits that no longer fit the sources. */
async function misfits(copy: ProjectCopy): Promise<string[]> {
  const messages: string[] = [];
  for (const edit of [...MUTATIONS, ...EQUIVALENTS]) {
    const count = await copy.occurrences(edit);
    if (count === 1) continue;
    messages.push(
      `Cannot mutate src/${edit.file}: the text of "${edit.name}" occurs ${count} times:\n  ${edit.find}`,
    );
  }
  return messages;
}

async function tryAll(
  copy: ProjectCopy,
  mutations: readonly Mutation[],
): Promise<number> {
  let uncaught = 0;
  for (const mutation of mutations) {
    const begun = performance.now();
    const { kind, by } = await copy.try(mutation);
    const seconds = ((performance.now() - begun) / 1_000).toFixed(1);
    if (kind !== "caught") uncaught++;
    console.log(
      `${kind} in ${seconds} s: src/${mutation.file}: ${mutation.name}${
        by && `\n    ${by}`
      }`,
    );
  }
  return uncaught;
}

async function main(args: string[]): Promise<number> {
  const begun = performance.now();
  const mutations = chosen(args);
  using copy = await ProjectCopy.make();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => {
      copy[Symbol.dispose]();
      Deno.exit(130);
    });
  }
  const messages = await misfits(copy);
  if (messages.length > 0) {
    console.error(messages.join("\n"));
    return 2;
  }
  if (mutations.length === 0) {
    console.error("No mutation is chosen");
    return 2;
  }
  await sharedServerUrl(); // All tests inherit it.
  const tests = new Set(mutations.flatMap(({ tests }) => tests));
  const unchanged = await copy.test([...tests], 300_000);
  if (unchanged.kind !== "SURVIVED") {
    console.error(`Without a mutation a test fails: ${unchanged.by}`);
    return 2;
  }
  const uncaught = await tryAll(copy, mutations);
  const seconds = ((performance.now() - begun) / 1_000).toFixed(0);
  console.log(
    `\n${uncaught} of ${mutations.length} mutations are not caught; ${seconds} s`,
  );
  return uncaught > 0 ? 1 : 0;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
