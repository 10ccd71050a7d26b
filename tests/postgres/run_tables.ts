import postgres from "postgres";
import type { RunEvent } from "../../src/model/event.ts";
import { Database } from "../../src/postgres/client/database.ts";
import { schemaSql } from "../../src/postgres/sql/migrations.ts";
import type {
  Parameters,
  Statement,
  StatementValues,
} from "../../src/postgres/sql/statement.ts";
import { openDatabase } from "./open_database.ts";

/** A lease as a test sets it up; what it leaves out does not matter to it. */
export interface LeaseRow {
  runId: string;
  owner?: string;
  claimId?: string;
  generation?: number;
  firstSeq?: number;
  lastSeq?: number;
  /** When it expires, in milliseconds from now. */
  expiresIn?: number;
  /** Whether it has ended. */
  ended?: boolean;
  endingId?: string;
  /** When notice was given, in milliseconds from now. */
  noticeIn?: number;
  /** Until when somebody follows it, in milliseconds from now. */
  followedFor?: number;
  /** Why somebody asked to abort the run, an hour ago. */
  abortReason?: string;
}

/** An event as a test sets it up. */
export interface LoggedEvent {
  runId: string;
  seq: number;
  kind: RunEvent["kind"];
  message?: string;
  /** How long its payload counts as. */
  length?: number;
  /** How long ago it was logged, in milliseconds. */
  age?: number;
}

/** A row of the audit trail as a test sets it up. */
export interface AuditRow {
  runId: string;
  id?: string;
  status: "INITIATED" | "STARTED" | "COMPLETED" | "ERRORED";
  name?: string;
  datasetId?: string;
  /** As JSON. */
  runInfo?: string;
  /** When it was written, in milliseconds from the beginning of today. */
  writtenIn?: number;
}

/** The tables of one test, and the statements on them. */
export class RunTables implements AsyncDisposable {
  readonly sql: postgres.Sql;
  readonly url: string;
  readonly #database: Database;
  readonly #stack: AsyncDisposableStack;

  private constructor(
    { sql, url }: { sql: postgres.Sql; url: string },
    stack: AsyncDisposableStack,
  ) {
    this.sql = sql;
    this.url = url;
    this.#database = new Database(sql, 20_000);
    this.#stack = stack;
  }

  static async open(): Promise<RunTables> {
    await using stack = new AsyncDisposableStack();
    const opened = stack.use(await openDatabase());
    await opened.sql.unsafe(schemaSql).simple();
    return new RunTables(opened, stack.move());
  }

  execute<P extends Parameters>(
    statement: Statement<P>,
    values: StatementValues<P>,
  ): Promise<unknown[]> {
    return this.#database.execute(statement, values);
  }

  /** Adds a lease, on a connection of the test's own if it is to stay uncommitted. */
  async addLease(
    lease: LeaseRow,
    sql: postgres.Sql = this.sql,
  ): Promise<void> {
    const {
      runId,
      owner = crypto.randomUUID(),
      claimId = crypto.randomUUID(),
      generation = 1,
      firstSeq = 1,
      lastSeq = 0,
      expiresIn = 60_000,
      ended = false,
      endingId = null,
      noticeIn = null,
      followedFor = null,
      abortReason = null,
    } = lease;
    await sql`
      insert into pipeline_run_leases (
        pipeline_run_id, owner, claim, generation, first_seq, last_seq,
        expires_at, ended_at, ending, notice_at, followed_until,
        abort_requested_at, abort_reason
      ) values (
        ${runId}, ${owner}, ${claimId}, ${generation}, ${firstSeq}, ${lastSeq},
        now() + ${expiresIn} * interval '1 millisecond',
        case when ${ended} then now() - interval '1 hour' end, ${endingId},
        now() + ${noticeIn}::float * interval '1 millisecond',
        now() + ${followedFor}::float * interval '1 millisecond',
        case when ${abortReason}::text is not null
          then now() - interval '1 hour'
        end, ${abortReason}
      )`;
  }

  /** Adds events in the order given, which may not be that of their numbers. */
  async addEvents(...events: LoggedEvent[]): Promise<void> {
    for (const event of events) {
      const { runId, seq, kind, message = null, length = 0, age = 0 } = event;
      await this.sql`
        insert into pipeline_run_events (
          pipeline_run_id, seq, kind, at, message, payload_length, logged_at
        ) values (
          ${runId}, ${seq}, ${kind}, now(), ${message}, ${length},
          now() - ${age} * interval '1 millisecond'
        )`;
    }
  }

