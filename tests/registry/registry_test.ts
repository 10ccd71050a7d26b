import {
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  MemoryPipelineRunRepository,
  PipelineRunRegistry,
  type PipelineWork,
  RegistryFullError,
  type RegistryWarning,
  RepositoryError,
  RunAlreadyActiveError,
  type RunEvent,
} from "../../mod.ts";
import { assertPending, runMicrotasks } from "../assert_pending.ts";
import {
  ControlledRepository,
  recordingRepository,
  statuses,
} from "../repository/controlled_repository.ts";
import {
  eventsOf,
  forever,
  kindsOf,
  KNOWN,
  noop,
  OTHER_RUN_ID,
  PIPELINE_ID,
  registerHeld,
  RUN_ID,
  SPEC,
  SPELLINGS,
} from "../known_run.ts";

const DATASET_ID = "0f14d0ab-9605-4a62-a9e4-5ed26688389b";
const DATA_ID = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";

/** The numbers and kinds of events. */
function told(events: RunEvent[]): string[] {
  return events.map(({ seq, kind }) => `${seq} ${kind}`);
}

// registerInline()

Deno.test("PipelineRunRegistry.registerInline() gives the outcome of plain work", async () => {
  await using registry = new PipelineRunRegistry();
  assertEquals(await registry.registerInline(KNOWN, () => 1), {
    runId: RUN_ID,
    phase: { name: "Completed" },
    durable: true,
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

const ITERABLES: Record<string, () => AsyncIterable<number>> = {
  "an async generator": async function* () {
    yield 1;
    await null;
    yield 2;
  },
  "a ReadableStream": () => ReadableStream.from([1, 2]),
  "an iterable without return()": () => ({
    [Symbol.asyncIterator]: () => {
      let value = 0;
      return {
        next: () => Promise.resolve({ done: value === 2, value: ++value }),
      };
    },
  }),
};
for (const [name, work] of Object.entries(ITERABLES)) {
  Deno.test(`PipelineRunRegistry.registerInline() publishes every value of ${name}`, async () => {
    await using registry = new PipelineRunRegistry();
    await registry.registerInline(KNOWN, work);
    const events = await eventsOf(registry, RUN_ID);
    assertEquals(
      events.map(({ kind, payload }) => [kind, payload]),
      [["Started", null], ["Yield", 1], ["Yield", 2], ["Completed", null]],
    );
  });
}

const FAILURES: Record<string, PipelineWork<number>> = {
  "plain work that throws": () => {
    throw new Error("boom");
  },
  "async work that rejects": () => Promise.reject(new Error("boom")),
  "a generator that throws": async function* () {
    yield 1;
    throw new Error("boom");
  },
  "a stream that errors": () =>
    new ReadableStream({
      pull: (controller) => controller.error(new Error("boom")),
    }),
  "an iterable that gives no iterator": () => ({
    [Symbol.asyncIterator]() {
      throw new Error("boom");
    },
  }),
  "a thenable that throws": () => ({
    then() {
      throw new Error("boom");
    },
  }),
};
for (const [name, work] of Object.entries(FAILURES)) {
  Deno.test(`PipelineRunRegistry.registerInline() gives an Errored phase for ${name}`, async () => {
    await using registry = new PipelineRunRegistry();
    const { phase } = await registry.registerInline(KNOWN, work);
    assertEquals(phase, { name: "Errored", message: "boom" });
  });
}

Deno.test("PipelineRunRegistry.registerInline() keeps what a generator yielded before it threw", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline(KNOWN, FAILURES["a generator that throws"]);
  assertEquals(await kindsOf(registry, RUN_ID), [
    "Started",
    "Yield",
    "Errored",
  ]);
});

const UNSHOWABLE = "Unknown error: it cannot be shown as a string";
const unreadable = Object.defineProperty(new Error(), "message", {
  get() {
    throw new Error("from the getter");
  },
});
const THROWN: [string, unknown, string][] = [
  ["an Error", new TypeError("boom"), "boom"],
  ["an Error without a message", new TypeError(), "TypeError"],
  ["an Error with an unreadable message", unreadable, UNSHOWABLE],
  ["a string", "boom", "boom"],
  ["an empty string", "", ""],
  ["undefined", undefined, "undefined"],
  ["null", null, "null"],
  ["a symbol", Symbol("boom"), "Symbol(boom)"],
  ["an object without a prototype", Object.create(null), UNSHOWABLE],
  [
    "an object whose toString() throws",
    {
      toString() {
        throw new Error("from toString");
      },
    },
    UNSHOWABLE,
  ],
  [
    "a proxy that throws at every touch",
    new Proxy({}, {
      get() {
        throw new Error("from get");
      },
      getPrototypeOf() {
        throw new Error("from getPrototypeOf");
      },
    }),
    UNSHOWABLE,
  ],
];
for (const [name, thrown, message] of THROWN) {
  Deno.test(`PipelineRunRegistry.registerInline() gives a message for work that throws ${name}`, async () => {
    await using registry = new PipelineRunRegistry();
    const { phase } = await registry.registerInline(KNOWN, () => {
      throw thrown;
    });
    assertEquals(phase, { name: "Errored", message });
  });
}

Deno.test("PipelineRunRegistry.registerInline() cuts a message that is too long", async () => {
  await using registry = new PipelineRunRegistry();
  const { phase } = await registry.registerInline(SPEC, () => {
    throw new Error("🎒".repeat(10_000));
  });
  const message = phase.name === "Errored" ? phase.message : "";
  assertEquals(message, "🎒".repeat(5_000) + "…");
});

Deno.test("PipelineRunRegistry.registerInline() marks what a database cannot hold in a message", async () => {
  const repository = new MemoryPipelineRunRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const { phase } = await registry.registerInline(KNOWN, () => {
    throw new Error("a\0b\ud800c");
  });
  const message = "a\ufffdb\ufffdc";
  assertEquals(phase, { name: "Errored", message });
  assertEquals((await repository.getPipelineRun(RUN_ID))?.runInfo, {
    data: "None",
    error: message,
  });
});

Deno.test("PipelineRunRegistry.registerInline() makes a random UUID where none is given", async () => {
  await using registry = new PipelineRunRegistry();
  const one = await registry.registerInline(SPEC, noop);
  const two = await registry.registerInline(SPEC, noop);
  assertMatch(one.runId, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab]/);
  assertNotEquals(one.runId, two.runId);
});

Deno.test("PipelineRunRegistry.registerInline() writes STARTED and COMPLETED as cognee does", async () => {
  const repository = new MemoryPipelineRunRepository();
  await using registry = new PipelineRunRegistry({ repository });
  await registry.registerInline(
    { ...KNOWN, datasetId: DATASET_ID, dataIds: [DATA_ID] },
    noop,
  );
  const rows = await repository.listRecent(DATASET_ID, 10);
  assertEquals(await statuses(repository, RUN_ID), ["STARTED", "COMPLETED"]);
  for (const { id: _id, createdAt: _at, status: _status, ...row } of rows) {
    assertEquals(row, {
      pipelineRunId: RUN_ID,
      pipelineName: "ingest",
      pipelineId: PIPELINE_ID,
      datasetId: DATASET_ID,
      runInfo: { data: [DATA_ID] },
    });
  }
});

Deno.test("PipelineRunRegistry.registerInline() writes ERRORED with the data before the error", async () => {
  const repository = new MemoryPipelineRunRepository();
  await using registry = new PipelineRunRegistry({ repository });
  await registry.registerInline({ ...KNOWN, dataIds: [DATA_ID] }, () => {
    throw new Error("boom");
  });
  assertEquals(
    JSON.stringify((await repository.getPipelineRun(RUN_ID))?.runInfo),
    `{"data":["${DATA_ID}"],"error":"boom"}`,
  );
});

Deno.test("PipelineRunRegistry.registerInline() keeps the spec as it was when it was called", async () => {
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

Deno.test("PipelineRunRegistry.registerInline() does not fire the signal of work that completes", async () => {
  await using registry = new PipelineRunRegistry();
  let signal!: AbortSignal;
  await registry.registerInline(SPEC, (run) => {
    signal = run.signal;
  });
  assertEquals(signal.aborted, false);
});

Deno.test("PipelineRunRegistry.registerInline() gives work a context that can be taken apart", async () => {
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

Deno.test("PipelineRunRegistry.registerInline() ends the run also when nobody waits for it", async () => {
  await using registry = new PipelineRunRegistry();
  void registry.registerInline(KNOWN, noop);
  assertEquals(await kindsOf(registry, RUN_ID), ["Started", "Completed"]);
});

Deno.test("PipelineRunRegistry.registerInline() makes the run known at once", async () => {
  await using registry = new PipelineRunRegistry();
  const outcome = registry.registerInline(KNOWN, noop);
  assertNotEquals(registry.snapshotStatus(RUN_ID), undefined);
  await outcome;
});

// registerBackground()

Deno.test("PipelineRunRegistry.registerBackground() gives the handle while the work goes on", async () => {
  using time = new FakeTime(1_000);
  await using registry = new PipelineRunRegistry();
  const handle = await registry.registerBackground(
    { ...KNOWN, userId: "somebody", datasetId: DATASET_ID.toUpperCase() },
    forever,
  );
  const { outcome, taskRunId: _, ...known } = handle;
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
  assertEquals((await outcome).phase, { name: "Errored", message: "boom" });
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

// Registering a run id again

Deno.test("PipelineRunRegistry refuses the id of a live run and leaves that run alone", async () => {
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

Deno.test("PipelineRunRegistry makes a fresh attempt of a finished id", async () => {
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

Deno.test("PipelineRunRegistry can make a fresh attempt as soon as the outcome is known", async () => {
  await using registry = new PipelineRunRegistry();
  for (let i = 0; i < 3; i++) {
    const { phase } = await registry.registerInline(KNOWN, noop);
    assertEquals(phase, { name: "Completed" });
  }
});

// Run ids

Deno.test("PipelineRunRegistry keeps run ids in canonical spelling whatever spelling comes in", async () => {
  for (const runId of SPELLINGS) {
    const repository = new MemoryPipelineRunRepository();
    await using registry = new PipelineRunRegistry({ repository });
    let seen: string | undefined;
    const handle = await registry.registerBackground(
      { ...SPEC, runId },
      async (run) => {
        seen = run.runId;
        await run.setPayload("key", 1);
      },
    );
    assertEquals(handle.runId, RUN_ID);
    assertEquals((await handle.outcome).runId, RUN_ID);
    assertEquals(seen, RUN_ID);
    assertEquals(registry.snapshotStatus(RUN_ID), { name: "Completed" });
    assertEquals(await repository.getPayload(RUN_ID), { key: 1 });
    assertEquals(await statuses(repository, RUN_ID), ["STARTED", "COMPLETED"]);
  }
});

// Phases and events

Deno.test("PipelineRunRegistry.snapshotStatus() follows a run from Running to Completed", async () => {
  await using registry = new PipelineRunRegistry();
  const { complete, outcome } = await registerHeld(registry);
  assertEquals(registry.snapshotStatus(RUN_ID), { name: "Running" });
  complete();
  await outcome;
  assertEquals(registry.snapshotStatus(RUN_ID), { name: "Completed" });
});

Deno.test("PipelineRunRegistry.snapshotStatus() is undefined for an unknown run", async () => {
  await using registry = new PipelineRunRegistry();
  assertEquals(registry.snapshotStatus(RUN_ID), undefined);
});

Deno.test("PipelineRunRegistry.snapshotStatus() is undefined for a run that is only waited for", async () => {
  await using registry = new PipelineRunRegistry();
  const events = registry.subscribe(RUN_ID);
  assertEquals(registry.snapshotStatus(RUN_ID), undefined);
  await events.cancel();
});

Deno.test("PipelineRunRegistry.snapshotStatus() gives a phase that cannot be changed", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline(KNOWN, () => Promise.reject(new Error("boom")));
  const phase = registry.snapshotStatus(RUN_ID)!;
  assertThrows(() => phase.name = "Running", TypeError);
  assertEquals(registry.snapshotStatus(RUN_ID)?.name, "Errored");
});

Deno.test("PipelineRunRegistry sets the phase before it publishes the event of it", async () => {
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

Deno.test("PipelineRunRegistry writes the row of an ending before it publishes the event of it", async () => {
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const row = Promise.withResolvers<void>();
  repository.beforeRow = ({ status }) => {
    if (status === "DATASET_PROCESSING_COMPLETED") return row.promise;
  };
  const { complete, outcome } = await registerHeld(registry);
  const reader = registry.subscribe(RUN_ID).getReader();
  await reader.read();
  const last = reader.read();
  complete();
  await assertPending(last, outcome);
  assertEquals(registry.snapshotStatus(RUN_ID), { name: "Running" });
  row.resolve();
  assertEquals((await last).value?.kind, "Completed");
  assertEquals(await statuses(repository, RUN_ID), ["STARTED", "COMPLETED"]);
  await reader.cancel();
});

Deno.test("PipelineRunRegistry dates events by the clock of the instance", async () => {
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

Deno.test("PipelineRunRegistry gives every event its run, a number and null for no payload", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline({ ...SPEC, runId: SPELLINGS[0] }, (run) => {
    run.publish(undefined);
  });
  const events = await eventsOf(registry, RUN_ID);
  assertEquals(
    events.map(({ runId, seq, payload }) => [runId, seq, payload]),
    [[RUN_ID, 1, null], [RUN_ID, 2, null], [RUN_ID, 3, null]],
  );
});

Deno.test("PipelineRunRegistry numbers events on over attempts", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline(KNOWN, async function* () {
    yield 1;
  });
  await registry.registerInline(KNOWN, noop);
  assertEquals(told(await eventsOf(registry, RUN_ID)), [
    "4 Started",
    "5 Completed",
  ]);
});

Deno.test("PipelineRunRegistry numbers events on after an attempt whose time is over", async () => {
  await using registry = new PipelineRunRegistry({ finishedRetention: 0 });
  await registry.registerInline(KNOWN, noop);
  await registry.registerInline(KNOWN, noop);
  assertEquals(
    (await eventsOf(registry, RUN_ID)).map(({ seq }) => seq),
    [3, 4],
  );
});

Deno.test("PipelineRunRegistry tells in the Errored event what the phase tells", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline(KNOWN, () => Promise.reject(new Error("boom")));
  const last = (await eventsOf(registry, RUN_ID)).at(-1)!;
  assertEquals(last.kind === "Errored" && last.message, "boom");
});

// publishAlreadyCompleted()

Deno.test("PipelineRunRegistry.publishAlreadyCompleted() publishes and does not end the run", async () => {
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

Deno.test("PipelineRunRegistry.publishAlreadyCompleted() publishes nothing for a run that is only waited for", async () => {
  await using registry = new PipelineRunRegistry();
  const events = eventsOf(registry, RUN_ID);
  assertEquals(registry.publishAlreadyCompleted(RUN_ID), false);
  await registry.registerInline(KNOWN, noop);
  assertEquals(told(await events), ["1 Started", "2 Completed"]);
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

// watcherFor()

Deno.test("PipelineRunRegistry.watcherFor() gives a watcher of a run that is held", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline(KNOWN, noop);
  assertEquals(registry.watcherFor(SPELLINGS[0])?.runId, RUN_ID);
});

Deno.test("PipelineRunRegistry.watcherFor() is undefined for an unknown run", async () => {
  await using registry = new PipelineRunRegistry();
  assertEquals(registry.watcherFor(RUN_ID), undefined);
});

// getPayload()

Deno.test("PipelineRunRegistry.getPayload() is empty for a run that set none", async () => {
  await using registry = new PipelineRunRegistry();
  assertEquals(await registry.getPayload(RUN_ID), {});
});

Deno.test("PipelineRunRegistry.getPayload() gives the fields of a live run", async () => {
  await using registry = new PipelineRunRegistry();
  const { run } = await registerHeld(registry);
  await run.setPayload("key", 1);
  assertEquals(await registry.getPayload(`{${RUN_ID}}`), { key: 1 });
});

Deno.test("PipelineRunRegistry.getPayload() rejects with the repository's failure as cause", async () => {
  const failure = new Error("down");
  const repository = new MemoryPipelineRunRepository();
  repository.getPayload = () => Promise.reject(failure);
  await using registry = new PipelineRunRegistry({ repository });
  const error = await assertRejects(
    () => registry.getPayload(RUN_ID),
    RepositoryError,
  );
  assertEquals([error.runId, error.cause], [RUN_ID, failure]);
});

Deno.test("PipelineRunRegistry.getPayload() gives a RepositoryError of the repository as it is", async () => {
  const failure = new RepositoryError("down", { transient: false });
  const repository = new MemoryPipelineRunRepository();
  repository.getPayload = () => Promise.reject(failure);
  await using registry = new PipelineRunRegistry({ repository });
  assertStrictEquals(
    await assertRejects(() => registry.getPayload(RUN_ID)),
    failure,
  );
});

Deno.test("PipelineRunRegistry.getPayload() rejects with a RepositoryError when the repository throws", async () => {
  const repository = new MemoryPipelineRunRepository();
  repository.getPayload = () => {
    throw new Error("thrown");
  };
  await using registry = new PipelineRunRegistry({ repository });
  await assertRejects(() => registry.getPayload(RUN_ID), RepositoryError);
});

// A repository that fails

Deno.test("PipelineRunRegistry ends a run in time when the repository does not answer", async () => {
  using time = new FakeTime();
  const repository = new ControlledRepository();
  repository.beforeRow = forever;
  const warnings: RegistryWarning[] = [];
  await using registry = new PipelineRunRegistry({
    repository,
    clock: Date.now,
    endingTimeout: 5_000,
    onWarning: (warning) => warnings.push(warning),
  });
  const { complete, outcome } = await registerHeld(registry);
  complete();
  await assertPending(outcome);
  time.tick(4_000);
  await assertPending(outcome);
  time.tick(1_000);
  assertEquals(await outcome, {
    runId: RUN_ID,
    phase: { name: "Completed" },
    durable: false,
  });
  assertEquals(warnings.map(({ kind, runId }) => [kind, runId]), [
    ["ending", RUN_ID],
  ]);
  assertEquals(await kindsOf(registry, RUN_ID), ["Started", "Completed"]);
  const down = registry.shutdown({ timeout: 1 });
  await assertPending(down);
  time.tick(1);
  await down;
});

Deno.test("PipelineRunRegistry ends a run whose rows are refused for good", async () => {
  const repository = new ControlledRepository();
  const refusal = new RepositoryError("no", { transient: false });
  repository.beforeRow = () => Promise.reject(refusal);
  const warnings: RegistryWarning[] = [];
  await using registry = new PipelineRunRegistry({
    repository,
    onWarning: (warning) => warnings.push(warning),
  });
  assertEquals(await registry.registerInline(KNOWN, noop), {
    runId: RUN_ID,
    phase: { name: "Completed" },
    durable: false,
  });
  assertEquals(
    warnings.map(({ kind, runId, cause }) => [kind, runId, cause]),
    [["row", RUN_ID, refusal], ["row", RUN_ID, refusal]],
  );
});

Deno.test("PipelineRunRegistry ignores what onWarning throws", async () => {
  const repository = new ControlledRepository();
  repository.beforeRow = () =>
    Promise.reject(new RepositoryError("no", { transient: false }));
  await using registry = new PipelineRunRegistry({
    repository,
    onWarning() {
      throw new Error("from onWarning");
    },
  });
  const { phase } = await registry.registerInline(SPEC, noop);
  assertEquals(phase, { name: "Completed" });
});

Deno.test("PipelineRunRegistry ignores what an async onWarning rejects with", async () => {
  const repository = new ControlledRepository();
  repository.beforeRow = () =>
    Promise.reject(new RepositoryError("no", { transient: false }));
  await using registry = new PipelineRunRegistry({
    repository,
    onWarning: () => Promise.reject(new Error("from onWarning")),
  });
  const unhandled = await unhandledDuring(async () => {
    await registry.registerInline(SPEC, noop);
  });
  assertEquals(unhandled, []);
});

/** The reasons of promises that nobody handles. */
async function unhandledDuring(act: () => Promise<void>): Promise<unknown[]> {
  const reasons: unknown[] = [];
  const onUnhandled = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    reasons.push(event.reason);
  };
  globalThis.addEventListener("unhandledrejection", onUnhandled);
  try {
    await act();
    // Rejections are reported between two turns of the event loop.
    await new Promise((resolve) => setTimeout(resolve, 0));
  } finally {
    globalThis.removeEventListener("unhandledrejection", onUnhandled);
  }
  return reasons;
}

// withOrphanReset()

Deno.test("PipelineRunRegistry.withOrphanReset() ends what a crash left unfinished, and nothing else", async () => {
  const repository = new MemoryPipelineRunRepository();
  const ids: Record<string, string> = {};
  for (const status of ["INITIATED", "STARTED", "COMPLETED", "ERRORED"]) {
    ids[status] = crypto.randomUUID();
    await repository.logPipelineRun({
      status: `DATASET_PROCESSING_${status}` as "DATASET_PROCESSING_STARTED",
      pipelineRunId: ids[status],
      pipelineName: "ingest",
      pipelineId: PIPELINE_ID,
      runInfo: status === "INITIATED" ? {} : { data: [DATA_ID] },
    });
  }
  await using _registry = await PipelineRunRegistry.withOrphanReset({
    repository,
  });
  assertEquals(await statuses(repository, ids.INITIATED), [
    "INITIATED",
    "ERRORED",
  ]);
  assertEquals(await statuses(repository, ids.STARTED), ["STARTED", "ERRORED"]);
  assertEquals(await statuses(repository, ids.COMPLETED), ["COMPLETED"]);
  assertEquals(await statuses(repository, ids.ERRORED), ["ERRORED"]);
});

Deno.test("PipelineRunRegistry.withOrphanReset() keeps the data and adds the reason", async () => {
  const repository = new MemoryPipelineRunRepository();
  await repository.logPipelineRun({
    status: "DATASET_PROCESSING_STARTED",
    pipelineRunId: RUN_ID,
    pipelineName: "ingest",
    pipelineId: PIPELINE_ID,
    runInfo: { data: [DATA_ID] },
  });
  await using _registry = await PipelineRunRegistry.withOrphanReset({
    repository,
  });
  assertEquals((await repository.getPipelineRun(RUN_ID))?.runInfo, {
    data: [DATA_ID],
    error: "server_restart_orphan",
    reason: "server_restart_orphan",
  });
});

Deno.test("PipelineRunRegistry.withOrphanReset() gives a registry on the same repository", async () => {
  const repository = new MemoryPipelineRunRepository();
  await using registry = await PipelineRunRegistry.withOrphanReset({
    repository,
  });
  await registry.registerInline(KNOWN, noop);
  assertEquals(await statuses(repository, RUN_ID), ["STARTED", "COMPLETED"]);
});

Deno.test("PipelineRunRegistry.withOrphanReset() needs no repository", async () => {
  await using registry = await PipelineRunRegistry.withOrphanReset();
  const { phase } = await registry.registerInline(SPEC, noop);
  assertEquals(phase, { name: "Completed" });
});

for (
  const [name, resetOrphans] of [
    ["rejects", (cause: Error) => () => Promise.reject(cause)],
    ["throws", (cause: Error) => () => {
      throw cause;
    }],
  ] as const
) {
  Deno.test(`PipelineRunRegistry.withOrphanReset() rejects with a RepositoryError when the repository ${name}`, async () => {
    const repository = new MemoryPipelineRunRepository();
    const cause = new Error("down");
    repository.resetOrphans = resetOrphans(cause);
    const error = await assertRejects(
      () => PipelineRunRegistry.withOrphanReset({ repository }),
      RepositoryError,
    );
    assertStrictEquals(error.cause, cause);
  });
}

Deno.test("PipelineRunRegistry.withOrphanReset() refuses bad options before it resets", async () => {
  const { repository, calls } = recordingRepository();
  await assertRejects(
    () =>
      PipelineRunRegistry.withOrphanReset({ repository, maxInMemoryRuns: 0 }),
    RangeError,
  );
  assertEquals(calls, []);
});

// Defaults

Deno.test("PipelineRunRegistry has the documented defaults", async () => {
  using time = new FakeTime();
  let now = 0;
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({
    repository,
    clock: () => now,
    onWarning: noop,
  });

  // 64 events are held, every Yield is published.
  await registry.registerInline<number>(KNOWN, ({ publish }) => {
    for (let i = 0; i < 63; i++) publish(i);
  });
  const [lagged, ...held] = await eventsOf(registry, RUN_ID, {
    after: 0,
    lag: "skip",
  });
  assertEquals(lagged.kind === "Lagged" && lagged.missed, 1);
  assertEquals(held.length, 64);

  // A finished run is held for an hour.
  now = 3_599_999;
  assertEquals(await registry.sweep(), { evicted: 0, reaped: 0, pruned: 0 });
  now = 3_600_000;
  assertEquals(await registry.sweep(), { evicted: 1, reaped: 0, pruned: 0 });

  // A payload field takes a mebibyte.
  await registry.registerInline(KNOWN, async ({ setPayload }) => {
    await setPayload("key", "a".repeat(1_048_576 - 2));
    await assertRejects(
      () => setPayload("key", "a".repeat(1_048_576 - 1)),
      RangeError,
    );
  });

  // 4,096 runs are held, the finished one makes room.
  for (let i = 0; i < 4_096; i++) {
    await registry.registerBackground(SPEC, forever);
  }
  assertEquals(registry.snapshotStatus(RUN_ID), undefined);
  await assertRejects(
    () => registry.registerBackground(SPEC, forever),
    RegistryFullError,
  );

  // Shutting down waits for 5 s, and an abort writes its row.
  repository.beforeRow = forever;
  const rows = repository.asked.length;
  const down = registry.shutdown();
  await assertPending(down);
  time.tick(4_999);
  await assertPending(down);
  time.tick(1);
  await down;
  assertEquals(repository.asked.length, rows + 4_096);
});

Deno.test("PipelineRunRegistry.status() tells of the runs that are held", async () => {
  await using registry = new PipelineRunRegistry();
  const { runId } = await registry.registerInline(SPEC, noop);
  const { row, ...status } = (await registry.status(runId))!;
  assertEquals(status, {
    runId,
    phase: { name: "Completed" },
    ended: true,
    firstSeq: 1,
    lastSeq: 2,
  });
  assertEquals(row?.status, "DATASET_PROCESSING_COMPLETED");
  assertEquals(await registry.status(crypto.randomUUID()), undefined);
});

Deno.test("PipelineRunRegistry.status() tells of a run that is no longer held by its newest row", async () => {
  const repository = new MemoryPipelineRunRepository();
  await using former = new PipelineRunRegistry({ repository });
  const { runId } = await former.registerInline(SPEC, () => {
    throw new Error("boom");
  });
  await using registry = new PipelineRunRegistry({ repository });
  const { row, ...status } = (await registry.status(runId))!;
  assertEquals(status, {
    runId,
    phase: { name: "Errored", message: "boom" },
    ended: true,
    firstSeq: 1,
    lastSeq: 0,
  });
  assertEquals(row?.status, "DATASET_PROCESSING_ERRORED");
});
