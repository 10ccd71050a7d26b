import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  PipelineRunRegistry,
  type PipelineRunRegistryOptions,
  type RunSpec,
  type SubscribeOptions,
} from "../../mod.ts";
import { runMicrotasks } from "../assert_pending.ts";
import { recordingRepository } from "../repository/controlled_repository.ts";
import { DATA_ID, KNOWN, noop, RUN_ID, SPEC } from "../known_run.ts";

const INVALID_IDS: unknown[] = [
  "",
  "run 1",
  `${RUN_ID.slice(0, -1)}\0`,
  "a".repeat(1_048_576),
  1,
  null,
];
const ON_RUN_ID: Record<
  string,
  (registry: PipelineRunRegistry, runId: string) => unknown
> = {
  "registerInline()": (registry, runId) =>
    registry.registerInline({ ...SPEC, runId }, noop),
  "registerBackground()": (registry, runId) =>
    registry.registerBackground({ ...SPEC, runId }, noop),
  "subscribe()": (registry, runId) => registry.subscribe(runId),
  "snapshotStatus()": (registry, runId) => registry.snapshotStatus(runId),
  "status()": (registry, runId) => registry.status(runId),
  "abort()": (registry, runId) => registry.abort(runId),
  "getPayload()": (registry, runId) => registry.getPayload(runId),
  "publishAlreadyCompleted()": (registry, runId) =>
    registry.publishAlreadyCompleted(runId),
  "watcherFor()": (registry, runId) => registry.watcherFor(runId),
};
for (const [method, call] of Object.entries(ON_RUN_ID)) {
  Deno.test(`PipelineRunRegistry.${method} refuses an invalid run id before any query (fault 39)`, async () => {
    const { repository, calls } = recordingRepository();
    await using registry = new PipelineRunRegistry({ repository });
    for (const runId of INVALID_IDS) {
      await assertRejects(
        async () => await call(registry, runId as string),
        TypeError,
        "must be a UUID",
      );
    }
    assertEquals(calls, []);
  });
}

const BAD_SPECS: [string, unknown, ErrorConstructor][] = [
  ["no spec", undefined, TypeError],
  ["null for a spec", null, TypeError],
  ["no pipelineName", {}, TypeError],
  ["a number for a pipelineName", { pipelineName: 1 }, TypeError],
  ["an empty pipelineName", { pipelineName: "" }, TypeError],
  ["a NUL in pipelineName", { pipelineName: "a\0" }, TypeError],
  ["a lone surrogate in pipelineName", { pipelineName: "\ud800" }, TypeError],
  ["a pipelineName of 513", { pipelineName: "a".repeat(513) }, RangeError],
  ["a bad datasetId", { datasetId: "no uuid" }, TypeError],
  ["null for a datasetId", { datasetId: null }, TypeError],
  ["a bad data id", { dataIds: [DATA_ID, "no uuid"] }, TypeError],
  ["text for dataIds", { dataIds: DATA_ID }, TypeError],
  ["null for dataIds", { dataIds: null }, TypeError],
  ["an EventTarget for a signal", { signal: new EventTarget() }, TypeError],
  ["an AbortController for a signal", {
    signal: new AbortController(),
  }, TypeError],
  ["a timeout of 0", { timeout: 0 }, RangeError],
  ["a negative timeout", { timeout: -1 }, RangeError],
  ["a timeout of NaN", { timeout: NaN }, RangeError],
  ["a timeout of Infinity", { timeout: Infinity }, RangeError],
  ["a timeout that timers cannot keep", { timeout: 2 ** 31 }, RangeError],
  ["text for a timeout", { timeout: "50" }, TypeError],
  ["a BigInt for a timeout", { timeout: 50n }, TypeError],
];
for (const [name, part, ErrorClass] of BAD_SPECS) {
  Deno.test(`PipelineRunRegistry.registerInline() refuses ${name} and changes nothing`, async () => {
    const { repository, calls } = recordingRepository();
    await using registry = new PipelineRunRegistry({
      repository,
      maxInMemoryRuns: 1,
    });
    const spec = (part && { ...KNOWN, ...part, ...withoutName(part) }) as
      | RunSpec
      | undefined;
    let called = false;
    await assertRejects(
      () =>
        registry.registerInline(spec as RunSpec, () => {
          called = true;
        }),
      ErrorClass,
    );
    await runMicrotasks();
    assertEquals(called, false);
    assertEquals(calls, []);
    assertEquals(registry.snapshotStatus(RUN_ID), undefined);
    const { phase } = await registry.registerInline(SPEC, noop);
    assertEquals(phase, { name: "Completed" });
  });
}

/** Removes the name from an empty spec. */
function withoutName(part: object): { pipelineName?: undefined } {
  return Object.keys(part).length === 0 ? { pipelineName: undefined } : {};
}

