import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  PipelineRunRegistry,
  type RegistryWarning,
  RepositoryError,
} from "../../mod.ts";
import { assertPending } from "../assert_pending.ts";
import {
  ControlledRepository,
  recordingRepository,
} from "../repository/controlled_repository.ts";
import {
  eventsOf,
  kindsOf,
  KNOWN,
  noop,
  registerHeld,
  RUN_ID,
  SPEC,
} from "../known_run.ts";

// RunContext

Deno.test("RunContext.publish() publishes the payload as it is", async () => {
  await using registry = new PipelineRunRegistry();
  const payload = { when: new Date(0), big: 1n };
  await registry.registerInline(KNOWN, ({ publish }) => publish(payload));
  const [, event] = await eventsOf(registry, RUN_ID);
  assertStrictEquals(event.payload, payload);
});

Deno.test("RunContext.publish() does nothing after the end", async () => {
  await using registry = new PipelineRunRegistry();
  const { run } = await registerHeld(registry);
  await registry.abort(RUN_ID);
  run.publish("late");
  assertEquals(await kindsOf(registry, RUN_ID), ["Started", "Errored"]);
});

Deno.test("RunContext.signal fires for work that asks for it only after the end", async () => {
  await using registry = new PipelineRunRegistry();
  const { run } = await registerHeld(registry);
  await registry.abort(RUN_ID, "enough");
  assertEquals(run.signal.reason, "enough");
});

Deno.test("RunContext.signal is the same each time", async () => {
  await using registry = new PipelineRunRegistry();
  const { run } = await registerHeld(registry);
  assertStrictEquals(run.signal, run.signal);
});

Deno.test("RunContext.setPayload() keeps fields, the last write winning", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline(KNOWN, async ({ setPayload }) => {
    await setPayload("nodes", 1);
    await setPayload("edges", [null, "a", { b: true }]);
    await setPayload("nodes", 2);
  });
  assertEquals(await registry.getPayload(RUN_ID), {
    nodes: 2,
    edges: [null, "a", { b: true }],
  });
});

Deno.test("RunContext.setPayload() keeps the value as it was when it was called", async () => {
  const repository = new ControlledRepository();
  const written = Promise.withResolvers<void>();
  repository.beforePayload = () => written.promise;
  await using registry = new PipelineRunRegistry({ repository });
  await registry.registerInline(KNOWN, async ({ setPayload }) => {
    const value = { list: [1] };
    const set = setPayload("value", value);
    value.list.push(2);
    written.resolve();
    await set;
  });
  assertEquals(await registry.getPayload(RUN_ID), { value: { list: [1] } });
});

Deno.test("RunContext.setPayload() keeps a field called __proto__", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline(
    KNOWN,
    ({ setPayload }) => setPayload("__proto__", { polluted: true }),
  );
  const payload = await registry.getPayload(RUN_ID);
  assertEquals(Object.keys(payload), ["__proto__"]);
  assertEquals("polluted" in payload, false);
});

const cycle: Record<string, unknown> = {};
cycle.self = cycle;
const NOT_JSON: [string, unknown][] = [
  ["a cycle", cycle],
  ["a BigInt", { deep: [1n] }],
  [
    "a throwing getter",
    {
      get value() {
        throw new Error("from the getter");
      },
    },
  ],
  [
    "a getter that throws a RangeError",
    {
      get value() {
        throw new RangeError("from the getter");
      },
    },
  ],
  [
    "a throwing toJSON()",
    {
      toJSON() {
        throw new Error("from toJSON");
      },
    },
  ],
  ["undefined", undefined],
  ["a function", noop],
  ["a symbol", Symbol()],
];
for (const [name, value] of NOT_JSON) {
  Deno.test(`RunContext.setPayload() refuses ${name} with a TypeError and the run goes on`, async () => {
    const { repository, calls } = recordingRepository();
    await using registry = new PipelineRunRegistry({ repository });
    const { phase } = await registry.registerInline(KNOWN, async (run) => {
      await assertRejects(() => run.setPayload("key", value), TypeError);
    });
    assertEquals(phase, { name: "Completed" });
    assertEquals(calls.includes("setPayloadField"), false);
  });
}

Deno.test("RunContext.setPayload() refuses a key that is no string", async () => {
  const { repository, calls } = recordingRepository();
  await using registry = new PipelineRunRegistry({ repository });
  await registry.registerInline(KNOWN, async (run) => {
    await assertRejects(
      () => run.setPayload(1 as unknown as string, 1),
      TypeError,
      "key must be a string",
    );
  });
  assertEquals(calls.includes("setPayloadField"), false);
});

Deno.test("RunContext.setPayload() bounds the bytes of UTF-8, quotes included", async () => {
  const { repository } = recordingRepository();
  await using registry = new PipelineRunRegistry({
    repository,
    maxPayloadBytes: 10,
  });
  const { phase } = await registry.registerInline(KNOWN, async (run) => {
    await run.setPayload("ascii", "12345678");
    await run.setPayload("wide", "🎒🎒");
    await assertRejects(() => run.setPayload("ascii", "123456789"), RangeError);
    await assertRejects(() => run.setPayload("wide", "🎒🎒1"), RangeError);
  });
  assertEquals(phase, { name: "Completed" });
  assertEquals(await registry.getPayload(RUN_ID), {
    ascii: "12345678",
    wide: "🎒🎒",
  });
});

function nested(depth: number): unknown {
  let value: unknown = [];
  for (let level = 1; level < depth; level++) value = [value];
  return value;
}

