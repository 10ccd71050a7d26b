import { type Mutation, mutationsOf } from "./mutation.ts";

/** What is deleted of old runs, and when. */
export const RETENTION_MUTATIONS: readonly Mutation[] = [
  ...mutationsOf("postgres/sql/retention.ts", [
    "postgres/prune_fence_test.ts",
  ], [
    [
      "Only one instance deletes from a table",
      "select pg_try_advisory_xact_lock(",
      "select true or pg_try_advisory_xact_lock(",
    ],
    [
      "Each statement is bounded",
      "    limit ${limit}\n",
      "",
    ],
    [
      "What others change is left alone",
      "`for update of ${changing} skip locked`",
      "`for update of ${changing}`",
    ],
    [
      "Only what is doomed is deleted",
      'where ${columns.join(" and ")}',
      "where true",
    ],
    [
      "The retention is in milliseconds",
      "${retention} * interval '1 millisecond'",
      "${retention} * interval '1 second'",
    ],
    [
      "PRUNE_EVENTS deletes runs that completed",
      "ending.kind in ('Completed', 'Errored')",
      "ending.kind in ('Errored')",
    ],
    [
      "PRUNE_EVENTS deletes runs that erred",
      "ending.kind in ('Completed', 'Errored')",
      "ending.kind in ('Completed')",
    ],
    [
      "PRUNE_EVENTS deletes only runs that have ended",
      "ending.kind in ('Completed', 'Errored')",
      "true",
    ],
    [
      "PRUNE_EVENTS keeps the events for the retention",
      "      and ending.logged_at < ${cutoff}\n",
      "",
    ],
    [
      "PRUNE_EVENTS deletes events of the run that ended",
      "e.pipeline_run_id = ending.pipeline_run_id and e.seq <= ending.seq",
      "e.seq <= ending.seq",
    ],
    [
      "PRUNE_EVENTS keeps the attempt after the ending",
      "e.pipeline_run_id = ending.pipeline_run_id and e.seq <= ending.seq",
      "e.pipeline_run_id = ending.pipeline_run_id",
    ],
    [
      "PRUNE_EVENTS deletes the ending",
      "e.seq <= ending.seq",
      "e.seq < ending.seq",
    ],
    [
      "PRUNE_EVENTS deletes the ending last",
      "order by e.seq -- the ending, which finds them, last",
      "order by e.seq desc",
    ],
    [
      "PRUNE_EVENTS deletes what ended first",
      "    order by ending.logged_at",
      "    order by ending.logged_at desc",
    ],
    [
      "PRUNE_LEASES keeps live leases, and others for the retention",
      "where l.ended_at < ${cutoff}\n",
      "where true\n",
    ],
    [
      "PRUNE_LEASES keeps the leases of runs with events",
      "and not exists (\n        select\n        from pipeline_run_events e",
      "and exists (\n        select\n        from pipeline_run_events e",
    ],
    [
      "PRUNE_LEASES looks at the run's own events",
      "        where e.pipeline_run_id = l.pipeline_run_id\n",
      "",
    ],
    [
      "PRUNE_LEASES leaves alone what others change",
      '  changing: "l",\n',
      "",
    ],
    [
      "PRUNE_FIELDS keeps fields for the retention",
      "where f.updated_at < ${cutoff}\n",
      "where true\n",
    ],
    [
      "PRUNE_FIELDS keeps fields of runs that go on",
      '      and coalesce(${hasEnded("f.pipeline_run_id", cutoff)}, true)\n',
      "",
    ],
    [
      "PRUNE_FIELDS deletes fields of runs without rows",
      'coalesce(${hasEnded("f.pipeline_run_id", cutoff)}, true)',
      'coalesce(${hasEnded("f.pipeline_run_id", cutoff)}, false)',
    ],
    [
      "PRUNE_FIELDS deletes the oldest first",
      "    order by f.updated_at",
      "    order by f.updated_at desc",
    ],
    [
      "PRUNE_FIELDS leaves alone what others change",
      '  changing: "f",\n',
      "",
    ],
    [
      "PRUNE_ROWS keeps rows of runs that go on",
      '      and ${hasEnded("r.pipeline_run_id", cutoff)}\n',
      "",
    ],
    [
      "PRUNE_ROWS keeps the newest row on a dataset",
      "        r.dataset_id is null or exists (",
      "        true or exists (",
    ],
    [
      "PRUNE_ROWS deletes rows without a dataset",
      "        r.dataset_id is null or exists (",
      "        exists (",
    ],
    [
      "PRUNE_ROWS keeps the newest row on each dataset",
      "where newer.dataset_id = r.dataset_id\n",
      "where true\n",
    ],
    [
      "PRUNE_ROWS keeps the newest row of each pipeline",
      "            and newer.pipeline_name = r.pipeline_name\n",
      "",
    ],
    [
      "PRUNE_ROWS keeps the newest row",
      "            and (newer.created_at, newer.id) > (r.created_at, r.id)\n",
      "",
    ],
    [
      "PRUNE_ROWS deletes the oldest first",
      "    order by r.created_at`",
      "    order by r.created_at desc`",
    ],
    [
      "Rows count from the end of the run",
      "select newest.created_at < ${cutoff} and not",
      "select not",
    ],
    [
      "A run that is unfinished has not ended",
      'and not ${isUnfinished("newest")}',
      "",
    ],
    [
      "The rows of the run count",
      "        where newest.pipeline_run_id = ${runId}\n",
      "",
    ],
    [
      "The newest row counts",
      "order by newest.created_at desc, newest.id desc",
      "order by newest.created_at, newest.id",
    ],
  ]),
  ...mutationsOf("postgres/retention.ts", ["postgres/retention_test.ts"], [
    [
      "What is kept for ever is not pruned",
      "kept.filter(([_, retention]) => retention !== Infinity)",
      "kept",
    ],
    [
      "Leases stay as long as events",
      "Math.max(logRetention, LEASE_RETENTION)",
      "LEASE_RETENTION",
    ],
    [
      "Leases stay for 10 minutes at least",
      "Math.max(logRetention, LEASE_RETENTION)",
      "logRetention",
    ],
    [
      "Leases need not stay for longer",
      "LEASE_RETENTION = 600_000;",
      "LEASE_RETENTION = 700_000;",
    ],
    [
      "Leases stay for 10 minutes",
      "LEASE_RETENTION = 600_000;",
      "LEASE_RETENTION = 500_000;",
    ],
    [
      "Payload fields have a retention",
      "[PRUNE_FIELDS, payloadRetention]",
      "[PRUNE_FIELDS, Infinity]",
    ],
    [
      "Results stay for the retention of payload fields",
      "[PRUNE_RESULTS, payloadRetention]",
      "[PRUNE_RESULTS, Infinity]",
    ],
    [
      "Rows have a retention",
      "[PRUNE_ROWS, auditRetention]",
      "[PRUNE_ROWS, Infinity]",
    ],
    [
      "Pruning goes on while there is more",
      "if (count === 0) break;",
      "break;",
    ],
    [
      "What all statements delete counts",
      "pruned += count;",
      "pruned = count;",
    ],
    [
      "One statement deletes 1,000 at most",
      "PRUNED_AT_ONCE = 1_000;",
      "PRUNED_AT_ONCE = 1_000_000;",
    ],
    [
      "Pruning rests",
      "        await delay(performance.now() - from, { signal });\n",
      "",
    ],
    [
      "Closing ends a rest",
      "delay(performance.now() - from, { signal })",
      "delay(performance.now() - from)",
    ],
  ]),
  ...mutationsOf("postgres/postgres_repository.ts", [
    "postgres/retention_test.ts",
  ], [
    [
      "Runs that are not shared have no log",
      "shared ? logRetention : Infinity",
      "logRetention",
    ],
  ]),
  ...mutationsOf("registry/registry.ts", ["postgres/retention_test.ts"], [
    [
      "A sweep prunes",
      "const pruned = await this.#repository.prune?.() ?? 0;",
      "const pruned = 0;",
    ],
  ]),
  ...mutationsOf("registry/retention.ts", ["registry/retention_test.ts"], [
    [
      "A sweep that a shutdown disturbs has not failed",
      "if (!sweepables.has(sweepable)) return;",
      "",
    ],
  ]),
];
