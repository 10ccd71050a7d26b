/**
 * A chaos run: `deno task chaos --minutes 5 --seed 7 --journal journal.jsonl`.
 *
 * Instances register, follow and abort each other's runs while they, the network and
 * Postgres fail at random; then what they acknowledged is compared with the tables.
 * The seed determines the work and the faults, but not their timing. With `--calm`
 * nothing fails. `--journal` names a file to write all that was seen to.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { runChaos } from "./chaos_run.ts";
import type { Finding } from "./evidence.ts";
import { POOLER_CRASH } from "./fleet.ts";
import { entriesOf } from "./journal.ts";

/** How many lines of the journal a finding shows. */
const MAX_LINES = 6;

function show({ kind, runId, saw, lines }: Finding): string {
  const shown = lines.slice(0, MAX_LINES)
    .map((line) => `    ${JSON.stringify(line)}`);
  return [`${kind}${runId ? ` ${runId}` : ""}: ${saw}`, ...shown].join("\n");
}

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    seed: { type: "string" },
    journal: { type: "string" },
    calm: { type: "boolean", default: false },
  },
});
const duration = Number(values.minutes) * 60_000;
const seed = Number(
  values.seed ?? crypto.getRandomValues(new Uint32Array(1))[0],
);
if (!(duration > 0) || !Number.isInteger(seed)) {
  throw new RangeError("--minutes must be positive, --seed an integer");
}
console.log(`Chaos for ${values.minutes} minutes with seed ${seed}`);
const interrupted = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.addSignalListener(signal, () => interrupted.abort());
}
const begun = Date.now();
const elapsed = () => `${Math.round((Date.now() - begun) / 1_000)} s`;
const { findings, journal, tables } = await runChaos({
  seed,
  duration,
  calm: values.calm,
  signal: interrupted.signal,
  onProgress: (line) => console.log(`${elapsed()}: ${line}`),
});
if (values.journal !== undefined) {
  const lines = [...journal, tables].map((line) => JSON.stringify(line));
  await Deno.writeTextFile(values.journal, `${lines.join("\n")}\n`);
}
const { rows, events, leases } = tables;
console.log(
  `${elapsed()}: ${rows.length} rows, ${events.length} events and ${leases.length} leases audited`,
);
const crashes = entriesOf(journal, "cut")
  .filter(({ fault }) => fault === POOLER_CRASH).length;
if (crashes > 0) console.log(`The pooler crashed by itself: ${crashes} times`);
for (const finding of findings) console.log(show(finding));
const counts = Map.groupBy(findings, ({ kind }) => kind);
const summary = [...counts].map(([kind, { length }]) => `${length} ${kind}`);
console.log(
  findings.length === 0
    ? "Every promise was kept"
    : `${findings.length} findings: ${summary.join(", ")} (seed ${seed})`,
);
Deno.exit(findings.length > 0 ? 1 : 0);
