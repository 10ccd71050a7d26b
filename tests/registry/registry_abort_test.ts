import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  MemoryPipelineRunRepository,
  PipelineRunRegistry,
  type RunContext,
  UnknownRunError,
} from "../../mod.ts";
import { assertPending, runMicrotasks } from "../assert_pending.ts";
import {
  ControlledRepository,
  recordingRepository,
  statuses,
} from "../repository/controlled_repository.ts";
import {
  forever,
  kindsOf,
  KNOWN,
  noop,
  registerHeld,
  RUN_ID,
  SPEC,
  SPELLINGS,
  UNSHOWABLE,
} from "../known_run.ts";

Deno.test("PipelineRunRegistry.abort() ends the run as aborted", async () => {
  const repository = new MemoryPipelineRunRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const { outcome, run } = await registerHeld(registry);
  const { signal } = run;
  await registry.abort(RUN_ID);
  assertEquals(await outcome, {
    runId: RUN_ID,
    phase: { name: "Errored", code: "aborted", message: "aborted" },
    durable: true,
  });
  assertEquals(signal.reason.name, "AbortError");
  const row = await repository.getPipelineRun(RUN_ID);
  assertEquals(row?.status, "DATASET_PROCESSING_ERRORED");
  assertEquals(
    JSON.stringify(row?.runInfo),
    '{"data":"None","error":"abort","code":"aborted"}',
  );
});

for (
  const [name, reason, text] of [
    ["a string", "enough", "enough"],
    ["an Error", new TypeError("enough"), "enough"],
    ["null", null, "null"],
    ["something that cannot be shown", Object.create(null), UNSHOWABLE],
  ] as [string, unknown, string][]
) {
  Deno.test(`PipelineRunRegistry.abort() takes ${name} as its reason`, async () => {
    const repository = new MemoryPipelineRunRepository();
    await using registry = new PipelineRunRegistry({ repository });
    const { outcome, run } = await registerHeld(registry);
    const { signal } = run;
    await registry.abort(RUN_ID, reason);
    assertStrictEquals(signal.reason, reason);
    assertEquals((await outcome).phase, {
      name: "Errored",
      code: "aborted",
      message: `aborted: ${text}`,
    });
    const row = await repository.getPipelineRun(RUN_ID);
    assertEquals(row?.runInfo?.error, text);
  });
}

Deno.test("PipelineRunRegistry.abort() accepts any spelling of the run id", async () => {
  await using registry = new PipelineRunRegistry();
  for (const spelling of SPELLINGS) {
    const { outcome } = await registerHeld(registry);
    await registry.abort(spelling);
    assertEquals((await outcome).phase.name, "Errored");
  }
});

Deno.test("PipelineRunRegistry.abort() before the start prevents the call of the work (fault 11)", async () => {
  await using registry = new PipelineRunRegistry();
  let called = false;
  const outcome = registry.registerInline(KNOWN, () => {
    called = true;
  });
  await registry.abort(RUN_ID);
  assertEquals((await outcome).phase, {
    name: "Errored",
    code: "aborted",
    message: "aborted",
  });
  await runMicrotasks();
  assertEquals(called, false);
  assertEquals(await kindsOf(registry, RUN_ID), ["Started", "Errored"]);
});

Deno.test("PipelineRunRegistry.abort() before registerBackground() resolves prevents the call of the work (fault 11)", async () => {
  await using registry = new PipelineRunRegistry();
  let called = false;
  const handle = registry.registerBackground(KNOWN, () => {
    called = true;
    return forever();
  });
  await registry.abort(RUN_ID);
  const { phase } = await (await handle).outcome;
  assertEquals(phase, { name: "Errored", code: "aborted", message: "aborted" });
  assertEquals(called, false);
});

Deno.test("PipelineRunRegistry.abort() a second time changes nothing (fault 13)", async () => {
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const { run } = await registerHeld(registry);
  await Promise.all([
    registry.abort(RUN_ID, "first"),
    registry.abort(RUN_ID, "second"),
  ]);
  await registry.abort(RUN_ID, "third");
  assertEquals(run.signal.reason, "first");
  assertEquals(await kindsOf(registry, RUN_ID), ["Started", "Errored"]);
  assertEquals(repository.asked.length, 2);
});

Deno.test("PipelineRunRegistry.abort() publishes one Errored event and writes one row, however often it is called (fault 13)", async () => {
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({ repository });
  await registry.registerBackground(KNOWN, forever);
  for (let i = 0; i < 3; i++) await registry.abort(RUN_ID);
  assertEquals(await kindsOf(registry, RUN_ID), ["Started", "Errored"]);
  await registry.registerInline(KNOWN, noop);
  await registry.abort(RUN_ID);
  assertEquals(registry.snapshotStatus(RUN_ID), { name: "Completed" });
  assertEquals(await statuses(repository, RUN_ID), [
    "STARTED",
    "ERRORED",
    "STARTED",
    "COMPLETED",
  ]);
});

