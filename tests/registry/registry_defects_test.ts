import {
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  MemoryPipelineRunRepository,
  type PipelineRunInfo,
  PipelineRunRegistry,
  RegistryFullError,
  RegistryShutdownError,
  RepositoryError,
  RunAlreadyActiveError,
  type RunContext,
} from "../../mod.ts";
import { assertPending, runMicrotasks } from "../assert_pending.ts";
import {
  ControlledRepository,
  statuses,
} from "../repository/controlled_repository.ts";

const RUN_ID = "14818e76-a756-5be2-a535-a40479dcbd43";
const DATA_ID = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";
const SPEC = { pipelineName: "ingest" };
const KNOWN = { ...SPEC, runId: RUN_ID };

const noop = () => {};
const forever = () => new Promise<never>(noop);

async function kindsOf(
  registry: PipelineRunRegistry,
  runId: string,
): Promise<string[]> {
  return (await Array.fromAsync(registry.subscribe(runId)))
    .map(({ kind }) => kind);
}

Deno.test("PipelineRunRegistry.snapshotStatus() tells how a run ended that nobody watched", async () => {
  await using registry = new PipelineRunRegistry();
  const { outcome } = await registry.registerBackground(KNOWN, noop);
  await outcome;
  assertEquals(registry.snapshotStatus(RUN_ID), { name: "Completed" });
  await registry.registerInline(KNOWN, () => Promise.reject(new Error("boom")));
  assertEquals(registry.snapshotStatus(RUN_ID), {
    name: "Errored",
    message: "boom",
  });
});

Deno.test("PipelineRunRegistry lets a finished background run make room and shutdown() leaves it alone", async () => {
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({
    repository,
    maxInMemoryRuns: 1,
  });
  for (let i = 0; i < 3; i++) {
    const { outcome } = await registry.registerBackground(SPEC, noop);
    await outcome;
  }
  const rows = repository.asked.length;
  await registry.shutdown();
  assertEquals(repository.asked.length, rows);
});

Deno.test("PipelineRunRegistry.subscribe() to unknown runs costs nothing durable, is bounded and goes with its stream", async () => {
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({
    repository,
    maxInMemoryRuns: 1,
    maxAwaitedSubscriptions: 10_000,
  });
  const subscribe = () => registry.subscribe(crypto.randomUUID());
  const streams = Array.from({ length: 10_000 }, subscribe);
  assertThrows(subscribe, RegistryFullError);
  const { phase } = await registry.registerInline(SPEC, noop);
  assertEquals(phase, { name: "Completed" });
  await Promise.all(streams.splice(0, 5_000).map((stream) => stream.cancel()));
  streams.push(...Array.from({ length: 5_000 }, subscribe));
  await registry.shutdown();
  for (const stream of streams) {
    assertEquals(await Array.fromAsync(stream), []);
  }
  assertEquals(repository.asked.length, 2);
});

Deno.test("PipelineRunRegistry.abort() publishes one last event, however often it is called", async () => {
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({ repository });
  await registry.registerBackground(KNOWN, forever);
  for (let i = 0; i < 3; i++) await registry.abort(RUN_ID);
  assertEquals(await kindsOf(registry, RUN_ID), ["Started", "Errored"]);
  await registry.registerInline(KNOWN, noop);
  await registry.abort(RUN_ID);
  assertEquals(registry.snapshotStatus(RUN_ID), { name: "Completed" });
  assertEquals(await statuses(repository, RUN_ID), [
    "STARTED",
    "ERRORED",
    "STARTED",
    "COMPLETED",
  ]);
});

Deno.test("PipelineRunRegistry.abort() reaches the work of an inline run and drops its late result", async () => {
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const begun = Promise.withResolvers<RunContext>();
  const work = Promise.withResolvers<void>();
  const outcome = registry.registerInline(KNOWN, (run) => {
    begun.resolve(run);
    return work.promise;
  });
  const { signal } = await begun.promise;
  await registry.abort(RUN_ID);
  assertEquals(signal.aborted, true);
  work.resolve();
  await runMicrotasks();
  assertEquals((await outcome).phase, { name: "Errored", message: "aborted" });
  assertEquals(await statuses(repository, RUN_ID), ["STARTED", "ERRORED"]);
});

