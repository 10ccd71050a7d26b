import { type Mutation, mutationsOf } from "./mutation.ts";

const STATEMENTS = "postgres/sql/leases.ts";

/** The statements that claim, renew, reap and give up leases. */
export const LEASE_STATEMENT_MUTATIONS: readonly Mutation[] = [
  ...mutationsOf(STATEMENTS, ["postgres/claim_fence_test.ts"], [
    [
      "CLAIM counts a new generation",
      "generation = l.generation + (l.ended_at is not null)::integer",
      "generation = l.generation",
    ],
    [
      "CLAIM keeps its generation when it is repeated",
      "generation = l.generation + (l.ended_at is not null)::integer",
      "generation = l.generation + 1",
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
      "      claim = excluded.claim,\n      generation",
      "      generation",
    ],
    ["CLAIM revives the lease", "      ended_at = null,\n", ""],
    ["CLAIM forgets the former ending", "      ending = null,\n", ""],
    [
      "CLAIM keeps a request to abort it",
      "case\n        when l.ended_at is null then l.abort_requested_at\n      end",
      "null",
    ],
    [
      "CLAIM forgets the request of the former attempt",
      "case\n        when l.ended_at is null then l.abort_requested_at\n      end",
      "l.abort_requested_at",
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
      "where (l.ended_at is null) = (l.claim = excluded.claim)",
      "where l.ended_at is null or l.claim <> excluded.claim",
    ],
    [
      "CLAIM is not taken up again after its end",
      "where (l.ended_at is null) = (l.claim = excluded.claim)",
      "where l.ended_at is not null or l.claim = excluded.claim",
    ],
    [
      "CLAIM may be repeated",
      "where (l.ended_at is null) = (l.claim = excluded.claim)",
      "where l.ended_at is not null and l.claim <> excluded.claim",
    ],
    [
      "CLAIM takes a lease that has ended",
      "where (l.ended_at is null) = (l.claim = excluded.claim)",
      "where l.ended_at is null and l.claim = excluded.claim",
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
      "where e.pipeline_run_id = ${runId}\n  ) log",
      "where ${runId} is not null\n  ) log",
    ],
    [
      "CLAIM begins with 1",
      "coalesce(max(e.seq), 0) as last_seq",
      "max(e.seq) as last_seq",
    ],
    [
      "RENEW renews leases of the owner",
      "where l.owner = ${owner} and l.ended_at is null\n    and l.claim",
      "where ${owner} is not null and l.ended_at is null\n    and l.claim",
    ],
    [
      "RENEW renews no lease that has ended",
      "where l.owner = ${owner} and l.ended_at is null\n    and l.claim",
      "where l.owner = ${owner}\n    and l.claim",
    ],
    [
      "RENEW renews only claims that are known",
      "and l.claim = any (${claimIds})",
      "and ${claimIds} is not null",
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
      "RELEASE leaves a claim that arrives later no chance",
      "      claim = excluded.claim,\n      ended_at",
      "      ended_at",
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
      "where l.ended_at is not null or l.claim = excluded.claim",
      "where true",
    ],
    [
      "RELEASE ends its own lease",
      "where l.ended_at is not null or l.claim = excluded.claim",
      "where l.ended_at is not null",
    ],
    [
      "RELEASE marks a lease that has ended",
      "where l.ended_at is not null or l.claim = excluded.claim",
      "where l.claim = excluded.claim",
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
      "coalesce(l.notice_at >= l.expires_at, false)",
      "coalesce(l.notice_at is not null, false)",
    ],
    [
      "REAP gives a first notice",
      "coalesce(l.notice_at >= l.expires_at, false)",
      "(l.notice_at >= l.expires_at)",
    ],
    [
      "REAP gives notice once",
      "where ${isExpired} and not ${hasNotice} and ${notice} > 0",
      "where ${isExpired} and ${notice} > 0",
    ],
    [
      "REAP gives no notice where none is wanted",
      "where ${isExpired} and not ${hasNotice} and ${notice} > 0",
      "where ${isExpired} and not ${hasNotice}",
    ],
    [
      "REAP does not wait to give notice",
      "and ${notice} > 0\n    for update skip locked",
      "and ${notice} > 0\n    for update",
    ],
    [
      "REAP keeps when it gave notice",
      "set notice_at = now()\n",
      "set notice_at = l.notice_at\n",
    ],
    [
      "REAP ends a lease without notice if none is wanted",
      "${notice} = 0 or ${hasNotice} and",
      "${hasNotice} and",
    ],
    [
      "REAP ends only leases under notice",
      "${notice} = 0 or ${hasNotice} and",
      "${notice} = 0 or",
    ],
    [
      "REAP waits for the notice",
      "<= now() - ${notice} * interval '1 millisecond'",
      "<= now()",
    ],
    [
      "REAP waits for milliseconds",
      "<= now() - ${notice} * interval '1 millisecond'",
      "<= now() - ${notice} * interval '1 second'",
    ],
    [
      "REAP bounds what it ends",
      "    limit ${limit}\n    for update",
      "    for update",
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
      "REAP notifies only if it ended a run",
      "when exists (select from reaped) then",
      "when true then",
    ],
    [
      "REAP notifies",
      "when exists (select from reaped) then",
      "when false then",
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
