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
import { ControlledRepository } from "../repository/controlled_repository.ts";
import {
  eventsOf,
  forever,
  kindsOf,
  KNOWN,
  noop,
  numberedKinds,
  OTHER_RUN_ID,
  registerHeld,
  RUN_ID,
  SPEC,
  SPELLINGS,
} from "../known_run.ts";
import { WatchedSignal } from "../watched_signal.ts";
import { payloadOf } from "../payload_of.ts";

/** Work that yields 1 and 2. */
async function* yieldTwice() {
  yield 1;
  await null;
  yield 2;
}

Deno.test("PipelineRunRegistry.subscribe() waits for a run that is not registered yet", async () => {
  await using registry = new PipelineRunRegistry();
  const kinds = kindsOf(registry, SPELLINGS[1]);
  await assertPending(kinds);
  await registry.registerInline(KNOWN, noop);
  assertEquals(await kinds, [
    "Started",
    "Completed",
  ]);
});

Deno.test("PipelineRunRegistry.subscribe() gives every subscriber every event", async () => {
  await using registry = new PipelineRunRegistry();
  const before = eventsOf(registry, RUN_ID);
  const { outcome } = await registry.registerBackground(KNOWN, yieldTwice);
  const meanwhile = eventsOf(registry, RUN_ID);
  await outcome;
  const afterwards = await eventsOf(registry, RUN_ID);
  assertEquals(numberedKinds(afterwards), [
    "1 Started",
    "2 Yield",
    "3 Yield",
    "4 Completed",
  ]);
  assertEquals(await before, afterwards);
  assertEquals(await meanwhile, afterwards);
});

Deno.test("PipelineRunRegistry.subscribe() gives every event of 500 concurrent runs", async () => {
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

Deno.test("PipelineRunRegistry.subscribe() misses nothing at any turn of a run, before it or after it (fault 4)", async () => {
  const seen: Promise<RunEvent[]>[] = [];
  let lastPhase: string | undefined;
  for (let turns = -20; turns < 100; turns++) {
    await using registry = new PipelineRunRegistry();
    if (turns < 0) seen.push(eventsOf(registry, RUN_ID));
    for (let turn = turns; turn < 0; turn++) await undefined;
    const outcome = registry.registerInline(KNOWN, yieldTwice);
    for (let turn = 0; turn < turns; turn++) await undefined;
    lastPhase = registry.snapshotStatus(RUN_ID)?.name;
    seen.push(eventsOf(registry, RUN_ID));
    await outcome;
  }
  assertEquals(lastPhase, "Completed", "there were turns enough");
  for (const events of await Promise.all(seen)) {
    assertEquals(numberedKinds(events), [
      "1 Started",
      "2 Yield",
      "3 Yield",
      "4 Completed",
    ]);
  }
});

Deno.test("PipelineRunRegistry.subscribe() right after registerBackground() misses nothing", async () => {
  await using registry = new PipelineRunRegistry();
  const { runId } = await registry.registerBackground(SPEC, noop);
  assertEquals(await kindsOf(registry, runId), ["Started", "Completed"]);
});

Deno.test("PipelineRunRegistry.subscribe() replays a finished run from the oldest event held, and reports the others (fault 3)", async () => {
  await using registry = new PipelineRunRegistry({ channelCapacity: 2 });
  await registry.registerInline(KNOWN, yieldTwice);
  const events = await eventsOf(registry, RUN_ID);
  assertEquals(
    events.map(({ kind, seq }) => [kind, seq]),
    [["Lagged", 2], ["Yield", 3], ["Completed", 4]],
  );
  assertEquals(events[0].kind === "Lagged" && events[0].missed, 2);
});

Deno.test("PipelineRunRegistry.subscribe() closes after a lag of its own, though it was late", async () => {
  await using registry = new PipelineRunRegistry({ channelCapacity: 2 });
  const { run, complete } = await registerHeld(registry);
  for (let n = 0; n < 500; n++) run.publish(n);
  const reader = registry.subscribe(RUN_ID).getReader();
  const read = async () => {
    const { done, value } = await reader.read();
    return done ? "done" : value.kind;
  };
  assertEquals([await read(), await read()], ["Lagged", "Yield"]);
  for (let n = 0; n < 5; n++) run.publish(n);
  assertEquals([await read(), await read()], ["Lagged", "done"]);
  complete();
});

Deno.test("PipelineRunRegistry.subscribe() replays a finished run and closes (fault 3)", async () => {
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

Deno.test("PipelineRunRegistry.subscribe() gives only the current attempt", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline(KNOWN, yieldTwice);
  await registry.registerInline(KNOWN, noop);
  assertEquals(await kindsOf(registry, RUN_ID), ["Started", "Completed"]);
});

Deno.test("PipelineRunRegistry.subscribe() accepts any spelling of the run id", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline(KNOWN, noop);
  for (const spelling of SPELLINGS) {
    assertEquals(await kindsOf(registry, spelling), ["Started", "Completed"]);
  }
});

Deno.test("SubscribeOptions.after starts a live run after that event", async () => {
  await using registry = new PipelineRunRegistry();
  const { run, complete } = await registerHeld(registry);
  run.publish(1);
  const events = eventsOf(registry, RUN_ID, { after: 2 });
  run.publish(2);
  complete();
  assertEquals(
    (await events).map((event) => [event.seq, payloadOf(event)]),
    [[3, 2], [4, null]],
  );
});

Deno.test("SubscribeOptions.after starts a finished run after that event", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline(KNOWN, yieldTwice);
  for (const after of [0, 1, 2, 3]) {
    assertEquals(
      (await eventsOf(registry, RUN_ID, { after })).map(({ seq }) => seq),
      [1, 2, 3, 4].slice(after),
    );
  }
});

Deno.test("SubscribeOptions.after closes the stream at once if that event was the last", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline(KNOWN, noop);
  assertEquals(await eventsOf(registry, RUN_ID, { after: 2 }), []);
});

