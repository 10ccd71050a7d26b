import type { RunEvent } from "../../model/event.ts";
import type { RunErrorCode, RunFailure } from "../../model/failure.ts";
import { isUnfinished } from "./rows.ts";
import { statement } from "./statement.ts";

/** The channel of all notifications. */
export const CHANNEL = "pipeline_run_registry";

/**
 * Notifies, without waiting until the commit is on disk: until then, Postgres holds a
 * lock that lets only one transaction with notifications commit on the whole server.
 * https://github.com/postgres/postgres/blob/REL_18_0/src/backend/commands/async.c
 */
export const NOTIFY = statement(
  "notify",
  { payloads: "text[]" },
  ({ payloads }) => `
  select json_build_array(
    set_config('synchronous_commit', 'off', true),
    pg_notify('${CHANNEL}', payload)
  )::text
  from unnest(${payloads}) payload`,
);

/**
 * Asks which of the runs that readers wait for have moved, each behind the number of
 * the last event that its readers know, or null. For `interest` milliseconds their
 * writers are to notify; null asks for no notifications.
 *
 * It returns the runs that have moved, and those whose writers do not know of the
 * interest for at least half of that time: a run without a lease, or one that is being
 * written. The others notify of everything that this does not return.
 */
export const POLL = statement(
  "poll",
  { runs: "json", interest: "integer" },
  ({ runs, interest }) => {
    const until = `now() + ${interest} * interval '1 millisecond'`;
    const soon = `now() + ${interest} * interval '0.5 milliseconds'`;
    return `
  with asked as (
    select w."runId" as id, w.after
    from json_to_recordset(${runs}) w ("runId" uuid, after bigint)
  ), stale as (
    select l.pipeline_run_id
    from asked
    join pipeline_run_leases l on l.pipeline_run_id = asked.id
    where l.ended_at is null
      and coalesce(l.followed_until < ${soon}, ${interest} is not null)
    for update of l skip locked
  ), told as (
    update pipeline_run_leases l
    set followed_until = ${until}
    from stale
    where l.pipeline_run_id = stale.pipeline_run_id
    -- A lost interest costs a poll.
    returning l.*, set_config('synchronous_commit', 'off', true)
  ), found as (
    select
      asked.id,
      case
        when l.pipeline_run_id is null then
          exists (
            select from pipeline_runs r where r.pipeline_run_id = asked.id
          ) or exists (
            select from pipeline_run_events e where e.pipeline_run_id = asked.id
          )
        -- A write that this update waited for is not in the snapshot.
        else coalesce(told.ended_at, l.ended_at) is not null
          or coalesce(told.last_seq, l.last_seq)
            > coalesce(asked.after, l.first_seq - 1)
      end as has_moved,
      coalesce(told.followed_until, l.followed_until) >= ${soon} as is_followed
    from asked
    left join pipeline_run_leases l on l.pipeline_run_id = asked.id
    left join told on told.pipeline_run_id = asked.id
  )
  select json_build_object(
    'moved', coalesce(json_agg(found.id) filter (where found.has_moved), '[]'),
    'unfollowed', coalesce(
      json_agg(found.id) filter (where found.is_followed is not true), '[]'
    )
  )::text
  from found`;
  },
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

/** An event as JSON: seq, kind, at, payload, message, code, name. */
export type EventRow = [
  number,
  Exclude<RunEvent["kind"], "Lagged">,
  string,
  unknown,
  string | null,
  RunErrorCode | null,
  string | null,
];

/** The SQL of an {@linkcode EventRow}. */
export function eventOf(e: string, payload: string = `${e}.payload`): string {
  return `json_build_array(
    ${e}.seq, ${e}.kind, ${e}.at, ${payload}, ${e}.message, ${e}.code, ${e}.name
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
  const [seq, kind, time, payload] = row;
  const at = new Date(time);
  switch (kind) {
    case "Yield":
      return { runId, seq, at, kind, payload };
    case "Errored":
      return { runId, seq, at, kind, ...failureOfRow(row) };
    default:
      return { runId, seq, at, kind };
  }
}

/** The failure in the row of an `Errored` event; older releases wrote no code. */
export function failureOfRow(
  [, , , , message, code, name]: EventRow,
): RunFailure {
  const failure = { code: code ?? "work", message: message ?? "" };
  return name === null ? failure : { ...failure, name };
}
