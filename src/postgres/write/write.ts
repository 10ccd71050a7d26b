import { storableJson, storableText } from "../../json/storable.ts";
import type { RunEvent } from "../../model/event.ts";
import type { PipelineRunTransition } from "../../model/row.ts";
import type { RowValues } from "../sql/writes.ts";

/** Something to write. */
export type Write = RowWrite | FieldWrite | StepWrite;

/** A row of the audit trail, without a lease. */
export interface RowWrite {
  readonly kind: "row";
  readonly row: RowValues;
}

/** A payload field. */
export interface FieldWrite {
  readonly kind: "field";
  /** The field as a JSON object of its columns. */
  readonly json: string;
  /** Identifies the field: a later write of the same field replaces this one. */
  readonly field: string;
}

/** A step of a leased run. */
export interface StepWrite {
  readonly kind: "step";
  readonly claim: Claim;
  readonly row?: RowValues;
  readonly event?: RunEvent;
  /** The payload of the event as JSON. */
  readonly payload?: string;
  /** Whether the lease begins with it. */
  readonly begins: boolean;
  /** The UUID of the ending, if it ends the run. */
  readonly endingId?: string;
}

/** The claim of an instance on a run. */
export interface Claim {
  readonly runId: string;
  readonly claimId: string;
  /** The fencing number of the claim. */
  readonly generation: number;
}

/** About how long what is fixed of a row or an event is. */
const FIXED_BYTES = 150;

/**
 * A row as it is sent, from a checked transition and its result as JSON.
 *
 * @throws {TypeError} If its `runInfo` is not JSON.
 */
export function rowValues(
  row: PipelineRunTransition & { id: string },
  result?: string,
): RowValues {
  return {
    id: row.id,
    status: row.status,
    runId: row.pipelineRunId,
    name: storableText(row.pipelineName),
    pipelineId: row.pipelineId,
    datasetId: row.datasetId,
    runInfo: row.runInfo &&
      storableJson(row.runInfo, "Cannot log pipeline run: runInfo"),
    result,
  };
}

/** About how many bytes a row is. */
export function rowBytes(row: RowValues): number {
  const { name, runInfo = "", result = "" } = row;
  return FIXED_BYTES + name.length + runInfo.length + result.length;
}

/** About how many bytes a step is. */
export function stepBytes({ row, payload = "" }: StepWrite): number {
  return (row === undefined ? 0 : rowBytes(row)) +
    FIXED_BYTES + payload.length;
}
