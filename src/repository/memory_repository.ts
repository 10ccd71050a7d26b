import { checkBound } from "../arguments/checks.ts";
import { canonicalUuid } from "../model/ids.ts";
import {
  type AttributedPipelineRunRow,
  checkTransition,
  type PipelineRunRow,
  type PipelineRunStatus,
  type PipelineRunTransition,
} from "../model/row.ts";
import {
  checkLimit,
  checkPayloadKey,
  type PipelineRunRepository,
} from "./repository.ts";
import { storableJson, storableText } from "../json/storable.ts";

/** Options of {@linkcode MemoryPipelineRunRepository}. */
export interface MemoryPipelineRunRepositoryOptions {
  /**
   * How many runs are kept: a positive integer or `Infinity`. Beyond, the run
   * that ended first is forgotten, rows and payload fields; with none ended, the
   * one known longest. Of a run that is registered again and again the newest
   * 64 rows are kept.
   *
   * @default {4096}
   */
  maxRuns?: number;
}

/** A row and its place in the order of writing. */
interface StoredRow {
  order: number;
  row: PipelineRunRow;
}

/** How many rows are kept of one run id. */
const MAX_ROWS = 64;

interface StoredRun {
  readonly id: string;
  /** Whether it is among those that have ended. */
  isQueued: boolean;
  rows: StoredRow[];
  /** Field name to JSON. */
  payload: Map<string, string>;
}

