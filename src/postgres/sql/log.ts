import {
  eitherTry,
  insertErrored,
  insertRows,
  unnest,
  UPSERT_FIELDS,
} from "./rows.ts";

/** The channel of all notifications. */
export const CHANNEL = "pipeline_run_registry";

/** How long a list of runs may be in a notification, in runs: 8,000 bytes is the most. */
export const MAX_NOTIFIED = 200;

/**
 * Whether an event ends its run. It is not put as in the index of endings, which
 * Postgres might take to look through those of all runs.
 */
const ENDS = "e.kind not in ('Started', 'Yield', 'AlreadyCompleted')";

/** More steps than a statement can have. */
const MANY = 1_000_000;

/**
 * Writes the steps of runs in one atomic statement, each on condition of its
 * lease, and everything else that waits to be written.
 *
 * - `$1` to `$8` rows, `$9` payload fields
 * - `$10` to `$15` events, `$16` to `$21` the runs of the steps
 * - `$22` the owner, `$23` how long a lease is, in milliseconds
 * - `$24` what to notify of, or null; `$25` comes back
 *
 * Updating a lease, and not just reading it, makes this wait for a sweep that is
 * ending the same run, and then see that it did; and the other way round. A
 * repeated statement finds its own claim and its own ending, and so holds again.
 *
 * A run that begins and ends in one statement has no lease: nobody else can have
 * heard of it. Where there are no others, {@linkcode WRITE_WHOLE_RUNS} does.
 */
export const WRITE_STEPS = eitherTry((again) => `
  with run as (
    select run.*
    from ${
  unnest(
    16,
    {
      id: "uuid",
      claim: "uuid",
      generation: "integer",
      last_seq: "bigint",
      ending: "uuid",
      begins: "boolean",
    },
    "run",
  )
}
  ), held as (
    update pipeline_run_leases l
    set
      last_seq = greatest(l.last_seq, run.last_seq),
      expires_at = now() + $23::text::integer * interval '1 millisecond',
      ended_at = case when run.ending is null then null else now() end,
      ending = run.ending
    from run
    where l.pipeline_run_id = run.id
      -- Only to seem rare: a plan made for a small table must suit a large one.
      and run.ordinality between 1 and ${MANY}
      and l.claim = run.claim
      and l.generation = run.generation
      and (l.ended_at is null or l.ending = run.ending)
    returning l.pipeline_run_id
  ), begun as (
    insert into pipeline_run_leases as l (
      pipeline_run_id, owner, claim, generation, last_seq, expires_at
    )
    select
      run.id, $22::text::uuid, run.claim, run.generation, run.last_seq,
      now() + $23::text::integer * interval '1 millisecond'
    from run
    where run.begins and run.ending is null
      and run.id not in (select pipeline_run_id from held)
    -- What this waited for and did not see may be its own first try.
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
    ${
  insertRows(
    `
    where r.pipeline_run_id in (select pipeline_run_id from allowed)
      or r.pipeline_run_id not in (select id from run)`,
    again,
  )
}
  ), logged as (
    ${
  insertEvents(
    "join allowed on allowed.pipeline_run_id = e.pipeline_run_id",
    again,
  )
}
  ), upserted as (${UPSERT_FIELDS})
  select json_build_object(
    'token', $25::text,
    'lost', (
      select coalesce(json_agg(run.id), '[]')
      from run
      where run.id not in (select pipeline_run_id from allowed)
    ),
    'notified', case
      when $24::text is not null
        then pg_notify('${CHANNEL}', $24::text) is null
    end
  )::text`);

/**
 * Writes runs that begin and end in this statement: `$1` to `$8` rows, `$10` to
 * `$15` events; `$9` comes back.
 */
export const WRITE_WHOLE_RUNS = eitherTry((again) => `
  with written as (${insertRows("", again)}
  ), logged as (${insertEvents("", again)}
  )
  select json_build_object('token', $9::text)::text`);

/**
 * Claims `$1` for the owner `$2` under the claim `$3`; `$4` is how long a lease
 * is, in milliseconds. No row: somebody holds it.
 */
export const CLAIM = `
  insert into pipeline_run_leases as l (
    pipeline_run_id, owner, claim, generation, first_seq, last_seq, expires_at
  )
  select
    $1::text::uuid, $2::text::uuid, $3::text::uuid, 1, log.last_seq + 1,
    log.last_seq, now() + $4::text::integer * interval '1 millisecond'
  from (
    select coalesce(max(e.seq), 0) as last_seq
    from pipeline_run_events e
    where e.pipeline_run_id = $1::text::uuid
  ) log
  on conflict (pipeline_run_id) do update
    set
      owner = excluded.owner,
      claim = excluded.claim,
      generation = l.generation + 1,
      first_seq = greatest(l.last_seq, excluded.last_seq) + 1,
      last_seq = greatest(l.last_seq, excluded.last_seq),
      expires_at = excluded.expires_at,
      ended_at = null,
      ending = null,
      abort_requested_at = null,
      abort_reason = null
    where l.ended_at is not null or l.claim = excluded.claim
  returning json_build_array(l.generation, l.last_seq)::text`;

