import { retry, RetryError } from "@std/async/retry";
import { RepositoryError } from "../model/errors.ts";
import { canonicalUuid } from "../model/ids.ts";
import { checkDelay, checkNumber } from "../arguments/checks.ts";
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
  type LogPipelineRunOptions,
  type PipelineRunRepository,
} from "../repository/repository.ts";
import type { RunLog } from "../repository/run_log.ts";
import { storableJson, storableText } from "../json/storable.ts";
import { contain, logWarning, type RegistryWarning } from "../model/warning.ts";
import type { PostgresClient } from "./client/client.ts";
import { GroupCommit } from "./write/group_commit.ts";
import { GroupWriter } from "./write/group_writer.ts";
import { PostgresRunLog } from "./log/postgres_run_log.ts";
import { rowValues } from "./write/row_values.ts";
import { COLUMNS, schemaSql } from "./sql/schema.ts";
import * as sql from "./sql/rows.ts";
import { execute, STATEMENT_TIMEOUT } from "./client/statement.ts";
import type { Write } from "./write/write.ts";

/** Options of {@linkcode PostgresPipelineRunRepository}. */
export interface PostgresPipelineRunRepositoryOptions {
  /**
   * For how long to wait for the answer to one statement, in milliseconds.
   *
   * @default {5_000}
   */
  statementTimeout?: number;
  /**
   * For how long a write is tried while Postgres cannot be reached, in
   * milliseconds. The rows of a registry's runs are tried until `close()`.
   *
   * @default {10_000}
   */
  writeTimeout?: number;
  /**
   * How many bytes may wait to be written. Beyond, payload fields and rows that
   * have a time limit are refused; the rows of a registry's runs are not.
   *
   * @default {67_108_864}
   */
  maxQueuedBytes?: number;
  /**
   * Told when writing begins to fail; it is tried again until it succeeds. What
   * it throws is ignored.
   *
   * @default {console.warn}
   */
  onWarning?: (warning: RegistryWarning) => void;
  /**
   * Whether other instances take part: they can then follow and abort the runs,
   * and end them when this instance dies. Without, a run has its rows and nothing
   * else in the database.
   *
   * @default {true}
   */
  shared?: boolean;
  /**
   * For how long a run is this instance's without a sign of life, in
   * milliseconds. After that any instance may end it.
   *
   * @default {60_000}
   */
  lease?: number;
  /**
   * How often leases are renewed, in milliseconds; that also brings requests to
   * abort whose notification was lost.
   *
   * @default {10_000}
   */
  renewal?: number;
  /**
   * How often to ask for the events of other instances' runs when no
   * notification comes, in milliseconds.
   *
   * @default {1_000}
   */
  pollInterval?: number;
  /**
   * For how long the events of a run stay in the log after its end, in
   * milliseconds; `Infinity` is for ever. The audit trail stays.
   *
   * @default {86_400_000}
   */
  logRetention?: number;
  /**
   * Whose notifications to listen to: a client that reaches Postgres directly
   * where `client` goes through a transaction pooler, or `false` for none.
   *
   * @default {the client}
   */
  listener?: PostgresClient | false;
  /**
   * Called by `close()` when nothing is being written any more, to close what
   * was opened for this repository.
   *
   * @default {nothing: the client is its owner's to close}
   */
  onClose?: () => Promise<void>;
}

/** How often a read is tried while the connection is lost: for 2 to 4 s. */
const READ_ATTEMPTS = 8;

/** How often a claim or a request is: for 6 to 11 s. */
const CLAIM_ATTEMPTS = 15;

/** How many orphans one statement ends. */
const ORPHANS_AT_ONCE = 1_000;

