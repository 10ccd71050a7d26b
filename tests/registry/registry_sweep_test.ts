import { assertEquals, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { PipelineRunRegistry, UnknownRunError } from "../../mod.ts";
import { assertPending } from "../assert_pending.ts";
import { KNOWN, noop, registerHeld, RUN_ID, SPEC } from "../known_run.ts";

/** A registry and its clock, which a test sets. */
function openClocked(finishedRetention: number) {
  const clock = { now: 0 };
  const registry = new PipelineRunRegistry({
    clock: () => clock.now,
    finishedRetention,
  });
  return { registry, clock };
}

Deno.test("PipelineRunRegistry.sweep() evicts expired runs and reports how many", async () => {
  const { registry, clock } = openClocked(1_000);
  await using _registry = registry;
  await registry.registerInline(SPEC, noop);
  await registry.registerInline(SPEC, noop);
  clock.now = 500;
  await registry.registerInline(KNOWN, noop);
  clock.now = 999;
  assertEquals(await registry.sweep(), { evicted: 0, reaped: 0, pruned: 0 });
  clock.now = 1_000;
  assertEquals(await registry.sweep(), { evicted: 2, reaped: 0, pruned: 0 });
  assertEquals(registry.snapshotStatus(RUN_ID), { name: "Completed" });
  clock.now = 1_500;
  assertEquals(await registry.sweep(), { evicted: 1, reaped: 0, pruned: 0 });
  assertEquals(registry.snapshotStatus(RUN_ID), undefined);
});

Deno.test("PipelineRunRegistry.sweep() never evicts a live run", async () => {
  const { registry, clock } = openClocked(1);
  await using _registry = registry;
  await registerHeld(registry);
  clock.now = Number.MAX_SAFE_INTEGER;
  assertEquals(await registry.sweep(), { evicted: 0, reaped: 0, pruned: 0 });
  assertEquals(registry.snapshotStatus(RUN_ID), { name: "Running" });
});

Deno.test("PipelineRunRegistry.sweep() counts the retention from the end of the run", async () => {
  const { registry, clock } = openClocked(1_000);
  await using _registry = registry;
  const { complete, outcome } = await registerHeld(registry);
  clock.now = 5_000;
  complete();
  await outcome;
  clock.now = 5_999;
  assertEquals(await registry.sweep(), { evicted: 0, reaped: 0, pruned: 0 });
});

Deno.test("PipelineRunRegistry.sweep() gives a fresh attempt its own retention", async () => {
  const { registry, clock } = openClocked(1_000);
  await using _registry = registry;
  await registry.registerInline(KNOWN, noop);
  clock.now = 900;
  await registry.registerInline(KNOWN, noop);
  clock.now = 1_100;
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

Deno.test("PipelineRunRegistry.sweep() never evicts if finishedRetention is Infinity", async () => {
  const { registry, clock } = openClocked(Infinity);
  await using _registry = registry;
  await registry.registerInline(SPEC, noop);
  clock.now = Number.MAX_SAFE_INTEGER;
  assertEquals(await registry.sweep(), { evicted: 0, reaped: 0, pruned: 0 });
});

Deno.test("PipelineRunRegistry.sweep() keeps a finished run for a finishedRetention of Number.MAX_SAFE_INTEGER", async () => {
  const { registry, clock } = openClocked(Number.MAX_SAFE_INTEGER);
  await using _registry = registry;
  await registry.registerInline(KNOWN, noop);
  clock.now = 10 * 365 * 24 * 3_600_000;
  await registry.sweep();
  assertEquals(registry.snapshotStatus(RUN_ID), { name: "Completed" });
});

Deno.test("PipelineRunRegistry.sweep() ignores jumps of the wall clock", async () => {
  using time = new FakeTime();
  await using registry = new PipelineRunRegistry();
  await registry.registerInline(KNOWN, noop);
  time.tick(48 * 3_600_000);
  await registry.sweep();
  assertEquals(registry.snapshotStatus(RUN_ID), { name: "Completed" });
});

Deno.test("PipelineRunRegistry evicts runs that had expired when another finished, once one is registered", async () => {
  const { registry, clock } = openClocked(1_000);
  await using _registry = registry;
  await registry.registerInline(KNOWN, noop);
  clock.now = 999;
  await registry.registerInline(SPEC, noop);
  clock.now = 1_000;
  await registry.registerInline(SPEC, noop);
  assertEquals(registry.snapshotStatus(RUN_ID), { name: "Completed" });
  await registry.registerInline(SPEC, noop);
  assertEquals(registry.snapshotStatus(RUN_ID), undefined);
});