/**
 * Renews the leases of the owner `$1` by `$2` milliseconds: those under the
 * claims `$3`, since others are claims that it does not know it has.
 */
export const RENEW = `
  update pipeline_run_leases l
  set expires_at = now() + $2::text::integer * interval '1 millisecond'
  where l.owner = $1::text::uuid and l.ended_at is null
    and l.claim = any ($3::text::uuid[])
  returning json_build_array(
    l.pipeline_run_id, l.claim, l.abort_requested_at is not null, l.abort_reason
  )::text`;

/** The runs of the owner `$1` that somebody wants aborted, with claim and reason. */
export const READ_REQUESTS = `
  select json_build_array(l.pipeline_run_id, l.claim, l.abort_reason)::text
  from pipeline_run_leases l
  where l.owner = $1::text::uuid and l.ended_at is null
    and l.abort_requested_at is not null`;

/**
 * Ends up to `$2` runs whose lease ran out, of all or of the run `$3`, for the
 * reason `$1`. Whoever else is ending some of them is not waited for.
 */
export const REAP = `
  with expired as (
    select l.pipeline_run_id
    from pipeline_run_leases l
    where l.ended_at is null and l.expires_at < now()
      and ($3::text is null or l.pipeline_run_id = $3::text::uuid)
    limit $2::text::integer
    for update skip locked
  ), reaped as (
    update pipeline_run_leases l
    set
      ended_at = now(),
      ending = gen_random_uuid(),
      generation = l.generation + 1,
      last_seq = l.last_seq + 1
    from expired
    where l.pipeline_run_id = expired.pipeline_run_id
    returning l.pipeline_run_id, l.ending, l.last_seq
  ), written as (
    ${insertErrored("reaped.ending")}
    from reaped
    cross join lateral (
      select *
      from pipeline_runs r
      where r.pipeline_run_id = reaped.pipeline_run_id
      order by r.created_at desc
      limit 1
    ) r
    where r.status::text in (
      'DATASET_PROCESSING_INITIATED', 'DATASET_PROCESSING_STARTED'
    )
  ), logged as (
    insert into pipeline_run_events (pipeline_run_id, seq, kind, at, message)
    select reaped.pipeline_run_id, reaped.last_seq, 'Errored', now(), $1::text
    from reaped
  )
  select json_build_array(
    (select count(*) from reaped),
    case
      when exists (select from reaped) then pg_notify('${CHANNEL}', '*') is null
    end
  )::text`;

/** Asks the owner of `$1` to abort it, for the reason `$2`. */
export const REQUEST_ABORT = `
  with requested as (
    update pipeline_run_leases l
    set
      abort_requested_at = coalesce(l.abort_requested_at, now()),
      abort_reason = case
        when l.abort_requested_at is null then $2::text else l.abort_reason
      end
    where l.pipeline_run_id = $1::text::uuid and l.ended_at is null
    returning l.owner, l.expires_at > now() as live
  )
  select json_build_object(
    'live', (select live from requested),
    'known', exists (
      select from pipeline_run_leases l
      where l.pipeline_run_id = $1::text::uuid
    ) or exists (
      select from pipeline_run_events e
      where e.pipeline_run_id = $1::text::uuid
    ) or exists (
      select from pipeline_runs r where r.pipeline_run_id = $1::text::uuid
    ),
    'notified', (
      select pg_notify('${CHANNEL}', 'abort ' || owner) is null from requested
    )
  )::text`;

/**
 * What is new for who waits: `$1` is a list of runs, each with the number of the
 * last event known, or null for the beginning of the newest attempt; `$2` is
 * how many events of each to give, and `$3` the length of their payloads beyond
 * which no further one is given.
 */
export const READ_EVENTS = `
  select json_build_object(
    'id', w.id,
    'after', w.after,
    'events', news.events,
    'over', news.events is null and last.over
  )::text
  from json_to_recordset($1::text::json) w (id uuid, after bigint)
  cross join lateral (
    select coalesce(
      w.after, ${beginning("w.id")}, 0
    ) as after
  ) start
  cross join lateral (
    select json_agg(
      json_build_array(e.seq, e.kind, e.at, e.payload, e.message)
      order by e.seq
    ) as events
    from (
      select
        e.*,
        sum(e.payload_length) over (
          order by e.seq rows between unbounded preceding and 1 preceding
        ) as before
      from (
        select *
        from pipeline_run_events e
        where e.pipeline_run_id = w.id and e.seq > start.after
        order by e.seq
        limit $2::text::integer
      ) e
    ) e
    where coalesce(e.before, 0) < $3::text::integer
  ) news
  cross join lateral (
    select coalesce(
      (
        select e.kind in ('Completed', 'Errored')
        from pipeline_run_events e
        where e.pipeline_run_id = w.id
        order by e.seq desc
        limit 1
      ),
      ( -- its events may be pruned
        select r.status::text in (
          'DATASET_PROCESSING_COMPLETED', 'DATASET_PROCESSING_ERRORED'
        )
        from pipeline_runs r
        where r.pipeline_run_id = w.id
        order by r.created_at desc
        limit 1
      ),
      false
    ) and coalesce(
      (
        select l.ended_at is not null
        from pipeline_run_leases l
        where l.pipeline_run_id = w.id
      ),
      true
    ) as over
  ) last
  where news.events is not null or last.over`;

