import { assertEquals } from "@std/assert";
import type { PipelineRunRow } from "../../../mod.ts";
import { listedRuns } from "../../../src/http/page/listed_run.ts";
import { OTHER_RUN_ID, PIPELINE_ID, RUN_ID } from "../../known_run.ts";

/** Rows, newest first, such as `["1", "STARTED"]` for the first run. */
function rowsOf(
  ...rows: (readonly ["1" | "2", string])[]
): PipelineRunRow[] {
  return rows.map(([run, status], index) => ({
    id: crypto.randomUUID(),
    status: `DATASET_PROCESSING_${status}` as PipelineRunRow["status"],
    pipelineRunId: run === "1" ? RUN_ID : OTHER_RUN_ID,
    pipelineName: "ingest",
    pipelineId: PIPELINE_ID,
    createdAt: new Date(rows.length - index),
  }));
}

/** What is listed of rows: which run, its status, when it began. */
function listed(...rows: Parameters<typeof rowsOf>): unknown[] {
  return listedRuns(rowsOf(...rows)).map(({ runId, status, began }) =>
    `${runId === RUN_ID ? 1 : 2} ${status} ${began?.getTime()}`
  );
}

Deno.test("listedRuns() lists each run with its newest row and the first row of its attempt", () => {
  assertEquals(
    listed(
      ["1", "COMPLETED"],
      ["2", "STARTED"],
      ["1", "STARTED"],
      ["2", "INITIATED"],
      ["1", "INITIATED"],
    ),
    ["1 completed 1", "2 running 2"],
  );
  assertEquals(listed(["1", "INITIATED"]), ["1 pending 1"]);
  assertEquals(listed(["1", "ERRORED"]), ["1 work undefined"]);
});

Deno.test("listedRuns() tells attempts of a run apart", () => {
  assertEquals(
    listed(["1", "STARTED"], ["1", "ERRORED"], ["1", "STARTED"]),
    ["1 running 3"],
  );
  // An attempt that was cut off has no last row.
  assertEquals(
    listed(["1", "STARTED"], ["1", "INITIATED"], ["1", "STARTED"]),
    ["1 running 2"],
  );
});