  /** Adds a row of the audit trail. */
  async addRow(row: AuditRow): Promise<void> {
    const {
      runId,
      id = crypto.randomUUID(),
      status,
      name = "ingest",
      datasetId = null,
      runInfo = null,
      writtenIn = 0,
    } = row;
    await this.sql`
      insert into pipeline_runs (
        id, created_at, status, pipeline_run_id, pipeline_name, pipeline_id,
        dataset_id, run_info
      ) values (
        ${id},
        date_trunc('day', now()) + ${writtenIn} * interval '1 millisecond',
        ${`DATASET_PROCESSING_${status}`}, ${runId}, ${name}, ${runId},
        ${datasetId}, ${runInfo}::text::json
      )`;
  }

  /** Adds a payload field, which was set some milliseconds ago. */
  async addField(
    { runId, key, age }: { runId: string; key: string; age: number },
  ): Promise<void> {
    await this.sql`
      insert into pipeline_run_payload_fields (
        pipeline_run_id, key, value, created_at, updated_at
      )
      select ${runId}, ${key}, '1', at, at
      from (select now() - ${age} * interval '1 millisecond' as at) age`;
  }

  /** Adds two attempts of a run, both ended, without a lease. */
  async addTwoAttempts(): Promise<string> {
    const runId = crypto.randomUUID();
    // The last one first, so that their place in the table is not their order.
    await this.addEvents(
      { runId, seq: 5, kind: "Errored", message: "boom" },
      { runId, seq: 4, kind: "Yield" },
      { runId, seq: 3, kind: "Started" },
      { runId, seq: 2, kind: "Completed" },
      { runId, seq: 1, kind: "Started" },
    );
    return runId;
  }

  /** Adds what another run has left, which no statement is to read. */
  async addOther(): Promise<void> {
    const runId = "00000000-0000-4000-8000-000000000000";
    await this.addLease({ runId, ended: true, firstSeq: 7, lastSeq: 9 });
    await this.addEvents({ runId, seq: 9, kind: "Completed" });
    await this.addRow({ runId, status: "ERRORED", writtenIn: 9 });
  }

  /** The numbers and kinds of a run's events. */
  async eventsOf(runId: string): Promise<string[]> {
    const rows = await this.sql`
      select seq || ' ' || kind as event from pipeline_run_events
      where pipeline_run_id = ${runId} order by seq`;
    return rows.map(({ event }) => event);
  }

  /** The results of a run. */
  async resultsOf(runId: string): Promise<unknown[]> {
    const rows = await this.sql`
      select result from pipeline_run_results
      where pipeline_run_id = ${runId} order by created_at`;
    return rows.map(({ result }) => result);
  }

  /** The statuses of a run's rows in the order of their dates. */
  async statusesOf(runId: string): Promise<string[]> {
    const rows = await this.sql`
      select status from pipeline_runs where pipeline_run_id = ${runId}
      order by created_at`;
    return rows.map(({ status }) => status.slice("DATASET_PROCESSING_".length));
  }

  /** The lease of a run; it `is_renewed` if it lasts for half a minute yet. */
  async leaseOf(runId: string): Promise<postgres.Row | undefined> {
    const [lease] = await this.sql`
      select *,
        expires_at > now() + interval '30 seconds' as is_renewed,
        ended_at is not null as ended
      from pipeline_run_leases where pipeline_run_id = ${runId}`;
    return lease;
  }

  /** The same tables, where a statement fails that waits for a lock. */
  async withLockTimeout(timeout: number): Promise<RunTables> {
    await using stack = new AsyncDisposableStack();
    const sql = stack.adopt(
      postgres(this.url, { max: 1, connection: { lock_timeout: timeout } }),
      (sql) => sql.end(),
    );
    return new RunTables({ sql, url: this.url }, stack.move());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

/** A transaction of another session, which disposal ends. */
export class OtherTransaction implements AsyncDisposable {
  readonly #sql: postgres.Sql;

  private constructor(sql: postgres.Sql) {
    this.#sql = sql;
  }

  /** Begins a transaction and does what is to stay uncommitted. */
  static async begin(
    { url }: RunTables,
    work: (sql: postgres.Sql) => Promise<unknown>,
  ): Promise<OtherTransaction> {
    const sql = postgres(url, { max: 1 });
    await sql`begin`;
    await work(sql);
    return new OtherTransaction(sql);
  }

  async commit(): Promise<void> {
    await this.#sql`commit`;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#sql.end({ timeout: 1 });
  }
}

/**
 * Waits until a statement waits for a lock.
 *
 * @throws {Error} If it does not within 3 s.
 */
export async function isBlocked(
  { sql }: RunTables,
  name: string,
): Promise<void> {
  const givenUp = performance.now() + 3_000;
  while (true) {
    if (performance.now() > givenUp) {
      throw new Error(`The statement "${name}" waits for no lock`);
    }
    const waiting = await sql`
      select from pg_stat_activity
      where wait_event_type = 'Lock' and query like ${`/* ${name}%`}`;
    if (waiting.length > 0) return;
  }
}
