import { assertEquals, assertStrictEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { MemoryPipelineRunRepository, PipelineRunRegistry } from "../../mod.ts";
import { assertPending } from "../assert_pending.ts";
import { statuses } from "../repository/controlled_repository.ts";
import {
  kindsOf,
  KNOWN,
  noop,
  registerHeld,
  RUN_ID,
  SPEC,
} from "../known_run.ts";
import { WatchedSignal } from "../watched_signal.ts";

Deno.test("RunSpec.timeout ends the run when it expires", async () => {
  using time = new FakeTime();
  const repository = new MemoryPipelineRunRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const { outcome, run } = await registerHeld(registry, {
    ...KNOWN,
    timeout: 50,
  });
  const { signal } = run;
  time.tick(49);
  await assertPending(outcome);
  time.tick(1);
  const message = "timed out after 50 ms";
  assertEquals(await outcome, {
    runId: RUN_ID,
    phase: { name: "Errored", code: "timeout", message },
    durable: true,
  });
  assertEquals(signal.reason.name, "TimeoutError");
  const row = await repository.getPipelineRun(RUN_ID);
  assertEquals(row?.runInfo, {
    data: "None",
    error: message,
    code: "timeout",
  });
});

Deno.test("RunSpec.timeout writes a row even if aborts write none", async () => {
  using time = new FakeTime();
  const repository = new MemoryPipelineRunRepository();
  await using registry = new PipelineRunRegistry({
    repository,
    abortWritesErroredRow: false,
  });
  const { outcome } = await registerHeld(registry, { ...KNOWN, timeout: 50 });
  time.tick(50);
  assertEquals((await outcome).durable, true);
  assertEquals(await statuses(repository, RUN_ID), ["STARTED", "ERRORED"]);
});

// JavaScript cannot be preempted, as the module doc says.
Deno.test("RunSpec.timeout does not end work that never awaits, and its result counts (fault 15)", async () => {
  await using registry = new PipelineRunRegistry();
  const { phase } = await registry.registerInline(
    { ...KNOWN, timeout: 1 },
    () => {
      const started = performance.now();
      while (performance.now() - started < 10);
    },
  );
  assertEquals(phase, { name: "Completed" });
  assertEquals(await kindsOf(registry, RUN_ID), ["Started", "Completed"]);
});

Deno.test("RunSpec.timeout leaves no timer after the run ended", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline({ ...SPEC, timeout: 2 ** 31 - 1 }, noop);
});

Deno.test("RunSpec.signal aborts the run with its reason", async () => {
  await using registry = new PipelineRunRegistry();
  const controller = new AbortController();
  const { outcome, run } = await registerHeld(registry, {
    ...KNOWN,
    signal: controller.signal,
  });
  const { signal } = run;
  controller.abort(new Error("enough"));
  assertEquals((await outcome).phase, {
    name: "Errored",
    code: "aborted",
    message: "aborted: enough",
  });
  assertStrictEquals(signal.reason, controller.signal.reason);
});

Deno.test("RunSpec.signal without a reason aborts like abort()", async () => {
  const repository = new MemoryPipelineRunRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const controller = new AbortController();
  const { outcome } = await registerHeld(registry, {
    ...KNOWN,
    signal: controller.signal,
  });
  controller.abort();
  assertEquals((await outcome).phase, {
    name: "Errored",
    code: "aborted",
    message: "aborted",
  });
  const row = await repository.getPipelineRun(RUN_ID);
  assertEquals(row?.runInfo?.error, "abort");
});

Deno.test("RunSpec.signal that has fired prevents the call of the work (fault 11)", async () => {
  await using registry = new PipelineRunRegistry();
  let called = false;
  const { phase } = await registry.registerInline(
    { ...KNOWN, signal: AbortSignal.abort("enough") },
    () => {
      called = true;
    },
  );
  assertEquals(phase, {
    name: "Errored",
    code: "aborted",
    message: "aborted: enough",
  });
  assertEquals(called, false);
  assertEquals(await kindsOf(registry, RUN_ID), ["Started", "Errored"]);
});

Deno.test("RunSpec.signal has no listener after the run ended", async () => {
  await using registry = new PipelineRunRegistry();
  const watched = new WatchedSignal();
  const { signal } = watched;
  await registry.registerInline({ ...SPEC, signal }, noop);
  assertEquals(watched.listeners.size, 0);
});

Deno.test("RunSpec.signal does not change a run that has ended", async () => {
  await using registry = new PipelineRunRegistry();
  const controller = new AbortController();
  await registry.registerInline({ ...KNOWN, signal: controller.signal }, noop);
  controller.abort();
  assertEquals(registry.snapshotStatus(RUN_ID), { name: "Completed" });
});

Deno.test("RunSpec.signal aborts with the text of any DOMException but an AbortError", async () => {
  await using registry = new PipelineRunRegistry();
  const reason = new DOMException("too late", "TimeoutError");
  const spec = { ...KNOWN, signal: AbortSignal.abort(reason) };
  const { phase } = await registry.registerInline(spec, noop);
  assertEquals(phase, {
    name: "Errored",
    code: "aborted",
    message: "aborted: too late",
  });
});

Deno.test("RunSpec.signal that has fired leaves no timer of RunSpec.timeout", async () => {
  await using registry = new PipelineRunRegistry();
  const signal = AbortSignal.abort();
  const spec = { ...KNOWN, timeout: 60_000, signal };
  const { phase } = await registry.registerInline(spec, noop);
  assertEquals(phase, { name: "Errored", code: "aborted", message: "aborted" });
});