Deno.test("PipelineRunRegistry.abort() does not change a finished run", async () => {
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({ repository });
  await registry.registerInline(KNOWN, noop);
  await registry.abort(RUN_ID);
  assertEquals(registry.snapshotStatus(RUN_ID), { name: "Completed" });
  assertEquals(await kindsOf(registry, RUN_ID), ["Started", "Completed"]);
  assertEquals(repository.asked.length, 2);
});

Deno.test("PipelineRunRegistry.abort() does not change a run whose completion is being written", async () => {
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const { complete, outcome, run } = await registerHeld(registry);
  const row = Promise.withResolvers<void>();
  repository.beforeRow = () => row.promise;
  complete();
  await runMicrotasks();
  const aborted = registry.abort(RUN_ID);
  await assertPending(aborted, outcome);
  row.resolve();
  await aborted;
  assertEquals((await outcome).phase, { name: "Completed" });
  assertEquals(run.signal.aborted, false);
  assertEquals(await statuses(repository, RUN_ID), ["STARTED", "COMPLETED"]);
});

Deno.test("PipelineRunRegistry.abort() leaves one ending at any turn before or after completion (fault 12)", async () => {
  const endings = new Set<string>();
  for (let turns = -50; turns < 50; turns++) {
    const repository = new ControlledRepository();
    await using registry = new PipelineRunRegistry({ repository });
    const { complete, outcome } = await registerHeld(registry);
    if (turns >= 0) complete();
    for (let turn = 0; turn < turns; turn++) await undefined;
    const aborted = registry.abort(RUN_ID);
    for (let turn = turns; turn < 0; turn++) await undefined;
    complete();
    const { name } = (await outcome).phase;
    await aborted;
    await runMicrotasks();
    assertEquals(await kindsOf(registry, RUN_ID), ["Started", name]);
    assertEquals(await statuses(repository, RUN_ID), [
      "STARTED",
      name.toUpperCase(),
    ]);
    endings.add(name);
  }
  assertEquals(endings, new Set(["Errored", "Completed"]));
});

Deno.test("PipelineRunRegistry.abort() fires the signal at once and resolves when the run has ended", async () => {
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const { run } = await registerHeld(registry);
  const row = Promise.withResolvers<void>();
  repository.beforeRow = () => row.promise;
  const aborted = registry.abort(RUN_ID);
  assertEquals(run.signal.aborted, true);
  await assertPending(aborted);
  row.resolve();
  await aborted;
  assertEquals(registry.snapshotStatus(RUN_ID)?.name, "Errored");
});

Deno.test("PipelineRunRegistry.abort() ends the run in time when the repository does not answer", async () => {
  using time = new FakeTime();
  const repository = new ControlledRepository();
  repository.beforeRow = forever;
  await using registry = new PipelineRunRegistry({
    repository,
    clock: Date.now,
    onWarning: noop,
  });
  const kinds = kindsOf(registry, RUN_ID);
  const { signal } = (await registerHeld(registry)).run;
  const aborted = registry.abort(RUN_ID);
  assertEquals(signal.aborted, true);
  await assertPending(aborted);
  time.tick(5_000);
  await aborted;
  assertEquals(await kinds, ["Started", "Errored"]);
  const down = registry.shutdown();
  await assertPending(down);
  time.tick(5_000);
  await down;
});

Deno.test("PipelineRunRegistry.abort() rejects for an unknown run", async () => {
  const { repository, calls } = recordingRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const error = await assertRejects(
    () => registry.abort(RUN_ID),
    UnknownRunError,
  );
  assertEquals(error.runId, RUN_ID);
  assertEquals(calls, []);
});

Deno.test("UnknownRunError.runId is in canonical spelling", async () => {
  await using registry = new PipelineRunRegistry();
  const error = await assertRejects(
    () => registry.abort(SPELLINGS[0]),
    UnknownRunError,
  );
  assertEquals(error.runId, RUN_ID);
});

Deno.test("PipelineRunRegistry.abort() rejects for a run that has only subscribers", async () => {
  await using registry = new PipelineRunRegistry();
  const events = registry.subscribe(RUN_ID);
  await assertRejects(() => registry.abort(RUN_ID), UnknownRunError);
  await events.cancel();
});

Deno.test("PipelineRunRegistryOptions.abortWritesErroredRow keeps abort() from writing a row", async () => {
  const repository = new MemoryPipelineRunRepository();
  await using registry = new PipelineRunRegistry({
    repository,
    abortWritesErroredRow: false,
  });
  const { outcome } = await registerHeld(registry);
  await registry.abort(RUN_ID);
  assertEquals(await outcome, {
    runId: RUN_ID,
    phase: { name: "Errored", code: "aborted", message: "aborted" },
    durable: false,
  });
  assertEquals(await statuses(repository, RUN_ID), ["STARTED"]);
});

