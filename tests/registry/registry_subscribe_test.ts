import {
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  PipelineRunRegistry,
  RegistryFullError,
  type RunEvent,
  type SubscribeOptions,
} from "../../mod.ts";
import { assertPending, runMicrotasks } from "../assert_pending.ts";
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
  SPELLINGS,
} from "../known_run.ts";
import { WatchedSignal } from "../watched_signal.ts";

/** The numbers and kinds of events. */
function told(events: RunEvent[]): string[] {
  return events.map(({ seq, kind }) => `${seq} ${kind}`);
}

/** Work that yields 1 and 2. */
async function* yieldTwice() {
  yield 1;
  await null;
  yield 2;
}

Deno.test("PipelineRunRegistry.subscribe() waits for a run that nobody registered yet", async () => {
  await using registry = new PipelineRunRegistry();
  const events = eventsOf(registry, SPELLINGS[1]);
  await assertPending(events);
  await registry.registerInline(KNOWN, noop);
  assertEquals((await events).map(({ kind }) => kind), [
    "Started",
    "Completed",
  ]);
});

Deno.test("PipelineRunRegistry.subscribe() gives every subscriber every event", async () => {
  await using registry = new PipelineRunRegistry();
  const before = eventsOf(registry, RUN_ID);
  const { outcome } = await registry.registerBackground(
    KNOWN,
    yieldTwice,
  );
  const meanwhile = eventsOf(registry, RUN_ID);
  await outcome;
  const afterwards = await eventsOf(registry, RUN_ID);
  assertEquals(told(afterwards), [
    "1 Started",
    "2 Yield",
    "3 Yield",
    "4 Completed",
  ]);
  assertEquals(await before, afterwards);
  assertEquals(await meanwhile, afterwards);
});

Deno.test("PipelineRunRegistry.subscribe() right after registerBackground() misses nothing", async () => {
  await using registry = new PipelineRunRegistry();
  const { runId } = await registry.registerBackground(SPEC, noop);
  assertEquals(await kindsOf(registry, runId), ["Started", "Completed"]);
});

Deno.test("PipelineRunRegistry.subscribe() gives a finished run from the oldest event held, the last among it", async () => {
  await using registry = new PipelineRunRegistry({ channelCapacity: 2 });
  await registry.registerInline(KNOWN, yieldTwice);
  assertEquals(await kindsOf(registry, RUN_ID), ["Yield", "Completed"]);
});

Deno.test("PipelineRunRegistry.subscribe() gives the current attempt only", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline(KNOWN, yieldTwice);
  await registry.registerInline(KNOWN, noop);
  assertEquals(await kindsOf(registry, RUN_ID), ["Started", "Completed"]);
});

Deno.test("PipelineRunRegistry.subscribe() understands any spelling of the run id", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline(KNOWN, noop);
  for (const spelling of SPELLINGS) {
    assertEquals(await kindsOf(registry, spelling), ["Started", "Completed"]);
  }
});

Deno.test("PipelineRunRegistry.subscribe() gives a live run from what follows seq n", async () => {
  await using registry = new PipelineRunRegistry();
  const { run, complete } = await registerHeld(registry);
  run.publish(1);
  const events = eventsOf(registry, RUN_ID, { after: 2 });
  run.publish(2);
  complete();
  assertEquals(
    (await events).map(({ seq, payload }) => [seq, payload]),
    [[3, 2], [4, null]],
  );
});

Deno.test("PipelineRunRegistry.subscribe() gives a finished run from what follows seq n", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline(KNOWN, yieldTwice);
  for (const after of [0, 1, 2, 3]) {
    assertEquals(
      (await eventsOf(registry, RUN_ID, { after })).map(({ seq }) => seq),
      [1, 2, 3, 4].slice(after),
    );
  }
});

Deno.test("PipelineRunRegistry.subscribe() closes at once when seq n was the last", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline(KNOWN, noop);
  assertEquals(await eventsOf(registry, RUN_ID, { after: 2 }), []);
});