/**
 * A repository in Postgres, in the tables that cognee writes and reads.
 *
 * **Writing.** Everything goes through one statement at a time: what gathers
 * while it is under way goes with the next one. It is repeated until it
 * succeeds, and repeating it changes nothing, so a lost answer is harmless. A
 * write whose promise has resolved outlives the death of this process and of
 * Postgres.
 *
 * **Rows** of a run are dated in the order in which they were given, strictly
 * rising, by the database's clock.
 *
 * **Sessions** are not needed: there are no transactions over several
 * statements, no session locks, no settings.
 *
 * `connect()` makes one with a client of its own, which leaves connections that
 * do not answer. A client of yours should too: postgres.js waits up to 20 s
 * before it connects again, unless its `backoff` says otherwise.
 *
 * @example Usage
 * ```ts ignore
 * import postgres from "npm:postgres@3";
 * import { PipelineRunRegistry } from "@pipeline/run-registry";
 * import { PostgresPipelineRunRepository } from "@pipeline/run-registry/postgres";
 *
 * const client = postgres(Deno.env.get("DATABASE_URL")!, { backoff: () => 0.5 });
 * await using repository = new PostgresPipelineRunRepository(client);
 * await repository.migrate();
 * await using registry = new PipelineRunRegistry({ repository });
 * ```
 */
