import fc from "fast-check";
import { PostgresPipelineRunRepository } from "../../src/postgres/mod.ts";
import { LEASE_COMMANDS } from "./lease_commands.ts";
import { LeaseTrial } from "./lease_trial.ts";
import { openDatabase } from "./open_database.ts";

Deno.test("PostgresPipelineRunRepository keeps one holder and one ending a run, whatever becomes of the statements", async () => {
  await using database = await openDatabase();
  await new PostgresPipelineRunRepository(database.sql).migrate();
  // The notice of a lease begins anew when Postgres starts.
  await database.sql`
    select pg_sleep(
      extract(epoch from pg_postmaster_start_time() + interval '3 s' - now())
    )`;
  await fc.assert(
    fc.asyncProperty(
      fc.commands(LEASE_COMMANDS, { maxCommands: 20, size: "max" }),
      async (commands) => {
        await using trial = new LeaseTrial(database.sql);
        await fc.asyncModelRun(() => ({ model: {}, real: trial }), commands);
        await trial.finish();
      },
    ),
    { numRuns: 160 },
  );
});
