import { type Mutation, mutationsOf } from "./mutation.ts";

/** The statements that write rows, events and leases. */
export const WRITE_STATEMENT_MUTATIONS: readonly Mutation[] = [
  ...mutationsOf("postgres/sql/writes.ts", ["postgres/outage_test.ts"], [
    [
      "A write that is repeated waits for the standby",
      "pg_logical_emit_message(true, '', '')::text",
      "null",
    ],
  ], "synchronous standby"),
  ...mutationsOf("postgres/sql/writes.ts", ["postgres/step_fence_test.ts"], [
    [
      "WRITE_STEPS compares the claim",
      "and l.claim = run.claim\n",
      "\n",
    ],
    [
      "WRITE_STEPS compares the generation",
      "and l.generation = run.generation\n",
      "\n",
    ],
    [
      "WRITE_STEPS refuses a lease that another ended",
      "and (l.ended_at is null or l.ending = run.ending)",
      "",
    ],
    [
      "WRITE_STEPS has its two fences",
      "and l.generation = run.generation\n      and (l.ended_at is null or l.ending = run.ending)",
      "",
    ],
    [
      "WRITE_STEPS accepts a live lease",
      "(l.ended_at is null or l.ending = run.ending)",
      "(l.ending = run.ending)",
    ],
    [
      "WRITE_STEPS accepts its own ending again",
      "(l.ended_at is null or l.ending = run.ending)",
      "(l.ended_at is null)",
    ],
    [
      "WRITE_STEPS takes the end, not the ending, for the lease's",
      "(l.ended_at is null or l.ending = run.ending)",
      "(l.ended_at is null or run.ending is not null)",
    ],
    [
      "WRITE_STEPS never lowers last_seq",
      "last_seq = greatest(l.last_seq, run.last_seq),",
      "last_seq = run.last_seq,",
    ],
    [
      "WRITE_STEPS raises last_seq",
      "last_seq = greatest(l.last_seq, run.last_seq),",
      "last_seq = l.last_seq,",
    ],
    [
      "WRITE_STEPS renews the lease",
      "expires_at = ${expiresAt},\n      ended_at",
      "ended_at",
    ],
    [
      "WRITE_STEPS ends the lease",
      "case when run.ending is null then null else now() end",
      "null",
    ],
    [
      "WRITE_STEPS ends only the lease of an ending",
      "case when run.ending is null then null else now() end",
      "now()",
    ],
    [
      "WRITE_STEPS keeps the id of the ending",
      "ending = run.ending\n    from",
      "ending = null\n    from",
    ],
    [
      "WRITE_STEPS begins only a lease that begins",
      "where run.begins and run.ending is null\n",
      "where run.ending is null\n",
    ],
    [
      "WRITE_STEPS begins no lease of a whole run",
      "where run.begins and run.ending is null\n",
      "where run.begins\n",
    ],
    [
      "WRITE_STEPS begins no lease that it holds",
      "and run.id not in (select pipeline_run_id from held)",
      "",
    ],
    [
      "WRITE_STEPS refuses to begin the lease of another claim",
      "where l.claim = excluded.claim and l.ended_at is null",
      "where l.ended_at is null",
    ],
    [
      "WRITE_STEPS refuses to begin a lease that has ended",
      "where l.claim = excluded.claim and l.ended_at is null",
      "where l.claim = excluded.claim",
    ],
    [
      "WRITE_STEPS refuses to begin a lease that is there",
      "where l.claim = excluded.claim and l.ended_at is null",
      "",
    ],
    [
      "WRITE_STEPS accepts its own first try, which it did not see",
      "where l.claim = excluded.claim and l.ended_at is null",
      "where false",
    ],
    [
      "WRITE_STEPS extends the lease of its own first try",
      "set expires_at = excluded.expires_at\n",
      "set expires_at = l.expires_at\n",
    ],
    [
      "WRITE_STEPS dates the lease that it begins",
      "expires_at: expiresAt,",
      'expires_at: "now()",',
    ],
    [
      "WRITE_STEPS allows what has begun",
      "    select pipeline_run_id from begun\n    union\n",
      "",
    ],
    [
      "WRITE_STEPS allows what it holds",
      "    select pipeline_run_id from held\n    union\n",
      "",
    ],
    [
      "WRITE_STEPS allows a whole run",
      "select run.id from run where run.begins and run.ending is not null",
      "select run.id from run where false",
    ],
    [
      "WRITE_STEPS allows the ending only of a whole run",
      "select run.id from run where run.begins and run.ending is not null",
      "select run.id from run where run.ending is not null",
    ],
    [
      "WRITE_STEPS allows the beginning only of a whole run",
      "select run.id from run where run.begins and run.ending is not null",
      "select run.id from run where run.begins",
    ],
    [
      "WRITE_STEPS writes the rows of the runs it allows",
      "rows.pipeline_run_id in (select pipeline_run_id from allowed)\n      or ",
      "",
    ],
    [
      "WRITE_STEPS writes rows that need no lease",
      "      or rows.pipeline_run_id not in (select id from run)\n",
      "",
    ],
    [
      "WRITE_STEPS writes no row of a lost run",
      "or rows.pipeline_run_id not in (select id from run)",
      "or true",
    ],
    [
      "WRITE_STEPS looks for the last row of a run that goes on",
      "(select id from run where begins)",
      "(select id from run)",
    ],
    [
      "WRITE_STEPS looks for the last row of a run without a step",
      '"rows.pipeline_run_id in (select id from run where begins)"',
      '"true"',
    ],
    [
      "WRITE_STEPS logs no event of a lost run",
      "join allowed on allowed.pipeline_run_id = events.pipeline_run_id",
      "",
    ],
    [
      "WRITE_STEPS again skips the rows",
      'where ${isAllowed}\n    ${unlessWritten("id")}',
      "where ${isAllowed}",
    ],
    [
      "WRITE_STEPS writes the results only of runs it allows",
      "${insertResults()} and ${isAllowed}",
      "${insertResults()}",
    ],
    [
      "WRITE_STEPS again skips the results",
      'and ${isAllowed}\n    ${unlessWritten("pipeline_run_id, row_id")}',
      "and ${isAllowed}",
    ],
    [
      "WRITE_STEPS again skips the events",
      'events.pipeline_run_id\n    ${unlessWritten("pipeline_run_id, seq")}',
      "events.pipeline_run_id",
    ],
    [
      "WRITE_STEPS reports only the lost runs",
      "where run.id not in (select pipeline_run_id from allowed)\n",
      "\n",
    ],
    [
      "WRITE_STEPS reports the lost runs",
      "where run.id not in (select pipeline_run_id from allowed)\n",
      "where false\n",
    ],
    [
      "WRITE_STEPS tells only the runs that are followed",
      "where held.is_followed\n",
      "\n",
    ],
    [
      "WRITE_STEPS tells only the runs that are followed still",
      "l.followed_until > now() as is_followed",
      "l.followed_until is not null as is_followed",
    ],
    [
      "WRITE_STEPS sets the fields",
      "), upserted as (${upsertFields(sql.fields)})",
      ")",
    ],
  ]),
  ...mutationsOf("postgres/sql/writes.ts", ["postgres/sql_test.ts"], [
    [
      "WRITE_STEPS finds the lease by its run",
      "where l.pipeline_run_id = run.id\n",
      "where true\n",
    ],
    [
      "WRITE_STEPS seems to write few steps",
      "and run.ordinality between 1 and ${MANY}\n",
      "\n",
    ],
  ]),
  ...mutationsOf("postgres/sql/writes.ts", ["postgres/row_fence_test.ts"], [
    [
      "A status is counted from one",
      "STATUSES.indexOf(row.status) + 1",
      "STATUSES.indexOf(row.status)",
    ],
    [
      "An event has the message of Errored",
      "failureIn(event)?.message",
      "undefined",
    ],
    [
      "An event has the code of Errored",
      "failureIn(event)?.code",
      "undefined",
    ],
    [
      "An event has the name of Errored",
      "failureIn(event)?.name",
      "undefined",
    ],
    [
      "WRITE_ROWS looks for the last row",
      '${insertRows("false")}',
      '${insertRows("true")}',
    ],
    [
      "WRITE_ROWS again skips the rows",
      '${insertRows("false")} ${unlessWritten("id")}',
      '${insertRows("false")}',
    ],
    [
      "WRITE_ROWS sets the fields",
      "), upserted as (${upsertFields(fields)})",
      ")",
    ],
    [
      "WRITE_WHOLE_RUNS again skips the rows",
      '${insertRows("true")} ${unlessWritten("id")}',
      '${insertRows("true")}',
    ],
    [
      "WRITE_WHOLE_RUNS again skips the events",
      '${insertEvents(events)} ${unlessWritten("pipeline_run_id, seq")}',
      "${insertEvents(events)}",
    ],
    [
      "A row is dated after the last one of its run",
      "select max(p.created_at)",
      "select min(p.created_at)",
    ],
    [
      "A row is dated after rows of its own run only",
      "where p.pipeline_run_id = rows.pipeline_run_id",
      "where true",
    ],
    [
      "A row is not dated before now",
      "`greatest(\n      statement_timestamp(),\n      case",
      "`greatest(\n      case",
    ],
    [
      "Rows of one statement are dated in their order",
      ") + rows.ordinality * interval '1 microsecond'`",
      ")`",
    ],
    [
      "A payload is measured in bytes",
      "coalesce(octet_length(events.payload), 0)",
      "coalesce(length(events.payload), 0)",
    ],
    [
      "An absent payload has a length",
      "coalesce(octet_length(events.payload), 0)",
      "octet_length(events.payload)",
    ],
    [
      "A field may be the JSON null",
      "\"coalesce(f.value, 'null')\"",
      '"f.value"',
    ],
    [
      "The last value of a field wins",
      "set value = excluded.value, updated_at",
      "set updated_at",
    ],
    [
      "The time of a field's last value is kept",
      ", updated_at = excluded.updated_at",
      "",
    ],
  ]),
];