Deno.test("PipelineRunRegistry.abort() is not lost between registering and the handle", async () => {
  await using registry = new PipelineRunRegistry();
  let called = false;
  const handle = registry.registerBackground(KNOWN, () => {
    called = true;
    return forever();
  });
  await registry.abort(RUN_ID);
  const { phase } = await (await handle).outcome;
  assertEquals(phase, { name: "Errored", message: "aborted" });
  assertEquals(called, false);
});

Deno.test("PipelineRunRegistry ends every run, work that throws or a caller who leaves notwithstanding", async () => {
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const { outcome } = await registry.registerBackground(KNOWN, () => {
    throw undefined;
  });
  await outcome;
  assertEquals(await statuses(repository, RUN_ID), ["STARTED", "ERRORED"]);

  const request = new AbortController();
  const work = Promise.withResolvers<void>();
  const left = await Promise.race([
    registry.registerInline(KNOWN, () => work.promise),
    new Promise((resolve) => {
      request.signal.addEventListener("abort", () => resolve("left"));
      request.abort();
    }),
  ]);
  assertEquals(left, "left");
  work.resolve();
  assertEquals(await kindsOf(registry, RUN_ID), ["Started", "Completed"]);
  assertEquals((await statuses(repository, RUN_ID)).at(-1), "COMPLETED");
});

Deno.test("PipelineRunRegistry refuses a live run id, and that run can still be aborted", async () => {
  await using registry = new PipelineRunRegistry();
  const begun = Promise.withResolvers<RunContext>();
  const { outcome } = await registry.registerBackground(KNOWN, (run) => {
    begun.resolve(run);
    return forever();
  });
  const { signal } = await begun.promise;
  await assertRejects(
    () => registry.registerBackground(KNOWN, noop),
    RunAlreadyActiveError,
  );
  await registry.abort(RUN_ID);
  assertEquals(signal.aborted, true);
  assertEquals((await outcome).phase, { name: "Errored", message: "aborted" });
});

Deno.test("PipelineRunRegistry does not forget a live run whose id had finished before", async () => {
  let now = 0;
  await using registry = new PipelineRunRegistry({
    clock: () => now,
    finishedRetention: 1_000,
    maxInMemoryRuns: 2,
  });
  await registry.registerInline(KNOWN, noop);
  await registry.registerBackground(KNOWN, forever);
  now = 2_000;
  await registry.sweep();
  for (let i = 0; i < 3; i++) await registry.registerInline(SPEC, noop);
  assertEquals(registry.snapshotStatus(RUN_ID), { name: "Running" });
});

Deno.test("PipelineRunRegistry.withOrphanReset() keeps run_info, adds the reason, and resets a run once", async () => {
  const repository = new MemoryPipelineRunRepository();
  await repository.logPipelineRun({
    status: "DATASET_PROCESSING_STARTED",
    pipelineRunId: RUN_ID,
    pipelineName: "ingest",
    pipelineId: crypto.randomUUID(),
    runInfo: { data: [DATA_ID] },
  });
  await using _one = await PipelineRunRegistry.withOrphanReset({ repository });
  await using _two = await PipelineRunRegistry.withOrphanReset({ repository });
  assertEquals(await statuses(repository, RUN_ID), ["STARTED", "ERRORED"]);
  assertEquals((await repository.getPipelineRun(RUN_ID))?.runInfo, {
    data: [DATA_ID],
    error: "server_restart_orphan",
    reason: "server_restart_orphan",
  });
});

Deno.test("PipelineRunRegistry never exceeds its capacity under concurrent registrations", async () => {
  for (const finished of [0, 3, 8]) {
    await using registry = new PipelineRunRegistry({ maxInMemoryRuns: 8 });
    for (let i = 0; i < finished; i++) {
      await registry.registerInline(SPEC, noop);
    }
    const ids = Array.from({ length: 32 }, () => crypto.randomUUID());
    const results = await Promise.allSettled(ids.map((runId, i) => {
      const spec = { ...SPEC, runId };
      return i % 2 === 0
        ? registry.registerBackground(spec, forever)
        : Promise.resolve().then(() =>
          registry.registerBackground(spec, forever)
        );
    }));
    const held = ids.filter((id) => registry.snapshotStatus(id) !== undefined);
    assertEquals(held.length, 8);
    for (const result of results) {
      if (result.status === "fulfilled") continue;
      assertInstanceOf(result.reason, RegistryFullError);
    }
  }
});