/**
 * A repository in the memory of the process, for tests, for programs that need
 * no audit trail beyond their own life, and as the registry's default. It is
 * bounded and loses everything with the process.
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
  /** The runs that have ended, in that order; some may have begun again. */
  readonly #ended: StoredRun[] = [];
  #written = 0;
  #lastTime = 0;

  /**
   * Makes an empty repository.
   *
   * @param options How many runs to keep.
   * @throws {RangeError} If `maxRuns` is neither a positive integer nor `Infinity`.
   */
  constructor(options: MemoryPipelineRunRepositoryOptions = {}) {
    const { maxRuns = 4096 } = options;
    checkBound("Cannot create repository: maxRuns", maxRuns);
    this.#maxRuns = maxRuns;
  }

  /** Writes one transition; see {@linkcode PipelineRunRepository}. */
  // deno-lint-ignore require-await -- a bad argument rejects, it does not throw
  async logPipelineRun(transition: PipelineRunTransition): Promise<string> {
    const checked = checkTransition(transition);
    const run = this.#run(checked.pipelineRunId);
    const { rows } = run;
    if (rows.every(({ row }) => row.id !== checked.id)) {
      // The clock may be set back; rows must not seem older than those before.
      this.#lastTime = Math.max(this.#lastTime, Date.now());
      const createdAt = new Date(this.#lastTime);
      const runInfo = checked.runInfo && JSON.parse(
        storableJson(checked.runInfo, "Cannot log pipeline run: runInfo"),
      );
      rows.push({
        order: this.#written++,
        row: { ...checked, runInfo, createdAt },
      });
      if (rows.length > MAX_ROWS) rows.shift();
      if (isTerminal(checked.status) && !run.isQueued) {
        run.isQueued = true;
        this.#ended.push(run);
      }
    }
    return checked.id;
  }

  /** The latest status for each dataset; see {@linkcode PipelineRunRepository}. */
  // deno-lint-ignore require-await
  async latestStatus(
    datasetIds: readonly string[],
    pipelineName: string,
  ): Promise<Map<string, PipelineRunStatus>> {
    const wanted = new Set(datasetIds.map(canonicalDataset));
    const statuses = new Map<string, PipelineRunStatus>();
    for (const row of this.#newestFirst()) {
      const { datasetId, status } = row;
      if (
        datasetId !== undefined && wanted.has(datasetId) &&
        row.pipelineName === pipelineName && !statuses.has(datasetId)
      ) statuses.set(datasetId, status);
    }
    return statuses;
  }

  /** The newest rows; see {@linkcode PipelineRunRepository}. */
  // deno-lint-ignore require-await
  async listRecent(
    datasetId: string | undefined,
    limit: number,
  ): Promise<PipelineRunRow[]> {
    const most = checkLimit(limit);
    const wanted = datasetId && canonicalDataset(datasetId);
    return this.#newestFirst()
      .filter((row) => wanted === undefined || row.datasetId === wanted)
      .slice(0, most)
      .map(copy);
  }

  /** The newest rows; the memory knows no datasets to attribute them to. */
  async listRecentWithAttribution(
    datasetId: string | undefined,
    limit: number,
  ): Promise<AttributedPipelineRunRow[]> {
    return await this.listRecent(datasetId, limit);
  }

  /** Ends what was left unfinished; see {@linkcode PipelineRunRepository}. */
  async resetOrphans(reason: string): Promise<number> {
    let reset = 0;
    for (const { rows } of [...this.#runs.values()]) {
      const last = rows.at(-1)?.row;
      if (last === undefined || isTerminal(last.status)) continue;
      await this.logPipelineRun({
        ...last,
        id: undefined,
        status: "DATASET_PROCESSING_ERRORED",
        runInfo: { data: last.runInfo?.data ?? "None", error: reason, reason },
      });
      reset++;
    }
    return reset;
  }

  /** Sets one payload field; see {@linkcode PipelineRunRepository}. */
  // deno-lint-ignore require-await
  async setPayloadField(
    runId: string,
    key: string,
    value: unknown,
  ): Promise<void> {
    const id = canonicalUuid(runId, "Cannot set payload field: runId");
    checkPayloadKey(key);
    const json = storableJson(value, "Cannot set payload field: value");
    this.#run(id).payload.set(storableText(key), json);
  }

  /** The payload fields of a run; see {@linkcode PipelineRunRepository}. */
  // deno-lint-ignore require-await
  async getPayload(runId: string): Promise<Record<string, unknown>> {
    const id = canonicalUuid(runId, "Cannot get payload: runId");
    const fields = [...this.#runs.get(id)?.payload ?? []];
    return Object.fromEntries(
      fields.map(([key, json]) => [key, JSON.parse(json)]),
    );
  }

  /** The newest row of a run; see {@linkcode PipelineRunRepository}. */
  // deno-lint-ignore require-await
  async getPipelineRun(runId: string): Promise<PipelineRunRow | undefined> {
    const id = canonicalUuid(runId, "Cannot get pipeline run: runId");
    const last = this.#runs.get(id)?.rows.at(-1);
    return last && copy(last.row);
  }

  /** The newest rows of a run; see {@linkcode PipelineRunRepository}. */
  // deno-lint-ignore require-await
  async listByRun(runId: string, limit: number): Promise<PipelineRunRow[]> {
    const id = canonicalUuid(runId, "Cannot list pipeline runs: runId");
    const most = checkLimit(limit);
    const rows = this.#runs.get(id)?.rows ?? [];
    return rows.slice(-most).reverse().map(({ row }) => copy(row));
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
  // deno-lint-ignore require-await
  async getPipelineRunsByDataset(datasetId: string): Promise<PipelineRunRow[]> {
    const wanted = canonicalDataset(datasetId);
    const newest = new Map<string, PipelineRunRow>();
    for (const row of this.#newestFirst()) {
      if (row.datasetId === wanted && !newest.has(row.pipelineName)) {
        newest.set(row.pipelineName, copy(row));
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
      run = { id, isQueued: false, rows: [], payload: new Map() };
      this.#runs.set(id, run);
    }
    return run;
  }

  #forgetOne(): void {
    for (let run = this.#ended.shift(); run; run = this.#ended.shift()) {
      run.isQueued = false;
      if (!isTerminal(run.rows.at(-1)!.row.status)) continue;
      this.#runs.delete(run.id);
      return;
    }
    this.#runs.delete(this.#runs.keys().next().value!);
  }

  #newestFirst(): PipelineRunRow[] {
    return [...this.#runs.values()]
      .flatMap(({ rows }) => rows)
      .sort((a, b) => b.order - a.order)
      .map(({ row }) => row);
  }
}

function copy(row: PipelineRunRow): PipelineRunRow {
  return structuredClone(row);
}

function canonicalDataset(datasetId: string): string {
  return canonicalUuid(datasetId, "Cannot read pipeline runs: datasetId");
}

function isTerminal(status: PipelineRunStatus): boolean {
  return status === "DATASET_PROCESSING_COMPLETED" ||
    status === "DATASET_PROCESSING_ERRORED";
}
