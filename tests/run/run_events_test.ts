import { assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { PipelineRunRegistry } from "../../mod.ts";
import { RunEvents } from "../../src/run/run_events.ts";
import { assertPending, runMicrotasks } from "../assert_pending.ts";
import {
  eventsOf,
  kindsOf,
  KNOWN,
  noop,
  numberedKinds,
  registerHeld,
  RUN_ID,
  SPEC,
  SPELLINGS,
} from "../known_run.ts";
import { payloadOf } from "../payload_of.ts";

Deno.test("PipelineRunRegistry sets the phase before it publishes the event", async () => {
  await using registry = new PipelineRunRegistry();
  const events = registry.subscribe(RUN_ID);
  const seen = Array.fromAsync(
    events,
    ({ kind }) => [kind, registry.snapshotStatus(RUN_ID)?.name],
  );
  const { complete } = await registerHeld(registry);
  await runMicrotasks();
  complete();
  assertEquals(await seen, [
    ["Started", "Running"],
    ["Completed", "Completed"],
  ]);
});

Deno.test("RunEvent.at is the time by the clock of the instance", async () => {
  using time = new FakeTime(1_000);
  await using registry = new PipelineRunRegistry();
  const { complete, outcome } = await registerHeld(registry);
  time.tick(500);
  complete();
  await outcome;
  assertEquals(
    (await eventsOf(registry, RUN_ID)).map(({ at }) => at.getTime()),
    [1_000, 1_500],
  );
});

Deno.test("RunEvent has its run and a number, and a payload if it is a Yield", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline({ ...SPEC, runId: SPELLINGS[0] }, (run) => {
    run.publish(null);
  });
  const events = await eventsOf(registry, RUN_ID);
  assertEquals(
    events.map((event) => [event.runId, event.seq, "payload" in event]),
    [[RUN_ID, 1, false], [RUN_ID, 2, true], [RUN_ID, 3, false]],
  );
});

Deno.test("RunEvent.seq continues over attempts", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline(KNOWN, async function* () {
    yield 1;
  });
  await registry.registerInline(KNOWN, noop);
  assertEquals(numberedKinds(await eventsOf(registry, RUN_ID)), [
    "4 Started",
    "5 Completed",
  ]);
});

Deno.test("RunEvent.seq continues after an attempt that has expired", async () => {
  await using registry = new PipelineRunRegistry({ finishedRetention: 0 });
  await registry.registerInline(KNOWN, noop);
  await registry.registerInline(KNOWN, noop);
  assertEquals(
    (await eventsOf(registry, RUN_ID)).map(({ seq }) => seq),
    [3, 4],
  );
});

Deno.test("RunEvent of kind Errored has the message of the phase", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline(KNOWN, () => Promise.reject(new Error("boom")));
  const last = (await eventsOf(registry, RUN_ID)).at(-1)!;
  assertEquals(last.kind === "Errored" && last.message, "boom");
});

Deno.test("PipelineRunRegistry.publishAlreadyCompleted() does not end the run", async () => {
  await using registry = new PipelineRunRegistry();
  const { complete } = await registerHeld(registry);
  assertEquals(registry.publishAlreadyCompleted(SPELLINGS[0]), true);
  assertEquals(registry.snapshotStatus(RUN_ID), { name: "Running" });
  complete();
  assertEquals(await kindsOf(registry, RUN_ID), [
    "Started",
    "AlreadyCompleted",
    "Completed",
  ]);
});

Deno.test("PipelineRunRegistry.publishAlreadyCompleted() is false for an unknown run", async () => {
  await using registry = new PipelineRunRegistry();
  assertEquals(registry.publishAlreadyCompleted(RUN_ID), false);
});

Deno.test("PipelineRunRegistry.publishAlreadyCompleted() publishes nothing for a run that has only subscribers", async () => {
  await using registry = new PipelineRunRegistry();
  const events = eventsOf(registry, RUN_ID);
  assertEquals(registry.publishAlreadyCompleted(RUN_ID), false);
  await registry.registerInline(KNOWN, noop);
  assertEquals(numberedKinds(await events), ["1 Started", "2 Completed"]);
});

Deno.test("PipelineRunRegistry.publishAlreadyCompleted() is false for a run that ended", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline(KNOWN, noop);
  assertEquals(registry.publishAlreadyCompleted(RUN_ID), false);
  assertEquals(await kindsOf(registry, RUN_ID), ["Started", "Completed"]);
});

Deno.test("PipelineRunRegistry.publishAlreadyCompleted() never comes before Started", async () => {
  await using registry = new PipelineRunRegistry();
  const outcome = registry.registerInline(KNOWN, noop);
  registry.publishAlreadyCompleted(RUN_ID);
  await outcome;
  assertEquals((await kindsOf(registry, RUN_ID))[0], "Started");
});

