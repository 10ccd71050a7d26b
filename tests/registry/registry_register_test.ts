import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertNotEquals,
  assertRejects,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  MemoryPipelineRunRepository,
  PipelineRunRegistry,
  RunAlreadyActiveError,
} from "../../mod.ts";
import { assertPending, runMicrotasks } from "../assert_pending.ts";
import {
  ControlledRepository,
  statuses,
} from "../repository/controlled_repository.ts";
import {
  DATA_ID,
  DATASET_ID,
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

Deno.test("PipelineRunRegistry.registerInline() gives the outcome of plain work", async () => {
  await using registry = new PipelineRunRegistry();
  assertEquals(await registry.registerInline(KNOWN, () => 1), {
    runId: RUN_ID,
    phase: { name: "Completed" },
    durable: true,
    result: 1,
  });
});

Deno.test("PipelineRunRegistry.registerInline() waits for async work", async () => {
  await using registry = new PipelineRunRegistry();
  const work = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const outcome = registry.registerInline(SPEC, () => {
    begun.resolve();
    return work.promise;
  });
  await begun.promise;
  await assertPending(outcome);
  work.resolve();
  assertEquals((await outcome).phase, { name: "Completed" });
});

Deno.test("PipelineRunRegistry.registerInline() generates a random UUID by default", async () => {
  await using registry = new PipelineRunRegistry();
  const one = await registry.registerInline(SPEC, noop);
  const two = await registry.registerInline(SPEC, noop);
  assertMatch(one.runId, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab]/);
  assertNotEquals(one.runId, two.runId);
});

Deno.test("PipelineRunRegistry.registerInline() copies the spec", async () => {
  const repository = new MemoryPipelineRunRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const dataIds = [DATA_ID];
  const spec = { ...KNOWN, dataIds };
  const outcome = registry.registerInline(spec, noop);
  dataIds.push("later");
  spec.runId = OTHER_RUN_ID;
  assertEquals((await outcome).runId, RUN_ID);
  assertEquals((await repository.getPipelineRun(RUN_ID))?.runInfo, {
    data: [DATA_ID],
  });
});

Deno.test("PipelineRunRegistry.registerInline() ends the run even if nothing awaits it", async () => {
  await using registry = new PipelineRunRegistry();
  void registry.registerInline(KNOWN, noop);
  assertEquals(await kindsOf(registry, RUN_ID), ["Started", "Completed"]);
});

Deno.test("PipelineRunRegistry.registerInline() ends the run after its caller has left (fault 16)", async () => {
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const request = new AbortController();
  const work = Promise.withResolvers<void>();
  const left = await Promise.race([
    registry.registerInline(KNOWN, () => work.promise),
    new Promise((resolve) => {
      request.signal.addEventListener("abort", () => resolve("left"));
      request.abort();
    }),
  ]);
  assertEquals(left, "left");
  work.resolve();
  assertEquals(await kindsOf(registry, RUN_ID), ["Started", "Completed"]);
  assertEquals((await statuses(repository, RUN_ID)).at(-1), "COMPLETED");
});

Deno.test("PipelineRunRegistry.registerInline() makes the run known at once", async () => {
  await using registry = new PipelineRunRegistry();
  const outcome = registry.registerInline(KNOWN, noop);
  assertNotEquals(registry.snapshotStatus(RUN_ID), undefined);
  await outcome;
});

Deno.test("PipelineRunRegistry.registerBackground() gives the handle while the work goes on", async () => {
  using time = new FakeTime(1_000);
  await using registry = new PipelineRunRegistry();
  const handle = await registry.registerBackground(
    { ...KNOWN, userId: "somebody", datasetId: DATASET_ID.toUpperCase() },
    forever,
  );
  const { outcome, taskRunId: _, subscribe, abort, status, ...known } = handle;
  assert([subscribe, abort, status].every((is) => typeof is === "function"));
  assertEquals(known, {
    runId: RUN_ID,
    userId: "somebody",
    datasetId: DATASET_ID,
    pipelineName: "ingest",
    startedAt: new Date(time.now),
  });
  await assertPending(outcome);
});

Deno.test("PipelineRunRegistry.registerBackground() gives the STARTED row's id as taskRunId", async () => {
  const repository = new MemoryPipelineRunRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const { taskRunId } = await registry.registerBackground(KNOWN, forever);
  await runMicrotasks();
  const row = await repository.getPipelineRun(RUN_ID);
  assertEquals([row?.id, row?.status], [
    taskRunId,
    "DATASET_PROCESSING_STARTED",
  ]);
});