/** The newest row, attempt, event and lease of `$1`. */
export const STATUS = `
  select json_build_object(
    'status', (
      select r.status
      from pipeline_runs r
      where r.pipeline_run_id = $1::text::uuid
      order by r.created_at desc
      limit 1
    ),
    'error', (
      select r.run_info ->> 'error'
      from pipeline_runs r
      where r.pipeline_run_id = $1::text::uuid
      order by r.created_at desc
      limit 1
    ),
    'beginning', ${beginning("$1::text::uuid")},
    'event', (
      select json_build_array(e.seq, e.kind, e.at, null, e.message)
      from pipeline_run_events e
      where e.pipeline_run_id = $1::text::uuid
      order by e.seq desc
      limit 1
    ),
    'lease', (
      select case
        when l.ended_at is not null then 'ended'
        when l.expires_at < now() then 'expired'
        else 'live'
      end
      from pipeline_run_leases l
      where l.pipeline_run_id = $1::text::uuid
    )
  )::text`;

/**
 * Deletes up to `$2` of the events of runs that ended more than `$1`
 * milliseconds ago and have not begun again. What somebody else deletes is not
 * waited for.
 */
export const PRUNE = `
  with ended as (
    select e.pipeline_run_id, max(e.seq) as seq
    from pipeline_run_events e
    where e.kind in ('Completed', 'Errored')
      and e.logged_at < now() - $1::text::bigint * interval '1 millisecond'
    group by e.pipeline_run_id
    limit $2::text::integer
  ), doomed as (
    select e.ctid
    from ended
    join pipeline_run_events e
      on e.pipeline_run_id = ended.pipeline_run_id and e.seq <= ended.seq
    order by e.pipeline_run_id, e.seq -- the ending, which finds them, last
    limit $2::text::integer
    for update of e skip locked
  ), deleted as (
    delete from pipeline_run_events e
    using doomed
    where e.ctid = doomed.ctid
    returning e.seq
  )
  select to_json(count(*))::text from deleted`;

/** The first ending of `$1` at or behind the event `$2`. */
export const READ_ENDING = `
  select json_build_array(e.seq, e.kind, e.at, e.payload, e.message)::text
  from pipeline_run_events e
  where e.pipeline_run_id = $1::text::uuid and e.seq >= $2::text::bigint
    and ${ENDS}
  order by e.seq
  limit 1`;

/** Gives up the claim `$1`. */
export const RELEASE = `
  update pipeline_run_leases l
  set ended_at = now()
  where l.claim = $1::text::uuid and l.ended_at is null
  returning to_json(l.pipeline_run_id)::text`;

/** Notifies of `$1`. */
export const NOTIFY = `
  select to_json(pg_notify('${CHANNEL}', $1::text) is null)::text`;

/**
 * The number before the first event of a run's newest attempt: a live one begins
 * behind all there is until it has an event, one that was given up before counts
 * for nothing. Null where a run has no events.
 */
function beginning(runId: string): string {
  return `coalesce(
    (
      select l.first_seq - 1
      from pipeline_run_leases l
      where l.pipeline_run_id = ${runId}
        and (l.ended_at is null or l.last_seq >= l.first_seq)
    ),
    ( -- of one that needed no lease: it is short
      select e.seq - 1
      from pipeline_run_events e
      where e.pipeline_run_id = ${runId} and e.kind = 'Started'
      order by e.seq desc
      limit 1
    )
  )`;
}

/** Writes the events of `$10` to `$15`. */
function insertEvents(condition: string, again: boolean): string {
  return `
    insert into pipeline_run_events (
      pipeline_run_id, seq, kind, at, payload, payload_length, message
    )
    select
      e.pipeline_run_id, e.seq, e.kind, e.at, e.payload::json,
      coalesce(octet_length(e.payload), 0), e.message
    from ${
    unnest(
      10,
      {
        pipeline_run_id: "uuid",
        seq: "bigint",
        kind: "text",
        at: "timestamptz",
        payload: "text",
        message: "text",
      },
      "e",
    )
  }
    ${condition}
    ${again ? "on conflict (pipeline_run_id, seq) do nothing" : ""}`;
}
