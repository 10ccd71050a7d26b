// deno-lint-ignore-file require-await -- a bad argument rejects, it does not throw
import { checkBound } from "../arguments/checks.ts";
import { canonicalUuid } from "../model/ids.ts";
import {
  type AttributedPipelineRunRow,
  checkTransition,
  type PipelineRunRow,
  type PipelineRunStatus,
  type PipelineRunTransition,
} from "../model/row.ts";
import type { RunInfo } from "../model/run_info.ts";
import {
  checkLimit,
  checkPayloadKey,
  type LogPipelineRunOptions,
  type PipelineRunRepository,
  type RunResult,
} from "./repository.ts";
import { storableJson, storableText } from "../json/storable.ts";

/** Options of {@linkcode MemoryPipelineRunRepository}. */
export interface MemoryPipelineRunRepositoryOptions {
  /**
   * How many runs are kept: a positive integer or `Infinity`. Beyond it, the run
   * that ended first is forgotten with its rows and payload fields, or the oldest
   * run if none has ended. Each run keeps its newest 64 rows.
   *
   * @default {4096}
   */
  maxRuns?: number;
}

/** A row as it is kept: what is costly to make is made when it is read. */
interface StoredRow {
  /** Its place in the order of writing. */
  readonly order: number;
  /** When it was written, in milliseconds. */
  readonly time: number;
  readonly transition: PipelineRunTransition & { readonly id: string };
  /** The {@linkcode RunResult} as JSON. */
  readonly result: string | undefined;
}

/** How many rows are kept per run id. */
const MAX_ROWS = 64;

interface StoredRun {
  readonly id: string;
  /** Whether it is in the queue of ended runs. */
  isQueued: boolean;
  rows: StoredRow[];
  /** Field name to JSON. */
  payload: Map<string, string> | undefined;
}

/**
 * A repository in the process's memory, for tests, for programs that need no
 * lasting audit trail, and as the registry's default. It is bounded and loses
 * everything when the process ends.
 *
 * @example Usage
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { MemoryPipelineRunRepository } from "@pipeline/run-registry";
 *
 * const repository = new MemoryPipelineRunRepository({ maxRuns: 100 });
 * assertEquals(await repository.listRecent(undefined, 10), []);
 * ```
 */
export class MemoryPipelineRunRepository implements PipelineRunRepository {
  readonly #maxRuns: number;
  readonly #runs = new Map<string, StoredRun>();
  /** From `#head` on, the ended runs in the order of ending; some may have started again. */
  readonly #ended: (StoredRun | undefined)[] = [];
  #head = 0;
  #written = 0;
  #lastTime = 0;

  /**
   * Makes an empty repository.
   *
   * @throws {RangeError} If `maxRuns` is neither a positive integer nor `Infinity`.
   */
  constructor(options: MemoryPipelineRunRepositoryOptions = {}) {
    const { maxRuns = 4096 } = options;
    checkBound("Cannot create repository: maxRuns", maxRuns);
    this.#maxRuns = maxRuns;
  }

  /** Writes one transition; see {@linkcode PipelineRunRepository}. */
  async logPipelineRun(
    transition: PipelineRunTransition,
    { result }: LogPipelineRunOptions = {},
  ): Promise<string> {
    const checked = stored(transition);
    const run = this.#run(checked.pipelineRunId);
    const { rows } = run;
    if (rows.every(({ transition }) => transition.id !== checked.id)) {
      // The clock may be set back; a row must not be older than the previous one.
      this.#lastTime = Math.max(this.#lastTime, Date.now());
      const row = {
        order: this.#written++,
        time: this.#lastTime,
        transition: checked,
        result,
      };
      // The second row is the usual last one; push() would reserve room for 16 more.
      run.rows = rows.length === 1
        ? [rows[0], row]
        : [...rows.slice(1 - MAX_ROWS), row];
      if (isFinal(row) && !run.isQueued) {
        run.isQueued = true;
        this.#ended.push(run);
      }
    }
    return checked.id;
  }

  /** The latest status for each dataset; see {@linkcode PipelineRunRepository}. */
  async latestStatus(
    datasetIds: readonly string[],
    pipelineName: string,
  ): Promise<Map<string, PipelineRunStatus>> {
    const wanted = new Set(datasetIds.map(canonicalDataset));
    const statuses = new Map<string, PipelineRunStatus>();
    for (const { transition } of this.#newestFirst()) {
      const { datasetId, status } = transition;
      if (
        datasetId !== undefined && wanted.has(datasetId) &&
        transition.pipelineName === pipelineName && !statuses.has(datasetId)
      ) statuses.set(datasetId, status);
    }
    return statuses;
  }

  /** The newest rows; see {@linkcode PipelineRunRepository}. */
  async listRecent(
    datasetId: string | undefined,
    limit: number,
  ): Promise<PipelineRunRow[]> {
    const most = checkLimit(limit);
    const wanted = datasetId && canonicalDataset(datasetId);
    return this.#newestFirst()
      .filter(({ transition: { datasetId } }) =>
        wanted === undefined || datasetId === wanted
      )
      .slice(0, most)
      .map(toRow);
  }

  /** The newest rows, without attribution: there is no table of datasets. */
  async listRecentWithAttribution(
    datasetId: string | undefined,
    limit: number,
  ): Promise<AttributedPipelineRunRow[]> {
    return await this.listRecent(datasetId, limit);
  }

