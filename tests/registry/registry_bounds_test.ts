import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  MemoryPipelineRunRepository,
  PipelineRunRegistry,
  RegistryFullError,
  UnknownRunError,
} from "../../mod.ts";
import { assertPending, runMicrotasks } from "../assert_pending.ts";
import {
  ControlledRepository,
  statuses,
} from "../repository/controlled_repository.ts";
import {
  eventsOf,
  forever,
  KNOWN,
  noop,
  registerHeld,
  RUN_ID,
  SPEC,
} from "../known_run.ts";

// Capacity

Deno.test("PipelineRunRegistry forgets the run that finished first when it is full", async () => {
  await using registry = new PipelineRunRegistry({ maxInMemoryRuns: 3 });
  const [a, b, c] = await Promise.all(
    [1, 2, 3].map(() => registerHeld(registry, SPEC)),
  );
  const held = () =>
    [a, b, c].map(({ runId }) => registry.snapshotStatus(runId)?.name);
  b.complete();
  await b.outcome;
  a.complete();
  await a.outcome;
  assertEquals(held(), ["Completed", "Completed", "Running"]);
  await registerHeld(registry, SPEC);
  assertEquals(held(), ["Completed", undefined, "Running"]);
  await registerHeld(registry, SPEC);
  assertEquals(held(), [undefined, undefined, "Running"]);
});

Deno.test("PipelineRunRegistry refuses a run when it is full of live ones", async () => {
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({
    repository,
    maxInMemoryRuns: 1,
  });
  await registerHeld(registry, SPEC);
  const rows = repository.asked.length;
  let called = false;
  const error = await assertRejects(
    () =>
      registry.registerInline(KNOWN, () => {
        called = true;
      }),
    RegistryFullError,
  );
  await runMicrotasks();
  assertEquals(error.runId, RUN_ID);
  assertEquals(called, false);
  assertEquals(repository.asked.length, rows);
  assertEquals(registry.snapshotStatus(RUN_ID), undefined);
});

Deno.test("PipelineRunRegistry keeps who waits for a run that it refused", async () => {
  await using registry = new PipelineRunRegistry({ maxInMemoryRuns: 1 });
  const { complete, outcome } = await registerHeld(registry, SPEC);
  const events = eventsOf(registry, RUN_ID);
  await assertRejects(
    () => registry.registerInline(KNOWN, noop),
    RegistryFullError,
  );
  complete();
  await outcome;
  await registry.registerInline(KNOWN, noop);
  assertEquals((await events).map(({ kind }) => kind), [
    "Started",
    "Completed",
  ]);
});

Deno.test("PipelineRunRegistry takes as many concurrent registrations as there is room", async () => {
  await using registry = new PipelineRunRegistry({ maxInMemoryRuns: 3 });
  for (let i = 0; i < 2; i++) await registry.registerInline(SPEC, noop);
  const results = await Promise.allSettled(
    Array.from(
      { length: 10 },
      () => registry.registerBackground(SPEC, forever),
    ),
  );
  const refused = results.filter(({ status }) => status === "rejected");
  assertEquals(refused.length, 7);
  for (const { reason } of refused as PromiseRejectedResult[]) {
    assertInstanceOf(reason, RegistryFullError);
  }
});

Deno.test("PipelineRunRegistry forgets no other run for a fresh attempt", async () => {
  await using registry = new PipelineRunRegistry({ maxInMemoryRuns: 2 });
  const { runId } = await registry.registerInline(SPEC, noop);
  await registry.registerInline(KNOWN, noop);
  await registry.registerInline(KNOWN, noop);
  assertEquals(registry.snapshotStatus(runId), { name: "Completed" });
});

Deno.test("PipelineRunRegistry does not forget a fresh attempt for its former one", async () => {
  await using registry = new PipelineRunRegistry({ maxInMemoryRuns: 2 });
  await registry.registerInline(KNOWN, noop);
  await registry.registerInline(SPEC, noop);
  const { run } = await registerHeld(registry);
  await registry.registerInline(SPEC, noop);
  await registry.registerInline(SPEC, noop);
  assertEquals(registry.snapshotStatus(run.runId), { name: "Running" });
});

Deno.test("PipelineRunRegistry puts a fresh attempt behind who finished before it", async () => {
  await using registry = new PipelineRunRegistry({ maxInMemoryRuns: 2 });
  await registry.registerInline(KNOWN, noop);
  const { runId } = await registry.registerInline(SPEC, noop);
  await registry.registerInline(KNOWN, noop);
  await registry.registerInline(SPEC, noop);
  assertEquals(registry.snapshotStatus(runId), undefined);
  assertEquals(registry.snapshotStatus(RUN_ID), { name: "Completed" });
});