/** Registers a run in a registry that publishes one Yield per 100 ms. */
async function throttled() {
  const registry = new PipelineRunRegistry({ yieldThrottle: 100 });
  return { registry, ...await registerHeld(registry) };
}

/** The payloads of the Yields of a run up to its last event. */
async function payloadsOf(registry: PipelineRunRegistry): Promise<unknown[]> {
  return (await eventsOf(registry, RUN_ID))
    .filter(({ kind }) => kind === "Yield")
    .map(payloadOf);
}

Deno.test("PipelineRunRegistryOptions.yieldThrottle publishes the first Yield at once", async () => {
  using _time = new FakeTime();
  const { registry, run } = await throttled();
  await using _registry = registry;
  const reader = registry.subscribe(RUN_ID).getReader();
  await reader.read();
  run.publish(1);
  assertEquals(payloadOf((await reader.read()).value), 1);
  await reader.cancel();
});

Deno.test("PipelineRunRegistryOptions.yieldThrottle publishes the latest Yield when the time is over", async () => {
  using time = new FakeTime();
  const { registry, run, complete } = await throttled();
  await using _registry = registry;
  const reader = registry.subscribe(RUN_ID).getReader();
  for (const payload of [1, 2, 3]) run.publish(payload);
  await reader.read();
  await reader.read();
  const next = reader.read();
  time.tick(99);
  await assertPending(next);
  time.tick(1);
  assertEquals(payloadOf((await next).value), 3);
  await reader.cancel();
  complete();
  assertEquals(await payloadsOf(registry), [1, 3]);
});

Deno.test("PipelineRunRegistryOptions.yieldThrottle applies again after the latest Yield", async () => {
  using time = new FakeTime();
  const { registry, run, complete } = await throttled();
  await using _registry = registry;
  run.publish(1);
  run.publish(2);
  time.tick(100);
  run.publish(3);
  run.publish(4);
  time.tick(100);
  time.tick(100);
  run.publish(5);
  complete();
  assertEquals(await payloadsOf(registry), [1, 2, 4, 5]);
});

Deno.test("PipelineRunRegistryOptions.yieldThrottle publishes the latest Yield before Completed", async () => {
  using _time = new FakeTime();
  const { registry, run, complete } = await throttled();
  await using _registry = registry;
  for (const payload of [1, 2, 3]) run.publish(payload);
  complete();
  assertEquals(await payloadsOf(registry), [1, 3]);
});

Deno.test("PipelineRunRegistryOptions.yieldThrottle publishes the latest Yield before Errored", async () => {
  using _time = new FakeTime();
  const { registry, run } = await throttled();
  await using _registry = registry;
  for (const payload of [1, 2, 3]) run.publish(payload);
  await registry.abort(RUN_ID);
  assertEquals(await payloadsOf(registry), [1, 3]);
});

Deno.test("PipelineRunRegistryOptions.yieldThrottle leaves no timer after the run ended", async () => {
  const { registry, run, complete } = await throttled();
  await using _registry = registry;
  run.publish(1);
  run.publish(2);
  complete();
  assertEquals(await payloadsOf(registry), [1, 2]);
});

Deno.test("PipelineRunRegistryOptions.yieldThrottle publishes the first and the latest of many Yields at once", async () => {
  using _time = new FakeTime();
  await using registry = new PipelineRunRegistry({ yieldThrottle: 1_000 });
  await registry.registerInline<number>(KNOWN, ({ publish }) => {
    for (let i = 0; i < 10; i++) publish(i);
  });
  assertEquals(
    (await eventsOf(registry, RUN_ID)).map(payloadOf),
    [null, 0, 9, null],
  );
});

Deno.test("PipelineRunRegistryOptions.yieldThrottle delays only Yields", async () => {
  using _time = new FakeTime();
  const { registry, run, complete } = await throttled();
  await using _registry = registry;
  run.publish(1);
  registry.publishAlreadyCompleted(RUN_ID);
  registry.publishAlreadyCompleted(RUN_ID);
  complete();
  assertEquals(await kindsOf(registry, RUN_ID), [
    "Started",
    "Yield",
    "AlreadyCompleted",
    "AlreadyCompleted",
    "Completed",
  ]);
});

Deno.test("RunEvents.subscriptions counts those that have not ended", async () => {
  const events = new RunEvents(RUN_ID, 4);
  let ended = 0;
  events.onUnsubscribe = () => ended++;
  const [first] = [events.subscribe({}), events.subscribe({})];
  assertEquals(events.subscriptions, 2);
  await first.cancel();
  assertEquals([events.subscriptions, ended], [1, 1]);
});
