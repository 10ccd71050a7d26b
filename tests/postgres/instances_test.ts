import { assert, assertEquals } from "@std/assert";
import postgres from "postgres";
import {
  PipelineRunRegistry,
  type RegistryWarning,
  type RunEvent,
} from "../../mod.ts";
import { connect } from "../../src/postgres/mod.ts";
import type { InstanceOptions } from "./instance.ts";
import { InstanceProcess } from "./instance_process.ts";
import { hasPooler, startPooler } from "./pooler.ts";
import { startPostgresServer } from "../../bench/postgres_server.ts";
import { openDatabase } from "./open_database.ts";

/** A registry in this process, on the same database as the others. */
async function openRegistry(
  { url, listens = true, ...options }: InstanceOptions,
): Promise<AsyncDisposable & { registry: PipelineRunRegistry }> {
  const stack = new AsyncDisposableStack();
  const onWarning = () => {};
  const repository = stack.use(
    await connect(url, {
      onWarning,
      ...listens ? {} : { listener: false },
      ...options,
    }),
  );
  const registry = stack.use(
    new PipelineRunRegistry({ repository, onWarning }),
  );
  return { registry, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** How news gets from one instance to another. */
type Way = "notifications" | "polling" | "a pooler";

/** A database, and how instances reach it. */
interface Shared extends AsyncDisposable {
  readonly sql: postgres.Sql;
  /** The options of every instance. */
  readonly options: InstanceOptions;
  /** Kills the server and starts it again. */
  restart(): Promise<void>;
}

const WAYS: Way[] = ["notifications", "polling", "a pooler"];
const withPooler = await hasPooler();

async function openShared(way: Way): Promise<Shared> {
  const stack = new AsyncDisposableStack();
  const server = stack.use(await startPostgresServer());
  const sql = stack.adopt(
    postgres(server.url, { onnotice: () => {}, backoff: () => 0.05 }),
    (sql) => sql.end({ timeout: 1 }),
  );
  const url = way === "a pooler"
    ? stack.use(await startPooler(server.url)).url
    : server.url;
  return {
    sql,
    options: way === "polling"
      ? { url, listens: false, pollInterval: 100, renewInterval: 200 }
      : { url, renewInterval: 200 },
    async restart() {
      await server.kill("SIGKILL");
      await server.start();
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** Tests something for each way that news can take. */
function testEachWay(
  name: string,
  test: (shared: Shared) => Promise<void>,
): void {
  for (const way of WAYS) {
    Deno.test({
      name: `${name}, through ${way}`,
      ignore: way === "a pooler" && !withPooler,
      async fn() {
        await using shared = await openShared(way);
        await test(shared);
      },
    });
  }
}

const seqAndKind = ({ seq, kind }: RunEvent) => `${seq} ${kind}`;

/** Waits until a run has its first event in the log, and so its lease. */
async function isLogged(
  registry: PipelineRunRegistry,
  runId: string,
): Promise<void> {
  const reader = registry.subscribe(runId).getReader();
  await reader.read();
  await reader.cancel();
}

/** The events of a run with so many Yields, from an event on. */
function expected(yields: number, after = 0): string[] {
  return [
    "1 Started",
    ...Array.from({ length: yields }, (_, i) => `${i + 2} Yield`),
    `${yields + 2} Completed`,
  ].slice(after);
}

testEachWay(
  "PipelineRunRegistry.subscribe() follows a run of another instance, begun before, during or after the run (fault 24) (fault 35)",
  async ({ options }) => {
    await using here = await openRegistry(options);
    await using there = await InstanceProcess.start(options);
    const { registry } = here;
    const runId = crypto.randomUUID();
    const before = Array.fromAsync(registry.subscribe(runId));
    await there.tell({ do: "run", runId, yields: 500 });
    await there.told("began");
    const during = Array.fromAsync(registry.subscribe(runId));
    const behind = Array.fromAsync(registry.subscribe(runId, { after: 123 }));
    await there.told("ended");
    const after = Array.fromAsync(registry.subscribe(runId));
    assertEquals((await before).map(seqAndKind), expected(500));
    assertEquals((await during).map(seqAndKind), expected(500));
    assertEquals((await behind).map(seqAndKind), expected(500, 123));
    assertEquals((await after).map(seqAndKind), expected(500));
    assertEquals(
      await Array.fromAsync(registry.subscribe(runId, { after: 502 })),
      [],
    );
    const { row, ...status } = (await registry.status(runId))!;
    assertEquals(status, {
      runId,
      phase: { name: "Completed" },
      ended: true,
      firstSeq: 1,
      lastSeq: 502,
    });
    assertEquals(row?.status, "DATASET_PROCESSING_COMPLETED");
  },
);

testEachWay(
  "PipelineRunRegistry.abort() reaches a run of another instance (fault 36)",
  async ({ options }) => {
    await using here = await openRegistry(options);
    await using there = await InstanceProcess.start(options);
    await there.tell({ do: "hold" });
    const { runId } = await there.told("began");
    const events = Array.fromAsync(here.registry.subscribe(runId));
    await isLogged(here.registry, runId);
    await here.registry.abort(runId, "enough");
    const { reason } = await there.told("stopped");
    assertEquals(reason, "enough");
    const { phase, message } = await there.told("ended");
    assertEquals([phase, message], ["Errored", "aborted: enough"]);
    assertEquals((await events).map(seqAndKind), ["1 Started", "2 Errored"]);
  },
);

Deno.test("PipelineRunRegistry continues a run's event numbers, whichever instance runs it next", async () => {
  await using database = await openDatabase();
  await using here = await openRegistry({ url: database.url });
  await using there = await InstanceProcess.start({ url: database.url });
  const runId = crypto.randomUUID();
  await there.tell({ do: "run", runId, yields: 3 });
  await there.told("ended");
  await here.registry.registerInline(
    { pipelineName: "work", runId },
    ({ publish }) => publish("again"),
  );
  await there.tell({ do: "follow", runId });
  const { events } = await there.told("followed");
  assertEquals(events, ["6 Started", "7 Yield", "8 Completed"]);
});

Deno.test("PipelineRunRegistry.registerBackground() refuses a run that is live on another instance (fault 34)", async () => {
  await using database = await openDatabase();
  await using here = await openRegistry({ url: database.url });
  await using there = await InstanceProcess.start({ url: database.url });
  const runId = crypto.randomUUID();
  await here.registry.registerBackground(
    { pipelineName: "hold", runId },
    ({ signal }) => new Promise((go) => signal.addEventListener("abort", go)),
  );
  await there.tell({ do: "run", runId, yields: 1 });
  const { error } = await there.told("refused");
  assert(error.startsWith("RunAlreadyActiveError"), error);
  assertEquals(here.registry.snapshotStatus(runId), { name: "Running" });
});

testEachWay(
  "PipelineRunRegistry.sweep() ends each run of a killed instance once, and no other run (fault 31)",
  async ({ options, sql }) => {
    const leased = { ...options, leaseDuration: 1_500 };
    await using here = await openRegistry(leased);
    const { registry } = here;
    const live = await registry.registerBackground(
      { pipelineName: "live" },
      ({ signal }) => new Promise((go) => signal.addEventListener("abort", go)),
    );
    const owner = await InstanceProcess.start(leased);
    const dataId = crypto.randomUUID();
    await owner.tell({ do: "hold", dataIds: [dataId] });
    const { runId } = await owner.told("began");
    const reader = registry.subscribe(runId).getReader();
    await reader.read();
    owner.kill("SIGKILL");
    await owner[Symbol.asyncDispose]();

    let expired = false;
    while (!expired) {
      const phase = (await registry.status(runId))?.phase;
      expired = phase?.name === "Errored" && phase.message === "lease_expired";
    }
    const sweeps = await Promise.all(
      Array.from({ length: 10 }, () => registry.sweep()),
    );
    assertEquals(sweeps.reduce((sum, { reaped }) => sum + reaped, 0), 1);
    const { value } = await reader.read();
    assertEquals(value && [value.seq, value.kind], [2, "Errored"]);
    assertEquals((await reader.read()).done, true);
    const rows = await sql`
    select status, run_info::text from pipeline_runs
    where pipeline_run_id = ${runId} order by created_at
  `;
    assertEquals(rows.map((row) => row.status), [
      "DATASET_PROCESSING_STARTED",
      "DATASET_PROCESSING_ERRORED",
    ]);
    assertEquals(
      rows[1].run_info.replaceAll(" ", ""),
      `{"data":["${dataId}"],"error":"lease_expired","reason":"lease_expired"}`,
    );
    assertEquals(registry.snapshotStatus(live.runId), { name: "Running" });
  },
);

testEachWay(
  "PipelineRunRegistry keeps the sweeper's ending after its instance was frozen past its lease (fault 32)",
  async ({ options, sql }) => {
    const leased = { ...options, leaseDuration: 1_000 };
    await using here = await openRegistry(leased);
    const { registry } = here;
    await using owner = await InstanceProcess.start(leased);
    await owner.tell({ do: "hold" });
    const { runId } = await owner.told("began");
    const events = Array.fromAsync(registry.subscribe(runId));
    await isLogged(registry, runId);
    owner.kill("SIGSTOP");
    let reaped = 0;
    while (reaped === 0) ({ reaped } = await registry.sweep());
    owner.kill("SIGCONT");

    const { reason } = await owner.told("stopped");
    assert(reason.startsWith("LeaseLostError"), reason);
    const ended = await owner.told("ended");
    assertEquals([ended.phase, ended.message], ["Errored", "lease_expired"]);
    assertEquals((await events).map(seqAndKind), ["1 Started", "2 Errored"]);
    const rows = await sql`
    select status from pipeline_runs
    where pipeline_run_id = ${runId} order by created_at
  `;
    assertEquals(rows.map((row) => row.status), [
      "DATASET_PROCESSING_STARTED",
      "DATASET_PROCESSING_ERRORED",
    ]);
  },
);

Deno.test("PipelineRunRegistry uses only the clock of the database for leases (fault 37)", async () => {
  await using database = await openDatabase();
  await using here = await openRegistry({ url: database.url });
  const hour = 3_600_000;
  await using ahead = await InstanceProcess.start({
    url: database.url,
    clockOffset: hour,
  });
  await using behind = await InstanceProcess.start({
    url: database.url,
    clockOffset: -hour,
  });
  await ahead.tell({ do: "hold" });
  const { runId } = await ahead.told("began");
  await behind.tell({ do: "follow", runId });
  await isLogged(here.registry, runId);
  await behind.tell({ do: "sweep" });
  assertEquals((await behind.told("swept")).reaped, 0);
  await behind.tell({ do: "abort", runId });
  const { events } = await behind.told("followed");
  assertEquals(events, ["1 Started", "2 Errored"]);
});

testEachWay(
  "PipelineRunRegistry loses and repeats no event among eight instances while Postgres restarts (fault 18)",
  async (shared) => {
    const INSTANCES = 8;
    const RUNS = 50;
    const YIELDS = 200;
    await using stack = new AsyncDisposableStack();
    const start = async () =>
      stack.use(await InstanceProcess.start(shared.options));
    const followers = [await start(), await start()];
    const owners = [];
    for (let i = 0; i < INSTANCES; i++) owners.push(await start());
    const runIds: string[] = [];
    for (const owner of owners) {
      for (let i = 0; i < RUNS; i++) {
        const runId = crypto.randomUUID();
        runIds.push(runId);
        for (const follower of followers) {
          await follower.tell({ do: "follow", runId });
        }
        await owner.tell({ do: "run", runId, yields: YIELDS });
      }
    }
    await owners[0].told("ended");
    await shared.restart();

    const durable = new Set<string>();
    for (const owner of owners) {
      const refused = owner.toldTimes("refused", 1).then(
        ([{ error }]) => {
          throw new Error(error);
        },
        () => {},
      );
      const ended = await Promise.race([
        owner.toldTimes("ended", RUNS),
        refused,
      ]);
      for (const report of ended!) {
        assertEquals(report.phase, "Completed");
        if (report.durable) durable.add(report.runId);
      }
    }
    assertEquals(durable.size, INSTANCES * RUNS);
    for (const follower of followers) {
      const followed = await follower.toldTimes("followed", INSTANCES * RUNS);
      assertEquals(
        new Set(followed.map(({ runId }) => runId)),
        new Set(runIds),
      );
      for (const { events } of followed) {
        assertEquals(events, expected(YIELDS));
      }
    }
    const endings = await shared.sql`
    select pipeline_run_id,
      count(*) filter (where kind in ('Completed', 'Errored'))::int as endings,
      count(*)::int as events
    from pipeline_run_events group by 1
  `;
    assertEquals(endings.length, INSTANCES * RUNS);
    for (const row of endings) {
      assertEquals([row.endings, row.events], [1, YIELDS + 2]);
    }
  },
);

Deno.test("mod.ts loads no module that only Postgres needs", async () => {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", new URL("../../mod.ts", import.meta.url).pathname],
  }).output();
  const { modules } = JSON.parse(new TextDecoder().decode(stdout));
  const specifiers = modules.map((module: { specifier: string }) =>
    module.specifier
  );
  assert(specifiers.length > 10);
  assertEquals(
    specifiers.filter((name: string) =>
      name.includes("/src/postgres/") || name.startsWith("npm:postgres")
    ),
    [],
  );
});

Deno.test({
  name:
    "PipelineRunRegistry warns once that notifications do not arrive through a pooler",
  ignore: !withPooler,
  async fn() {
    await using shared = await openShared("a pooler");
    const warnings: RegistryWarning[] = [];
    const warned = Promise.withResolvers<void>();
    await using here = await openRegistry({
      ...shared.options,
      onWarning: (warning) => {
        warnings.push(warning);
        warned.resolve();
      },
    });
    const started = performance.now();
    const waiting = here.registry.subscribe(crypto.randomUUID()).getReader();
    const read = waiting.read();
    await warned.promise;
    assert(performance.now() - started < 5_000);
    assertEquals(warnings.map(({ kind }) => kind), ["notifications"]);
    await waiting.cancel();
    await read;
  },
});

Deno.test("PipelineRunRegistry.abort() reaches another instance in under 100 ms, 19 times out of 20", async () => {
  await using database = await openDatabase();
  await using here = await openRegistry({ url: database.url });
  await using there = await InstanceProcess.start({ url: database.url });
  const times: number[] = [];
  for (let i = 1; i <= 40; i++) {
    await there.tell({ do: "hold" });
    const { runId } = (await there.toldTimes("began", i))[i - 1];
    await isLogged(here.registry, runId);
    const asked = Date.now();
    await here.registry.abort(runId);
    const { at } = await there.told(
      "stopped",
      (report) => report.runId === runId,
    );
    times.push(at - asked);
  }
  times.sort((a, b) => a - b);
  assert(times[37] < 100, `in ms: ${times}`);
  // Not even the first, which may come before the instance listens, waits for a
  // renewal.
  assert(times[39] < 1_000, `in ms: ${times}`);
});
