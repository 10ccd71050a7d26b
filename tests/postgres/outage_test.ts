import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { delay } from "@std/async/delay";
import postgres from "postgres";
import {
  type PostgresServer,
  startPostgresServer,
} from "../../bench/postgres_server.ts";
import {
  PipelineRunRegistry,
  type RegistryWarning,
  RepositoryError,
  type RunHandle,
} from "../../mod.ts";
import {
  connect,
  type PostgresPipelineRunRepository,
} from "../../src/postgres/mod.ts";
import { assertPending } from "../assert_pending.ts";
import { transition } from "../repository/repository_contract.ts";
import { InstanceProcess } from "./instance_process.ts";

const LEASE = {
  leaseDuration: 1_000,
  renewInterval: 300,
  statementTimeout: 10_000,
};

/** How long Postgres is away: longer than a lease. */
const OUTAGE = 1_500;

const onWarning = (): void => {};

function connectTo(
  { url }: PostgresServer,
): Promise<PostgresPipelineRunRepository> {
  return connect(url, { ...LEASE, onWarning });
}

/** Outages, each with when an instance resets orphans: as early as it can. */
const OUTAGES: Record<
  string,
  <T>(server: PostgresServer, reset: () => Promise<T>) => Promise<T>
> = {
  async "was down"(server, reset) {
    await server.kill("SIGKILL");
    await delay(OUTAGE);
    await server.start();
    return await reset();
  },
  async "was frozen"(server, reset) {
    await server.suspend();
    const done = reset();
    await delay(OUTAGE);
    server.resume();
    return await done;
  },
};

for (const [name, outage] of Object.entries(OUTAGES)) {
  Deno.test(`PipelineRunRegistry.withOrphanReset() ends no live run after Postgres ${name} for longer than a lease, but the dead ones (fault 33)`, async () => {
    await using server = await startPostgresServer();
    await using repository = await connectTo(server);
    await using registry = new PipelineRunRegistry({ repository, onWarning });
    await using sweeper = await connectTo(server);
    await using dying = await InstanceProcess.start({
      url: server.url,
      ...LEASE,
    });
    await dying.tell({ do: "hold" });
    const { runId: deadId } = await dying.told("began");
    const { promise: work, resolve: complete } = Promise.withResolvers<void>();
    const live: RunHandle[] = [];
    for (let i = 0; i < 20; i++) {
      live.push(
        await registry.registerBackground({ pipelineName: "live" }, () => work),
      );
    }
    for (const runId of [deadId, ...live.map(({ runId }) => runId)]) {
      for await (const _ of registry.subscribe(runId, { durable: true })) break;
    }
    dying.kill("SIGKILL");

    await using restarted = await outage(
      server,
      () =>
        PipelineRunRegistry.withOrphanReset({ repository: sweeper, onWarning }),
    );

    assertEquals((await restarted.status(deadId))?.phase, {
      name: "Errored",
      code: "orphan",
      message: "server_restart_orphan",
    });
    complete();
    const outcomes = await Promise.all(live.map(({ outcome }) => outcome));
    assertEquals(
      outcomes,
      live.map(({ runId }) => ({
        runId,
        phase: { name: "Completed" },
        durable: true,
      })),
    );
  });
}

Deno.test("PipelineRunRegistry.subscribe() polls again when Postgres answers again (fault 20)", async () => {
  await using server = await startPostgresServer();
  const limits = { statementTimeout: 1_000, pollInterval: 50 };
  await using repository = await connect(server.url, { ...limits, onWarning });
  await using registry = new PipelineRunRegistry({ repository, onWarning });
  const failed = Promise.withResolvers<RegistryWarning>();
  await using other = await connect(server.url, {
    ...limits,
    listener: false,
    onWarning: (warning) => warning.kind === "log" && failed.resolve(warning),
  });
  await using follower = new PipelineRunRegistry({
    repository: other,
    onWarning,
  });
  const { promise: work, resolve: complete } = Promise.withResolvers<void>();
  const { runId, outcome } = await registry.registerBackground(
    { pipelineName: "work" },
    () => work,
  );
  const reader = follower.subscribe(runId).getReader();
  assertEquals((await reader.read()).value?.kind, "Started");
  const last = reader.read();
  await server.suspend();
  const { cause } = await failed.promise;
  assertInstanceOf(cause, RepositoryError);
  assertEquals(cause.message, "Postgres did not answer in 1000 ms");
  complete();
  await assertPending(last, outcome);
  server.resume();
  assertEquals((await last).value?.kind, "Completed");
  assertEquals((await outcome).durable, true);
  assertEquals((await reader.read()).done, true);
});

Deno.test("PostgresPipelineRunRepository.logPipelineRun() waits for a synchronous standby, also when its commit was cancelled", async () => {
  await using server = await startPostgresServer();
  await using repository = await connect(server.url, {
    statementTimeout: 300,
    writeTimeout: 2_000,
    onWarning,
  });
  const sql = postgres(server.url, { max: 1 });
  await sql`alter system set synchronous_standby_names = 'nobody'`;
  await sql`select pg_reload_conf()`;
  const isApplied = async () => {
    const [row] = await sql`show synchronous_standby_names`;
    return row.synchronous_standby_names === "nobody";
  };
  while (!await isApplied());
  const written = repository.logPipelineRun(transition("STARTED"));
  await assertRejects(() => written, RepositoryError, "Nothing was written");
  assertEquals((await repository.listRecent(undefined, 9)).length, 1);
  await sql.end();
  await repository.close({ timeout: 0 });
});
