import { type Mutation, mutationsOf } from "./mutation.ts";

/** The statements that follow and read the state of runs. */
export const READ_STATEMENT_MUTATIONS: readonly Mutation[] = [
  ...mutationsOf("postgres/sql/events.ts", ["postgres/poll_fence_test.ts"], [
    [
      "POLL follows live runs only",
      "where l.ended_at is null\n      and coalesce(l.followed",
      "where coalesce(l.followed",
    ],
    [
      "POLL follows again once half of the time is over",
      "l.followed_until < ${soon},",
      "l.followed_until < ${until},",
    ],
    [
      "POLL does not follow again before",
      "l.followed_until < ${soon},",
      "l.followed_until < now(),",
    ],
    [
      "POLL follows for the first time",
      "${soon}, ${interest} is not null)",
      "${soon}, false)",
    ],
    [
      "POLL without interest follows nothing",
      "${soon}, ${interest} is not null)",
      "${soon}, true)",
    ],
    [
      "POLL does not wait",
      "for update of l skip locked\n  ), told",
      "for update of l\n  ), told",
    ],
    [
      "POLL follows the runs it is asked for",
      "where l.pipeline_run_id = stale.pipeline_run_id\n    -- A lost",
      "-- A lost",
    ],
    [
      "POLL knows rows without a lease",
      "exists (\n            select from pipeline_runs r where r.pipeline_run_id = asked.id\n          ) or ",
      "",
    ],
    [
      "POLL knows events without a lease",
      " or exists (\n            select from pipeline_run_events e where e.pipeline_run_id = asked.id\n          )",
      "",
    ],
    [
      "POLL tells the end",
      "else coalesce(told.ended_at, l.ended_at) is not null\n          or ",
      "else ",
    ],
    [
      "POLL believes the row that it updates",
      "coalesce(told.last_seq, l.last_seq)",
      "l.last_seq",
    ],
    [
      "POLL tells of runs behind the position",
      "            > coalesce(asked.after, l.first_seq - 1)",
      "            >= coalesce(asked.after, l.first_seq - 1)",
    ],
    [
      "POLL tells of runs that have begun",
      "coalesce(asked.after, l.first_seq - 1)",
      "coalesce(asked.after, 0)",
    ],
    [
      "POLL tells that a writer knows at once",
      "coalesce(told.followed_until, l.followed_until) >= ${soon}",
      "l.followed_until >= ${soon}",
    ],
    [
      "POLL tells that a writer knew before",
      "coalesce(told.followed_until, l.followed_until) >= ${soon}",
      "told.followed_until >= ${soon}",
    ],
    [
      "POLL tells only what has moved",
      "filter (where found.has_moved)",
      "filter (where true)",
    ],
    [
      "POLL tells of runs without a lease",
      "where found.is_followed is not true",
      "where not found.is_followed",
    ],
  ]),
  ...mutationsOf("postgres/sql/events.ts", ["postgres/follow_fence_test.ts"], [
    [
      "READ_EVENTS tells of an end without events",
      "coalesce(news.events, '[]')",
      "news.events",
    ],
    [
      "READ_EVENTS begins with the newest attempt",
      "coalesce(w.after, ${beginningOf('w.\"runId\"')}, 0)",
      "coalesce(w.after, 0)",
    ],
    [
      "READ_EVENTS begins with what is left of a pruned run",
      "coalesce(w.after, ${beginningOf('w.\"runId\"')}, 0)",
      "coalesce(w.after, ${beginningOf('w.\"runId\"')})",
    ],
    [
      "READ_EVENTS begins after the reader's position",
      "coalesce(w.after, ${beginningOf('w.\"runId\"')}, 0)",
      "coalesce(${beginningOf('w.\"runId\"')}, 0)",
    ],
    [
      "READ_EVENTS does not repeat the last event",
      "e.seq > start.after",
      "e.seq >= start.after",
    ],
    [
      "READ_EVENTS reads the events of the run",
      'e.pipeline_run_id = w."runId" and e.seq > start.after',
      "e.seq > start.after",
    ],
    [
      "READ_EVENTS gives a first event of any length",
      "between unbounded preceding and 1 preceding",
      "between unbounded preceding and current row",
    ],
    [
      "READ_EVENTS adds the lengths up",
      "rows between unbounded preceding and 1 preceding",
      "rows between 1 preceding and 1 preceding",
    ],
    [
      "READ_EVENTS bounds the lengths",
      "where coalesce(e.before, 0) < ${maxBytes}",
      "where ${maxBytes} is not null",
    ],
    [
      "READ_EVENTS stops when the bound is reached",
      "coalesce(e.before, 0) < ${maxBytes}",
      "coalesce(e.before, 0) <= ${maxBytes}",
    ],
    [
      "READ_EVENTS has nothing before the first event",
      "coalesce(e.before, 0) < ${maxBytes}",
      "e.before < ${maxBytes}",
    ],
    [
      "READ_EVENTS gives the first of many events",
      "order by e.seq\n        limit ${maxEvents}",
      "order by e.seq desc\n        limit ${maxEvents}",
    ],
    [
      "READ_EVENTS bounds the events",
      "        limit ${maxEvents}\n",
      "        limit ${maxEvents} + 1\n",
    ],
    [
      "READ_EVENTS gives what is new while the run lives",
      "where news.events is not null or (",
      "where (",
    ],
    [
      "READ_EVENTS gives nothing while nothing is new",
      "where news.events is not null or (",
      "where true or (",
    ],
    [
      "READ_EVENTS knows the end by Completed",
      "select e.kind in ('Completed', 'Errored')\n",
      "select e.kind in ('Errored')\n",
    ],
    [
      "READ_EVENTS knows the end by Errored",
      "select e.kind in ('Completed', 'Errored')\n",
      "select e.kind in ('Completed')\n",
    ],
    [
      "READ_EVENTS looks at the last event",
      "order by e.seq desc\n        limit 1\n      ),\n      ( -- its",
      "order by e.seq\n        limit 1\n      ),\n      ( -- its",
    ],
    [
      "READ_EVENTS knows the end of a pruned run by its row",
      'select not ${isUnfinished("r")}',
      "select false",
    ],
    [
      "READ_EVENTS knows by the row that a run without events goes on",
      'select not ${isUnfinished("r")}',
      "select true",
    ],
    [
      "READ_EVENTS looks at the newest row",
      "order by r.created_at desc\n        limit 1\n      ),\n      false",
      "order by r.created_at\n        limit 1\n      ),\n      false",
    ],
    [
      "READ_EVENTS looks at the run's rows",
      'where r.pipeline_run_id = w."runId"',
      "where true",
    ],
    [
      "READ_EVENTS waits for a run that nobody knows",
      "      ),\n      false\n    ) and",
      "      ),\n      true\n    ) and",
    ],
    [
      "READ_EVENTS waits for an attempt that was claimed",
      "select l.ended_at is not null\n",
      "select true\n",
    ],
    [
      "READ_EVENTS ends a run that needed no lease",
      "      ),\n      true\n    )\n  )`",
      "      ),\n      false\n    )\n  )`",
    ],
    [
      "READ_EVENTS looks at the run's lease",
      'from pipeline_run_leases l\n        where l.pipeline_run_id = w."runId"',
      "from pipeline_run_leases l\n        where true limit 1",
    ],
    [
      "READ_ENDING reads the run's events",
      "where e.pipeline_run_id = ${runId} and e.seq >= ${from}",
      "where ${runId} is not null and e.seq >= ${from}",
    ],
    [
      "READ_ENDING reads from an event on",
      "and e.seq >= ${from}\n",
      "and ${from} > 0\n",
    ],
    [
      "READ_ENDING includes the first event",
      "and e.seq >= ${from}\n",
      "and e.seq > ${from}\n",
    ],
    [
      "READ_ENDING leaves out Started",
      "not in ('Started', 'Yield', 'AlreadyCompleted')",
      "not in ('Yield', 'AlreadyCompleted')",
    ],
    [
      "READ_ENDING leaves out Yield",
      "not in ('Started', 'Yield', 'AlreadyCompleted')",
      "not in ('Started', 'AlreadyCompleted')",
    ],
    [
      "READ_ENDING leaves out AlreadyCompleted",
      "not in ('Started', 'Yield', 'AlreadyCompleted')",
      "not in ('Started', 'Yield')",
    ],
    [
      "READ_ENDING reads the first ending",
      "'AlreadyCompleted')\n  order by e.seq\n",
      "'AlreadyCompleted')\n  order by e.seq desc\n",
    ],
    [
      "An attempt begins with the first event of its lease",
      "select l.first_seq - 1\n",
      "select l.first_seq\n",
    ],
    [
      "A live attempt begins before it has an event",
      "(l.ended_at is null or l.last_seq >= l.first_seq)",
      "(l.last_seq >= l.first_seq)",
    ],
    [
      "An attempt that was given up does not count",
      "and (l.ended_at is null or l.last_seq >= l.first_seq)\n",
      "\n",
    ],
    [
      "An attempt that has ended counts",
      "(l.ended_at is null or l.last_seq >= l.first_seq)",
      "(l.ended_at is null)",
    ],
    [
      "An attempt of one event counts",
      "l.last_seq >= l.first_seq",
      "l.last_seq > l.first_seq",
    ],
    [
      "An attempt without a lease begins with Started",
      "select e.seq - 1\n",
      "select e.seq\n",
    ],
    [
      "An attempt without a lease begins with no other event",
      " and e.kind = 'Started'\n",
      "\n",
    ],
    [
      "The newest attempt without a lease counts",
      "e.kind = 'Started'\n      order by e.seq desc\n",
      "e.kind = 'Started'\n      order by e.seq\n",
    ],
  ]),
  ...mutationsOf("postgres/sql/status.ts", ["postgres/status_fence_test.ts"], [
    [
      "STATUS reads the last event",
      "order by e.seq desc\n",
      "order by e.seq\n",
    ],
    [
      "STATUS reads the run's events",
      "where e.pipeline_run_id = ${runId}",
      "where true",
    ],
    [
      "STATUS reads the run's lease",
      "where l.pipeline_run_id = ${runId}",
      "where true limit 1",
    ],
    [
      "STATUS: a lease that has ended does not expire",
      "        when l.ended_at is not null then 'ended'\n",
      "",
    ],
    [
      "STATUS: a lease expires",
      "l.expires_at < now()",
      "false",
    ],
    [
      "STATUS: a lease lives until it expires",
      "l.expires_at < now()",
      "l.expires_at is not null",
    ],
    [
      "toStatus() knows a run by its row",
      "row === null && event === null && !isClaimed",
      "event === null && !isClaimed",
    ],
    [
      "toStatus() knows a run by its event",
      "row === null && event === null && !isClaimed",
      "row === null && !isClaimed",
    ],
    [
      "toStatus() knows a run by its live lease",
      'lease === "live" || lease === "expired";\n  if',
      'lease === "expired";\n  if',
    ],
    [
      "toStatus() knows a run by its expired lease",
      'lease === "live" || lease === "expired";\n  if',
      'lease === "live";\n  if',
    ],
    [
      "toStatus() knows no run by a claim that was given up",
      'lease === "live" || lease === "expired";\n  if',
      "lease !== null;\n  if",
    ],
    [
      "toStatus(): the ending of an expired lease cannot be read yet",
      'hasEnded(phase) && lease !== "expired"',
      "hasEnded(phase)",
    ],
    [
      "toStatus(): a run that goes on has not ended",
      'hasEnded(phase) && lease !== "expired"',
      'lease !== "expired"',
    ],
    [
      "toStatus() gives the next number where the first event is pruned",
      "(beginning ?? lastSeq) + 1",
      "(beginning ?? 0) + 1",
    ],
    [
      "toStatus() gives the first number",
      "(beginning ?? lastSeq) + 1",
      "lastSeq + 1",
    ],
    [
      "toStatus(): an expired lease is an error",
      '  if (lease === "expired") return erroredPhase(LEASE_EXPIRED);\n',
      "",
    ],
    [
      "toStatus(): a live lease goes before the last event",
      '  if (lease === "live") {',
      "  if (false) {",
    ],
    [
      "toStatus(): a run is pending before its first event",
      'event === null ? "Pending" : "Running"',
      '"Running"',
    ],
    [
      "toStatus(): a run is running from its first event on",
      'event === null ? "Pending" : "Running"',
      '"Pending"',
    ],
    [
      "toStatus() believes Completed before the row",
      '    if (kind === "Completed") return { name: "Completed" };\n',
      "",
    ],
    [
      "toStatus() believes Errored before the row",
      '    if (kind === "Errored") return erroredPhase(failureOfRow(event));\n',
      "",
    ],
  ]),
];