Deno.test("PipelineRunRegistry.subscribe() counts what follows seq n and is gone as lag", async () => {
  await using registry = new PipelineRunRegistry({ channelCapacity: 2 });
  await registry.registerInline(KNOWN, yieldTwice);
  const [first, ...rest] = await eventsOf(registry, RUN_ID, {
    after: 1,
    lag: "skip",
  });
  assertEquals(first.kind === "Lagged" && [first.seq, first.missed], [2, 1]);
  assertEquals(rest.map(({ seq }) => seq), [3, 4]);
});

Deno.test("PipelineRunRegistry.subscribe() counts what follows seq n of a former attempt as lag", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline(KNOWN, yieldTwice);
  await registry.registerInline(KNOWN, noop);
  const [first, ...rest] = await eventsOf(registry, RUN_ID, {
    after: 1,
    lag: "skip",
  });
  assertEquals(first.kind === "Lagged" && [first.seq, first.missed], [4, 3]);
  assertEquals(rest.map(({ seq }) => seq), [5, 6]);
});

Deno.test("PipelineRunRegistry.subscribe() gives what follows seq n of a run that is waited for", async () => {
  await using registry = new PipelineRunRegistry();
  const events = eventsOf(registry, RUN_ID, { after: 1 });
  await registry.registerInline(KNOWN, noop);
  assertEquals((await events).map(({ seq }) => seq), [2]);
});

/** Subscribes, then lets a run publish so many more events than are held. */
async function lagBy(excess: number, options: SubscribeOptions) {
  await using registry = new PipelineRunRegistry({ channelCapacity: 4 });
  const events = registry.subscribe<number>(RUN_ID, options);
  await registry.registerInline<number>(KNOWN, ({ publish }) => {
    for (let i = 0; i < 4 + excess - 2; i++) publish(i);
  });
  return (await Array.fromAsync(events)).map((event) =>
    event.kind === "Lagged" ? `missed ${event.missed}` : event.seq
  );
}

Deno.test("PipelineRunRegistry.subscribe() does not lag by exactly what is held", async () => {
  assertEquals(await lagBy(0, {}), [1, 2, 3, 4]);
});

Deno.test("PipelineRunRegistry.subscribe() closes after Lagged by default", async () => {
  assertEquals(await lagBy(1, {}), ["missed 1"]);
});

Deno.test("PipelineRunRegistry.subscribe() closes after Lagged when told to", async () => {
  assertEquals(await lagBy(3, { lag: "close" }), ["missed 3"]);
});

Deno.test("PipelineRunRegistry.subscribe() goes on after Lagged when told to skip", async () => {
  assertEquals(await lagBy(1, { lag: "skip" }), ["missed 1", 2, 3, 4, 5]);
});

Deno.test("PipelineRunRegistry.subscribe() reports exactly as many as were not delivered", async () => {
  assertEquals(
    await lagBy(1_000, { lag: "skip" }),
    ["missed 1000", 1001, 1002, 1003, 1004],
  );
});

Deno.test("PipelineRunRegistry.subscribe() lets a reader lag without touching the others", async () => {
  await using registry = new PipelineRunRegistry({ channelCapacity: 2 });
  const slow = registry.subscribe(RUN_ID);
  const fast = eventsOf(registry, RUN_ID);
  const { run, complete } = await registerHeld(registry);
  for (let i = 0; i < 10; i++) {
    run.publish(i);
    await runMicrotasks();
  }
  complete();
  assertEquals((await fast).map(({ seq }) => seq), [
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    11,
    12,
  ]);
  await slow.cancel();
});

Deno.test("PipelineRunRegistry.subscribe() gives a stream whose cancelling leaves the run alone", async () => {
  await using registry = new PipelineRunRegistry();
  const { run, complete, outcome } = await registerHeld(registry);
  const events = registry.subscribe(RUN_ID);
  await events.cancel();
  assertEquals(run.signal.aborted, false);
  complete();
  assertEquals((await outcome).phase, { name: "Completed" });
});

Deno.test("PipelineRunRegistry.subscribe() errors the stream with the reason of its signal", async () => {
  await using registry = new PipelineRunRegistry();
  const { complete, outcome } = await registerHeld(registry);
  const controller = new AbortController();
  const reader = registry.subscribe(RUN_ID, { signal: controller.signal })
    .getReader();
  await reader.read();
  const next = reader.read();
  await assertPending(next);
  const reason = new Error("gone");
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => next), reason);
  complete();
  assertEquals((await outcome).phase, { name: "Completed" });
});

