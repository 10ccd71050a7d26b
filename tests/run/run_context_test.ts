import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import {
  type PipelineRunInfo,
  PipelineRunRegistry,
  RepositoryError,
} from "../../mod.ts";
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
import { recordWarnings } from "../registry/recorded_warnings.ts";
import { payloadOf } from "../payload_of.ts";

Deno.test("RunContext.publish() publishes the payload as it is", async () => {
  await using registry = new PipelineRunRegistry({ payloads: "any" });
  const payload = { when: new Date(0), big: 1n };
  await registry.registerInline(KNOWN, ({ publish }) => publish(payload));
  const [, event] = await eventsOf(registry, RUN_ID);
  assertStrictEquals(payloadOf(event), payload);
});

Deno.test("RunContext.publish() does nothing after the end", async () => {
  await using registry = new PipelineRunRegistry();
  const { run } = await registerHeld(registry);
  await registry.abort(RUN_ID);
  run.publish("late");
  assertEquals(await kindsOf(registry, RUN_ID), ["Started", "Errored"]);
});

Deno.test("RunContext.signal has fired if it is read only after the end", async () => {
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

Deno.test("RunContext can be destructured", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline<number>(
    KNOWN,
    async ({ runId, signal, publish, setPayload, watcher }) => {
      publish(1);
      await setPayload("run", runId);
      assertEquals(watcher.runId, runId);
      assertEquals(signal.aborted, false);
    },
  );
  assertEquals(await kindsOf(registry, RUN_ID), [
    "Started",
    "Yield",
    "Completed",
  ]);
  assertEquals(await registry.getPayload(RUN_ID), { run: RUN_ID });
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

Deno.test("RunContext.setPayload() copies the value", async () => {
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
  Deno.test(`RunContext.setPayload() refuses ${name} with a TypeError without ending the run (fault 41)`, async () => {
    const { repository, calls } = recordingRepository();
    await using registry = new PipelineRunRegistry({ repository });
    const { phase } = await registry.registerInline(KNOWN, async (run) => {
      await assertRejects(() => run.setPayload("key", value), TypeError);
    });
    assertEquals(phase, { name: "Completed" });
    assertEquals(calls.includes("setPayloadField"), false);
  });
}

Deno.test("RunContext.setPayload() refuses a key that is not a string", async () => {
  const { repository, calls } = recordingRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const { phase } = await registry.registerInline(KNOWN, async (run) => {
    await assertRejects(
      () => run.setPayload(1 as unknown as string, 1),
      TypeError,
      "key must be a string",
    );
  });
  assertEquals(phase, { name: "Completed" });
  assertEquals(calls.includes("setPayloadField"), false);
});

Deno.test("RunContext.setPayload() bounds the bytes of UTF-8, quotes included (fault 41)", async () => {
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
  Deno.test(`RunContext.setPayload() refuses a value nested ${depth} deep (fault 41)`, async () => {
    const { repository, calls } = recordingRepository();
    await using registry = new PipelineRunRegistry({ repository });
    const { phase } = await registry.registerInline(SPEC, async (run) => {
      await assertRejects(
        () => run.setPayload("key", nested(depth)),
        RangeError,
        "nested at most 500 deep",
      );
    });
    assertEquals(phase, { name: "Completed" });
    assertEquals(calls.includes("setPayloadField"), false);
  });
}

Deno.test("RunContext.setPayload() accepts a value nested 500 deep", async () => {
  await using registry = new PipelineRunRegistry();
  const value = nested(500);
  await registry.registerInline(
    KNOWN,
    ({ setPayload }) => setPayload("key", value),
  );
  assertEquals(await registry.getPayload(RUN_ID), { key: value });
});

Deno.test("RunContext.setPayload() does not count breadth as depth", async () => {
  await using registry = new PipelineRunRegistry();
  const value = Array.from({ length: 1_000 }, () => [{}]);
  await registry.registerInline(
    KNOWN,
    ({ setPayload }) => setPayload("key", value),
  );
  assertEquals(await registry.getPayload(RUN_ID), { key: value });
});

Deno.test("RunContext.setPayload() does not count brackets in text as depth", async () => {
  await using registry = new PipelineRunRegistry();
  const text = '["\\'.repeat(1_000);
  await registry.registerInline(
    KNOWN,
    ({ setPayload }) => setPayload("key", { [text]: text }),
  );
  assertEquals(await registry.getPayload(RUN_ID), { key: { [text]: text } });
});

Deno.test("RunContext.setPayload() replaces characters that a database cannot store", async () => {
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

Deno.test("RunContext.setPayload() warns of a field that was not written without ending the run", async () => {
  const repository = new ControlledRepository();
  const refusal = new RepositoryError("down");
  repository.beforePayload = () => Promise.reject(refusal);
  const { warnings, onWarning } = recordWarnings();
  await using registry = new PipelineRunRegistry({ repository, onWarning });
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

Deno.test("RunContext.watcher adds no rows and no events to those of the run", async () => {
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const reported: PipelineRunInfo = {
    runId: crypto.randomUUID(),
    pipelineId: crypto.randomUUID(),
    pipelineName: "ingest",
    dataIds: [],
    status: "DATASET_PROCESSING_STARTED",
    startedAt: new Date(0),
  };
  await registry.registerInline(KNOWN, async ({ watcher }) => {
    await watcher.onPipelineRunInitiated(reported);
    await watcher.onPipelineRunStarted(reported);
    await watcher.onPipelineRunCompleted(reported, 1);
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
