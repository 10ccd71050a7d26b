import { assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  MemoryPipelineRunRepository,
  PipelineRunRegistry,
  RepositoryError,
  type RunEvent,
  type RunLease,
} from "../../mod.ts";
import { Deadlines } from "../../src/async/deadlines.ts";
import {
  type RecordedEnding,
  RunRecorder,
} from "../../src/run/run_recorder.ts";
import { checkSpec } from "../../src/run/run_spec.ts";
import { assertPending, runMicrotasks } from "../assert_pending.ts";
import { DOWN, FINAL } from "../repository/answered_repository.ts";
import {
  ControlledRepository,
  statuses,
} from "../repository/controlled_repository.ts";
import { openRowsOnlyLog } from "../repository/open_rows_only_log.ts";
import {
  DATA_ID,
  DATASET_ID,
  forever,
  kindsOf,
  KNOWN,
  noop,
  OTHER_RUN_ID,
  PIPELINE_ID,
  registerHeld,
  RUN_ID,
} from "../known_run.ts";
import { recordWarnings } from "../registry/recorded_warnings.ts";

/** Recorders whose repository is answered by the test, in fake time. */
function openRecorders() {
  const opened = openRowsOnlyLog();
  const { warn } = opened;
  const endings = new Deadlines(5_000);
  return {
    ...opened,
    endings,
    recorder(runId: string = RUN_ID): RunRecorder {
      const lease = opened.lease(runId);
      const spec = checkSpec({ ...KNOWN, runId }, IDS);
      const dependencies = { runLog: IDS, endings, warn };
      const recorder = new RunRecorder(spec, lease, dependencies);
      recorder.pipelineId = PIPELINE_ID;
      return recorder;
    },
  };
}

function event(kind: "Started" | "Completed"): RunEvent {
  return { runId: RUN_ID, seq: 1, at: new Date(), kind };
}

function start(recorder: RunRecorder): void {
  recorder.started(event("Started"));
}

function complete(recorder: RunRecorder): Promise<RecordedEnding> {
  const ending = {
    failure: undefined,
    event: event("Completed"),
    result: undefined,
    writesRow: true,
  };
  return new Promise((resolve) => recorder.ended(ending, resolve));
}

const IDS = { newId: () => crypto.randomUUID() };
const DURABLE: RecordedEnding = { durable: true, instead: undefined };
const NOT_DURABLE: RecordedEnding = { durable: false, instead: undefined };

