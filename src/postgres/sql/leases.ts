import { CHANNEL } from "./events.ts";
import { insertErrored, isUnfinished } from "./rows.ts";
import { insertInto } from "./schema.ts";
import { statement } from "./statement.ts";
import { stateOf } from "./status.ts";

/**
 * Claims a run. `duration` is in milliseconds; `expected` is the generation of the
 * attempt that has ended, 0 if there was none. It returns the `[generation, lastSeq]`
 * of the claim, or the `[generation]` of an attempt that has ended and is not the
 * expected one; no row if somebody holds the run.
 *
 * It may arrive twice, and however late. A claim that is repeated finds its own lease
 * and changes nothing but the expiry. Once the claim has ended or was given up, the
 * generation is not the expected one any more.
 */
export const CLAIM = statement(
  "claim",
  {
    runId: "uuid",
    owner: "uuid",
    claimId: "uuid",
    expected: "integer",
    duration: "integer",
  },
  ({ runId, owner, claimId, expected, duration }) => `
  with claimed as (
    ${
    insertInto("pipeline_run_leases", {
      pipeline_run_id: runId,
      owner,
      claim: claimId,
      generation: `${expected} + 1`,
      first_seq: "log.last_seq + 1",
      last_seq: "log.last_seq",
      expires_at: `now() + ${duration} * interval '1 millisecond'`,
    }, "l")
  }
    from (
      select coalesce(max(e.seq), 0) as last_seq
      from pipeline_run_events e
      where e.pipeline_run_id = ${runId}
    ) log
    on conflict (pipeline_run_id) do update
      set
        owner = excluded.owner,
        claim = excluded.claim,
        generation = case
          when l.ended_at is null then l.generation else excluded.generation
        end,
        first_seq = case
          when l.ended_at is null then l.first_seq
          else greatest(l.last_seq, excluded.last_seq) + 1
        end,
        last_seq = greatest(l.last_seq, excluded.last_seq),
        expires_at = excluded.expires_at,
        ended_at = null,
        ending = null,
        abort_requested_at = case
          when l.ended_at is null then l.abort_requested_at
        end,
        abort_reason = case when l.ended_at is null then l.abort_reason end
      where case
        when l.ended_at is null then l.claim = excluded.claim
        else l.generation = excluded.generation - 1
      end
    returning l.generation, l.last_seq
  )
  select json_build_array(claimed.generation, claimed.last_seq)::text
  from claimed
  union all
  select json_build_array(l.generation)::text
  from pipeline_run_leases l
  where l.pipeline_run_id = ${runId} and l.ended_at is not null
    and l.generation <> ${expected} and l.claim <> ${claimId}
    and not exists (select from claimed)`,
);

/**
 * Renews leases of an owner by a duration, in milliseconds. Only those under
 * `claimIds`: of other claims the owner does not know whether they succeeded.
 *
 * It waits for no row that another statement holds: a write of the same instance
 * renews the lease itself, and would deadlock with this over two leases. It returns
 * those leases too.
 */
export const RENEW = statement(
  "renew",
  { owner: "uuid", duration: "integer", claimIds: "uuid[]" },
  ({ owner, duration, claimIds }) => {
    const isLive = `l.owner = ${owner} and l.ended_at is null
      and l.claim = any (${claimIds})`;
    return `
  with free as (
    select l.pipeline_run_id
    from pipeline_run_leases l
    where ${isLive}
    for update skip locked
  ), renewed as (
    update pipeline_run_leases l
    set expires_at = now() + ${duration} * interval '1 millisecond'
    from free
    where l.pipeline_run_id = free.pipeline_run_id
  )
  select json_build_array(
    l.claim, l.abort_requested_at is not null, l.abort_reason
  )::text
  from pipeline_run_leases l
  where ${isLive}`;
  },
);

/** The runs of an owner that somebody asked to abort. */
export const READ_REQUESTS = statement(
  "read requests",
  { owner: "uuid" },
  ({ owner }) => `
  select json_build_array(l.pipeline_run_id, l.claim, l.abort_reason)::text
  from pipeline_run_leases l
  where l.owner = ${owner} and l.ended_at is null
    and l.abort_requested_at is not null`,
);

/**
 * Ends runs whose lease has expired: of all runs, or one.
 *
 * After Postgres was away for longer than a lease, the leases of live instances have
 * expired too: they could not renew them. So whoever first finds an expired lease only
 * gives it notice, and it is ended once that was `notice` milliseconds ago. Renewing
 * the lease cancels the notice. So does another outage: a restart of Postgres, or a
 * notice that is much older than it must be.
 *
 * It does not wait for concurrent reaping of the same runs. It returns how many runs
 * it ended, whether it found others whose lease has expired, and of each run to which it
 * gave a row the `TracedRun`.
 */