Deno.test("PipelineRunRegistry.subscribe() and snapshotStatus() never fail under load", async () => {
  await using registry = new PipelineRunRegistry();
  const ids = Array.from({ length: 500 }, () => crypto.randomUUID());
  const seen = ids.flatMap((runId) => {
    const early = kindsOf(registry, runId);
    void registry.registerInline({ ...SPEC, runId }, async function* () {
      yield 1;
    });
    assertEquals(registry.snapshotStatus(runId) === undefined, false);
    return [early, kindsOf(registry, runId)];
  });
  for (const kinds of await Promise.all(seen)) {
    assertEquals(kinds, ["Started", "Yield", "Completed"]);
  }
});

Deno.test("PipelineRunRegistry.subscribe() replays a finished run to a late subscriber and closes", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline(KNOWN, async function* () {
    yield 1;
  });
  assertEquals(await kindsOf(registry, RUN_ID), [
    "Started",
    "Yield",
    "Completed",
  ]);
});

Deno.test("PipelineRunRegistry publishes Started for inline and background runs alike", async () => {
  await using registry = new PipelineRunRegistry();
  const { runId } = await registry.registerBackground(SPEC, noop);
  await registry.registerInline(KNOWN, noop);
  assertEquals((await kindsOf(registry, runId))[0], "Started");
  assertEquals((await kindsOf(registry, RUN_ID))[0], "Started");
});

Deno.test("PipelineRunRegistry.subscribe() tells of lag as Lagged, never as Errored", async () => {
  await using registry = new PipelineRunRegistry({ channelCapacity: 2 });
  const events = registry.subscribe(RUN_ID, { lag: "skip" });
  await registry.registerInline<number>(KNOWN, ({ publish }) => {
    for (let i = 0; i < 10; i++) publish(i);
  });
  const [first, ...rest] = await Array.fromAsync(events);
  assertEquals(first.kind === "Lagged" && first.missed, 10);
  assertEquals(rest.map(({ kind }) => kind), ["Yield", "Completed"]);
});

Deno.test("PipelineRunRegistry and its watcher write every row and publish every event once", async () => {
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const told: PipelineRunInfo = {
    runId: crypto.randomUUID(),
    pipelineId: crypto.randomUUID(),
    pipelineName: "ingest",
    dataIds: [],
    status: "DATASET_PROCESSING_STARTED",
    startedAt: new Date(0),
  };
  await registry.registerInline(KNOWN, async ({ watcher }) => {
    await watcher.onPipelineRunInitiated(told);
    await watcher.onPipelineRunStarted(told);
    await watcher.onPipelineRunCompleted(told, 1);
  });
  assertEquals(await kindsOf(registry, RUN_ID), ["Started", "Completed"]);
  assertEquals(
    repository.asked.map(({ pipelineRunId, status }) => [
      pipelineRunId,
      status,
    ]),
    [
      [RUN_ID, "DATASET_PROCESSING_STARTED"],
      [RUN_ID, "DATASET_PROCESSING_COMPLETED"],
    ],
  );
});

Deno.test("PipelineRunRegistry cancels first and ends runs in time when the repository hangs", async () => {
  using time = new FakeTime();
  const repository = new ControlledRepository();
  repository.beforeRow = forever;
  await using registry = new PipelineRunRegistry({
    repository,
    clock: Date.now,
    onWarning: noop,
  });
  const begun = Promise.withResolvers<RunContext>();
  const events = Array.fromAsync(registry.subscribe(RUN_ID));
  await registry.registerBackground(KNOWN, (run) => {
    begun.resolve(run);
    return forever();
  });
  const { signal } = await begun.promise;
  const aborted = registry.abort(RUN_ID);
  assertEquals(signal.aborted, true);
  await assertPending(aborted);
  time.tick(5_000);
  await aborted;
  assertEquals((await events).map(({ kind }) => kind), ["Started", "Errored"]);
  const down = registry.shutdown();
  await assertPending(down);
  time.tick(5_000);
  await down;
});

