import { checkOneOf, checkType } from "../arguments/checks.ts";
import { canonicalUuid } from "./ids.ts";
import type { RunPhase } from "./phase.ts";
import type { RunInfo } from "./run_info.ts";

/** What a row of the audit trail says of its run, as cognee spells it. */
export type PipelineRunStatus =
  | "DATASET_PROCESSING_INITIATED"
  | "DATASET_PROCESSING_STARTED"
  | "DATASET_PROCESSING_COMPLETED"
  | "DATASET_PROCESSING_ERRORED";

/** Every status, in the order of a run's life. */
export const STATUSES: readonly PipelineRunStatus[] = [
  "DATASET_PROCESSING_INITIATED",
  "DATASET_PROCESSING_STARTED",
  "DATASET_PROCESSING_COMPLETED",
  "DATASET_PROCESSING_ERRORED",
];

/** A transition to write: one row of the audit trail, but for its time. */
export interface PipelineRunTransition {
  /**
   * The row's own UUID. Writing a row again under the same id changes nothing.
   *
   * @default {a random UUID}
   */
  id?: string;
  /** What the run has become. */
  status: PipelineRunStatus;
  /** The run's UUID. */
  pipelineRunId: string;
  /** The name of its pipeline. */
  pipelineName: string;
  /** The UUID of its pipeline. */
  pipelineId: string;
  /** The UUID of the dataset it works on, if any. */
  datasetId?: string;
  /** What else is known of it. */
  runInfo?: RunInfo;
}

/** One row of the audit trail: a transition of a run, never updated. */
export interface PipelineRunRow extends PipelineRunTransition {
  /** The row's own UUID. */
  id: string;
  /** When it was written, by the repository's clock. */
  createdAt: Date;
}

/** A row with what is known of its dataset. */
export interface AttributedPipelineRunRow extends PipelineRunRow {
  /** The dataset's name. */
  datasetName?: string;
  /** The UUID of the dataset's owner. */
  ownerId?: string;
}

/**
 * A transition with an id and its UUIDs in canonical spelling.
 *
 * @throws {TypeError} If it is no transition.
 */
export function checkTransition(
  transition: PipelineRunTransition,
): PipelineRunTransition & { id: string } {
  const { id, status, pipelineName, datasetId, runInfo } = transition;
  checkOneOf("Cannot log pipeline run: status", status, STATUSES);
  checkType("Cannot log pipeline run: pipelineName", pipelineName, "string");
  return {
    id: id === undefined
      ? crypto.randomUUID()
      : canonicalUuid(id, "Cannot log pipeline run: id"),
    status,
    pipelineRunId: canonicalUuid(
      transition.pipelineRunId,
      "Cannot log pipeline run: pipelineRunId",
    ),
    pipelineName,
    pipelineId: canonicalUuid(
      transition.pipelineId,
      "Cannot log pipeline run: pipelineId",
    ),
    datasetId: datasetId === undefined
      ? undefined
      : canonicalUuid(datasetId, "Cannot log pipeline run: datasetId"),
    runInfo,
  };
}

/** The phase of a run, from its newest row. */
export function phaseOfStatus(
  status: PipelineRunStatus | null,
  error: string | null | undefined,
): RunPhase {
  switch (status) {
    case "DATASET_PROCESSING_COMPLETED":
      return { name: "Completed" };
    case "DATASET_PROCESSING_ERRORED":
      return { name: "Errored", message: error ?? "" };
    case "DATASET_PROCESSING_STARTED":
      return { name: "Running" };
    default:
      return { name: "Pending" };
  }
}
