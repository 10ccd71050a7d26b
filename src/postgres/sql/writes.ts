import type { RunEvent } from "../../model/event.ts";
import type { RunFailure } from "../../model/failure.ts";
import { type PipelineRunStatus, STATUSES } from "../../model/row.ts";
import { insertInto } from "./schema.ts";
import {
  type Batch,
  type Parameters,
  type Statement,
  statement,
} from "./statement.ts";

/** A row to write. */
export interface RowValues {
  readonly id: string;
  readonly status: PipelineRunStatus;
  readonly runId: string;
  readonly name: string;
  readonly pipelineId: string;
  readonly datasetId: string | undefined;
  /** As JSON. */
  readonly runInfo: string | undefined;
  /** The run's result as JSON, if the row completes it. */
  readonly result: string | undefined;
}

/** An event to write. */
export interface EventValues {
  readonly event: RunEvent;
  /** Its payload as JSON. */
  readonly payload?: string;
}

/** What a statement changes of one run's lease, and the claim that it needs for it. */
export interface LeaseChange {
  readonly runId: string;
  readonly claimId: string;
  readonly generation: number;
  /** The number of the run's last event in the statement. */
  lastSeq: number;
  /** The UUID of the ending, if the run ends. */
  endingId: string | undefined;
  /** Whether the lease begins. */
  begins: boolean;
}

const ROWS: Batch<RowValues> = {
  id: ["uuid", (row) => row.id],
  status: ["integer", (row) => STATUSES.indexOf(row.status) + 1],
  pipeline_run_id: ["uuid", (row) => row.runId],
  pipeline_name: ["text", (row) => row.name],
  pipeline_id: ["uuid", (row) => row.pipelineId],
  dataset_id: ["uuid", (row) => row.datasetId],
  run_info: ["text", (row) => row.runInfo],
};

/** Rows with their results. */
const ROWS_WITH_RESULTS: Batch<RowValues> = {
  ...ROWS,
  result: ["text", (row) => row.result],
};

const EVENTS: Batch<EventValues> = {
  pipeline_run_id: ["uuid", ({ event }) => event.runId],
  seq: ["bigint", ({ event }) => event.seq],
  kind: ["text", ({ event }) => event.kind],
  at: ["double precision", ({ event }) => event.at.getTime()],
  payload: ["text", ({ payload }) => payload],
  message: ["text", ({ event }) => failureIn(event)?.message],
  code: ["text", ({ event }) => failureIn(event)?.code],
  name: ["text", ({ event }) => failureIn(event)?.name],
};

function failureIn(event: RunEvent): RunFailure | undefined {
  return event.kind === "Errored" ? event : undefined;
}

const RUNS: Batch<LeaseChange> = {
  id: ["uuid", (change) => change.runId],
  claim: ["uuid", (change) => change.claimId],
  generation: ["integer", (change) => change.generation],
  last_seq: ["bigint", (change) => change.lastSeq],
  ending: ["uuid", (change) => change.endingId],
  begins: ["boolean", (change) => change.begins],
};

/** More steps than a statement can have. */
const MANY = 1_000_000;

/** The statuses as the table has them: cognee makes the column an enum. */
const TABLE_STATUSES = `(
    select array_agg(s.status order by s.ordinality)
    from json_populate_recordset(
      null::pipeline_runs,
      '${JSON.stringify(STATUSES.map((status) => ({ status })))}'
    ) with ordinality s
  )`;

/** Writes the same in two forms. */
export interface Insertion<P extends Parameters> {
  /**
   * Fails with a duplicate if some of it is written already. Always skipping
   * duplicates makes 9 % fewer runs a second, with 64 no-op runs at once.
   */
  readonly first: Statement<P>;
  /**
   * Skips what is written already, and writes to the WAL in any case: the first try may
   * still wait for a synchronous standby, or have stopped waiting when it was cancelled.
   */
  readonly again: Statement<P>;
}

