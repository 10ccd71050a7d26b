import { assert, assertEquals } from "@std/assert";
import type postgres from "postgres";
import { READ_ENDING, READ_EVENTS } from "../../src/postgres/sql/events.ts";
import * as leases from "../../src/postgres/sql/leases.ts";
import { schemaSql } from "../../src/postgres/sql/migrations.ts";
import { STATUS } from "../../src/postgres/sql/status.ts";
import {
  WRITE_STEPS,
  WRITE_WHOLE_RUNS,
} from "../../src/postgres/sql/writes.ts";
import { openDatabase } from "./open_database.ts";

const SOURCES = new URL("../../src/", import.meta.url);

/** What is done for one run, or a few of them, or those of one owner. */
const STATEMENTS: Readonly<Record<string, { readonly text: string }>> = {
  CLAIM: leases.CLAIM,
  READ_ENDING,
  READ_EVENTS,
  READ_REQUESTS: leases.READ_REQUESTS,
  RENEW: leases.RENEW,
  REQUEST_ABORT: leases.REQUEST_ABORT,
  STATUS,
  WRITE_STEPS: WRITE_STEPS.first,
  "WRITE_STEPS again": WRITE_STEPS.again,
  WRITE_WHOLE_RUNS: WRITE_WHOLE_RUNS.first,
};

const RUNS = 20_000;

/** Many runs that have ended, of which the planner has no statistics yet. */
async function fill(client: postgres.Sql): Promise<void> {
  await client.unsafe(`
    with run as (
      select gen_random_uuid() as id from generate_series(1, ${RUNS})
    ), lease as (
      insert into pipeline_run_leases (
        pipeline_run_id, owner, claim, generation, last_seq, expires_at
      )
      select id, gen_random_uuid(), gen_random_uuid(), 1, 2, now() from run
    ), written as (
      insert into pipeline_runs (
        id, created_at, status, pipeline_run_id, pipeline_name, pipeline_id
      )
      select gen_random_uuid(), now(), 'DATASET_PROCESSING_COMPLETED', id, 'a', id
      from run
    )
    insert into pipeline_run_events (pipeline_run_id, seq, kind, at)
    select id, seq, case seq when 1 then 'Started' else 'Completed' end, now()
    from run, generate_series(1, 2) seq`);
}

/** The steps of a statement's plan that go through the runs of others. */
async function scans(client: postgres.Sql, statement: string) {
  const rows = await client.unsafe(`explain (generic_plan) ${statement}`)
    .simple();
  const lines = rows.map((row): string => row["QUERY PLAN"]);
  return lines.filter((line, index) =>
    /Seq Scan on pipeline_run/.test(line) ||
    /Scan (using|on) pipeline_run_events_ending_idx/.test(line) ||
    /Scan (using|on) pipeline_runs_created_at_idx/.test(line) ||
    /Scan (using|on) pipeline_run_leases_live_idx/.test(line) &&
      !lines[index + 1].includes("Index Cond: (owner =")
  );
}

for (const size of ["small", "large"]) {
  for (const [name, { text }] of Object.entries(STATEMENTS)) {
    Deno.test(`${name} scans only its own runs while the tables are ${size}`, async () => {
      await using database = await openDatabase();
      await database.sql.unsafe(schemaSql).simple();
      if (size === "large") await fill(database.sql);
      assertEquals(await scans(database.sql, text), []);
    });
  }
}

// A connection of postgres.js that is lost inside begin() can end the process.
Deno.test("PostgresClient is used without begin(), savepoint() and reserve() (fault 27)", async () => {
  const pending = [SOURCES];
  const calls: string[] = [];
  let files = 0;
  for (let folder = pending.pop(); folder; folder = pending.pop()) {
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      if (isDirectory) pending.push(new URL(`${name}/`, folder));
      if (!name.endsWith(".ts")) continue;
      files++;
      const text = await Deno.readTextFile(new URL(name, folder));
      const [call] = /\.(begin|savepoint|reserve)\b/.exec(text) ?? [];
      if (call !== undefined) calls.push(`${name}: ${call}`);
    }
  }
  assertEquals(calls, []);
  assert(files > 20);
});
