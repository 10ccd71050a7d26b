import { checkInteger, checkType } from "../arguments/checks.ts";
import { RepositoryError } from "../model/errors.ts";
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
   * How long to retry while the storage cannot be reached, in milliseconds.
   * `Infinity` retries until the repository is closed.
   *
   * @default {what the repository was made with}
   */
  timeout?: number;
  /**
   * The {@linkcode RunResult} of the run that the row completes, as JSON, to be stored
   * with the row.
   *
   * @default {none}
   */
  result?: string;
}

/** The stored result of a run: what its work returned, or why that is not stored. */
export type RunResult =
  | {
    /** What the work returned: JSON. */
    readonly value: unknown;
  }
  | {
    /** Why it cannot be stored. */
    readonly error: string;
  };

/**
 * Stores the audit trail and the payload fields of runs.
 *
 * The rows of a run are read in the order of the calls that wrote them, even if
 * the calls were not awaited. Every method rejects with a `RepositoryError` if
 * the storage fails, and with a `TypeError` or `RangeError`, before it uses the
 * storage, if an argument is invalid. UUIDs are accepted in any spelling and
 * returned in the canonical one.
 */
export interface PipelineRunRepository {
  /** Shares runs between instances; absent if they are not shared. */
  readonly runLog?: RunLog;

  /**
   * Writes one transition.
   *
   * @returns The row's id, once the row is durable.
   */
  logPipelineRun(
    transition: PipelineRunTransition,
    options?: LogPipelineRunOptions,
  ): Promise<string>;

  /**
   * The latest status of a pipeline on each dataset, by the dataset's UUID.
   * Datasets without a row are absent.
   */
  latestStatus(
    datasetIds: readonly string[],
    pipelineName: string,
  ): Promise<Map<string, PipelineRunStatus>>;

  /**
   * The newest rows, newest first.
   *
   * @param datasetId Only rows of this dataset; `undefined` for all.
   * @param limit The most rows to return: a positive integer. More than 10,000
   * counts as 10,000.
   */
  listRecent(
    datasetId: string | undefined,
    limit: number,
  ): Promise<PipelineRunRow[]>;

  /**
   * Like {@linkcode PipelineRunRepository.listRecent}, with the names and owners
   * of the datasets, if the storage knows them.
   */
  listRecentWithAttribution(
    datasetId: string | undefined,
    limit: number,
  ): Promise<AttributedPipelineRunRow[]>;

  /**
   * Ends the runs that a crash left INITIATED or STARTED: each gets an ERRORED
   * row that keeps `data` and has `reason` as its `error` and `reason`.
   *
   * @param reason Why, such as `"server_restart_orphan"`.
   * @returns How many runs were ended.
   */
  resetOrphans(reason: string): Promise<number>;

  /** Sets one payload field of a run to a JSON value; the last write wins. */
  setPayloadField(runId: string, key: string, value: unknown): Promise<void>;

  /** The payload fields of a run by name; empty if it set none. */
  getPayload(runId: string): Promise<Record<string, unknown>>;

  /**
   * The result of a run whose newest row is COMPLETED, if its work returned something;
   * absent if results are not stored.
   */
  getResult?(runId: string): Promise<RunResult | undefined>;

  /** The newest row of a run, if there is one. */
  getPipelineRun(runId: string): Promise<PipelineRunRow | undefined>;

  /**
   * The newest rows of a run, from all its attempts, newest first.
   *
   * @param limit As in {@linkcode PipelineRunRepository.listRecent}.
   */
  listByRun(runId: string, limit: number): Promise<PipelineRunRow[]>;

  /** The newest row of a pipeline on a dataset, if there is one. */
  getPipelineRunByDataset(
    datasetId: string,
    pipelineName: string,
  ): Promise<PipelineRunRow | undefined>;

  /** The newest row of each pipeline on a dataset, ordered by pipeline name. */
  getPipelineRunsByDataset(datasetId: string): Promise<PipelineRunRow[]>;

  /**
   * Deletes what is left of runs that ended longer ago than its retention; absent if it
   * has none. The registry calls it at each sweep.
   *
   * @returns How many rows of its tables it deleted.
   */
  prune?(): Promise<number>;
}

/**
 * The number of rows that a listing returns at most.
 *
 * @throws {RangeError} If it is not a positive integer.
 */
export function checkLimit(limit: number): number {
  checkInteger("Cannot list pipeline runs: limit", limit, 1);
  return Math.min(limit, 10_000);
}

/** As for names: a Postgres index entry holds at most 2,704 bytes. */
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

/** Calls a method of a repository; its errors become a `RepositoryError`. */
export async function asRepositoryError<T>(
  message: string,
  call: () => Promise<T>,
  runId?: string,
): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    if (cause instanceof RepositoryError) throw cause;
    throw new RepositoryError(message, { cause, runId });
  }
}