function insertion<P extends Parameters>(
  name: string,
  parameters: P,
  text: (
    sql: Readonly<Record<keyof P, string>>,
    unlessWritten: (key: string) => string,
    wal: string,
  ) => string,
): Insertion<P> {
  return {
    first: statement(name, parameters, (sql) => text(sql, () => "", "null")),
    again: statement(
      `${name} again`,
      parameters,
      (sql) =>
        text(
          sql,
          (key) => `on conflict (${key}) do nothing`,
          "pg_logical_emit_message(true, '', '')::text",
        ),
    ),
  };
}

/**
 * Writes rows and payload fields, without a lease. `statementId` comes back, as the
 * proof that the answer is this statement's.
 */
export const WRITE_ROWS = insertion(
  "write rows",
  { rows: ROWS_WITH_RESULTS, fields: "json", statementId: "text" },
  ({ rows, fields, statementId }, unlessWritten, wal) => `
  with given as (
    select rows.* from ${rows}
  ), written as (
    ${insertRows("false")} ${unlessWritten("id")}
  ), stored as (
    ${insertResults()} ${unlessWritten("pipeline_run_id, row_id")}
  ), upserted as (${upsertFields(fields)})
  select json_build_object('statementId', ${statementId}, 'wal', ${wal})::text`,
);

/**
 * Writes runs that begin and end in this statement. They need no lease: no other
 * instance can know them yet. {@linkcode WRITE_STEPS} can write them too, but only
 * 0.76 times as many a second, with 64 no-op runs at once.
 */
export const WRITE_WHOLE_RUNS = insertion(
  "write whole runs",
  { rows: ROWS_WITH_RESULTS, events: EVENTS, statementId: "text" },
  ({ rows, events, statementId }, unlessWritten, wal) => `
  with given as (
    select rows.* from ${rows}
  ), written as (
    ${insertRows("true")} ${unlessWritten("id")}
  ), stored as (
    ${insertResults()} ${unlessWritten("pipeline_run_id, row_id")}
  ), logged as (
    ${insertEvents(events)} ${unlessWritten("pipeline_run_id, seq")}
  )
  select json_build_object('statementId', ${statementId}, 'wal', ${wal})::text`,
);

/**
 * Writes the steps of runs in one atomic statement, each fenced by its lease, and the
 * rows and payload fields that wait meanwhile. It returns which of them are lost, and
 * which are followed elsewhere.
 *
 * The fence updates the lease instead of only reading it: so this waits for a sweep
 * that is ending the same run and then sees that it did, and the other way round. A
 * repeated statement finds its own claim and its own ending, and passes again.
 */