for (const depth of [501, 100_000]) {
  Deno.test(`RunContext.setPayload() refuses a value nested ${depth} deep`, async () => {
    const { repository, calls } = recordingRepository();
    await using registry = new PipelineRunRegistry({ repository });
    await registry.registerInline(SPEC, async (run) => {
      await assertRejects(
        () => run.setPayload("key", nested(depth)),
        RangeError,
        "nested at most 500 deep",
      );
    });
    assertEquals(calls.includes("setPayloadField"), false);
  });
}

Deno.test("RunContext.setPayload() takes a value nested 500 deep", async () => {
  await using registry = new PipelineRunRegistry();
  const value = nested(500);
  await registry.registerInline(
    KNOWN,
    ({ setPayload }) => setPayload("key", value),
  );
  assertEquals(await registry.getPayload(RUN_ID), { key: value });
});

Deno.test("RunContext.setPayload() does not take breadth for depth", async () => {
  await using registry = new PipelineRunRegistry();
  const value = Array.from({ length: 1_000 }, () => [{}]);
  await registry.registerInline(
    KNOWN,
    ({ setPayload }) => setPayload("key", value),
  );
  assertEquals(await registry.getPayload(RUN_ID), { key: value });
});

Deno.test("RunContext.setPayload() does not take brackets in text for depth", async () => {
  await using registry = new PipelineRunRegistry();
  const text = '["\\'.repeat(1_000);
  await registry.registerInline(
    KNOWN,
    ({ setPayload }) => setPayload("key", { [text]: text }),
  );
  assertEquals(await registry.getPayload(RUN_ID), { key: { [text]: text } });
});

Deno.test("RunContext.setPayload() marks what a database cannot hold", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline(
    KNOWN,
    ({ setPayload }) =>
      setPayload("k\0ey", {
        "n\0ul": "a\0b",
        lone: "\ud800-\udc00",
        pair: "🎒",
        escaped: "\\u0000 \\ud800 \\\\u0000",
      }),
  );
  assertEquals(await registry.getPayload(RUN_ID), {
    "k\ufffdey": {
      "n\ufffdul": "a\ufffdb",
      lone: "\ufffd-\ufffd",
      pair: "🎒",
      escaped: "\\u0000 \\ud800 \\\\u0000",
    },
  });
});

Deno.test("RunContext.setPayload() does nothing after the end", async () => {
  await using registry = new PipelineRunRegistry();
  const { run } = await registerHeld(registry);
  await registry.abort(RUN_ID);
  await run.setPayload("key", 1);
  assertEquals(await registry.getPayload(RUN_ID), {});
});

Deno.test("RunContext.setPayload() tells onWarning of a field that was not written and the run goes on", async () => {
  const repository = new ControlledRepository();
  const refusal = new RepositoryError("down");
  repository.beforePayload = () => Promise.reject(refusal);
  const warnings: RegistryWarning[] = [];
  await using registry = new PipelineRunRegistry({
    repository,
    onWarning: (warning) => warnings.push(warning),
  });
  const { phase } = await registry.registerInline(
    KNOWN,
    ({ setPayload }) => setPayload("key", 1),
  );
  assertEquals(phase, { name: "Completed" });
  assertEquals(
    warnings.map(({ kind, runId, cause }) => ({ kind, runId, cause })),
    [{ kind: "payload", runId: RUN_ID, cause: refusal }],
  );
});

// yieldThrottle

/** Registers a run of a registry that lets one Yield through in 100 ms. */
async function throttled() {
  const registry = new PipelineRunRegistry({ yieldThrottle: 100 });
  return { registry, ...await registerHeld(registry) };
}

async function payloadsOf(registry: PipelineRunRegistry): Promise<unknown[]> {
  return (await eventsOf(registry, RUN_ID))
    .filter(({ kind }) => kind === "Yield")
    .map(({ payload }) => payload);
}

Deno.test("PipelineRunRegistry yieldThrottle lets the first Yield through at once", async () => {
  using _time = new FakeTime();
  const { registry, run } = await throttled();
  await using _registry = registry;
  const reader = registry.subscribe(RUN_ID).getReader();
  await reader.read();
  run.publish(1);
  assertEquals((await reader.read()).value?.payload, 1);
  await reader.cancel();
});

Deno.test("PipelineRunRegistry yieldThrottle lets the latest through when the time is over", async () => {
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
  assertEquals((await next).value?.payload, 3);
  await reader.cancel();
  complete();
  assertEquals(await payloadsOf(registry), [1, 3]);
});

Deno.test("PipelineRunRegistry yieldThrottle holds back again after the latest", async () => {
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

Deno.test("PipelineRunRegistry yieldThrottle lets the latest through before Completed", async () => {
  using _time = new FakeTime();
  const { registry, run, complete } = await throttled();
  await using _registry = registry;
  for (const payload of [1, 2, 3]) run.publish(payload);
  complete();
  assertEquals(await payloadsOf(registry), [1, 3]);
});

Deno.test("PipelineRunRegistry yieldThrottle lets the latest through before Errored", async () => {
  using _time = new FakeTime();
  const { registry, run } = await throttled();
  await using _registry = registry;
  for (const payload of [1, 2, 3]) run.publish(payload);
  await registry.abort(RUN_ID);
  assertEquals(await payloadsOf(registry), [1, 3]);
});

Deno.test("PipelineRunRegistry yieldThrottle leaves no timer behind a run that ended", async () => {
  const { registry, run, complete } = await throttled();
  await using _registry = registry;
  run.publish(1);
  run.publish(2);
  complete();
  assertEquals(await payloadsOf(registry), [1, 2]);
});

Deno.test("PipelineRunRegistry yieldThrottle holds back nothing but Yields", async () => {
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
