import { assertEquals } from "@std/assert";
import postgres from "postgres";
import { startPostgresServer } from "../../bench/postgres_server.ts";
import { Database } from "../../src/postgres/client/database.ts";
import { REAP } from "../../src/postgres/sql/leases.ts";
import { schemaSql } from "../../src/postgres/sql/migrations.ts";

Deno.test("REAP begins a notice anew when Postgres restarts", async () => {
  await using server = await startPostgresServer();
  const sql = postgres(server.url, { max: 1, onnotice: () => {} });
  await sql.unsafe(schemaSql).simple();
  const runId = crypto.randomUUID();
  await sql`
    insert into pipeline_run_leases (
      pipeline_run_id, owner, claim, generation, last_seq, expires_at, notice_at
    ) values (
      ${runId}, ${runId}, ${runId}, 1, 0,
      now() - interval '1 hour', now() - interval '40 minutes'
    )`;
  const database = new Database(sql, 20_000);
  const values = { reason: "lease_expired", limit: 100, runId };
  const half = { ...values, notice: 30 * 60_000 };
  const [answer] = await database.execute(REAP, half);
  // The server has started just now.
  assertEquals(answer, [0, true, 0, []]);
  const [{ is_kept }] = await sql`
    select notice_at < now() - interval '39 minutes' as is_kept
    from pipeline_run_leases`;
  assertEquals(is_kept, true);
  await sql.end();
});
