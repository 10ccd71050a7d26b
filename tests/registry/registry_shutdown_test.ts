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
  type RunLease,
  type RunLog,
  type RunStep,
} from "../../mod.ts";
import { assertPending, runMicrotasks } from "../assert_pending.ts";
import { AnsweredRepository } from "../repository/answered_repository.ts";
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
  OTHER_RUN_ID,
  registerHeld,
  RUN_ID,
  SPEC,
} from "../known_run.ts";
import { recordWarnings } from "./recorded_warnings.ts";

/**
 * A registry in fake time whose repository is answered by the test. Aborts write
 * no rows.
 */
function openAnswered() {
  const time = new FakeTime();
  const repository = new AnsweredRepository();
  const { warnings, onWarning } = recordWarnings();
  const registry = new PipelineRunRegistry({
    repository,
    abortWritesErroredRow: false,
    clock: Date.now,
    onWarning,
  });
  return {
    time,
    repository,
    warnings,
    registry,
    /** Begins to shut down; the timeout runs from here on. */
    async shutDown(timeout: number): Promise<{ down: Promise<void> }> {
      const down = registry.shutdown({ timeout });
      await runMicrotasks();
      return { down };
    },
    [Symbol.dispose]: () => time.restore(),
  };
}

Deno.test("PipelineRunRegistry.shutdown() aborts live runs", async () => {
  const repository = new MemoryPipelineRunRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const { outcome, run } = await registerHeld(registry);
  const { signal } = run;
  await registry.shutdown();
  assertInstanceOf(signal.reason, RegistryShutdownError);
  assertEquals(await outcome, {
    runId: RUN_ID,
    phase: { name: "Errored", code: "shutdown", message: "aborted" },
    durable: true,
  });
  const row = await repository.getPipelineRun(RUN_ID);
  assertEquals(row?.runInfo, {
    data: "None",
    error: "abort",
    code: "shutdown",
  });
});