Deno.test("PipelineRunRegistry.registerInline() writes STARTED and COMPLETED rows like cognee", async () => {
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

Deno.test("PipelineRunRegistry.registerInline() writes the data before the error in an ERRORED row", async () => {
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

Deno.test("PipelineRunRegistry writes the row of an ending before it publishes the event", async () => {
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

Deno.test("PipelineRunRegistry writes rows that read back in order within one instant", async () => {
  using _time = new FakeTime(1_000);
  const repository = new MemoryPipelineRunRepository();
  await using registry = new PipelineRunRegistry({ repository });
  for (let i = 0; i < 3; i++) {
    await registry.registerInline(KNOWN, () => i === 1 && Promise.reject(i));
  }
  const rows = await repository.listRecent(undefined, 5);
  assertEquals(
    rows.map(({ status, createdAt }) => [status, createdAt.getTime()]),
    ["COMPLETED", "STARTED", "ERRORED", "STARTED", "COMPLETED"]
      .map((status) => [`DATASET_PROCESSING_${status}`, 1_000]),
  );
  assertEquals(
    (await repository.getPipelineRun(RUN_ID))?.status,
    "DATASET_PROCESSING_COMPLETED",
  );
});

Deno.test("PipelineRunRegistry ends a run in time when the repository does not answer", async () => {
  using time = new FakeTime();
  const repository = new ControlledRepository();
  repository.beforeRow = forever;
  const { warnings, onWarning } = recordWarnings();
  await using registry = new PipelineRunRegistry({
    repository,
    clock: Date.now,
    endingTimeout: 5_000,
    onWarning,
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

Deno.test("PipelineRunRegistry ends a run whose rows are finally refused", async () => {
  const repository = new ControlledRepository();
  const refusal = new RepositoryError("no", { transient: false });
  repository.beforeRow = () => Promise.reject(refusal);
  const { warnings, onWarning } = recordWarnings();
  await using registry = new PipelineRunRegistry({ repository, onWarning });
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

Deno.test("RunOutcome.durable is false for a COMPLETED row that is written too late", async () => {
  using time = new FakeTime();
  const repository = new ControlledRepository();
  let down = true;
  repository.beforeRow = ({ status }) => {
    if (down && status === "DATASET_PROCESSING_COMPLETED") {
      throw new RepositoryError("down");
    }
  };
  await using registry = new PipelineRunRegistry({
    repository,
    clock: Date.now,
    onWarning: noop,
  });
  const { outcome } = await registry.registerBackground(KNOWN, noop);
  await time.runMicrotasks();
  time.tick(5_000);
  assertEquals(await outcome, {
    runId: RUN_ID,
    phase: { name: "Completed" },
    durable: false,
  });
  down = false;
  for (let i = 0; i < 2; i++) await time.tickAsync(5_000);
  await time.runMicrotasks();
  assertEquals(await statuses(repository, RUN_ID), ["STARTED", "COMPLETED"]);
  await using _next = await PipelineRunRegistry.withOrphanReset({ repository });
  assertEquals(await statuses(repository, RUN_ID), ["STARTED", "COMPLETED"]);
});

Deno.test("RunRecorder.idle is true once every row is written", async () => {
  await using opened = openRecorders();
  const { repository } = opened;
  const recorder = opened.recorder();
  assertEquals(recorder.idle, true);
  start(recorder);
  await runMicrotasks();
  assertEquals(recorder.idle, false);
  await repository.acknowledge();
  assertEquals(recorder.idle, true);
});

Deno.test("RunRecorder.idle is false while a refused row is retried", async () => {
  await using opened = openRecorders();
  const { repository } = opened;
  const recorder = opened.recorder();
  start(recorder);
  await repository.refuse();
  assertEquals(recorder.idle, false);
  await repository.acknowledge();
  assertEquals(recorder.idle, true);
});

Deno.test("RunRecorder.idle is true once a row is given up because a later one was sent", async () => {
  await using opened = openRecorders();
  const { repository, warnings } = opened;
  const recorder = opened.recorder();
  start(recorder);
  const ending = complete(recorder);
  repository.calls[0].refuse(DOWN);
  repository.calls[1].acknowledge();
  assertEquals(await ending, DURABLE);
  assertEquals(recorder.idle, true);
  assertEquals(
    warnings.map(({ kind, runId, cause }) => ({ kind, runId, cause })),
    [{ kind: "row", runId: RUN_ID, cause: DOWN }],
  );
});

Deno.test("RunRecorder.idle is about one run", async () => {
  await using opened = openRecorders();
  const { repository } = opened;
  const [recorder, other] = [opened.recorder(), opened.recorder(OTHER_RUN_ID)];
  start(recorder);
  await repository.refuse();
  await repository.refuse();
  start(other);
  await repository.acknowledge();
  assertEquals([recorder.idle, other.idle], [false, true]);
});

Deno.test("RunRecorder.whenIdle() calls back once, when no row is pending", async () => {
  await using opened = openRecorders();
  const { repository } = opened;
  const recorder = opened.recorder();
  let calls = 0;
  start(recorder);
  complete(recorder);
  recorder.whenIdle(() => calls++);
  const [started, completed] = repository.calls;
  completed.acknowledge();
  await runMicrotasks();
  assertEquals(calls, 0);
  started.acknowledge();
  await runMicrotasks();
  assertEquals(calls, 1);
});

Deno.test("RunRecorder.whenIdle() calls back at once when no row is pending", async () => {
  await using opened = openRecorders();
  let calls = 0;
  opened.recorder().whenIdle(() => calls++);
  assertEquals(calls, 1);
});

Deno.test("RunRecorder.ended() resolves with durable once the row is written", async () => {
  await using opened = openRecorders();
  const { repository } = opened;
  const ending = complete(opened.recorder());
  await assertPending(ending);
  await repository.acknowledge();
  assertEquals(await ending, DURABLE);
});

Deno.test("RunRecorder.ended() resolves with durable for a row that is written at the second attempt", async () => {
  await using opened = openRecorders();
  const { repository } = opened;
  const ending = complete(opened.recorder());
  await repository.refuse();
  await assertPending(ending);
  await repository.acknowledge();
  assertEquals(await ending, DURABLE);
});

Deno.test("RunRecorder.ended() resolves at once, not durable, for a row that is given up", async () => {
  await using opened = openRecorders();
  const { repository } = opened;
  const ending = complete(opened.recorder());
  await repository.refuse(FINAL);
  assertEquals(await ending, NOT_DURABLE);
});

Deno.test("RunRecorder.ended() resolves at the deadline, not durable, and warns once", async () => {
  await using opened = openRecorders();
  const { repository, time, warnings } = opened;
  const ending = complete(opened.recorder());
  time.tick(4_900);
  await assertPending(ending);
  time.tick(100);
  assertEquals(await ending, NOT_DURABLE);
  await repository.acknowledge();
  time.tick(60_000);
  assertEquals(warnings, [{
    kind: "ending",
    runId: RUN_ID,
    message: `Run ${RUN_ID} ended before its ending was durable`,
  }]);
});

Deno.test("RunRecorder.ended() gives each ending its own deadline, to 2%", async () => {
  await using opened = openRecorders();
  const { time } = opened;
  const first = complete(opened.recorder());
  time.tick(2_500);
  const second = complete(opened.recorder(OTHER_RUN_ID));
  time.tick(2_500);
  assertEquals(await first, NOT_DURABLE);
  time.tick(2_400);
  await assertPending(second);
  time.tick(100);
  assertEquals(await second, NOT_DURABLE);
});

Deno.test("RunRecorder.ended() leaves the row to be retried after the deadline", async () => {
  await using opened = openRecorders();
  const { repository, time } = opened;
  const recorder = opened.recorder();
  const ending = complete(recorder);
  await repository.refuse();
  await repository.refuse();
  time.tick(5_000);
  assertEquals(await ending, NOT_DURABLE);
  await runMicrotasks();
  assertEquals(recorder.idle, false);
  await repository.acknowledge();
  assertEquals(recorder.idle, true);
});

Deno.test("RunRecorder.ended() does not warn of a row that was written in time", async () => {
  await using opened = openRecorders();
  const { repository, time, warnings } = opened;
  const ending = complete(opened.recorder());
  await repository.acknowledge();
  assertEquals(await ending, DURABLE);
  time.tick(60_000);
  assertEquals(warnings, []);
});

Deno.test("RunRecorder.ended() does not wait once the deadlines are closed", async () => {
  await using opened = openRecorders();
  const { endings, time } = opened;
  endings.close();
  const ending = complete(opened.recorder());
  const early = await Promise.race([
    ending,
    runMicrotasks().then(() => "still waiting"),
  ]);
  time.tick(5_000);
  assertEquals(early, NOT_DURABLE);
});

Deno.test("RunRecorder warns of a row that is finally refused", async () => {
  await using opened = openRecorders();
  const { repository, time, warnings } = opened;
  const recorder = opened.recorder();
  start(recorder);
  await repository.refuse(FINAL);
  await time.tickAsync(60_000);
  await runMicrotasks();
  assertEquals(repository.rows, ["STARTED"]);
  assertEquals(recorder.idle, true);
  assertEquals(warnings, [{
    kind: "row",
    runId: RUN_ID,
    message: `Row DATASET_PROCESSING_STARTED of run ${RUN_ID} was not written`,
    cause: FINAL,
  }]);
});

Deno.test("RunRecorder warns when a retried row is given up", async () => {
  await using opened = openRecorders();
  const { repository, warnings } = opened;
  const recorder = opened.recorder();
  start(recorder);
  await repository.refuse();
  await repository.refuse(FINAL);
  assertEquals(warnings.map(({ cause }) => cause), [DOWN, FINAL]);
  assertEquals(recorder.idle, true);
});

Deno.test("RunRecorder.abandon() warns once of a run with several pending rows", async () => {
  await using opened = openRecorders();
  const { repository, warnings } = opened;
  const recorder = opened.recorder();
  recorder.initiated();
  start(recorder);
  recorder.abandon();
  for (const { refuse } of repository.calls) refuse(DOWN);
  await runMicrotasks();
  assertEquals(recorder.idle, true);
  assertEquals(repository.rows, ["INITIATED", "STARTED"]);
  assertEquals(warnings, [{
    kind: "row",
    runId: RUN_ID,
    message: `Run ${RUN_ID} has rows that were not written at shutdown`,
  }]);
});

Deno.test("RunRecorder.abandon() does not warn when no row is pending", async () => {
  await using opened = openRecorders();
  const { repository, warnings } = opened;
  const recorder = opened.recorder();
  start(recorder);
  await repository.acknowledge();
  recorder.abandon();
  assertEquals(warnings, []);
});

Deno.test("RunRecorder.ended() treats a lease that throws like one that rejects", async () => {
  const { warnings, onWarning } = recordWarnings();
  const endings = new Deadlines(5_000);
  const lease: Partial<RunLease> = {
    write() {
      throw FINAL;
    },
  };
  const recorder = new RunRecorder(checkSpec(KNOWN, IDS), lease as RunLease, {
    runLog: IDS,
    endings,
    warn: onWarning,
  });
  assertEquals(await complete(recorder), NOT_DURABLE);
  assertEquals(recorder.idle, true);
  assertEquals(warnings.map(({ kind, cause }) => [kind, cause]), [
    ["row", FINAL],
  ]);
  endings.close();
});
