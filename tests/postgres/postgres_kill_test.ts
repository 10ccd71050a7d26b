import { assert, assertEquals } from "@std/assert";
import postgres from "postgres";
import { PipelineRunRegistry, type RunOutcome } from "../../mod.ts";
import {
  connect,
  type PostgresClient,
  PostgresPipelineRunRepository,
} from "../../src/postgres/mod.ts";
import { startPostgresServer } from "../../bench/postgres_server.ts";
import { statementName } from "./statement_name.ts";

const RUNS = 200;
const AT_ONCE = 20;

Deno.test("PostgresPipelineRunRepository keeps every durable ending exactly once while Postgres is killed during 200 runs (fault 18)", async () => {
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

/** A statement that a run sends, known by its name or by the event that it writes. */
const TRANSITIONS: Record<string, (query: string, values: string) => boolean> =
  {
    "the claim": (query) => statementName(query) === "claim",
    "Started": (_, values) => values.includes('"Started"'),
    "a Yield": (_, values) => values.includes('"Yield"'),
    "a payload field": (_, values) => values.includes('"field"'),
    "Completed": (_, values) => values.includes('"Completed"'),
  };

Deno.test("PipelineRunRegistry loses and repeats nothing when Postgres is killed before or after it commits any transition (fault 18) (fault 19)", async (t) => {
  await using server = await startPostgresServer();
  const sql = postgres(server.url, { onnotice: () => {}, backoff: () => 0.05 });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => sql.end({ timeout: 1 }));
  let isIt = (_query: string, _values: string): boolean => false;
  let kill: "before" | "after" | undefined;
  let restarted = Promise.resolve();
  const client: PostgresClient = {
    async unsafe(query, parameters = [], options) {
      if (kill === undefined || !isIt(query, parameters.join(" "))) {
        return await sql.unsafe(query, parameters, options);
      }
      const committed = kill === "after";
      kill = undefined;
      if (committed) await sql.unsafe(query, parameters, options);
      await server.kill("SIGKILL");
      restarted = server.start();
      throw Object.assign(new Error("lost"), { code: "CONNECTION_CLOSED" });
    },
  };
  const onWarning = () => {};
  const repository = stack.use(
    new PostgresPipelineRunRepository(client, { pollInterval: 50, onWarning }),
  );
  await repository.migrate();
  const registry = stack.use(
    new PipelineRunRegistry({ repository, endingTimeout: 30_000, onWarning }),
  );

  const runThrough = async (): Promise<void> => {
    const runId = crypto.randomUUID();
    const isLogged = async (seq: number) => {
      const events = registry.subscribe(runId, { durable: true });
      for await (const event of events) if (event.seq === seq) break;
    };
    const { phase, durable } = await registry.registerInline(
      { pipelineName: "ingest", runId },
      async ({ publish, setPayload }) => {
        await isLogged(1);
        publish("yielded");
        await isLogged(2);
        await setPayload("field", 1);
      },
    );
    await restarted;
    assertEquals(kill, undefined, "it was not killed");
    assertEquals([phase.name, durable], ["Completed", true]);
    const rows = await sql`
      select status from pipeline_runs
      where pipeline_run_id = ${runId} order by created_at
    `;
    assertEquals(rows.map(({ status }) => status), [
      "DATASET_PROCESSING_STARTED",
      "DATASET_PROCESSING_COMPLETED",
    ]);
    const events = await sql`
      select seq::int, kind from pipeline_run_events
      where pipeline_run_id = ${runId} order by seq
    `;
    assertEquals(events.map(({ seq, kind }) => `${seq} ${kind}`), [
      "1 Started",
      "2 Yield",
      "3 Completed",
    ]);
    assertEquals(await repository.getPayload(runId), { field: 1 });
  };

  for (const [transition, isTransition] of Object.entries(TRANSITIONS)) {
    for (const when of ["before", "after"] as const) {
      await t.step(`${when} ${transition}`, async () => {
        isIt = isTransition;
        kill = when;
        await runThrough();
      });
    }
  }
});
