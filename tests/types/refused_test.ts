import { assertEquals } from "@std/assert";

const ROOT = new URL("../../", import.meta.url);

/** What is before each program. */
const PRELUDE = `
import { definePipeline, PipelineRunRegistry, type RunContext } from "${ROOT}mod.ts";
import { createRunClient } from "${ROOT}src/http/client/mod.ts";
import { z } from "zod";
const registry = new PipelineRunRegistry();
const spec = { pipelineName: "work" };
const pipelines = [definePipeline({
  name: "ingest",
  input: z.object({ documents: z.array(z.string()) }),
  async *run({ documents }) { yield documents.length; },
})] as const;
const client = createRunClient<typeof pipelines>("https://example.com");
export {};
`;

const ACCEPTED = `
await registry.registerBackground<{ done: number }>(spec, async function* () {
  yield { done: 1 };
});
const { runId } = await client.start("ingest", { documents: [] });
for await (const event of client.follow<"ingest">(runId)) {
  if (event.kind === "Yield") event.payload.toFixed();
}
`;

/** What must not pass \`deno check\`. */
const REFUSED: Record<string, string> = {
  "a generator that yields something else": `
await registry.registerBackground<{ done: number }>(spec, async function* () {
  yield { wrong: "x" };
});`,
  "a synchronous generator that yields something else": `
await registry.registerInline<{ done: number }>(spec, function* () {
  yield { wrong: "x" };
});`,
  "work that publishes something else": `
await registry.registerBackground<{ done: number }>(spec, (run) => {
  run.publish({ wrong: "x" });
});`,
  "a generator function that is not called": `
await registry.registerBackground(spec, () => async function* () {
  yield 1;
});`,
  "work that returns a BigInt": `
await registry.registerBackground(spec, () => 10n);`,
  "work that is no function": `
await registry.registerBackground(spec, [1, 2]);`,
  "a payload read as another type": `
const run = await registry.registerBackground(spec, async function* () {
  yield { done: 1 };
});
for await (const event of run.subscribe()) {
  if (event.kind === "Yield") event.payload.totally;
}`,
  "a payload of an event that is no Yield": `
const run = await registry.registerBackground(spec, async function* () {
  yield { done: 1 };
});
for await (const event of run.subscribe()) event.payload;`,
  "a result read as another type": `
const run = await registry.registerBackground(spec, () => 42);
const { result } = await run.outcome;
const text: string | undefined = result;
console.log(text);`,
  "a pipeline whose work takes another input": `
definePipeline({
  name: "ingest",
  input: z.object({ documents: z.array(z.string()) }),
  run: ({ texts }) => texts,
});`,
  "a start of an unknown pipeline": `
await client.start("other", {});`,
  "a start with another input": `
await client.start("ingest", { documents: [1] });`,
  "an event of a pipeline read as another type": `
const run = await client.start("ingest", { documents: [] });
for await (const event of client.follow(run)) {
  if (event.kind === "Yield") event.payload.length;
}`,
};

Deno.test("deno check refuses programs whose types are wrong, and only those", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const programs = Object.entries({ accepted: ACCEPTED, ...REFUSED });
    const files = programs.map((_, index) => `${folder}/program_${index}.ts`);
    for (const [index, [, program]] of programs.entries()) {
      await Deno.writeTextFile(files[index], PRELUDE + program);
    }
    const { stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        "check",
        "--config",
        new URL("deno.json", ROOT).pathname,
        ...files,
      ],
      env: { NO_COLOR: "1" },
      stdout: "null",
      stderr: "piped",
    }).output();
    const told = new TextDecoder().decode(stderr);
    const passed = programs.filter(([name], index) => {
      const isRefused = new RegExp(`program_${index}\\.ts:\\d+:\\d+`).test(
        told,
      );
      return isRefused === (name === "accepted");
    });
    assertEquals(passed.map(([name]) => name), [], told);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