Deno.test("PipelineRunRegistry.subscribe() errors the stream of a signal that has fired", async () => {
  await using registry = new PipelineRunRegistry();
  const reason = new Error("gone");
  const signal = AbortSignal.abort(reason);
  for (const runId of [RUN_ID, OTHER_RUN_ID]) {
    await registry.registerInline(KNOWN, noop);
    assertStrictEquals(
      await assertRejects(() => eventsOf(registry, runId, { signal })),
      reason,
    );
  }
});

const READERS: Record<
  string,
  (events: ReadableStream<RunEvent>) => Promise<unknown>
> = {
  "for await": (events) => Array.fromAsync(events),
  "pipeTo()": (events) => events.pipeTo(new WritableStream()),
};
for (const [name, read] of Object.entries(READERS)) {
  Deno.test(`PipelineRunRegistry.subscribe() leaves no listener on the signal of a stream read by ${name}`, async () => {
    await using registry = new PipelineRunRegistry();
    await registry.registerInline(KNOWN, noop);
    const watched = new WatchedSignal();
    const { signal } = watched;
    await read(registry.subscribe(RUN_ID, { signal }));
    assertEquals(watched.listeners.size, 0);
  });
}

const WAYS_TO_LEAVE: Record<
  string,
  (events: ReadableStream, controller: AbortController) => unknown
> = {
  "is cancelled": (events) => events.cancel(),
  "is left by break": async (events) => {
    const iterator = events.values();
    const next = iterator.next();
    await iterator.return!();
    await next;
  },
  "has its signal fired": (_, controller) => controller.abort(),
};
for (const [name, leave] of Object.entries(WAYS_TO_LEAVE)) {
  Deno.test(`PipelineRunRegistry.subscribe() forgets an unknown run when its last stream ${name}`, async () => {
    await using registry = new PipelineRunRegistry({
      maxAwaitedSubscriptions: 2,
    });
    const controller = new AbortController();
    const { signal } = controller;
    const kept = registry.subscribe(OTHER_RUN_ID);
    for (let i = 0; i < 3; i++) {
      await leave(registry.subscribe(RUN_ID, { signal }), controller);
    }
    await kept.cancel();
  });
}

Deno.test("PipelineRunRegistry.subscribe() bounds the subscriptions to unknown runs", async () => {
  await using registry = new PipelineRunRegistry({
    maxAwaitedSubscriptions: 2,
  });
  const streams = [registry.subscribe(RUN_ID), registry.subscribe(RUN_ID)];
  const error = assertThrows(
    () => registry.subscribe(OTHER_RUN_ID),
    RegistryFullError,
  );
  assertEquals(error.runId, OTHER_RUN_ID);
  for (const stream of streams) await stream.cancel();
});

Deno.test("PipelineRunRegistry.subscribe() counts no subscription to a run that was registered meanwhile", async () => {
  await using registry = new PipelineRunRegistry({
    maxAwaitedSubscriptions: 1,
  });
  const first = registry.subscribe(RUN_ID);
  await registry.registerInline(KNOWN, noop);
  const second = registry.subscribe(OTHER_RUN_ID);
  await first.cancel();
  assertThrows(
    () => registry.subscribe(crypto.randomUUID()),
    RegistryFullError,
  );
  await second.cancel();
});

Deno.test("PipelineRunRegistry.subscribe() to an unknown run takes no room from runs", async () => {
  await using registry = new PipelineRunRegistry({ maxInMemoryRuns: 1 });
  const streams = [RUN_ID, OTHER_RUN_ID].map((id) => registry.subscribe(id));
  await registry.registerBackground(SPEC, forever);
  for (const stream of streams) await stream.cancel();
});

Deno.test("PipelineRunRegistry.subscribe() keeps its stream when its run is forgotten", async () => {
  await using registry = new PipelineRunRegistry({ maxInMemoryRuns: 1 });
  await registry.registerInline(KNOWN, noop);
  const events = registry.subscribe(RUN_ID);
  await registry.registerInline(SPEC, noop);
  assertEquals(registry.snapshotStatus(RUN_ID), undefined);
  assertEquals(
    (await Array.fromAsync(events)).map(({ kind }) => kind),
    ["Started", "Completed"],
  );
});
