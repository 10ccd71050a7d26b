import {
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  MemoryPipelineRunRepository,
  PipelineRunRegistry,
  RegistryShutdownError,
  type RegistryWarning,
} from "../../mod.ts";
import { assertPending } from "../assert_pending.ts";
import {
  ControlledRepository,
  recordingRepository,
  statuses,
} from "../repository/controlled_repository.ts";
import {
  eventsOf,
  forever,
  kindsOf,
  KNOWN,
  noop,
  registerHeld,
  RUN_ID,
  SPEC,
} from "../known_run.ts";

Deno.test("PipelineRunRegistry.shutdown() aborts what is live", async () => {
  const repository = new MemoryPipelineRunRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const { outcome, run } = await registerHeld(registry);
  const { signal } = run;
  await registry.shutdown();
  assertInstanceOf(signal.reason, RegistryShutdownError);
  assertEquals(await outcome, {
    runId: RUN_ID,
    phase: { name: "Errored", message: "aborted" },
    durable: true,
  });
  const row = await repository.getPipelineRun(RUN_ID);
  assertEquals(row?.runInfo, { data: "None", error: "abort" });
});

Deno.test("PipelineRunRegistry.shutdown() closes the streams of live runs behind their last event", async () => {
  await using registry = new PipelineRunRegistry();
  await registerHeld(registry);
  const kinds = kindsOf(registry, RUN_ID);
  await registry.shutdown();
  assertEquals(await kinds, ["Started", "Errored"]);
});

Deno.test("PipelineRunRegistry.shutdown() closes the streams of unknown runs", async () => {
  await using registry = new PipelineRunRegistry();
  const events = eventsOf(registry, RUN_ID);
  await registry.shutdown();
  assertEquals(await events, []);
});

Deno.test("PipelineRunRegistry.shutdown() leaves finished runs as they are", async () => {
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({ repository });
  await registry.registerInline(KNOWN, ({ setPayload }) => setPayload("k", 1));
  await registry.shutdown();
  assertEquals(registry.snapshotStatus(RUN_ID), { name: "Completed" });
  assertEquals(await kindsOf(registry, RUN_ID), ["Started", "Completed"]);
  assertEquals(await registry.getPayload(RUN_ID), { k: 1 });
  assertEquals(repository.asked.length, 2);
});

Deno.test("PipelineRunRegistry.shutdown() makes registering fail", async () => {
  const { repository, calls } = recordingRepository();
  await using registry = new PipelineRunRegistry({ repository });
  await registry.shutdown();
  const work = () => {
    throw new Error("called");
  };
  await assertRejects(
    () => registry.registerInline(KNOWN, work),
    RegistryShutdownError,
  );
  await assertRejects(
    () => registry.registerBackground(KNOWN, work),
    RegistryShutdownError,
  );
  assertEquals(registry.snapshotStatus(RUN_ID), undefined);
  assertEquals(calls, []);
});

Deno.test("PipelineRunRegistry.shutdown() makes registering fail while it is under way", async () => {
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({ repository });
  await registerHeld(registry);
  const row = Promise.withResolvers<void>();
  repository.beforeRow = () => row.promise;
  const down = registry.shutdown();
  await assertRejects(
    () => registry.registerInline(SPEC, noop),
    RegistryShutdownError,
  );
  await assertPending(down);
  row.resolve();
  await down;
});

Deno.test("PipelineRunRegistry.shutdown() makes registering fail for who is told by a signal", async () => {
  await using registry = new PipelineRunRegistry();
  const { run } = await registerHeld(registry);
  const registered = Promise.withResolvers<unknown>();
  run.signal.addEventListener("abort", () => {
    registered.resolve(registry.registerBackground(SPEC, forever));
  });
  await registry.shutdown();
  await assertRejects(
    () => registered.promise as Promise<unknown>,
    RegistryShutdownError,
  );
});

Deno.test("PipelineRunRegistry.shutdown() waits for the first also when a signal's listener calls it", async () => {
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const { run } = await registerHeld(registry);
  const row = Promise.withResolvers<void>();
  repository.beforeRow = () => row.promise;
  const inner = Promise.withResolvers<void>();
  run.signal.addEventListener("abort", () => {
    inner.resolve(registry.shutdown());
  });
  const outer = registry.shutdown();
  await assertPending(outer, inner.promise);
  row.resolve();
  await inner.promise;
  await outer;
});