Deno.test("PipelineRunRegistry says that a lost COMPLETED row is not durable and writes it when it can", async () => {
  using time = new FakeTime();
  const repository = new ControlledRepository();
  let down = true;
  repository.beforeRow = ({ status }) => {
    if (down && status === "DATASET_PROCESSING_COMPLETED") {
      throw new RepositoryError("down");
    }
  };
  await using registry = new PipelineRunRegistry({
    repository,
    clock: Date.now,
    onWarning: noop,
  });
  const { outcome } = await registry.registerBackground(KNOWN, noop);
  await time.runMicrotasks();
  time.tick(5_000);
  assertEquals(await outcome, {
    runId: RUN_ID,
    phase: { name: "Completed" },
    durable: false,
  });
  down = false;
  for (let i = 0; i < 2; i++) await time.tickAsync(5_000);
  await time.runMicrotasks();
  assertEquals(await statuses(repository, RUN_ID), ["STARTED", "COMPLETED"]);
  await using _next = await PipelineRunRegistry.withOrphanReset({ repository });
  assertEquals(await statuses(repository, RUN_ID), ["STARTED", "COMPLETED"]);
});

Deno.test("PipelineRunRegistry refuses to register after shutdown()", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.shutdown();
  await assertRejects(
    () => registry.registerInline(KNOWN, noop),
    RegistryShutdownError,
  );
});

Deno.test("PipelineRunRegistry refuses a capacity of 0 and keeps a huge retention by a monotonic clock", async () => {
  assertThrows(
    () => new PipelineRunRegistry({ maxInMemoryRuns: 0 }),
    RangeError,
  );
  assertThrows(
    () => new PipelineRunRegistry({ channelCapacity: 0 }),
    RangeError,
  );
  using time = new FakeTime();
  let now = 0;
  await using registry = new PipelineRunRegistry({
    clock: () => now,
    finishedRetention: Number.MAX_SAFE_INTEGER,
  });
  await registry.registerInline(KNOWN, noop);
  now = 10 * 365 * 24 * 3_600_000;
  await registry.sweep();
  assertEquals(registry.snapshotStatus(RUN_ID), { name: "Completed" });

  await using hourly = new PipelineRunRegistry();
  await hourly.registerInline(KNOWN, noop);
  time.tick(2 * 3_600_000);
  await hourly.sweep();
  assertEquals(hourly.snapshotStatus(RUN_ID), { name: "Completed" });
});

Deno.test("PipelineRunRegistry leaves rows that read back in order within one instant, in bounded listings", async () => {
  using _time = new FakeTime(1_000);
  const repository = new MemoryPipelineRunRepository();
  await using registry = new PipelineRunRegistry({ repository });
  for (let i = 0; i < 3; i++) {
    await registry.registerInline(KNOWN, () => i === 1 && Promise.reject(i));
  }
  const rows = await repository.listRecent(undefined, 5);
  assertEquals(
    rows.map(({ status, createdAt }) => [status, createdAt.getTime()]),
    ["COMPLETED", "STARTED", "ERRORED", "STARTED", "COMPLETED"].map((
      status,
    ) => [`DATASET_PROCESSING_${status}`, 1_000]),
  );
  assertEquals(
    (await repository.getPipelineRun(RUN_ID))?.status,
    "DATASET_PROCESSING_COMPLETED",
  );
  for (const limit of [0, -1, 1.5, Infinity]) {
    await assertRejects(
      () => repository.listRecent(undefined, limit),
      RangeError,
    );
  }
});

Deno.test("PipelineRunRegistry sets taskRunId, throttles Yields and raises RegistryShutdownError", async () => {
  using _time = new FakeTime();
  const repository = new MemoryPipelineRunRepository();
  await using registry = new PipelineRunRegistry({
    repository,
    yieldThrottle: 1_000,
  });
  const { taskRunId, outcome } = await registry.registerBackground<number>(
    KNOWN,
    ({ publish }) => {
      for (let i = 0; i < 10; i++) publish(i);
    },
  );
  await outcome;
  const [, started] = await repository.listRecent(undefined, 2);
  assertEquals(taskRunId, started.id);
  assertEquals(
    (await Array.fromAsync(registry.subscribe(RUN_ID)))
      .map(({ payload }) => payload),
    [null, 0, 9, null],
  );
  const begun = Promise.withResolvers<RunContext>();
  await registry.registerBackground(SPEC, (run) => {
    begun.resolve(run);
    return forever();
  });
  const { signal } = await begun.promise;
  await registry.shutdown();
  assertInstanceOf(signal.reason, RegistryShutdownError);
});
