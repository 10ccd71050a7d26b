import { canonicalUuid } from "./ids.ts";
import type { RunPhase } from "./phase.ts";
import type { RunInfo } from "./run_info.ts";
import type { RunLog } from "./run_log.ts";

/** What a row of the audit trail says of its run, as cognee spells it. */
export type PipelineRunStatus =
  | "DATASET_PROCESSING_INITIATED"
  | "DATASET_PROCESSING_STARTED"
  | "DATASET_PROCESSING_COMPLETED"
  | "DATASET_PROCESSING_ERRORED";

const STATUSES: ReadonlySet<unknown> = new Set<PipelineRunStatus>([
  "DATASET_PROCESSING_INITIATED",
  "DATASET_PROCESSING_STARTED",
  "DATASET_PROCESSING_COMPLETED",
  "DATASET_PROCESSING_ERRORED",
]);

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

/** Options of {@linkcode PipelineRunRepository.logPipelineRun}. */
export interface LogPipelineRunOptions {
  /**
   * For how long to go on trying while the storage cannot be reached, in
   * milliseconds. `Infinity` is until the repository is closed.
   *
   * @default {what the repository was made with}
   */
  timeout?: number;
}

/**
 * Where the audit trail and the payload fields of runs are kept.
 *
 * Rows of one run read back in the order in which they were given, also when
 * they were given without waiting in between. Every method rejects with a
 * `RepositoryError` when the storage fails, and with a `TypeError` or
 * `RangeError`, before it reaches for the storage, when its arguments are no
 * good. UUIDs are understood in any spelling and come back in the canonical one.
 */
export interface PipelineRunRepository {
  /** Where runs are shared between instances, if they are. */
  readonly runLog?: RunLog;

  /**
   * Writes one transition.
   *
   * @param transition The row to write.
   * @param options How long to try.
   * @returns The row's id, once the row is durable.
   */
  logPipelineRun(
    transition: PipelineRunTransition,
    options?: LogPipelineRunOptions,
  ): Promise<string>;

  /**
   * The latest status of a pipeline for each of some datasets.
   *
   * @param datasetIds The datasets' UUIDs.
   * @param pipelineName The pipeline's name.
   * @returns Dataset UUID to status; datasets without a row are absent.
   */
  latestStatus(
    datasetIds: readonly string[],
    pipelineName: string,
  ): Promise<Map<string, PipelineRunStatus>>;

  /**
   * The newest rows.
   *
   * @param datasetId Only rows of this dataset; `undefined` for all.
   * @param limit How many at most: a positive integer. More than 10,000 counts
   * as 10,000.
   * @returns The rows, newest first.
   */
  listRecent(
    datasetId: string | undefined,
    limit: number,
  ): Promise<PipelineRunRow[]>;

  /**
   * The newest rows with what is known of their datasets, where the storage
   * knows datasets.
   *
   * @param datasetId Only rows of this dataset; `undefined` for all.
   * @param limit As in `listRecent`.
   * @returns The rows, newest first.
   */
  listRecentWithAttribution(
    datasetId: string | undefined,
    limit: number,
  ): Promise<AttributedPipelineRunRow[]>;

  /**
   * Ends the runs that a crash left INITIATED or STARTED: each gets an ERRORED
   * row with its `data` kept, and `error` and `reason` set.
   *
   * @param reason Why, such as `"server_restart_orphan"`.
   * @returns How many runs were ended.
   */
  resetOrphans(reason: string): Promise<number>;

  /**
   * Sets one payload field of a run; the last write wins.
   *
   * @param runId The run's UUID.
   * @param key The field's name.
   * @param value Its value, which must be JSON.
   */
  setPayloadField(runId: string, key: string, value: unknown): Promise<void>;

  /**
   * The payload fields of a run.
   *
   * @param runId The run's UUID.
   * @returns Name to value; empty when the run set none.
   */
  getPayload(runId: string): Promise<Record<string, unknown>>;

  /**
   * The newest row of a run.
   *
   * @param runId The run's UUID.
   * @returns The row, or `undefined` when there is none.
   */
  getPipelineRun(runId: string): Promise<PipelineRunRow | undefined>;

  /**
   * The newest rows of a run, over all its attempts.
   *
   * @param runId The run's UUID.
   * @param limit As in `listRecent`.
   * @returns The rows, newest first.
   */
  listByRun(runId: string, limit: number): Promise<PipelineRunRow[]>;

  /**
   * The newest row of a pipeline on a dataset.
   *
   * @param datasetId The dataset's UUID.
   * @param pipelineName The pipeline's name.
   * @returns The row, or `undefined` when there is none.
   */
  getPipelineRunByDataset(
    datasetId: string,
    pipelineName: string,
  ): Promise<PipelineRunRow | undefined>;

  /**
   * The newest row of each pipeline on a dataset.
   *
   * @param datasetId The dataset's UUID.
   * @returns The rows, in the order of their pipelines' names.
   */
  getPipelineRunsByDataset(datasetId: string): Promise<PipelineRunRow[]>;
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
  if (!STATUSES.has(status)) {
    throw new TypeError(
      `Cannot log pipeline run: status must be one of ${
        [...STATUSES].join(", ")
      }, received ${status}`,
    );
  }
  if (typeof pipelineName !== "string") {
    throw new TypeError(
      `Cannot log pipeline run: pipelineName must be a string, received ${typeof pipelineName}`,
    );
  }
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

/** The phase that the newest row of a run tells of. */
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

/**
 * The bound of a listing.
 *
 * @throws {RangeError} If it is not a positive integer.
 */
export function checkLimit(limit: number): number {
  if (!Number.isSafeInteger(limit) || limit < 1) {
    throw new RangeError(
      `Cannot list pipeline runs: limit must be a positive integer, received ${limit}`,
    );
  }
  return Math.min(limit, 10_000);
}

/** As for names: an index entry of Postgres takes 2,704 bytes. */
const MAX_KEY_LENGTH = 512;

/**
 * Checks the name of a payload field.
 *
 * @throws {TypeError} If it is no string.
 * @throws {RangeError} If it has more than 512 characters.
 */
export function checkPayloadKey(key: unknown): void {
  if (typeof key !== "string") {
    throw new TypeError(
      `Cannot set payload: key must be a string, received ${typeof key}`,
    );
  }
  if (key.length > MAX_KEY_LENGTH) {
    throw new RangeError(
      `Cannot set payload: key must have at most ${MAX_KEY_LENGTH} characters, received ${key.length}`,
    );
  }
}
