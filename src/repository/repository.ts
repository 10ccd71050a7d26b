import { checkInteger, checkType } from "../arguments/checks.ts";
import type {
  AttributedPipelineRunRow,
  PipelineRunRow,
  PipelineRunStatus,
  PipelineRunTransition,
} from "../model/row.ts";
import type { RunLog } from "./run_log.ts";

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
 * The bound of a listing.
 *
 * @throws {RangeError} If it is not a positive integer.
 */
export function checkLimit(limit: number): number {
  checkInteger("Cannot list pipeline runs: limit", limit, 1);
  return Math.min(limit, 10_000);
}

/** As for names: an index entry of Postgres takes 2,704 bytes. */
const MAX_KEY_LENGTH = 512;

/**
 * Checks the name of a payload field.
 *
 * @throws {TypeError} If it is not a string.
 * @throws {RangeError} If it has more than 512 characters.
 */
export function checkPayloadKey(key: unknown): asserts key is string {
  checkType("Cannot set payload: key", key, "string");
  const { length } = key as string;
  if (length > MAX_KEY_LENGTH) {
    throw new RangeError(
      `Cannot set payload: key must have at most ${MAX_KEY_LENGTH} characters, received ${length}`,
    );
  }
}
