import { assertEquals } from "@std/assert";
import {
  rowBytes,
  stepBytes,
  type StepWrite,
} from "../../src/postgres/write/write.ts";

const runId = crypto.randomUUID();

const ROW = {
  id: runId,
  status: "DATASET_PROCESSING_STARTED",
  runId,
  name: "ingest",
  pipelineId: runId,
  datasetId: undefined,
  result: undefined,
  runInfo: '{"data":"None"}',
} as const;

const STEP: StepWrite = {
  kind: "step",
  claim: { runId, claimId: runId, generation: 1 },
  begins: false,
};

Deno.test("rowBytes() counts the name, run_info, and 150 bytes of the rest", () => {
  assertEquals(rowBytes(ROW), 150 + 6 + 15);
  assertEquals(rowBytes({ ...ROW, runInfo: undefined }), 150 + 6);
});

Deno.test("stepBytes() counts the row, the payload, and 150 bytes of the rest", () => {
  assertEquals(stepBytes(STEP), 150);
  assertEquals(stepBytes({ ...STEP, payload: "[1,2]" }), 150 + 5);
  assertEquals(stepBytes({ ...STEP, row: ROW }), 150 + 150 + 6 + 15);
});
