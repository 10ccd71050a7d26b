/**
 * Two instances on one database: one follows and aborts the runs of the other.
 *
 * @module
 */
import assert from "node:assert/strict";
import { PipelineRunRegistry } from "@pipeline/run-registry";
import { connect } from "@pipeline/run-registry/postgres";

const here = await connect(); // DATABASE_URL
const there = await connect();
const registry = new PipelineRunRegistry({ repository: here });
const other = new PipelineRunRegistry({ repository: there });

const { outcome, runId } = await registry.registerBackground(
  { pipelineName: "ingest" },
  async function* () {
    yield { document: "ü.txt" };
    return { total: 1 };
  },
);
const seen = [];
for await (const event of other.subscribe(runId)) {
  seen.push(event.kind === "Yield" ? event.payload : event.kind);
}
assert.deepEqual(seen, ["Started", { document: "ü.txt" }, "Completed"]);
assert.equal((await outcome).durable, true);
assert.deepEqual(await other.getResult(runId), { value: { total: 1 } });

const waiting = await registry.registerBackground(
  { pipelineName: "wait" },
  ({ signal }) =>
    new Promise<never>((_, reject) =>
      signal.addEventListener("abort", () => reject(signal.reason))
    ),
);
const kinds = [];
for await (const { kind } of other.subscribe(waiting.runId)) {
  kinds.push(kind);
  if (kind !== "Started") continue;
  assert.equal(await other.abort(waiting.runId, "enough"), "requested");
}
assert.deepEqual(kinds, ["Started", "Errored"]);
const { phase } = await waiting.outcome;
assert.equal(phase.name === "Errored" && phase.message, "aborted: enough");
const [row] = await there.listByRun(waiting.runId, 1);
assert.equal(row.status, "DATASET_PROCESSING_ERRORED");

// The registries are not shut down: their timers must not keep the process alive.
await here.close();
await there.close();
console.log("ok");