export const WRITE_STEPS = insertion(
  "write steps",
  {
    rows: ROWS_WITH_RESULTS,
    fields: "json",
    events: EVENTS,
    runs: RUNS,
    owner: "uuid",
    leaseDuration: "integer",
    statementId: "text",
  },
  (sql, unlessWritten) => {
    const isAllowed = `(
      rows.pipeline_run_id in (select pipeline_run_id from allowed)
      or rows.pipeline_run_id not in (select id from run)
    )`;
    const expiresAt = `now() + ${sql.leaseDuration} * interval '1 millisecond'`;
    return `
  with given as (
    select rows.* from ${sql.rows}
  ), run as (
    select runs.* from ${sql.runs}
  ), held as (
    update pipeline_run_leases l
    set
      last_seq = greatest(l.last_seq, run.last_seq),
      expires_at = ${expiresAt},
      ended_at = case when run.ending is null then null else now() end,
      ending = run.ending
    from run
    where l.pipeline_run_id = run.id
      -- Only to seem rare: a plan made for a small table must suit a large one.
      and run.ordinality between 1 and ${MANY}
      and l.claim = run.claim
      and l.generation = run.generation
      and (l.ended_at is null or l.ending = run.ending)
    returning l.pipeline_run_id, l.followed_until > now() as is_followed
  ), begun as (
    ${
      insertInto("pipeline_run_leases", {
        pipeline_run_id: "run.id",
        owner: sql.owner,
        claim: "run.claim",
        generation: "run.generation",
        last_seq: "run.last_seq",
        expires_at: expiresAt,
      }, "l")
    }
    from run
    where run.begins and run.ending is null
      and run.id not in (select pipeline_run_id from held)
    -- A conflict that this waited for and did not see may be its own first try.
    on conflict (pipeline_run_id) do update
      set expires_at = excluded.expires_at
      where l.claim = excluded.claim and l.ended_at is null
    returning l.pipeline_run_id
  ), allowed as (
    select pipeline_run_id from held
    union
    select pipeline_run_id from begun
    union
    select run.id from run where run.begins and run.ending is not null
  ), written as (
    ${insertRows("rows.pipeline_run_id in (select id from run where begins)")}
    where ${isAllowed}
    ${unlessWritten("id")}
  ), stored as (
    ${insertResults()} and ${isAllowed}
    ${unlessWritten("pipeline_run_id, row_id")}
  ), logged as (
    ${insertEvents(sql.events)}
    join allowed on allowed.pipeline_run_id = events.pipeline_run_id
    ${unlessWritten("pipeline_run_id, seq")}
  ), upserted as (${upsertFields(sql.fields)})
  select json_build_object(
    'statementId', ${sql.statementId},
    'lost', (
      select coalesce(json_agg(run.id), '[]')
      from run
      where run.id not in (select pipeline_run_id from allowed)
    ),
    'followed', (
      select coalesce(json_agg(held.pipeline_run_id), '[]')
      from held
      where held.is_followed
    )
  )::text`;
  },
);

/**
 * Writes the rows of `given`. A row is dated by the database's clock, or like the run's
 * last row if the clock was set back, and a microsecond later for itself and each row
 * before it in the statement: so after every other row of its run.
 *
 * @param isFirst Whether a row is among the first of its run, so that there is no
 * last row to look for.
 */
function insertRows(isFirst: string): string {
  const insert = insertInto("pipeline_runs", {
    ...columns("rows", ROWS),
    created_at: `greatest(
      statement_timestamp(),
      case
        when not (${isFirst}) then (
          select max(p.created_at)
          from pipeline_runs p
          where p.pipeline_run_id = rows.pipeline_run_id
        )
      end
    ) + rows.ordinality * interval '1 microsecond'`,
    status: `(${TABLE_STATUSES})[rows.status]`,
    run_info: "rows.run_info::json",
  });
  return `${insert} from given rows`;
}

/** Writes the results of the rows of `given` that have one. */
function insertResults(): string {
  const insert = insertInto("pipeline_run_results", {
    pipeline_run_id: "rows.pipeline_run_id",
    row_id: "rows.id",
    result: "rows.result::json",
    created_at: "statement_timestamp()",
  });
  return `${insert} from given rows where rows.result is not null`;
}

function insertEvents(events: string): string {
  const insert = insertInto("pipeline_run_events", {
    ...columns("events", EVENTS),
    at: "to_timestamp(events.at / 1000)",
    payload: "events.payload::json",
    payload_length: "coalesce(octet_length(events.payload), 0)",
  });
  return `${insert} from ${events}`;
}

/** The JSON null stays a JSON null: SQL would take it for none. */
function upsertFields(fields: string): string {
  const insert = insertInto("pipeline_run_payload_fields", {
    pipeline_run_id: "f.pipeline_run_id",
    key: "f.key",
    value: "coalesce(f.value, 'null')",
    created_at: "statement_timestamp()",
    updated_at: "statement_timestamp()",
  });
  return `${insert}
    from json_populate_recordset(
      null::pipeline_run_payload_fields, ${fields}
    ) f
    on conflict (pipeline_run_id, key) do update
      set value = excluded.value, updated_at = excluded.updated_at`;
}

/** The columns of a batch, under its alias. */
function columns(
  alias: string,
  batch: Batch<never>,
): Readonly<Record<string, string>> {
  const pairs = Object.keys(batch).map((name) => [name, `${alias}.${name}`]);
  return Object.fromEntries(pairs);
}