export const REAP = statement(
  "reap",
  { reason: "text", notice: "integer", limit: "integer", runId: "uuid" },
  ({ reason, notice, limit, runId }) => {
    const isExpired = `l.ended_at is null and l.expires_at < now()
      and (${runId} is null or l.pipeline_run_id = ${runId})`;
    const milliseconds = "* interval '1 millisecond'";
    const hasNotice = `coalesce(
      l.notice_at >= l.expires_at and l.notice_at >= now()
        - (${notice} + greatest(${notice} / 2, 1000)) ${milliseconds},
      false
    )`;
    return `
  with unwarned as (
    select l.pipeline_run_id
    from pipeline_run_leases l
    where ${isExpired} and not ${hasNotice}
    for update skip locked
  ), warned as (
    update pipeline_run_leases l
    set notice_at = clock_timestamp() -- now() is when this began to wait for a lock
    from unwarned
    where l.pipeline_run_id = unwarned.pipeline_run_id
  ), expired as (
    select l.pipeline_run_id
    from pipeline_run_leases l
    where ${isExpired} and ${hasNotice}
      and greatest(l.notice_at, pg_postmaster_start_time())
        <= now() - ${notice} ${milliseconds}
    limit ${limit}
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
    returning
      l.pipeline_run_id, l.ending, l.last_seq,
      l.followed_until > now() as is_followed
  ), unfinished as (
    select reaped.ending, r.*
    from reaped
    cross join lateral (
      select *
      from pipeline_runs r
      where r.pipeline_run_id = reaped.pipeline_run_id
      order by r.created_at desc
      limit 1
    ) r
    where ${isUnfinished("r")}
  ), written as (
    ${insertErrored("r.ending", reason)}
    from unfinished r
  ), logged as (
    ${
      insertInto("pipeline_run_events", {
        pipeline_run_id: "reaped.pipeline_run_id",
        seq: "reaped.last_seq",
        kind: "'Errored'",
        at: "now()",
        message: reason,
        code: `case ${reason}
          when 'lease_expired' then 'lease_expired' else 'orphan'
        end`,
      })
    }
    from reaped
  )
  select json_build_array(
    (select count(*) from reaped),
    (select count(*) from pipeline_run_leases l where ${isExpired})
      > (select count(*) from reaped),
    (
      select count(pg_notify('${CHANNEL}', reaped.pipeline_run_id::text))
      from reaped
      where reaped.is_followed
    ),
    (
      select coalesce(json_agg(json_strip_nulls(json_build_object(
        'runId', r.pipeline_run_id,
        'pipelineName', r.pipeline_name,
        'datasetId', r.dataset_id,
        'traceparent', (r.run_info::json) ->> 'traceparent'
      ))), '[]')
      from unfinished r
    )
  )::text`;
  },
);

/** Asks the owner of a run to abort it, and reads the `RunState` from before. */
export const REQUEST_ABORT = statement(
  "request abort",
  { runId: "uuid", reason: "text" },
  ({ runId, reason }) => `
  with requested as (
    update pipeline_run_leases l
    set
      abort_requested_at = coalesce(l.abort_requested_at, now()),
      abort_reason = case
        when l.abort_requested_at is null then ${reason} else l.abort_reason
      end
    where l.pipeline_run_id = ${runId} and l.ended_at is null
    returning l.owner
  )
  select json_build_object(
    'notified', (
      select pg_notify('${CHANNEL}', 'abort ' || owner) is null from requested
    ),
    ${stateOf(runId)}
  )::text`,
);

/** Gives up a claim, also one that arrives later: see {@linkcode CLAIM}. */
export const RELEASE = statement(
  "release",
  { runId: "uuid", owner: "uuid", claimId: "uuid", expected: "integer" },
  ({ runId, owner, claimId, expected }) => `
  ${
    insertInto("pipeline_run_leases", {
      pipeline_run_id: runId,
      owner,
      claim: claimId,
      generation: `${expected} + 1`,
      last_seq: "0",
      expires_at: "now()",
      ended_at: "now()",
    }, "l")
  }
  on conflict (pipeline_run_id) do update
    set
      generation = excluded.generation,
      ended_at = coalesce(l.ended_at, excluded.ended_at)
    where case
      when l.ended_at is null then l.claim = excluded.claim
      else l.generation = excluded.generation - 1
    end
  returning to_json(l.pipeline_run_id)::text`,
);
