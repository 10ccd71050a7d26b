import { storableJson, storableText } from "../json/storable.ts";
import { RepositoryError } from "../model/errors.ts";
import { canonicalUuid } from "../model/ids.ts";
import {
  type AttributedPipelineRunRow,
  checkTransition,
  type PipelineRunRow,
  type PipelineRunStatus,
  type PipelineRunTransition,
} from "../model/row.ts";
import type { Telemetry } from "../model/telemetry.ts";
import {
  checkLimit,
  checkPayloadKey,
  type LogPipelineRunOptions,
  type PipelineRunRepository,
  type RunResult,
} from "../repository/repository.ts";
import type { RunLog } from "../repository/run_log.ts";
import type { PostgresClient } from "./client/client.ts";
import { Database, lacksTable } from "./client/database.ts";
import { Notifier } from "./client/notifier.ts";
import { Replica } from "./client/replica.ts";
import { PostgresRunLog } from "./log/postgres_run_log.ts";
import {
  type PostgresPipelineRunRepositoryOptions,
  resolveOptions,
} from "./options.ts";
import * as sql from "./sql/rows.ts";
import {
  GET_VERSIONS,
  MIGRATE,
  type Migration,
  migrations,
} from "./sql/migrations.ts";
import { TABLES } from "./sql/schema.ts";
import type {
  Parameters,
  Statement,
  StatementValues,
} from "./sql/statement.ts";
import { Retention } from "./retention.ts";
import { GroupCommit } from "./write/group_commit.ts";
import { GroupWriter } from "./write/group_writer.ts";
import { rowBytes, rowValues, type Write } from "./write/write.ts";

/**
 * How long a migration may take, in milliseconds: it may have to index a large table
 * that cognee made.
 */
const MIGRATE_TIMEOUT = 600_000;

/** How many orphans one statement ends. */
const ORPHANS_AT_ONCE = 1_000;

/**
 * A repository in Postgres, in the tables that cognee writes and reads.
 *
 * **Writing.** Writes are committed in groups: those that gather while other groups
 * are being written go into the next statement, and at most two statements are under
 * way. A statement is retried until it succeeds, and repeating it changes nothing, so
 * a lost answer is harmless. A write whose promise has resolved outlives this process
 * and a crash of Postgres.
 *
 * **Rows** of a run are dated in the order in which they were given, strictly rising,
 * by the database's clock.
 *
 * **Sessions** are not needed: no transaction spans several statements, and there are
 * no session locks and no settings.
 *
 * `connect()` makes a repository with a client of its own, which cancels statements
 * that miss their deadline and replaces connections that do not answer. A client of
 * yours should do so too: otherwise such a statement goes on waiting at the server. A
 * `statement_timeout` of your connections does, where no pooler refuses it; it also
 * ends a migration that takes longer, which {@linkcode schemaSql} then does elsewhere.
 * And postgres.js waits up to 20 s before it connects again, unless its `backoff` says
 * otherwise.
 *
 * @example Usage
 * ```ts ignore
 * import postgres from "npm:postgres@^3.4.9";
 * import { PipelineRunRegistry } from "@pipeline/run-registry";
 * import { PostgresPipelineRunRepository } from "@pipeline/run-registry/postgres";
 *
 * const client = postgres(Deno.env.get("DATABASE_URL")!, {
 *   backoff: () => 0.5,
 *   connection: { statement_timeout: 5_000 },
 * });
 * await using repository = new PostgresPipelineRunRepository(client);
 * await repository.migrate();
 * await using registry = new PipelineRunRegistry({ repository });
 * ```
 */
