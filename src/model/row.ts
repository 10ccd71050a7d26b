import { checkOneOf, checkType } from "../arguments/checks.ts";
import { canonicalUuid, uuidV7 } from "./ids.ts";
import { erroredPhase, type RunPhase } from "./phase.ts";
import { failureOf, type RunInfo } from "./run_info.ts";

/** The status of a run in the audit trail, in cognee's spelling. */
export type PipelineRunStatus =
  | "DATASET_PROCESSING_INITIATED"
  | "DATASET_PROCESSING_STARTED"
  | "DATASET_PROCESSING_COMPLETED"
  | "DATASET_PROCESSING_ERRORED";

/** The statuses, in the order of a run's life. */
export const STATUSES: readonly PipelineRunStatus[] = [
  "DATASET_PROCESSING_INITIATED",
  "DATASET_PROCESSING_STARTED",
  "DATASET_PROCESSING_COMPLETED",
  "DATASET_PROCESSING_ERRORED",
];

/** A transition to write: a row of the audit trail without its time. */
export interface PipelineRunTransition {
  /**
   * The row's own UUID. Writing a row again under the same id changes nothing.
   *
   * @default {a new UUID}
   */
  id?: string;
  /** The run's new status. */
  status: PipelineRunStatus;
  /** The run's UUID. */
  pipelineRunId: string;
  /** The pipeline's name. */
  pipelineName: string;
  /** The pipeline's UUID. */
  pipelineId: string;
  /** The UUID of the dataset it works on, if any. */
  datasetId?: string;
  /** The row's `run_info` JSON. */
  runInfo?: RunInfo;
}

/** One row of the audit trail: a transition of a run, never updated. */
export interface PipelineRunRow extends PipelineRunTransition {
  /** The row's own UUID. */
  id: string;
  /** When it was written, by the repository's clock. */
  createdAt: Date;
}

/** A row with its dataset's name and owner, if known. */
export interface AttributedPipelineRunRow extends PipelineRunRow {
  /** The dataset's name. */
  datasetName?: string;
  /** The UUID of the dataset's owner. */
  ownerId?: string;
}

/** A transition of the registry: its UUIDs are canonical, and nobody changes it. */
export class CheckedTransition implements PipelineRunTransition {
  /** The id of the row. */
  readonly id: string;
  readonly status: PipelineRunStatus;
  readonly pipelineRunId: string;
  readonly pipelineName: string;
  readonly pipelineId: string;
  readonly datasetId: string | undefined;
  readonly runInfo: RunInfo | undefined;

  constructor({
    id,
    status,
    pipelineRunId,
    pipelineName,
    pipelineId,
    datasetId,
    runInfo,
  }: PipelineRunTransition & { id: string }) {
    this.id = id;
    this.status = status;
    this.pipelineRunId = pipelineRunId;
    this.pipelineName = pipelineName;
    this.pipelineId = pipelineId;
    this.datasetId = datasetId;
    this.runInfo = runInfo;
  }
}

/**
 * A transition with its UUIDs in canonical spelling and its own id.
 *
 * @throws {TypeError} If it is not a transition.
 */
export function checkTransition(
  transition: PipelineRunTransition,
): PipelineRunTransition & { id: string } {
  if (transition instanceof CheckedTransition) return transition;
  const { id, status, pipelineName, datasetId, runInfo } = transition;
  checkOneOf("Cannot log pipeline run: status", status, STATUSES);
  checkType("Cannot log pipeline run: pipelineName", pipelineName, "string");
  const uuid = (key: "id" | "pipelineRunId" | "pipelineId" | "datasetId") =>
    canonicalUuid(transition[key], `Cannot log pipeline run: ${key}`);
  return {
    id: id === undefined ? uuidV7() : uuid("id"),
    status,
    pipelineRunId: uuid("pipelineRunId"),
    pipelineName,
    pipelineId: uuid("pipelineId"),
    datasetId: datasetId === undefined ? undefined : uuid("datasetId"),
    runInfo,
  };
}

/** The phase of a run whose newest row has this status and `run_info`. */
export function phaseOfStatus(
  status: PipelineRunStatus | undefined,
  runInfo?: RunInfo,
): RunPhase {
  switch (status) {
    case "DATASET_PROCESSING_COMPLETED":
      return { name: "Completed" };
    case "DATASET_PROCESSING_ERRORED":
      return erroredPhase(failureOf(runInfo));
    case "DATASET_PROCESSING_STARTED":
      return { name: "Running" };
    default:
      return { name: "Pending" };
  }
}
