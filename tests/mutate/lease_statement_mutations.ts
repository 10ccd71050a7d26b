import { type Mutation, mutationsOf } from "./mutation.ts";

const STATEMENTS = "postgres/sql/leases.ts";

/** The statements that claim, renew, reap and give up leases. */
export const LEASE_STATEMENT_MUTATIONS: readonly Mutation[] = [
  ...mutationsOf(STATEMENTS, ["postgres/claim_fence_test.ts"], [
    [
      "CLAIM takes the next generation",
      "when l.ended_at is null then l.generation else excluded.generation",
      "when true then l.generation else excluded.generation",
    ],
    [
      "CLAIM keeps its generation when it is repeated",
      "when l.ended_at is null then l.generation else excluded.generation",
      "when false then l.generation else excluded.generation",
    ],
    [
      "CLAIM keeps where its attempt begins when it is repeated",
      "        when l.ended_at is null then l.first_seq\n",
      "        when false then l.first_seq\n",
    ],
    [
      "CLAIM begins a new attempt",
      "        when l.ended_at is null then l.first_seq\n",
      "        when true then l.first_seq\n",
    ],
    [
      "CLAIM begins after the lease's last event, which may be pruned",
      "else greatest(l.last_seq, excluded.last_seq) + 1",
      "else excluded.last_seq + 1",
    ],
    [
      "CLAIM begins after the log's last event, which may have no lease",
      "else greatest(l.last_seq, excluded.last_seq) + 1",
      "else l.last_seq + 1",
    ],
    [
      "CLAIM keeps the lease's last number",
      "      last_seq = greatest(l.last_seq, excluded.last_seq),\n",
      "      last_seq = excluded.last_seq,\n",
    ],
    [
      "CLAIM takes the log's last number",
      "      last_seq = greatest(l.last_seq, excluded.last_seq),\n",
      "",
    ],
    [
      "CLAIM lasts for the duration",
      "      expires_at = excluded.expires_at,\n",
      "",
    ],
    [
      "CLAIM begins a lease that lasts",
      "expires_at: `now() + ${duration} * interval '1 millisecond'`",
      "expires_at: `now() + ${duration} * interval '1 microsecond'`",
    ],
    ["CLAIM takes the owner", "      owner = excluded.owner,\n", ""],
    [
      "CLAIM takes the claim",
      "        claim = excluded.claim,\n        generation = case",
      "        generation = case",
    ],
    ["CLAIM revives the lease", "      ended_at = null,\n", ""],
    ["CLAIM forgets the former ending", "      ending = null,\n", ""],
    [
      "CLAIM keeps a request to abort it",
      "when l.ended_at is null then l.abort_requested_at\n",
      "when false then l.abort_requested_at\n",
    ],
    [
      "CLAIM forgets the request of the former attempt",
      "when l.ended_at is null then l.abort_requested_at\n",
      "when true then l.abort_requested_at\n",
    ],
    [
      "CLAIM keeps the reason of the request",
      "case when l.ended_at is null then l.abort_reason end",
      "null",
    ],
    [
      "CLAIM forgets the reason of the former request",
      "case when l.ended_at is null then l.abort_reason end",
      "l.abort_reason",
    ],
    [
      "CLAIM takes no live lease of another claim",
      "      where case\n        when l.ended_at is null then l.claim = excluded.claim\n        else l.generation = excluded.generation - 1\n",
      "      where case\n        when l.ended_at is null then true\n        else l.generation = excluded.generation - 1\n",
    ],
    [
      "CLAIM takes only the generation that it expects",
      "      where case\n        when l.ended_at is null then l.claim = excluded.claim\n        else l.generation = excluded.generation - 1\n",
      "      where case\n        when l.ended_at is null then l.claim = excluded.claim\n        else true\n",
    ],
    [
      "CLAIM may be repeated",
      "      where case\n        when l.ended_at is null then l.claim = excluded.claim\n        else l.generation = excluded.generation - 1\n",
      "      where case\n        when l.ended_at is null then false\n        else l.generation = excluded.generation - 1\n",
    ],
    [
      "CLAIM takes a lease that has ended",
      "      where case\n        when l.ended_at is null then l.claim = excluded.claim\n        else l.generation = excluded.generation - 1\n",
      "      where case\n        when l.ended_at is null then l.claim = excluded.claim\n        else false\n",
    ],
    [
      "CLAIM begins after the last event of a run without a lease",
      'first_seq: "log.last_seq + 1"',
      'first_seq: "1"',
    ],
    [
      "CLAIM counts on from the last event of a run without a lease",
      'last_seq: "log.last_seq"',
      'last_seq: "0"',
    ],
    [
      "CLAIM looks at the run's events",
      "where e.pipeline_run_id = ${runId}\n    ) log",
      "where ${runId} is not null\n    ) log",
    ],
    [
      "CLAIM tells the generation of the run",
      "where l.pipeline_run_id = ${runId} and l.ended_at is not null\n",
      "where l.ended_at is not null\n",
    ],
    [
      "CLAIM tells no generation of a live run",
      "where l.pipeline_run_id = ${runId} and l.ended_at is not null\n",
      "where l.pipeline_run_id = ${runId}\n",
    ],
    [
      "CLAIM tells no generation of its own",
      "and l.generation <> ${expected} and l.claim <> ${claimId}",
      "and l.generation <> ${expected}",
    ],
    [
      "CLAIM begins with 1",
      "coalesce(max(e.seq), 0) as last_seq",
      "max(e.seq) as last_seq",
    ],
    [
      "RENEW renews leases of the owner",
      "const isLive = `l.owner = ${owner} and l.ended_at is null",
      "const isLive = `${owner} is not null and l.ended_at is null",
    ],
    [
      "RENEW renews no lease that has ended",
      "const isLive = `l.owner = ${owner} and l.ended_at is null",
      "const isLive = `l.owner = ${owner}",
    ],
    [
      "RENEW renews only claims that are known",
      "and l.claim = any (${claimIds})`",
      "and ${claimIds} is not null`",
    ],
    [
      "RENEW waits for no lease that another statement changes",
      "where ${isLive}\n    for update skip locked\n  ), renewed",
      "where ${isLive}\n    for update\n  ), renewed",
    ],
    [
      "RENEW renews only what it found free",
      "from free\n    where l.pipeline_run_id = free.pipeline_run_id\n  )\n  select",
      "where ${isLive}\n  )\n  select",
    ],
    [
      "RENEW tells only of live leases",
      "from pipeline_run_leases l\n  where ${isLive}`;",
      "from pipeline_run_leases l`;",
    ],
    [
      "RENEW renews for the duration",
      "set expires_at = now() + ${duration} * interval '1 millisecond'",
      "set expires_at = now() + ${duration} * interval '1 microsecond'",
    ],
    [
      "RENEW tells of requests to abort",
      "l.claim, l.abort_requested_at is not null, l.abort_reason",
      "l.claim, false, l.abort_reason",
    ],
    [
      "RENEW tells of no request that is none",
      "l.claim, l.abort_requested_at is not null, l.abort_reason",
      "l.claim, true, l.abort_reason",
    ],
    [
      "READ_REQUESTS reads those of the owner",
      "where l.owner = ${owner} and l.ended_at is null\n    and l.abort",
      "where ${owner} is not null and l.ended_at is null\n    and l.abort",
    ],
    [
      "READ_REQUESTS reads none of a lease that has ended",
      "where l.owner = ${owner} and l.ended_at is null\n    and l.abort",
      "where l.owner = ${owner}\n    and l.abort",
    ],
    [
      "READ_REQUESTS reads only requests",
      "    and l.abort_requested_at is not null`",
      "`",
    ],
    [
      "REQUEST_ABORT keeps when it was first asked",
      "coalesce(l.abort_requested_at, now())",
      "now()",
    ],
    [
      "REQUEST_ABORT keeps the first reason",
      "when l.abort_requested_at is null then ${reason} else l.abort_reason",
      "when true then ${reason} else l.abort_reason",
    ],
    [
      "REQUEST_ABORT has a reason",
      "when l.abort_requested_at is null then ${reason} else l.abort_reason",
      "when ${reason} is null then ${reason} else l.abort_reason",
    ],
    [
      "REQUEST_ABORT asks the run's owner",
      "where l.pipeline_run_id = ${runId} and l.ended_at is null\n",
      "where l.ended_at is null\n",
    ],
    [
      "REQUEST_ABORT does not touch a lease that has ended",
      "where l.pipeline_run_id = ${runId} and l.ended_at is null\n",
      "where l.pipeline_run_id = ${runId}\n",
    ],
    [
      "REQUEST_ABORT notifies the owner",
      "select pg_notify('${CHANNEL}', 'abort ' || owner) is null from requested",
      "select true from requested",
    ],
    [
      "RELEASE keeps when the lease ended",
      "ended_at = coalesce(l.ended_at, excluded.ended_at)",
      "ended_at = excluded.ended_at",
    ],
    [
      "RELEASE ends the lease",
      "ended_at = coalesce(l.ended_at, excluded.ended_at)",
      "ended_at = l.ended_at",
    ],
    [
      "RELEASE ends no lease of another claim",
      "    where case\n      when l.ended_at is null then l.claim = excluded.claim\n      else l.generation = excluded.generation - 1\n",
      "    where case\n      when l.ended_at is null then true\n      else l.generation = excluded.generation - 1\n",
    ],
    [
      "RELEASE ends its own lease",
      "    where case\n      when l.ended_at is null then l.claim = excluded.claim\n      else l.generation = excluded.generation - 1\n",
      "    where case\n      when l.ended_at is null then false\n      else l.generation = excluded.generation - 1\n",
    ],
    [
      "RELEASE counts on from a lease that has ended",
      "    where case\n      when l.ended_at is null then l.claim = excluded.claim\n      else l.generation = excluded.generation - 1\n",
      "    where case\n      when l.ended_at is null then l.claim = excluded.claim\n      else false\n",
    ],
    [
      "RELEASE counts on only from the lease that it expects",
      "    where case\n      when l.ended_at is null then l.claim = excluded.claim\n      else l.generation = excluded.generation - 1\n",
      "    where case\n      when l.ended_at is null then l.claim = excluded.claim\n      else true\n",
    ],
    [
      "RELEASE counts on",
      "      generation = excluded.generation,\n      ended_at",
      "      ended_at",
    ],
    [
      "RELEASE leaves a lease that has ended",
      'ended_at: "now()",\n    }, "l")',
      '}, "l")',
    ],
  ]),
  ...mutationsOf(STATEMENTS, ["postgres/reap_fence_test.ts"], [
    [
      "REAP ends no lease twice",
      "`l.ended_at is null and l.expires_at < now()\n",
      "`l.expires_at < now()\n",
    ],
    [
      "REAP ends only leases that have expired",
      "`l.ended_at is null and l.expires_at < now()\n",
      "`l.ended_at is null\n",
    ],
    [
      "REAP ends the leases of all runs",
      "(${runId} is null or l.pipeline_run_id = ${runId})",
      "l.pipeline_run_id = ${runId}",
    ],
    [
      "REAP ends the lease of one run",
      "(${runId} is null or l.pipeline_run_id = ${runId})",
      "(${runId} is null or true)",
    ],
    [
      "REAP does not count a notice from before a renewal",
      "l.notice_at >= l.expires_at and l.notice_at >= now()",
      "l.notice_at >= now()",
    ],
    [
      "REAP does not count a notice that is too old",
      "      l.notice_at >= l.expires_at and l.notice_at >= now()\n        - (${notice} + greatest(${notice} / 2, 1000)) ${milliseconds},\n",
      "      l.notice_at >= l.expires_at,\n",
    ],
    [
      "REAP counts a notice for a second more at least",
      "greatest(${notice} / 2, 1000)",
      "${notice} / 2",
    ],
    [
      "REAP counts a notice for half as long again",
      "greatest(${notice} / 2, 1000)",
      "1000",
    ],
    [
      "REAP gives a first notice",
      "      false\n    )`;",
      "      null\n    )`;",
    ],
    [
      "REAP gives notice once",
      "where ${isExpired} and not ${hasNotice}\n",
      "where ${isExpired}\n",
    ],
    [
      "REAP does not wait to give notice",
      "not ${hasNotice}\n    for update skip locked",
      "not ${hasNotice}\n    for update",
    ],
    [
      "REAP keeps when it gave notice",
      "set notice_at = clock_timestamp()",
      "set notice_at = l.notice_at",
    ],
    [
      "REAP ends only leases under notice",
      "where ${isExpired} and ${hasNotice}\n      and",
      "where ${isExpired}\n      and",
    ],
    [
      "REAP waits for the notice",
      "<= now() - ${notice} ${milliseconds}",
      "<= now()",
    ],
    [
      "REAP counts in milliseconds",
      "\"* interval '1 millisecond'\"",
      "\"* interval '1 second'\"",
    ],
    [
      "REAP bounds what it ends",
      "    limit ${limit}\n    for update skip",
      "    for update skip",
    ],
    [
      "REAP does not wait to end a lease",
      "    limit ${limit}\n    for update skip locked",
      "    limit ${limit}\n    for update",
    ],
    [
      "REAP ends leases",
      "      ended_at = now(),\n      ending",
      "      ending",
    ],
    ["REAP has an ending", "ending = gen_random_uuid()", "ending = null"],
    [
      "REAP fences the former owner",
      "      generation = l.generation + 1,\n      last_seq = l.last_seq + 1\n",
      "      last_seq = l.last_seq + 1\n",
    ],
    [
      "REAP counts its event",
      "      last_seq = l.last_seq + 1\n",
      "      last_seq = l.last_seq\n",
    ],
    [
      "REAP looks at the newest row",
      "      order by r.created_at desc\n",
      "      order by r.created_at\n",
    ],
    [
      "REAP looks at the run's rows",
      "where r.pipeline_run_id = reaped.pipeline_run_id",
      "where true",
    ],
    [
      "REAP ends only rows that are unfinished",
      '    where ${isUnfinished("r")}\n',
      "",
    ],
    [
      "REAP tells that others are left",
      "where ${isExpired})\n      > (select count(*) from reaped)",
      "where ${isExpired})\n      < (select count(*) from reaped)",
    ],
    [
      "REAP does not count what it ended among those that are left",
      "where ${isExpired})\n      > (select count(*) from reaped)",
      "where ${isExpired})\n      > 0",
    ],
    [
      "REAP notifies of the runs that are followed",
      "      where reaped.is_followed\n",
      "      where false\n",
    ],
    [
      "REAP notifies of no others",
      "      where reaped.is_followed\n",
      "",
    ],
    [
      "REAP notifies of no runs that are followed no longer",
      "l.followed_until > now() as is_followed",
      "l.followed_until is not null as is_followed",
    ],
  ]),
  ...mutationsOf(STATEMENTS, ["postgres/reap_restart_fence_test.ts"], [
    [
      "REAP begins the notice anew when Postgres restarts",
      "greatest(l.notice_at, pg_postmaster_start_time())",
      "l.notice_at",
    ],
  ]),
];
