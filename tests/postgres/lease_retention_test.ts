import { assertEquals } from "@std/assert";
import { PipelineRunRegistry } from "../../mod.ts";
import { connect } from "../../src/postgres/mod.ts";
import { openDatabase } from "./open_database.ts";

for (
  const { logRetention, minutes, isKept } of [
    { logRetention: 3_600_000, minutes: 59, isKept: true },
    { logRetention: 3_600_000, minutes: 61, isKept: false },
    { logRetention: 1, minutes: 9, isKept: true },
    { logRetention: 1, minutes: 11, isKept: false },
  ]
) {
  const does = isKept ? "keeps" : "prunes";
  Deno.test(`PipelineRunRegistry.sweep() ${does} the lease of a run that ended ${minutes} minutes ago, with a retention of ${logRetention} ms`, async () => {
    await using database = await openDatabase();
    const { sql, url } = database;
    await using repository = await connect(url, { logRetention, max: 1 });
    await using registry = new PipelineRunRegistry({ repository });
    const spec = { pipelineName: "work", runId: crypto.randomUUID() };
    await registry.registerInline(spec, ({ publish }) => publish(1));
    const ended = `${minutes} minutes`;
    await sql`delete from pipeline_run_events`;
    await sql`
      update pipeline_run_leases set ended_at = now() - ${ended}::interval`;
    await registry.sweep();
    const leases = await sql`select from pipeline_run_leases`;
    assertEquals(leases.length, isKept ? 1 : 0);
    await registry.registerInline(spec, ({ publish }) => publish(2));
    const { firstSeq } = (await registry.status(spec.runId))!;
    assertEquals(firstSeq, isKept ? 4 : 1);
  });
}