Deno.test("PipelineRunRegistry.registerBackground() gives the STARTED row's id of a run that completes at once", async () => {
  const repository = new MemoryPipelineRunRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const { taskRunId, outcome } = await registry.registerBackground(KNOWN, noop);
  await outcome;
  const [, started] = await repository.listRecent(undefined, 2);
  assertEquals(taskRunId, started.id);
});

Deno.test("PipelineRunRegistry.registerBackground() does not wait for the repository", async () => {
  const repository = new ControlledRepository();
  const row = Promise.withResolvers<void>();
  repository.beforeRow = () => row.promise;
  await using registry = new PipelineRunRegistry({ repository });
  const { runId } = await registry.registerBackground(SPEC, noop);
  assertEquals(registry.snapshotStatus(runId), { name: "Running" });
  row.resolve();
});

Deno.test("PipelineRunRegistry.registerBackground() gives an outcome that does not reject", async () => {
  await using registry = new PipelineRunRegistry();
  const { outcome } = await registry.registerBackground(
    SPEC,
    () => Promise.reject(new Error("boom")),
  );
  assertEquals((await outcome).phase, {
    name: "Errored",
    code: "work",
    message: "boom",
  });
});

Deno.test("PipelineRunRegistry.registerBackground() calls the work once", async () => {
  await using registry = new PipelineRunRegistry();
  let calls = 0;
  const { outcome } = await registry.registerBackground(SPEC, () => {
    calls++;
  });
  await outcome;
  assertEquals(calls, 1);
});

Deno.test("PipelineRunRegistry refuses the id of a live run without changing that run", async () => {
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const { complete, outcome } = await registerHeld(registry);
  const rows = repository.asked.length;
  for (const runId of [RUN_ID, ...SPELLINGS]) {
    const error = await assertRejects(
      () =>
        registry.registerBackground({ ...SPEC, runId }, () => {
          throw new Error("called");
        }),
      RunAlreadyActiveError,
    );
    assertEquals(error.runId, RUN_ID);
  }
  assertEquals(repository.asked.length, rows);
  complete();
  assertEquals((await outcome).phase, { name: "Completed" });
});

Deno.test("PipelineRunRegistry refuses the id of a live run, which can still be aborted", async () => {
  await using registry = new PipelineRunRegistry();
  const { outcome, run } = await registerHeld(registry);
  const { signal } = run;
  await assertRejects(
    () => registry.registerBackground(KNOWN, noop),
    RunAlreadyActiveError,
  );
  await registry.abort(RUN_ID);
  assertEquals(signal.aborted, true);
  assertEquals((await outcome).phase, {
    name: "Errored",
    code: "aborted",
    message: "aborted",
  });
});

Deno.test("PipelineRunRegistry refuses the id of a run that was registered in the same turn", async () => {
  await using registry = new PipelineRunRegistry();
  const [first, second] = await Promise.allSettled([
    registry.registerInline(KNOWN, noop),
    registry.registerInline(KNOWN, noop),
  ]);
  assertEquals(first.status, "fulfilled");
  assertInstanceOf(
    second.status === "rejected" && second.reason,
    RunAlreadyActiveError,
  );
});

Deno.test("PipelineRunRegistry starts a fresh attempt of a finished run", async () => {
  const repository = new MemoryPipelineRunRepository();
  await using registry = new PipelineRunRegistry({ repository });
  await registry.registerInline(KNOWN, () => Promise.reject(new Error("boom")));
  const { complete, outcome } = await registerHeld(registry);
  assertEquals(registry.snapshotStatus(RUN_ID), { name: "Running" });
  complete();
  assertEquals((await outcome).phase, { name: "Completed" });
  assertEquals(await statuses(repository, RUN_ID), [
    "STARTED",
    "ERRORED",
    "STARTED",
    "COMPLETED",
  ]);
});

Deno.test("PipelineRunRegistry can start a fresh attempt as soon as the outcome is known", async () => {
  await using registry = new PipelineRunRegistry();
  for (let i = 0; i < 3; i++) {
    const { phase } = await registry.registerInline(KNOWN, noop);
    assertEquals(phase, { name: "Completed" });
  }
});
