import type { RunEvent } from "../../model/event.ts";
import { isUnfinished } from "./rows.ts";
import { statement } from "./statement.ts";

/** The channel of all notifications. */
export const CHANNEL = "pipeline_run_registry";

export const NOTIFY = statement(
  "notify",
  { payload: "text" },
  ({ payload }) => `
  select to_json(pg_notify('${CHANNEL}', ${payload}) is null)::text`,
);

/**
 * Reads what is new for waiting readers. `readers` are the runs, each with the number
 * of the last event that the reader knows, or null for the beginning of the newest
 * attempt; `maxEvents` and `maxBytes` bound the events of each, where the first event
 * may have any length.
 */
export const READ_EVENTS = statement(
  "read events",
  { readers: "json", maxEvents: "integer", maxBytes: "integer" },
  ({ readers, maxEvents, maxBytes }) => `
  select json_build_object(
    'runId', w."runId",
    'after', w.after,
    'events', coalesce(news.events, '[]')
  )::text
  from json_to_recordset(${readers}) w ("runId" uuid, after bigint)
  cross join lateral (
    select coalesce(w.after, ${beginningOf('w."runId"')}, 0) as after
  ) start
  cross join lateral (
    select json_agg(${eventOf("e")} order by e.seq) as events
    from (
      select
        e.*,
        sum(e.payload_length) over (
          order by e.seq rows between unbounded preceding and 1 preceding
        ) as before
      from (
        select *
        from pipeline_run_events e
        where e.pipeline_run_id = w."runId" and e.seq > start.after
        order by e.seq
        limit ${maxEvents}
      ) e
    ) e
    where coalesce(e.before, 0) < ${maxBytes}
  ) news
  where news.events is not null or (
    coalesce(
      (
        select e.kind in ('Completed', 'Errored')
        from pipeline_run_events e
        where e.pipeline_run_id = w."runId"
        order by e.seq desc
        limit 1
      ),
      ( -- its events may be pruned
        select not ${isUnfinished("r")}
        from pipeline_runs r
        where r.pipeline_run_id = w."runId"
        order by r.created_at desc
        limit 1
      ),
      false
    ) and coalesce(
      (
        select l.ended_at is not null
        from pipeline_run_leases l
        where l.pipeline_run_id = w."runId"
      ),
      true
    )
  )`,
);

/**
 * The first ending of a run from an event on. The condition on the kind is not that
 * of the index of endings: Postgres might use that index and look through all runs.
 */
export const READ_ENDING = statement(
  "read ending",
  { runId: "uuid", from: "bigint" },
  ({ runId, from }) => `
  select ${eventOf("e")}::text
  from pipeline_run_events e
  where e.pipeline_run_id = ${runId} and e.seq >= ${from}
    and e.kind not in ('Started', 'Yield', 'AlreadyCompleted')
  order by e.seq
  limit 1`,
);

/**
 * Deletes events of runs that ended longer ago than the retention, in milliseconds,
 * and have not begun again. It does not wait for concurrent deletions.
 */
export const PRUNE = statement(
  "prune",
  { retention: "bigint", limit: "integer" },
  ({ retention, limit }) => `
  with ended as (
    select e.pipeline_run_id, max(e.seq) as seq
    from pipeline_run_events e
    where e.kind in ('Completed', 'Errored')
      and e.logged_at < now() - ${retention} * interval '1 millisecond'
    group by e.pipeline_run_id
    limit ${limit}
  ), doomed as (
    select e.ctid
    from ended
    join pipeline_run_events e
      on e.pipeline_run_id = ended.pipeline_run_id and e.seq <= ended.seq
    order by e.pipeline_run_id, e.seq -- the ending, which finds them, last
    limit ${limit}
    for update of e skip locked
  ), deleted as (
    delete from pipeline_run_events e
    using doomed
    where e.ctid = doomed.ctid
    returning e.seq
  )
  select to_json(count(*))::text from deleted`,
);

/** An event as JSON: seq, kind, at, payload, message. */
export type EventRow = [
  number,
  RunEvent["kind"],
  string,
  unknown,
  string | null,
];

/** The SQL of an {@linkcode EventRow}. */
export function eventOf(e: string, payload: string = `${e}.payload`): string {
  return `json_build_array(
    ${e}.seq, ${e}.kind, ${e}.at, ${payload}, ${e}.message
  )`;
}

/**
 * The number before the first event of a run's newest attempt, null if the run has no
 * events. An attempt whose lease is live begins after all events, even before it has
 * one; an attempt that was given up before its first event does not count.
 */
export function beginningOf(runId: string): string {
  return `coalesce(
    (
      select l.first_seq - 1
      from pipeline_run_leases l
      where l.pipeline_run_id = ${runId}
        and (l.ended_at is null or l.last_seq >= l.first_seq)
    ),
    ( -- of an attempt that needed no lease: it is short
      select e.seq - 1
      from pipeline_run_events e
      where e.pipeline_run_id = ${runId} and e.kind = 'Started'
      order by e.seq desc
      limit 1
    )
  )`;
}

/** The event of a row. */
export function toEvent(runId: string, row: EventRow): RunEvent {
  const [seq, kind, at, payload, message] = row;
  const base = { runId, seq, at: new Date(at), payload };
  return (
    kind === "Errored"
      ? { ...base, kind, message: message ?? "" }
      : { ...base, kind }
  ) as RunEvent;
}