export class PostgresPipelineRunRepository
  implements PipelineRunRepository, AsyncDisposable {
  readonly #client: PostgresClient;
  readonly #statementTimeout: number;
  readonly #writeTimeout: number;
  readonly #onClose: (() => Promise<void>) | undefined;
  readonly #writes: GroupCommit<Write>;
  readonly #log: PostgresRunLog | undefined;
  #closing: Promise<void> | undefined;

  /**
   * Makes a repository. Nothing is sent to Postgres yet.
   *
   * @param client A client such as `npm:postgres` makes. It stays its owner's.
   * @param options Time limits, bounds, whom to warn.
   * @throws {RangeError} If a number is out of range.
   * @throws {TypeError} If a delay is no number.
   */
  constructor(
    client: PostgresClient,
    options: PostgresPipelineRunRepositoryOptions = {},
  ) {
    const {
      statementTimeout = STATEMENT_TIMEOUT,
      writeTimeout = 10_000,
      maxQueuedBytes = 64 * 1024 * 1024,
      shared = true,
      lease = 60_000,
      renewal = 10_000,
      pollInterval = 1_000,
      logRetention = 86_400_000,
      listener = client,
      onWarning = logWarning,
      onClose,
    } = options;
    const delays = { statementTimeout, lease, renewal, pollInterval };
    for (const [name, delay] of Object.entries(delays)) {
      checkDelay(`Cannot create repository: ${name}`, delay, 1);
    }
    if (renewal >= lease) {
      throw new RangeError(
        `Cannot create repository: renewal must be less than lease, received ${renewal} and ${lease}`,
      );
    }
    const numbers = { writeTimeout, maxQueuedBytes, logRetention };
    for (const [name, number] of Object.entries(numbers)) {
      checkNumber(
        `Cannot create repository: ${name}`,
        number,
        "positive",
        (value) => value > 0,
      );
    }
    const warn = contain(onWarning);
    this.#client = client;
    this.#statementTimeout = statementTimeout;
    this.#writeTimeout = writeTimeout;
    this.#onClose = onClose;
    this.#log = !shared ? undefined : new PostgresRunLog({
      read: (query, parameters) => this.#execute(query, parameters),
      claim: (query, parameters) =>
        this.#execute(query, parameters, CLAIM_ATTEMPTS),
      write: (step, bytes, droppable) =>
        this.#writes.add(step, {
          key: step.lease.runId,
          bytes,
          timeout: Infinity,
          droppable,
        }),
      listener: listener === false ? undefined : listener,
      lease: Math.ceil(lease),
      renewal,
      pollInterval,
      logRetention: Math.ceil(logRetention),
      warn,
    });
    const writer = new GroupWriter({
      client,
      log: this.#log,
      lease: Math.ceil(lease),
      statementTimeout,
    });
    this.#writes = new GroupCommit({
      write: (writes, again) => writer.write(writes, again),
      maxItems: 1_000,
      maxBytes: 4 * 1024 * 1024,
      maxQueuedBytes,
      onTrouble: (cause) =>
        warn({
          kind: "row",
          message: "Writing to Postgres failed and is tried again",
          cause,
        }),
    });
  }

  /** Where runs are shared between instances. */
  get runLog(): RunLog | undefined {
    return this.#log;
  }

  /**
   * Makes the tables and indexes that are missing, and checks the columns of
   * those that are there. It may run at any time, again, and from many
   * instances at once. {@linkcode schemaSql} is what it runs.
   *
   * @throws {RepositoryError} If Postgres fails, or a table lacks a column.
   */
  async migrate(): Promise<void> {
    await this.#execute(schemaSql, [], 1);
    for (const [table, columns] of Object.entries(COLUMNS)) {
      const found = new Set(await this.#execute(sql.GET_COLUMNS, [table]));
      const missing = columns.filter((column) => !found.has(column));
      if (missing.length > 0) {
        throw new RepositoryError(
          `Table ${table} lacks the columns ${missing.join(", ")}`,
          { transient: false },
        );
      }
    }
  }

  /** Writes one transition; see {@linkcode PipelineRunRepository}. */
  async logPipelineRun(
    transition: PipelineRunTransition,
    options: LogPipelineRunOptions = {},
  ): Promise<string> {
    const { timeout = this.#writeTimeout } = options;
    const row = checkTransition(transition);
    const values = rowValues(row);
    const write: Write = { kind: "row", row: values };
    await this.#writes.add(write, {
      key: values.runId,
      bytes: values.length,
      timeout,
    });
    return row.id;
  }

  /** The latest status for each dataset; see {@linkcode PipelineRunRepository}. */
  async latestStatus(
    datasetIds: readonly string[],
    pipelineName: string,
  ): Promise<Map<string, PipelineRunStatus>> {
    const ids = datasetIds.map(canonicalDataset);
    if (ids.length === 0) return new Map();
    const pairs = await this.#execute(sql.LATEST_STATUS, [
      `{${ids.join(",")}}`,
      storableText(pipelineName),
    ]);
    return new Map(pairs as [string, PipelineRunStatus][]);
  }

  /** The newest rows; see {@linkcode PipelineRunRepository}. */
  async listRecent(
    datasetId: string | undefined,
    limit: number,
  ): Promise<PipelineRunRow[]> {
    return await this.#list(
      sql.LIST_RECENT,
      sql.LIST_RECENT_OF_DATASET,
      datasetId,
      limit,
    );
  }

  /**
   * The newest rows with the names and owners of their datasets, where there is
   * a table `datasets`; see {@linkcode PipelineRunRepository}.
   */
  async listRecentWithAttribution(
    datasetId: string | undefined,
    limit: number,
  ): Promise<AttributedPipelineRunRow[]> {
    checkLimit(limit);
    const [hasDatasets] = await this.#execute(sql.HAS_DATASETS, []);
    if (!hasDatasets) return await this.listRecent(datasetId, limit);
    return await this.#list(
      sql.LIST_RECENT_WITH_ATTRIBUTION,
      sql.LIST_RECENT_OF_DATASET_WITH_ATTRIBUTION,
      datasetId,
      limit,
    );
  }

  /** Ends what was left unfinished; see {@linkcode PipelineRunRepository}. */
  async resetOrphans(reason: string): Promise<number> {
    const text = storableText(reason);
    const swept = await this.#log?.sweep(text);
    let reset = swept?.reaped ?? 0;
    while (true) {
      const [count] = await this.#execute(sql.RESET_ORPHANS, [
        text,
        String(ORPHANS_AT_ONCE),
      ]);
      reset += count as number;
      if (count as number < ORPHANS_AT_ONCE) return reset;
    }
  }

  /** Sets one payload field; see {@linkcode PipelineRunRepository}. */
  async setPayloadField(
    runId: string,
    key: string,
    value: unknown,
  ): Promise<void> {
    const id = canonicalUuid(runId, "Cannot set payload field: runId");
    checkPayloadKey(key);
    const name = JSON.stringify(storableText(key));
    const text = storableJson(value, "Cannot set payload field: value");
    const json = `{"pipeline_run_id":"${id}","key":${name},"value":${text}}`;
    const write: Write = { kind: "field", json, key: `${id}${name}` };
    await this.#writes.add(write, {
      key: id,
      bytes: json.length,
      timeout: this.#writeTimeout,
    });
  }

  /** The payload fields of a run; see {@linkcode PipelineRunRepository}. */
  async getPayload(runId: string): Promise<Record<string, unknown>> {
    const id = canonicalUuid(runId, "Cannot get payload: runId");
    const pairs = await this.#execute(sql.GET_PAYLOAD, [id]);
    return Object.fromEntries(pairs as [string, unknown][]);
  }

  /** The newest row of a run; see {@linkcode PipelineRunRepository}. */
  async getPipelineRun(runId: string): Promise<PipelineRunRow | undefined> {
    const id = canonicalUuid(runId, "Cannot get pipeline run: runId");
    const [row] = await this.#execute(sql.GET_PIPELINE_RUN, [id]);
    return row === undefined ? undefined : toRow(row);
  }

  /** The newest rows of a run; see {@linkcode PipelineRunRepository}. */
  async listByRun(runId: string, limit: number): Promise<PipelineRunRow[]> {
    const id = canonicalUuid(runId, "Cannot list pipeline runs: runId");
    const most = String(checkLimit(limit));
    return (await this.#execute(sql.LIST_BY_RUN, [most, id])).map(toRow);
  }

  /** The newest row of a pipeline on a dataset; see {@linkcode PipelineRunRepository}. */
  async getPipelineRunByDataset(
    datasetId: string,
    pipelineName: string,
  ): Promise<PipelineRunRow | undefined> {
    const [row] = await this.#execute(sql.GET_PIPELINE_RUN_BY_DATASET, [
      canonicalDataset(datasetId),
      storableText(pipelineName),
    ]);
    return row === undefined ? undefined : toRow(row);
  }

  /** The newest row of each pipeline on a dataset; see {@linkcode PipelineRunRepository}. */
  async getPipelineRunsByDataset(datasetId: string): Promise<PipelineRunRow[]> {
    const rows = await this.#execute(sql.GET_PIPELINE_RUNS_BY_DATASET, [
      canonicalDataset(datasetId),
    ]);
    return rows.map(toRow);
  }

  /**
   * Writes what waits to be written and closes the repository; later calls that
   * write reject. The client is left to its owner, unless `onClose` says
   * otherwise.
   *
   * @param options `timeout` is for how long writing may take, in milliseconds,
   * 5,000 by default. What is not written by then is refused.
   */
  async close(options: { timeout?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(options.timeout ?? 5_000);
    await this.#closing;
  }

  /** Closes the repository. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(timeout: number): Promise<void> {
    await this.#writes.close(timeout);
    await this.#log?.close();
    await this.#onClose?.();
  }

  async #list(
    ofAll: string,
    ofDataset: string,
    datasetId: string | undefined,
    limit: number,
  ): Promise<PipelineRunRow[]> {
    const most = String(checkLimit(limit));
    const rows = datasetId === undefined
      ? await this.#execute(ofAll, [most])
      : await this.#execute(ofDataset, [most, canonicalDataset(datasetId)]);
    return rows.map(toRow);
  }

  /** Executes what is safe to repeat, again where the connection was lost. */
  async #execute(
    query: string,
    parameters: (string | null)[],
    maxAttempts = READ_ATTEMPTS,
  ): Promise<unknown[]> {
    try {
      return await retry(
        () => execute(this.#client, query, parameters, this.#statementTimeout),
        {
          maxAttempts,
          minTimeout: 50,
          maxTimeout: 1_000,
          jitter: 0.5,
          isRetriable: isWorthRepeating,
        },
      );
    } catch (error) {
      throw error instanceof RetryError ? error.cause : error;
    }
  }
}

/** What took its full time once is not given it again: somebody waits. */
function isWorthRepeating(error: unknown): boolean {
  return error instanceof RepositoryError && error.transient &&
    !(error.cause instanceof DOMException);
}

/** A row as Postgres gives it: absent values are null, the date is a string. */
function toRow(json: unknown): AttributedPipelineRunRow {
  const present = Object.entries(json as Record<string, unknown>)
    .filter(([_, value]) => value !== null);
  const row = Object.fromEntries(present) as unknown as
    & AttributedPipelineRunRow
    & { createdAt: string };
  return { ...row, createdAt: new Date(row.createdAt) };
}

function canonicalDataset(datasetId: string): string {
  return canonicalUuid(datasetId, "Cannot read pipeline runs: datasetId");
}