Deno.test("PipelineRunRegistry.shutdown() makes waiting for unknown runs fail", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.shutdown();
  assertThrows(() => registry.subscribe(RUN_ID), RegistryShutdownError);
});

Deno.test("PipelineRunRegistry.shutdown() a second time waits for the first and changes nothing", async () => {
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({ repository });
  await registerHeld(registry);
  const row = Promise.withResolvers<void>();
  repository.beforeRow = () => row.promise;
  const first = registry.shutdown();
  const second = registry.shutdown({ timeout: 0 });
  await assertPending(first, second);
  row.resolve();
  await first;
  await second;
  await registry.shutdown();
  assertEquals(repository.asked.length, 2);
});

Deno.test("PipelineRunRegistry.shutdown() returns by its timeout when the repository hangs", async () => {
  using time = new FakeTime();
  const repository = new ControlledRepository();
  repository.beforeRow = forever;
  const warnings: RegistryWarning[] = [];
  await using registry = new PipelineRunRegistry({
    repository,
    clock: Date.now,
    onWarning: (warning) => warnings.push(warning),
  });
  const { outcome } = await registerHeld(registry);
  const down = registry.shutdown({ timeout: 100 });
  await assertPending(down, outcome);
  time.tick(99);
  await assertPending(down);
  time.tick(1);
  await down;
  assertEquals((await outcome).durable, false);
  assertEquals(
    new Set(warnings.map(({ runId }) => runId)),
    new Set([RUN_ID]),
  );
});

Deno.test("PipelineRunRegistry.shutdown() returns by its timeout when a run has not begun yet", async () => {
  using time = new FakeTime();
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({
    repository,
    clock: Date.now,
    endingTimeout: 60_000,
    onWarning: noop,
  });
  // Now the pipeline's id is known, and beginning takes no more than microtasks.
  await registry.registerInline(SPEC, noop);
  repository.beforeRow = forever;
  const outcome = registry.registerInline(KNOWN, noop);
  let returned = false;
  const down = registry.shutdown({ timeout: 100 }).then(() => {
    returned = true;
  });
  await time.runMicrotasks();
  await assertPending(down);
  time.tick(100);
  await time.runMicrotasks();
  const returnedInTime = returned;
  time.tick(60_000);
  await down;
  assertEquals(returnedInTime, true);
  assertEquals((await outcome).phase.name, "Errored");
});

Deno.test("PipelineRunRegistry.shutdown() leaves no timer behind a run that has not begun yet", async () => {
  const registry = new PipelineRunRegistry();
  const outcome = registry.registerInline(SPEC, noop);
  await registry.shutdown();
  assertEquals((await outcome).phase.name, "Errored");
});

Deno.test("PipelineRunRegistry.shutdown() waits for rows that are being written", async () => {
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({
    repository,
    abortWritesErroredRow: false,
  });
  const row = Promise.withResolvers<void>();
  repository.beforeRow = () => row.promise;
  await registerHeld(registry);
  const down = registry.shutdown();
  await assertPending(down);
  row.resolve();
  await down;
  assertEquals(await statuses(repository, RUN_ID), ["STARTED"]);
});

Deno.test("PipelineRunRegistry.shutdown() can be called by a run's own work", async () => {
  await using registry = new PipelineRunRegistry();
  const { phase } = await registry.registerInline(
    SPEC,
    () => registry.shutdown(),
  );
  assertEquals(phase, { name: "Errored", message: "aborted" });
});

for (const timeout of [-1, NaN, Infinity, 2 ** 31, "5", 5n, null]) {
  Deno.test(`PipelineRunRegistry.shutdown() refuses ${typeof timeout} ${timeout} as timeout and goes on`, async () => {
    await using registry = new PipelineRunRegistry();
    const error = await assertRejects(
      () => registry.shutdown({ timeout: timeout as number }),
    );
    assertEquals(
      error instanceof RangeError || error instanceof TypeError,
      true,
    );
    await registry.registerInline(SPEC, noop);
  });
}

Deno.test("PipelineRunRegistry is shut down by await using", async () => {
  let left: PipelineRunRegistry;
  let outcome: Promise<unknown>;
  {
    await using registry = new PipelineRunRegistry();
    outcome = (await registerHeld(registry)).outcome;
    left = registry;
  }
  await outcome;
  await assertRejects(
    () => left.registerInline(SPEC, noop),
    RegistryShutdownError,
  );
});