export class PostgresPipelineRunRepository
  implements PipelineRunRepository, AsyncDisposable {
  readonly #database: Database;
  readonly #replica: Replica | undefined;
  readonly #writeTimeout: number;
  readonly #telemetry: Telemetry | undefined;
  readonly #onClose: (() => Promise<void>) | undefined;
  readonly #notifier: Notifier;
  readonly #writes: GroupCommit<Write>;
  readonly #retention: Retention;
  readonly #log: PostgresRunLog | undefined;
  readonly #stopObserving: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  /**
   * Makes a repository. Nothing is sent to Postgres yet.
   *
   * @param client A client such as `npm:postgres` makes. The repository does not
   * close it.
   * @param options Time limits, bounds, and the handler of warnings.
   * @throws {RangeError} If a number is out of range.
   * @throws {TypeError} If a number is not one.
   */
  constructor(
    client: PostgresClient,
    options: PostgresPipelineRunRepositoryOptions = {},
  ) {
    const {
      auditRetention,
      leaseDuration,
      listener,
      logRetention,
      maxQueuedBytes,
      onClose,
      payloadRetention,
      reader,
      schema,
      shared,
      statementTimeout,
      telemetry,
      warn,
      writeTimeout,
      ...following
    } = resolveOptions(options);
    const database = new Database(client, statementTimeout, schema);
    const replica = reader &&
      new Replica(new Database(reader, statementTimeout, schema), warn);
    const instance = {
      database,
      owner: crypto.randomUUID(),
      leaseDuration,
    };
    const notifier = new Notifier({ database, warn });
    const writes = new GroupCommit<Write>({
      writer: new GroupWriter({
        ...instance,
        onFollowed: (runIds) => notifier.notify(runIds),
      }),
      maxItems: 1_000,
      maxBytes: 4 * 1024 * 1024,
      maxQueuedBytes,
      onTrouble: (cause) => {
        const message = "Writing to Postgres failed and is tried again";
        warn({ kind: "row", message, cause });
      },
      onCommit: telemetry &&
        ((items, milliseconds) => telemetry.onCommit(items, milliseconds)),
    });
    this.#database = database;
    this.#replica = replica;
    this.#writeTimeout = writeTimeout;
    this.#telemetry = telemetry;
    this.#onClose = onClose;
    this.#notifier = notifier;
    this.#writes = writes;
    this.#retention = new Retention({
      database,
      logRetention: shared ? logRetention : Infinity,
      payloadRetention,
      auditRetention,
    });
    this.#log = !shared ? undefined : new PostgresRunLog({
      ...instance,
      ...following,
      replica,
      writes,
      listener: listener === false ? undefined : listener ?? client,
      telemetry,
      warn,
    });
    this.#stopObserving = telemetry?.observe(() => ({
      pendingBytes: writes.pendingBytes,
    }));
  }

  /** Where runs are shared between instances. */
  get runLog(): RunLog | undefined {
    return this.#log;
  }

  /**
   * Takes the {@linkcode migrations} that the tables have not had, and checks their
   * columns. It may run at any time, repeatedly, and from many instances at
   * once, for 10 minutes at most. {@linkcode schemaSql} is what it runs.
   *
   * @throws {RepositoryError} If Postgres fails, a newer release has migrated the
   * tables, or one lacks a column or has ids of another type than `uuid`.
   */
  async migrate(): Promise<void> {
    // If Postgres does not answer at all, this fails in the usual time.
    await this.#database.execute(sql.HAS_DATASETS, {});
    await this.#database.execute(MIGRATE, {}, MIGRATE_TIMEOUT);
    const found = new Map(
      (await this.#database.query(sql.GET_COLUMNS, {}) as string[][])
        .map(([table, column, type]) => [`${table}.${column}`, type]),
    );
    for (const [table, columns] of Object.entries(TABLES)) {
      const missing = Object.keys(columns)
        .filter((column) => !found.has(`${table}.${column}`));
      if (missing.length > 0) {
        throw new RepositoryError(
          `Table ${table} lacks the columns ${missing.join(", ")}`,
          { transient: false },
        );
      }
      // cognee's types of the other columns may differ.
      const wrong = Object.entries(columns).filter(([column, type]) =>
        type === "uuid" && found.get(`${table}.${column}`) !== type
      );
      if (wrong.length > 0) {
        const names = wrong.map(([column]) => column).join(", ");
        throw new RepositoryError(
          `Table ${table} must have UUIDs in the columns ${names}`,
          { transient: false },
        );
      }
    }
  }

  /**
   * The migrations that the tables have not had, which `migrate()` would take; all if
   * there are no tables, or none that records migrations.
   *
   * @throws {RepositoryError} If Postgres fails.
   */
  async pendingMigrations(): Promise<Migration[]> {
    let found: readonly unknown[] = [];
    try {
      found = await this.#database.query(GET_VERSIONS, {});
    } catch (error) {
      if (!lacksTable(error)) throw error;
    }
    return migrations.filter(({ version }) => !found.includes(version));
  }

  /** Writes one transition; see {@linkcode PipelineRunRepository}. */
  async logPipelineRun(
    transition: PipelineRunTransition,
    options: LogPipelineRunOptions = {},
  ): Promise<string> {
    const { timeout = this.#writeTimeout, result } = options;
    const row = rowValues(checkTransition(transition), result);
    await this.#writes.add({ kind: "row", row }, {
      key: row.runId,
      bytes: rowBytes(row),
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
    const pairs = await this.#database.query(sql.LATEST_STATUS, {
      datasetIds: `{${ids.join(",")}}`,
      pipelineName: storableText(pipelineName),
    });
    return new Map(pairs as [string, PipelineRunStatus][]);
  }

  /** The newest rows; see {@linkcode PipelineRunRepository}. */
  async listRecent(
    datasetId: string | undefined,
    limit: number,
  ): Promise<PipelineRunRow[]> {
    const most = checkLimit(limit);
    return datasetId === undefined
      ? await this.#listOld(sql.LIST_RECENT, { limit: most })
      : await this.#listOld(sql.LIST_BY_DATASET, {
        dataset_id: canonicalDataset(datasetId),
        limit: most,
      });
  }

  /**
   * The newest rows with the names and owners of their datasets, if there is a table
   * `datasets`; see {@linkcode PipelineRunRepository}.
   */
  async listRecentWithAttribution(
    datasetId: string | undefined,
    limit: number,
  ): Promise<AttributedPipelineRunRow[]> {
    const most = checkLimit(limit);
    const [hasDatasets] = await this.#database.query(sql.HAS_DATASETS, {});
    if (!hasDatasets) return await this.listRecent(datasetId, limit);
    return datasetId === undefined
      ? await this.#listOld(sql.LIST_RECENT_ATTRIBUTED, { limit: most })
      : await this.#listOld(sql.LIST_BY_DATASET_ATTRIBUTED, {
        dataset_id: canonicalDataset(datasetId),
        limit: most,
      });
  }

  /** Ends orphans; see {@linkcode PipelineRunRepository}. */
  async resetOrphans(reason: string): Promise<number> {
    const values = { reason: storableText(reason), limit: ORPHANS_AT_ONCE };
    let reset = await this.#log?.reap(values.reason) ?? 0;
    while (true) {
      const [count] = await this.#database.query(
        sql.RESET_ORPHANS,
        values,
      ) as [number];
      reset += count;
      if (count > 0) {
        this.#telemetry?.onReaped({ code: "orphan", count, runs: [] });
      }
      if (count < ORPHANS_AT_ONCE) return reset;
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
    await this.#writes.add({ kind: "field", json, field: `${id}${name}` }, {
      key: id,
      bytes: json.length,
      timeout: this.#writeTimeout,
    });
  }

  /** The payload fields of a run; see {@linkcode PipelineRunRepository}. */
  async getPayload(runId: string): Promise<Record<string, unknown>> {
    const id = canonicalUuid(runId, "Cannot get payload: runId");
    const pairs = await this.#database.query(sql.GET_PAYLOAD, { runId: id });
    return Object.fromEntries(pairs as [string, unknown][]);
  }

  /** The result of a run; see {@linkcode PipelineRunRepository}. */
  async getResult(runId: string): Promise<RunResult | undefined> {
    const id = canonicalUuid(runId, "Cannot get result: runId");
    const [result] = await this.#database.query(sql.GET_RESULT, { runId: id });
    return result as RunResult | undefined;
  }

  /** The newest row of a run; see {@linkcode PipelineRunRepository}. */
  async getPipelineRun(runId: string): Promise<PipelineRunRow | undefined> {
    const id = canonicalUuid(runId, "Cannot get pipeline run: runId");
    const values = { pipeline_run_id: id, limit: 1 };
    return (await this.#list(sql.LIST_BY_RUN, values))[0];
  }

  /** The newest rows of a run; see {@linkcode PipelineRunRepository}. */
  async listByRun(runId: string, limit: number): Promise<PipelineRunRow[]> {
    return await this.#list(sql.LIST_BY_RUN, {
      pipeline_run_id: canonicalUuid(runId, "Cannot list pipeline runs: runId"),
      limit: checkLimit(limit),
    });
  }

  /** The newest row of a pipeline on a dataset; see {@linkcode PipelineRunRepository}. */
  async getPipelineRunByDataset(
    datasetId: string,
    pipelineName: string,
  ): Promise<PipelineRunRow | undefined> {
    const [row] = await this.#list(sql.LIST_BY_PIPELINE, {
      dataset_id: canonicalDataset(datasetId),
      pipeline_name: storableText(pipelineName),
      limit: 1,
    });
    return row;
  }

  /** The newest row of each pipeline on a dataset; see {@linkcode PipelineRunRepository}. */
  async getPipelineRunsByDataset(datasetId: string): Promise<PipelineRunRow[]> {
    return await this.#list(sql.GET_BY_DATASET, {
      datasetId: canonicalDataset(datasetId),
    });
  }

  /** Deletes what the retention allows; see {@linkcode PipelineRunRepository}. */
  async prune(): Promise<number> {
    return await this.#retention.prune();
  }

  /**
   * Writes what is pending and closes the repository; later writes reject. The client
   * stays open, unless `onClose` closes it.
   *
   * @param options `timeout` is how long writing may take, in milliseconds, 5,000 by
   * default. What is not written by then is refused.
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
    this.#stopObserving?.();
    await this.#notifier.close();
    this.#retention.close();
    await this.#log?.close();
    this.#database.close();
    await this.#onClose?.();
  }

  /** Lists rows that need not be the newest. */
  async #listOld<P extends Parameters>(
    statement: Statement<P>,
    values: StatementValues<P>,
  ): Promise<AttributedPipelineRunRow[]> {
    const rows = await this.#replica?.query(statement, values);
    return rows?.map(sql.toRow) ?? await this.#list(statement, values);
  }

  async #list<P extends Parameters>(
    statement: Statement<P>,
    values: StatementValues<P>,
  ): Promise<AttributedPipelineRunRow[]> {
    const rows = await this.#database.query(statement, values);
    return rows.map(sql.toRow);
  }
}

function canonicalDataset(datasetId: string): string {
  return canonicalUuid(datasetId, "Cannot read pipeline runs: datasetId");
}