Deno.test("SubscribeOptions.after counts dropped events after it as lag", async () => {
  await using registry = new PipelineRunRegistry({ channelCapacity: 2 });
  await registry.registerInline(KNOWN, yieldTwice);
  const [first, ...rest] = await eventsOf(registry, RUN_ID, {
    after: 1,
    lag: "skip",
  });
  assertEquals(first.kind === "Lagged" && [first.seq, first.missed], [2, 1]);
  assertEquals(rest.map(({ seq }) => seq), [3, 4]);
});

Deno.test("SubscribeOptions.after counts the rest of a former attempt as lag", async () => {
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

Deno.test("SubscribeOptions.after starts a run that is not registered yet after that event", async () => {
  await using registry = new PipelineRunRegistry();
  const events = eventsOf(registry, RUN_ID, { after: 1 });
  await registry.registerInline(KNOWN, noop);
  assertEquals((await events).map(({ seq }) => seq), [2]);
});

/** Subscribes to a run that publishes so many events more than are held. */
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

Deno.test("PipelineRunRegistry.subscribe() does not lag while every event is held", async () => {
  assertEquals(await lagBy(0, {}), [1, 2, 3, 4]);
});

Deno.test("SubscribeOptions.lag closes the stream after Lagged by default", async () => {
  assertEquals(await lagBy(1, {}), ["missed 1"]);
});

Deno.test("SubscribeOptions.lag of close closes the stream after Lagged", async () => {
  assertEquals(await lagBy(3, { lag: "close" }), ["missed 3"]);
});

Deno.test("SubscribeOptions.lag of skip continues after Lagged", async () => {
  assertEquals(await lagBy(1, { lag: "skip" }), ["missed 1", 2, 3, 4, 5]);
});

Deno.test("PipelineRunRegistry.subscribe() reports exactly how many events were missed (fault 1)", async () => {
  assertEquals(
    await lagBy(1_000, { lag: "skip" }),
    ["missed 1000", 1001, 1002, 1003, 1004],
  );
});

Deno.test("PipelineRunRegistry.subscribe() reports lag as Lagged, never as Errored (fault 2)", async () => {
  await using registry = new PipelineRunRegistry({ channelCapacity: 2 });
  const events = registry.subscribe(RUN_ID, { lag: "skip" });
  await registry.registerInline<number>(KNOWN, ({ publish }) => {
    for (let i = 0; i < 10; i++) publish(i);
  });
  const [first, ...rest] = await Array.fromAsync(events);
  assertEquals(first.kind === "Lagged" && first.missed, 10);
  assertEquals(rest.map(({ kind }) => kind), ["Yield", "Completed"]);
});

Deno.test("PipelineRunRegistry.subscribe() lets one reader lag without affecting the others (fault 1)", async () => {
  await using registry = new PipelineRunRegistry({ channelCapacity: 2 });
  const slow = registry.subscribe(RUN_ID, { lag: "skip" });
  const fast = eventsOf(registry, RUN_ID);
  const { run, complete, outcome } = await registerHeld(registry);
  for (let i = 0; i < 10; i++) {
    run.publish(i);
    await runMicrotasks();
  }
  complete();
  const seqs = (await fast).map(({ seq }) => seq);
  assertEquals(seqs, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  assertEquals((await outcome).phase, { name: "Completed" });
  const [lagged, ...held] = await Array.fromAsync(slow);
  assertEquals(lagged.kind === "Lagged" && lagged.missed, 10);
  assertEquals(numberedKinds(held), ["11 Yield", "12 Completed"]);
});

Deno.test("PipelineRunRegistry.subscribe() gives a stream that can be cancelled without ending the run", async () => {
  await using registry = new PipelineRunRegistry();
  const { run, complete, outcome } = await registerHeld(registry);
  const events = registry.subscribe(RUN_ID);
  await events.cancel();
  assertEquals(run.signal.aborted, false);
  complete();
  assertEquals((await outcome).phase, { name: "Completed" });
});

Deno.test("SubscribeOptions.signal errors the stream with its reason", async () => {
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

Deno.test("SubscribeOptions.signal that has fired errors the stream", async () => {
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
  Deno.test(`SubscribeOptions.signal has no listener after its stream was read by ${name}`, async () => {
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

Deno.test("PipelineRunRegistry.subscribe() bounds and frees 10,000 subscriptions to unknown runs without writing rows (fault 40)", async () => {
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

Deno.test("PipelineRunRegistry.subscribe() does not count subscriptions to a run that was registered meanwhile", async () => {
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

Deno.test("PipelineRunRegistry.subscribe() keeps the stream of a run that is evicted", async () => {
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
