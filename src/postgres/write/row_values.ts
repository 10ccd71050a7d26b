import type {
  PipelineRunStatus,
  PipelineRunTransition,
} from "../../model/row.ts";
import { storableJson, storableText } from "../../json/storable.ts";
import { plainArray, textArray } from "../sql/array_literal.ts";

/** The statuses, in the order in which their numbers begin at 1. */
export const STATUSES: readonly PipelineRunStatus[] = [
  "DATASET_PROCESSING_INITIATED",
  "DATASET_PROCESSING_STARTED",
  "DATASET_PROCESSING_COMPLETED",
  "DATASET_PROCESSING_ERRORED",
];

/** A row as it is sent. */
export interface RowValues {
  readonly id: string;
  readonly status: number;
  readonly runId: string;
  readonly name: string;
  readonly pipelineId: string;
  readonly datasetId: string | undefined;
  /** As JSON. */
  readonly runInfo: string | undefined;
  /** How long all of it is, about. */
  readonly length: number;
}

/** The length of what has the same one in every row. */
const FIXED_LENGTH = 4 * 36;

/**
 * A row as it is sent, from a checked transition.
 *
 * @throws {TypeError} If its `runInfo` is not JSON.
 */
export function rowValues(
  row: PipelineRunTransition & { id: string },
): RowValues {
  const name = storableText(row.pipelineName);
  const runInfo = row.runInfo &&
    storableJson(row.runInfo, "Cannot log pipeline run: runInfo");
  return {
    id: row.id,
    status: STATUSES.indexOf(row.status) + 1,
    runId: row.pipelineRunId,
    name,
    pipelineId: row.pipelineId,
    datasetId: row.datasetId,
    runInfo,
    length: FIXED_LENGTH + name.length + (runInfo?.length ?? 0),
  };
}

/**
 * Rows as the parameters of a statement.
 *
 * @param rows The rows, in their order.
 * @param isFirst Whether a row is known to be among the first of its run.
 */
export function rowParameters(
  rows: readonly RowValues[],
  isFirst: (row: RowValues) => boolean = () => false,
): string[] {
  return [
    plainArray(rows.map((row) => row.id)),
    plainArray(rows.map((row) => row.status)),
    plainArray(rows.map((row) => row.runId)),
    textArray(rows.map((row) => row.name)),
    plainArray(rows.map((row) => row.pipelineId)),
    plainArray(rows.map((row) => row.datasetId)),
    textArray(rows.map((row) => row.runInfo)),
    plainArray(rows.map(isFirst)),
  ];
}