Deno.test("PipelineRunRegistry.shutdown() closes the streams of live runs after their last event", async () => {
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

Deno.test("PipelineRunRegistry.shutdown() does not change finished runs (fault 47)", async () => {
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({ repository });
  await registry.registerInline(KNOWN, ({ setPayload }) => setPayload("k", 1));
  await registry.shutdown();
  assertEquals(registry.snapshotStatus(RUN_ID), { name: "Completed" });
  assertEquals(await kindsOf(registry, RUN_ID), ["Started", "Completed"]);
  assertEquals(await registry.getPayload(RUN_ID), { k: 1 });
  assertEquals(repository.asked.length, 2);
});

Deno.test("PipelineRunRegistry.shutdown() writes no rows for background runs that finished or were evicted", async () => {
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

Deno.test("PipelineRunRegistry.shutdown() makes registering fail (fault 46)", async () => {
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

Deno.test("PipelineRunRegistry.shutdown() makes registering fail while it is pending (fault 46)", async () => {
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

Deno.test("PipelineRunRegistry.shutdown() makes registering fail for listeners of a run's signal", async () => {
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

Deno.test("PipelineRunRegistry.shutdown() called by a signal's listener waits for the first call", async () => {
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

Deno.test("PipelineRunRegistry.shutdown() makes subscribing to unknown runs fail", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.shutdown();
  assertThrows(() => registry.subscribe(RUN_ID), RegistryShutdownError);
});

Deno.test("PipelineRunRegistry.shutdown() a second time waits for the first call and changes nothing", async () => {
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

Deno.test("PipelineRunRegistry.shutdown() returns by its timeout when the repository does not answer (fault 48)", async () => {
  using time = new FakeTime();
  const repository = new ControlledRepository();
  repository.beforeRow = forever;
  const { warnings, onWarning } = recordWarnings();
  await using registry = new PipelineRunRegistry({
    repository,
    clock: Date.now,
    onWarning,
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

Deno.test("PipelineRunRegistry.shutdown() waits 5 s by default", async () => {
  using time = new FakeTime();
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({
    repository,
    clock: () => 0,
    onWarning: noop,
  });
  await registerHeld(registry);
  repository.beforeRow = forever;
  const rows = repository.asked.length;
  const down = registry.shutdown();
  await assertPending(down);
  time.tick(4_999);
  await assertPending(down);
  time.tick(1);
  await down;
  assertEquals(repository.asked.length, rows + 1);
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
  // Caches the pipeline's id, so that the next run begins within microtasks.
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

Deno.test("PipelineRunRegistry.shutdown() leaves no timer of a run that has not begun yet", async () => {
  const registry = new PipelineRunRegistry();
  const outcome = registry.registerInline(SPEC, noop);
  await registry.shutdown();
  assertEquals((await outcome).phase.name, "Errored");
});

Deno.test("PipelineRunRegistry.shutdown() waits for pending rows", async () => {
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

Deno.test("PipelineRunRegistry.shutdown() returns at once when no row is pending", async () => {
  using opened = openAnswered();
  const { registry, repository } = opened;
  const { complete, outcome } = await registerHeld(registry);
  await repository.acknowledge();
  complete();
  await runMicrotasks();
  await repository.acknowledge();
  assertEquals((await outcome).durable, true);
  await registry.shutdown({ timeout: 1_000_000 });
});

Deno.test("PipelineRunRegistry.shutdown() waits for the pending rows of every run", async () => {
  using opened = openAnswered();
  const { registry, repository, warnings } = opened;
  await registerHeld(registry);
  await registerHeld(registry, { ...SPEC, runId: OTHER_RUN_ID });
  const { down } = await opened.shutDown(1_000);
  const [first, second] = repository.calls;
  first.acknowledge();
  await assertPending(down);
  second.acknowledge();
  await down;
  assertEquals(repository.rows, ["STARTED", "STARTED"]);
  assertEquals(warnings, []);
});

Deno.test("PipelineRunRegistry.shutdown() waits for a row that is retried", async () => {
  using opened = openAnswered();
  const { registry, repository } = opened;
  await registerHeld(registry);
  const { down } = await opened.shutDown(1_000);
  await repository.refuse();
  await assertPending(down);
  await repository.acknowledge();
  await down;
  assertEquals(repository.rows, ["STARTED", "STARTED"]);
});

Deno.test("PipelineRunRegistry.shutdown() returns by its timeout and warns of each run with pending rows (fault 48)", async () => {
  using opened = openAnswered();
  const { registry, repository, time, warnings } = opened;
  const { complete } = await registerHeld(registry);
  complete();
  await runMicrotasks();
  await registerHeld(registry, { ...SPEC, runId: OTHER_RUN_ID });
  assertEquals(repository.rows, ["STARTED", "COMPLETED", "STARTED"]);
  const { down } = await opened.shutDown(1_000);
  time.tick(999);
  await assertPending(down);
  time.tick(1);
  await down;
  assertEquals(
    warnings.map(({ kind, runId }) => ({ kind, runId })),
    [
      { kind: "ending", runId: RUN_ID },
      { kind: "row", runId: RUN_ID },
      { kind: "row", runId: OTHER_RUN_ID },
    ],
  );
  assertEquals(
    warnings.map(({ message }) => message).slice(1),
    [RUN_ID, OTHER_RUN_ID].map((runId) =>
      `Run ${runId} has rows that were not written at shutdown`
    ),
  );
});

Deno.test("PipelineRunRegistry.shutdown() ends the wait for an ending by its timeout", async () => {
  using opened = openAnswered();
  const { registry, time } = opened;
  const { complete, outcome } = await registerHeld(registry);
  complete();
  await runMicrotasks();
  const { down } = await opened.shutDown(1_000);
  await assertPending(outcome);
  time.tick(1_000);
  await down;
  assertEquals(await outcome, {
    runId: RUN_ID,
    phase: { name: "Completed" },
    durable: false,
  });
});

Deno.test("PipelineRunRegistry.shutdown() makes every later refusal final", async () => {
  using opened = openAnswered();
  const { registry, repository, time } = opened;
  await registerHeld(registry);
  const { down } = await opened.shutDown(1_000);
  time.tick(1_000);
  await down;
  await repository.refuse();
  await time.tickAsync(60_000);
  await runMicrotasks();
  assertEquals(repository.rows, ["STARTED"]);
});

Deno.test("PipelineRunRegistry.shutdown() stops retrying by its timeout", async () => {
  using opened = openAnswered();
  const { registry, repository, time } = opened;
  await registerHeld(registry);
  await repository.refuse();
  await repository.refuse();
  const { down } = await opened.shutDown(0);
  time.tick(0);
  await down;
  const sent = repository.calls.length;
  await time.tickAsync(60_000);
  await runMicrotasks();
  assertEquals(repository.calls.length, sent);
});

Deno.test("PipelineRunRegistry.shutdown() can be called by a run's own work", async () => {
  await using registry = new PipelineRunRegistry();
  const { phase } = await registry.registerInline(
    SPEC,
    () => registry.shutdown(),
  );
  assertEquals(phase, {
    name: "Errored",
    code: "shutdown",
    message: "aborted",
  });
});

for (const timeout of [-1, NaN, Infinity, 2 ** 31, "5", 5n, null]) {
  Deno.test(`PipelineRunRegistry.shutdown() refuses ${typeof timeout} ${timeout} as timeout and shuts nothing down`, async () => {
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

Deno.test("PipelineRunRegistry.shutdown() refuses a run whose claim succeeds after its timeout (fault 46)", async () => {
  const claim = Promise.withResolvers<number>();
  const steps: RunStep[] = [];
  let abandoned = 0;
  const lease: Partial<RunLease> = {
    claim: () => claim.promise,
    write: (step) => {
      steps.push(step);
      return Promise.resolve();
    },
    abandon: () => {
      abandoned++;
      return true;
    },
  };
  const runLog: Partial<RunLog> = {
    newId: () => crypto.randomUUID(),
    open: () => lease as RunLease,
  };
  const repository = Object.assign(new MemoryPipelineRunRepository(), {
    runLog: runLog as RunLog,
  });
  const registry = new PipelineRunRegistry({ repository });
  const registered = registry.registerInline(KNOWN, noop);
  const refused = assertRejects(() => registered, RegistryShutdownError);
  await runMicrotasks();
  await registry.shutdown({ timeout: 0 });
  claim.resolve(7);
  await refused;
  await runMicrotasks();
  assertEquals([steps, abandoned], [[], 1]);
  assertEquals(registry.snapshotStatus(RUN_ID), undefined);
});