  /** Ends unfinished runs; see {@linkcode PipelineRunRepository}. */
  async resetOrphans(reason: string): Promise<number> {
    let reset = 0;
    for (const { rows } of [...this.#runs.values()]) {
      const last = rows.at(-1);
      if (last === undefined || isFinal(last)) continue;
      const { runInfo, ...row } = toRow(last);
      await this.logPipelineRun({
        ...row,
        id: undefined,
        status: "DATASET_PROCESSING_ERRORED",
        runInfo: { data: runInfo?.data ?? "None", error: reason, reason },
      });
      reset++;
    }
    return reset;
  }

  /** Sets one payload field; see {@linkcode PipelineRunRepository}. */
  async setPayloadField(
    runId: string,
    key: string,
    value: unknown,
  ): Promise<void> {
    const id = canonicalUuid(runId, "Cannot set payload field: runId");
    checkPayloadKey(key);
    const json = storableJson(value, "Cannot set payload field: value");
    const run = this.#run(id);
    run.payload ??= new Map();
    run.payload.set(storableText(key), json);
  }

  /** The payload fields of a run; see {@linkcode PipelineRunRepository}. */
  async getPayload(runId: string): Promise<Record<string, unknown>> {
    const id = canonicalUuid(runId, "Cannot get payload: runId");
    const fields = [...this.#runs.get(id)?.payload ?? []];
    return Object.fromEntries(
      fields.map(([key, json]) => [key, JSON.parse(json)]),
    );
  }

  /** The result of a run; see {@linkcode PipelineRunRepository}. */
  async getResult(runId: string): Promise<RunResult | undefined> {
    const id = canonicalUuid(runId, "Cannot get result: runId");
    const result = this.#runs.get(id)?.rows.at(-1)?.result;
    return result && JSON.parse(result);
  }

  /** The newest row of a run; see {@linkcode PipelineRunRepository}. */
  async getPipelineRun(runId: string): Promise<PipelineRunRow | undefined> {
    const id = canonicalUuid(runId, "Cannot get pipeline run: runId");
    const last = this.#runs.get(id)?.rows.at(-1);
    return last && toRow(last);
  }

  /** The newest rows of a run; see {@linkcode PipelineRunRepository}. */
  async listByRun(runId: string, limit: number): Promise<PipelineRunRow[]> {
    const id = canonicalUuid(runId, "Cannot list pipeline runs: runId");
    const most = checkLimit(limit);
    const rows = this.#runs.get(id)?.rows ?? [];
    return rows.slice(-most).reverse().map(toRow);
  }

  /** The newest row of a pipeline on a dataset; see {@linkcode PipelineRunRepository}. */
  async getPipelineRunByDataset(
    datasetId: string,
    pipelineName: string,
  ): Promise<PipelineRunRow | undefined> {
    const rows = await this.getPipelineRunsByDataset(datasetId);
    return rows.find((row) => row.pipelineName === pipelineName);
  }

  /** The newest row of each pipeline on a dataset; see {@linkcode PipelineRunRepository}. */
  async getPipelineRunsByDataset(datasetId: string): Promise<PipelineRunRow[]> {
    const wanted = canonicalDataset(datasetId);
    const newest = new Map<string, PipelineRunRow>();
    for (const row of this.#newestFirst()) {
      const { datasetId, pipelineName } = row.transition;
      if (datasetId === wanted && !newest.has(pipelineName)) {
        newest.set(pipelineName, toRow(row));
      }
    }
    return [...newest.entries()]
      .toSorted(([a], [b]) => a < b ? -1 : 1)
      .map(([_, row]) => row);
  }

  #run(id: string): StoredRun {
    let run = this.#runs.get(id);
    if (run === undefined) {
      if (this.#runs.size >= this.#maxRuns) this.#forgetOne();
      run = { id, isQueued: false, rows: [], payload: undefined };
      this.#runs.set(id, run);
    }
    return run;
  }

  #forgetOne(): void {
    while (this.#head < this.#ended.length) {
      const run = this.#ended[this.#head]!;
      this.#ended[this.#head++] = undefined; // It frees the memory of the run.
      if (this.#head * 2 >= this.#ended.length) {
        this.#ended.splice(0, this.#head);
        this.#head = 0;
      }
      run.isQueued = false;
      if (!isFinal(run.rows.at(-1)!)) continue;
      this.#runs.delete(run.id);
      return;
    }
    this.#runs.delete(this.#runs.keys().next().value!);
  }

  #newestFirst(): StoredRow[] {
    return [...this.#runs.values()]
      .flatMap(({ rows }) => rows)
      .sort((a, b) => b.order - a.order);
  }
}

function toRow({ transition, time }: StoredRow): PipelineRunRow {
  const runInfo = transition.runInfo && copyOf(transition.runInfo);
  return { ...transition, runInfo, createdAt: new Date(time) };
}

function copyOf(runInfo: RunInfo): RunInfo {
  return JSON.parse(
    storableJson(runInfo, "Cannot log pipeline run: runInfo"),
  );
}

function canonicalDataset(datasetId: string): string {
  return canonicalUuid(datasetId, "Cannot read pipeline runs: datasetId");
}

function isFinal({ transition: { status } }: StoredRow): boolean {
  return status === "DATASET_PROCESSING_COMPLETED" ||
    status === "DATASET_PROCESSING_ERRORED";
}

/** A transition that nobody changes. */
function stored(
  transition: PipelineRunTransition,
): PipelineRunTransition & { id: string } {
  const checked = checkTransition(transition);
  const { runInfo } = checked;
  if (checked === transition || runInfo === undefined) return checked;
  return { ...checked, runInfo: copyOf(runInfo) };
}
