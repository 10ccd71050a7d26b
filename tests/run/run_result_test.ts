import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  PipelineRunRegistry,
  type RegistryWarning,
  type RunContext,
} from "../../mod.ts";
import { eventsOf, KNOWN, RUN_ID } from "../known_run.ts";
import { payloadOf } from "../payload_of.ts";
import { recordWarnings } from "../registry/recorded_warnings.ts";

Deno.test("PipelineRunRegistry.getResult() gives what the work returned, until the run goes on", async () => {
  await using registry = new PipelineRunRegistry();
  assertEquals(await registry.getResult(RUN_ID), undefined);
  await registry.registerInline(KNOWN, () => ({ chunks: 12 }));
  assertEquals(await registry.getResult(RUN_ID), { value: { chunks: 12 } });
  await registry.registerInline(KNOWN, () => {});
  assertEquals(await registry.getResult(RUN_ID), undefined);
  await assertRejects(() => registry.getResult("7"), TypeError, "runId");
});

for (
  const [name, result, error] of [
    ["a Map-like object", new Date(0), "received a Date"],
    ["a number that is none", { rows: [1, NaN] }, "it.rows[1] must be JSON"],
    ["too much", "x".repeat(100), "at most 100 bytes"],
  ] as const
) {
  Deno.test(`RunOutcome.resultError says why the result is not stored: ${name}`, async () => {
    const { warnings, onWarning } = recordWarnings();
    await using registry = new PipelineRunRegistry({
      onWarning,
      maxPayloadBytes: 100,
    });
    const outcome = await registry.registerInline(KNOWN, () => result);
    assertEquals(outcome.phase, { name: "Completed" });
    assertEquals([outcome.durable, outcome.result], [true, result]);
    assertEquals(outcome.resultError?.includes(error), true);
    assertEquals(await registry.getResult(RUN_ID), {
      error: outcome.resultError!,
    });
    assertEquals(warnings.map(({ kind }) => kind), ["result"]);
  });
}

Deno.test("RunOutcome has no result of a run that failed", async () => {
  await using registry = new PipelineRunRegistry({ onWarning: () => {} });
  const outcome = await registry.registerInline(KNOWN, async function* () {
    yield 1;
    await registry.abort(RUN_ID);
    return "late";
  });
  assertEquals("result" in outcome, false);
  assertEquals(await registry.getResult(RUN_ID), undefined);
});

Deno.test("PipelineRunRegistry.registerInline() fails if the work returns a function", async () => {
  await using registry = new PipelineRunRegistry({ onWarning: () => {} });
  const work = (() => async function* () {}) as unknown as () => void;
  const { phase } = await registry.registerInline(KNOWN, work);
  assertEquals({ ...phase }, {
    name: "Errored",
    code: "work",
    message:
      "Cannot run work: it must return a result or an iterable, received a function",
    errorName: "TypeError",
  });
});

Deno.test("PipelineRunRegistry.registerInline() takes an array and a text for results", async () => {
  await using registry = new PipelineRunRegistry();
  for (const result of [["a", "b"], "ab"]) {
    const outcome = await registry.registerInline(KNOWN, () => result);
    assertEquals(outcome.result, result);
    assertEquals((await eventsOf(registry, RUN_ID)).length, 2);
  }
});

Deno.test("RegistryWarning has what the work threw, once, and viewers do not get it", async () => {
  const warnings: RegistryWarning[] = [];
  await using registry = new PipelineRunRegistry({
    onWarning: (warning) => warnings.push(warning),
  });
  const cause = new TypeError("boom", { cause: new Error("secret") });
  const { phase } = await registry.registerInline(KNOWN, () => {
    throw cause;
  });
  assertEquals(warnings.map(({ kind, runId }) => [kind, runId]), [
    ["work", RUN_ID],
  ]);
  assertEquals(warnings[0].cause, cause);
  assertEquals(phase.name === "Errored" && phase.cause, cause);
  assertEquals(
    JSON.stringify(phase),
    '{"name":"Errored","code":"work","message":"boom","errorName":"TypeError"}',
  );
  const last = (await eventsOf(registry, RUN_ID)).at(-1)!;
  assertEquals("cause" in last, false);
  const kept = registry.snapshotStatus(RUN_ID)!;
  assertEquals("cause" in kept, false);
});

Deno.test("RunFailure tells an error that says that it was aborted from an abort", async () => {
  await using registry = new PipelineRunRegistry({ onWarning: () => {} });
  const { phase } = await registry.registerInline(KNOWN, () => {
    throw new Error("aborted: fake");
  });
  assertEquals({ ...phase }, {
    name: "Errored",
    code: "work",
    message: "aborted: fake",
  });
});

Deno.test("RunFailure is the same in the row, the event and the outcome", async () => {
  const endings: [string, (run: RunContext) => unknown][] = [
    ["work", () => {
      throw new RangeError("boom");
    }],
    ["aborted", ({ runId }) => registry.abort(runId)],
    ["aborted", ({ runId }) => registry.abort(runId, "enough")],
    ["timeout", () => new Promise(() => {})],
    ["shutdown", () => void registry.shutdown()],
  ];
  await using registry = new PipelineRunRegistry({ onWarning: () => {} });
  for (const [code, end] of endings) {
    const timeout = code === "timeout" ? 1 : undefined;
    const { runId, phase } = await registry.registerInline(
      { pipelineName: "ends", timeout },
      async (run) => {
        await end(run);
        await new Promise(() => {});
      },
    );
    const { row } = (await registry.status(runId))!;
    const [event] = (await eventsOf(registry, runId)).slice(-1);
    if (event.kind !== "Errored") throw new Error(`${event.kind} at the end`);
    const { message, name: errorName } = event;
    const failure = errorName === undefined
      ? { name: "Errored", code, message }
      : { name: "Errored", code, message, errorName };
    assertEquals({ ...phase }, failure as typeof phase);
    // Another registry has only the row.
    await using reader = new PipelineRunRegistry({
      repository: registry.repository,
    });
    assertEquals((await reader.status(runId))?.phase, failure as typeof phase);
    assertEquals(row?.runInfo?.code, code === "work" ? undefined : event.code);
  }
});

for (
  const [name, payload, found] of [
    ["a Map", { a: new Map() }, "payload.a must be JSON, received a Map"],
    ["NaN", [1, NaN], "payload[1] must be JSON, received NaN"],
    ["bytes", new Uint8Array(1), "payload must be JSON, received a Uint8Array"],
    [
      "a BigInt",
      { b: { c: 10n } },
      "payload.b.c must be JSON, received bigint",
    ],
    ["undefined", undefined, "payload must be JSON, received undefined"],
  ] as const
) {
  Deno.test(`RunContext.publish() refuses ${name}, though nothing stores it, unless payloads is any`, async () => {
    for (const payloads of ["json", "any"] as const) {
      await using registry = new PipelineRunRegistry({ payloads });
      await registry.registerInline(KNOWN, ({ publish }) => {
        if (payloads === "any") return publish(payload);
        assertThrows(() => publish(payload), TypeError, found);
      });
      const events = await eventsOf(registry, RUN_ID);
      assertEquals(
        events.filter(({ kind }) => kind === "Yield").map(payloadOf),
        payloads === "any" ? [payload] : [],
      );
    }
  });
}