Deno.test("PipelineRunRegistry keeps the payload and the rows of a live run, however many runs end meanwhile", async () => {
  const repository = new MemoryPipelineRunRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const { run } = await registerHeld(registry);
  await run.setPayload("key", 1);
  for (let i = 0; i < 5_000; i++) await registry.registerInline(SPEC, noop);
  assertEquals(await registry.getPayload(RUN_ID), { key: 1 });
  assertEquals(await statuses(repository, RUN_ID), ["STARTED"]);
});

// Retention

Deno.test("PipelineRunRegistry.sweep() forgets finished runs whose time is over, and tells how many", async () => {
  let now = 0;
  await using registry = new PipelineRunRegistry({
    clock: () => now,
    finishedRetention: 1_000,
  });
  await registry.registerInline(SPEC, noop);
  await registry.registerInline(SPEC, noop);
  now = 500;
  await registry.registerInline(KNOWN, noop);
  now = 999;
  assertEquals(await registry.sweep(), { evicted: 0, reaped: 0, pruned: 0 });
  now = 1_000;
  assertEquals(await registry.sweep(), { evicted: 2, reaped: 0, pruned: 0 });
  assertEquals(registry.snapshotStatus(RUN_ID), { name: "Completed" });
  now = 1_500;
  assertEquals(await registry.sweep(), { evicted: 1, reaped: 0, pruned: 0 });
  assertEquals(registry.snapshotStatus(RUN_ID), undefined);
});

Deno.test("PipelineRunRegistry.sweep() never forgets a live run", async () => {
  let now = 0;
  await using registry = new PipelineRunRegistry({
    clock: () => now,
    finishedRetention: 1,
  });
  await registerHeld(registry);
  now = Number.MAX_SAFE_INTEGER;
  assertEquals(await registry.sweep(), { evicted: 0, reaped: 0, pruned: 0 });
  assertEquals(registry.snapshotStatus(RUN_ID), { name: "Running" });
});

Deno.test("PipelineRunRegistry.sweep() counts the time from the end of the run", async () => {
  let now = 0;
  await using registry = new PipelineRunRegistry({
    clock: () => now,
    finishedRetention: 1_000,
  });
  const { complete, outcome } = await registerHeld(registry);
  now = 5_000;
  complete();
  await outcome;
  now = 5_999;
  assertEquals(await registry.sweep(), { evicted: 0, reaped: 0, pruned: 0 });
});

Deno.test("PipelineRunRegistry.sweep() gives a fresh attempt its own time", async () => {
  let now = 0;
  await using registry = new PipelineRunRegistry({
    clock: () => now,
    finishedRetention: 1_000,
  });
  await registry.registerInline(KNOWN, noop);
  now = 900;
  await registry.registerInline(KNOWN, noop);
  now = 1_100;
  assertEquals(await registry.sweep(), { evicted: 0, reaped: 0, pruned: 0 });
});

Deno.test("PipelineRunRegistry.sweep() makes a run unknown", async () => {
  await using registry = new PipelineRunRegistry({ finishedRetention: 0 });
  await registry.registerInline(KNOWN, noop);
  await registry.sweep();
  await assertRejects(() => registry.abort(RUN_ID), UnknownRunError);
  assertEquals(registry.watcherFor(RUN_ID), undefined);
  const reader = registry.subscribe(RUN_ID).getReader();
  await assertPending(reader.read());
  await reader.cancel();
});

Deno.test("PipelineRunRegistry.sweep() never forgets when finishedRetention is Infinity", async () => {
  let now = 0;
  await using registry = new PipelineRunRegistry({
    clock: () => now,
    finishedRetention: Infinity,
  });
  await registry.registerInline(SPEC, noop);
  now = Number.MAX_SAFE_INTEGER;
  assertEquals(await registry.sweep(), { evicted: 0, reaped: 0, pruned: 0 });
});

Deno.test("PipelineRunRegistry.sweep() heeds no jump of the wall clock", async () => {
  using time = new FakeTime();
  await using registry = new PipelineRunRegistry();
  await registry.registerInline(KNOWN, noop);
  time.tick(48 * 3_600_000);
  await registry.sweep();
  assertEquals(registry.snapshotStatus(RUN_ID), { name: "Completed" });
});

Deno.test("PipelineRunRegistry forgets runs whose time is over as others are registered", async () => {
  let now = 0;
  await using registry = new PipelineRunRegistry({
    clock: () => now,
    finishedRetention: 1_000,
  });
  await registry.registerInline(KNOWN, noop);
  now = 1_000;
  await registry.registerInline(SPEC, noop);
  assertEquals(registry.snapshotStatus(RUN_ID), undefined);
});