Deno.test("PipelineRunRegistryOptions.abortWritesErroredRow does not apply to work that fails", async () => {
  const repository = new MemoryPipelineRunRepository();
  await using registry = new PipelineRunRegistry({
    repository,
    abortWritesErroredRow: false,
  });
  await registry.registerInline(KNOWN, () => Promise.reject(new Error("boom")));
  assertEquals(await statuses(repository, RUN_ID), ["STARTED", "ERRORED"]);
});

for (const ending of ["complete", "reject"] as const) {
  Deno.test(`PipelineRunRegistry.abort() drops work that ignores the signal and later ${ending}s (fault 14)`, async () => {
    await using registry = new PipelineRunRegistry();
    const held = await registerHeld(registry);
    await registry.abort(RUN_ID);
    held[ending]();
    await runMicrotasks();
    assertEquals(registry.snapshotStatus(RUN_ID), {
      name: "Errored",
      code: "aborted",
      message: "aborted",
    });
  });
}

Deno.test("PipelineRunRegistry.abort() drops the late result of an inline run (fault 14)", async () => {
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const begun = Promise.withResolvers<RunContext>();
  const work = Promise.withResolvers<void>();
  const outcome = registry.registerInline(KNOWN, (run) => {
    begun.resolve(run);
    return work.promise;
  });
  const { signal } = await begun.promise;
  await registry.abort(RUN_ID);
  assertEquals(signal.aborted, true);
  work.resolve();
  await runMicrotasks();
  assertEquals((await outcome).phase, {
    name: "Errored",
    code: "aborted",
    message: "aborted",
  });
  assertEquals(await statuses(repository, RUN_ID), ["STARTED", "ERRORED"]);
});

Deno.test("PipelineRunRegistry.abort() can be called by the run's own work", async () => {
  await using registry = new PipelineRunRegistry();
  const { phase } = await registry.registerInline(
    SPEC,
    ({ runId }) => registry.abort(runId, "myself"),
  );
  assertEquals(phase, {
    name: "Errored",
    code: "aborted",
    message: "aborted: myself",
  });
});

Deno.test("PipelineRunRegistry.abort() runs the finally block of a generator", async () => {
  await using registry = new PipelineRunRegistry();
  const begun = Promise.withResolvers<void>();
  const cleanedUp = Promise.withResolvers<void>();
  const { runId } = await registry.registerBackground(
    SPEC,
    async function* ({ signal }) {
      try {
        const aborted = new Promise((resolve) =>
          signal.addEventListener("abort", resolve)
        );
        begun.resolve();
        await aborted;
        yield "late";
      } finally {
        cleanedUp.resolve();
      }
    },
  );
  await begun.promise;
  await registry.abort(runId);
  await cleanedUp.promise;
  assertEquals(await kindsOf(registry, runId), ["Started", "Errored"]);
});

Deno.test("PipelineRunRegistry.abort() calls return() of the work's iterator once", async () => {
  await using registry = new PipelineRunRegistry();
  const asked = Promise.withResolvers<void>();
  let returned = 0;
  await registry.registerBackground(KNOWN, () => ({
    [Symbol.asyncIterator]: () => ({
      next() {
        asked.resolve();
        return forever();
      },
      return() {
        returned++;
        return Promise.resolve({ done: true, value: undefined });
      },
    }),
  }));
  await asked.promise;
  await registry.abort(RUN_ID);
  await registry.abort(RUN_ID);
  assertEquals(returned, 1);
});

Deno.test("PipelineRunRegistry.abort() reads no further value from an iterator without return()", async () => {
  await using registry = new PipelineRunRegistry();
  const asked = Promise.withResolvers<void>();
  const value = Promise.withResolvers<IteratorResult<number>>();
  let times = 0;
  await registry.registerBackground(KNOWN, () => ({
    [Symbol.asyncIterator]: () => ({
      next() {
        times++;
        asked.resolve();
        return value.promise;
      },
    }),
  }));
  await asked.promise;
  await registry.abort(RUN_ID);
  value.resolve({ done: false, value: 1 });
  await runMicrotasks();
  assertEquals(times, 1);
});

const RETURNS: Record<string, () => unknown> = {
  "throws": () => {
    throw new Error("from return");
  },
  "rejects": () => Promise.reject(new Error("from return")),
  "gives no promise": () => ({ done: true, value: undefined }),
  "never settles": forever,
};
for (const [name, give] of Object.entries(RETURNS)) {
  Deno.test(`PipelineRunRegistry.abort() ends a run whose iterator's return() ${name}`, async () => {
    await using registry = new PipelineRunRegistry();
    const asked = Promise.withResolvers<void>();
    const { outcome } = await registry.registerBackground(KNOWN, () => ({
      [Symbol.asyncIterator]: () => ({
        next() {
          asked.resolve();
          return forever();
        },
        return: give as () => Promise<IteratorResult<unknown>>,
      }),
    }));
    await asked.promise;
    await registry.abort(RUN_ID);
    assertEquals((await outcome).phase.name, "Errored");
  });
}
