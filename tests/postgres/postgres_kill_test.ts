import { assert, assertEquals } from "@std/assert";
import postgres from "postgres";
import { PipelineRunRegistry, type RunOutcome } from "../../mod.ts";
import { connect } from "../../src/postgres/mod.ts";
import { startPostgresServer } from "../../bench/postgres_server.ts";

const RUNS = 200;
const AT_ONCE = 20;

Deno.test("PostgresPipelineRunRepository keeps every durable ending exactly once while Postgres is killed during 200 runs", async () => {
  await using server = await startPostgresServer();
  const outcomes: RunOutcome[] = [];
  {
    await using repository = await connect(server.url, { onWarning: () => {} });
    await using registry = new PipelineRunRegistry({
      repository,
      onWarning: () => {},
    });
    let killed = 0;
    let restart = Promise.resolve();
    const kill = async () => {
      killed++;
      await server.kill("SIGKILL");
      await server.start();
    };
    const runOneAfterAnother = async () => {
      while (outcomes.length < RUNS) {
        const fails = outcomes.length % 3 === 0;
        const outcome = await registry.registerInline(
          { pipelineName: "ingest" },
          async (run) => {
            await run.setPayload("fails", fails);
            if (fails) throw new Error("boom");
          },
        );
        outcomes.push(outcome);
        if (outcomes.length % 50 === 25) restart = restart.then(kill);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, runOneAfterAnother));
    await restart;
    assertEquals(killed, 4);
  }

  const sql = postgres(server.url);
  try {
    const rows = await sql<{ id: string; statuses: string[] }[]>`
      select pipeline_run_id id, array_agg(status order by created_at) statuses
      from pipeline_runs group by 1
    `;
    const trail = new Map(rows.map((row) => [row.id, row.statuses]));
    assertEquals(trail.size, outcomes.length);
    for (const { runId, phase } of outcomes) {
      assertEquals(trail.get(runId), [
        "DATASET_PROCESSING_STARTED",
        `DATASET_PROCESSING_${phase.name.toUpperCase()}`,
      ]);
    }
    const durable = outcomes.filter((outcome) => outcome.durable);
    assert(durable.length >= RUNS / 2, `${durable.length} were durable`);
  } finally {
    await sql.end({ timeout: 1 });
  }
});
