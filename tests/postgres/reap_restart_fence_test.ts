import { assertEquals } from "@std/assert";
import postgres from "postgres";
import { startPostgresServer } from "../../bench/postgres_server.ts";
import { Database } from "../../src/postgres/client/database.ts";
import { REAP } from "../../src/postgres/sql/leases.ts";
import { schemaSql } from "../../src/postgres/sql/schema.ts";

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
      now() - interval '2 hours', now() - interval '1 hour'
    )`;
  const database = new Database(sql, 20_000);
  // The server has started just now.
  const reap = async (notice: number) => {
    const values = { reason: "lease_expired", notice, limit: 100, runId };
    const [answer] = await database.execute(REAP, values);
    const [reaped, isAnyLeft] = answer as [number, boolean];
    return { reaped, isAnyLeft };
  };
  assertEquals(await reap(1_800_000), { reaped: 0, isAnyLeft: true });
  assertEquals(await reap(1), { reaped: 1, isAnyLeft: false });
  await sql.end();
});
