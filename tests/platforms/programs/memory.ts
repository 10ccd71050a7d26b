/**
 * A registry in memory: registers, publishes, subscribes, aborts and reads results.
 *
 * @module
 */
import assert from "node:assert/strict";
import { PipelineRunRegistry, type RunEvent } from "@pipeline/run-registry";

const registry = new PipelineRunRegistry();

async function* ingest() {
  yield { document: "a.txt" };
  yield { document: "b.txt" };
  return { total: 2 };
}

const run = await registry.registerBackground(
  { pipelineName: "ingest" },
  ingest,
);
const events: RunEvent[] = [];
for await (const event of run.subscribe()) events.push(event);
assert.deepEqual(events.map(({ seq, kind }) => [seq, kind]), [
  [1, "Started"],
  [2, "Yield"],
  [3, "Yield"],
  [4, "Completed"],
]);
assert.deepEqual(await registry.getResult(run.runId), { value: { total: 2 } });

const waiting = await registry.registerBackground(
  { pipelineName: "wait" },
  ({ publish, signal }) => {
    publish("waiting");
    return new Promise<never>((_, reject) =>
      signal.addEventListener("abort", () => reject(signal.reason))
    );
  },
);
const [left, right] = waiting.subscribe().tee();
assert.equal(await waiting.abort("enough"), "requested");
const kinds = [];
for await (const { kind } of left) kinds.push(kind);
assert.deepEqual(kinds, ["Started", "Yield", "Errored"]);
await right.cancel();
const { phase } = await waiting.outcome;
assert.equal(phase.name === "Errored" && phase.message, "aborted: enough");

// It is not shut down: its timer must not keep the process alive.
assert.equal((await registry.sweep()).evicted, 0);
console.log("ok");