Deno.test("PipelineRunRegistry.registerInline() accepts a pipelineName of 512 characters", async () => {
  await using registry = new PipelineRunRegistry();
  const pipelineName = "a".repeat(512);
  const { phase } = await registry.registerInline({ pipelineName }, noop);
  assertEquals(phase, { name: "Completed" });
});

for (const work of [undefined, null, "work", {}, Promise.resolve()]) {
  Deno.test(
    `PipelineRunRegistry.registerInline() refuses ${
      Object.prototype.toString.call(work)
    } for work and changes nothing`,
    async () => {
      const { repository, calls } = recordingRepository();
      await using registry = new PipelineRunRegistry({ repository });
      await assertRejects(
        () => registry.registerInline(KNOWN, work as () => void),
        TypeError,
        "work must be a function",
      );
      assertEquals(calls, []);
      assertEquals(registry.snapshotStatus(RUN_ID), undefined);
    },
  );
}

const BAD_SUBSCRIPTIONS: [string, unknown, ErrorConstructor][] = [
  ["null for options", null, TypeError],
  ["a negative after", { after: -1 }, RangeError],
  ["a fractional after", { after: 1.5 }, RangeError],
  ["an after of NaN", { after: NaN }, RangeError],
  ["an after of Infinity", { after: Infinity }, RangeError],
  ["an unknown lag", { lag: "drop" }, TypeError],
  ["an object for a signal", { signal: {} }, TypeError],
];
for (const [name, options, ErrorClass] of BAD_SUBSCRIPTIONS) {
  Deno.test(`PipelineRunRegistry.subscribe() refuses ${name} and takes no room`, async () => {
    await using registry = new PipelineRunRegistry({
      maxAwaitedSubscriptions: 1,
    });
    assertThrows(
      () => registry.subscribe(RUN_ID, options as SubscribeOptions),
      ErrorClass,
    );
    await registry.subscribe(RUN_ID).cancel();
  });
}

const BAD_OPTIONS: [string, unknown[], ErrorConstructor][] = [
  ["maxInMemoryRuns", [0, -1, 1.5, NaN, -Infinity], RangeError],
  ["maxAwaitedSubscriptions", [0, -1, 1.5, NaN], RangeError],
  ["finishedRetention", [-1, NaN, -Infinity], RangeError],
  ["channelCapacity", [0, -1, 1.5, NaN, Infinity], RangeError],
  ["yieldThrottle", [-1, NaN, Infinity, 2 ** 31], RangeError],
  ["maxPayloadBytes", [0, -1, 1.5, NaN], RangeError],
  ["endingTimeout", [-1, NaN, Infinity, 2 ** 31], RangeError],
  ["finishedRetention", ["1000", 1000n], TypeError],
  ["yieldThrottle", ["1000", 1000n], TypeError],
  ["endingTimeout", ["1000", 1000n], TypeError],
  ["sweeps", [null, "no", 0], TypeError],
  ["onWarning", [null, "warn", {}], TypeError],
  ["clock", [null, 0, new Date(0)], TypeError],
];
for (const [name, values, ErrorClass] of BAD_OPTIONS) {
  Deno.test(`PipelineRunRegistry refuses ${name} ${values.map((value) => `${typeof value} ${value}`).join(", ")} (fault 9)`, () => {
    for (const value of values) {
      assertThrows(
        () =>
          new PipelineRunRegistry(
            { [name]: value } as PipelineRunRegistryOptions,
          ),
        ErrorClass,
        `Cannot create registry: ${name}`,
      );
    }
  });
}

Deno.test("PipelineRunRegistryOptions accept Infinity where it is documented (fault 9)", async () => {
  await using registry = new PipelineRunRegistry({
    maxInMemoryRuns: Infinity,
    maxAwaitedSubscriptions: Infinity,
    finishedRetention: Infinity,
    maxPayloadBytes: Infinity,
  });
  await registry.registerInline(
    KNOWN,
    ({ setPayload }) => setPayload("key", "a".repeat(2 * 1_048_576)),
  );
  assertEquals(Object.keys(await registry.getPayload(RUN_ID)), ["key"]);
});

Deno.test("PipelineRunRegistryOptions accept 0 and fractions where they are documented (fault 9)", async () => {
  let now = 0;
  await using registry = new PipelineRunRegistry({
    finishedRetention: 0.5,
    yieldThrottle: 0,
    endingTimeout: 0.5,
    clock: () => now,
  });
  await registry.registerInline(KNOWN, noop);
  now = 0.4;
  assertEquals((await registry.sweep()).evicted, 0);
  now = 0.5;
  assertEquals((await registry.sweep()).evicted, 1);
  await using forgetful = new PipelineRunRegistry({ finishedRetention: 0 });
  await forgetful.registerInline(KNOWN, noop);
  assertEquals((await forgetful.sweep()).evicted, 1);
});
