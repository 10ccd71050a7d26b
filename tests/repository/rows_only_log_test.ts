import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  PipelineRunRegistry,
  RegistryFullError,
  type RegistryWarning,
  type RunEvent,
} from "../../mod.ts";
import { RowsOnlyLog } from "../../src/repository/rows_only_log.ts";
import type { RunLease } from "../../src/repository/run_log.ts";
import { assertPending, runMicrotasks } from "../assert_pending.ts";
import { fixRandom } from "../fix_random.ts";
import { forever, KNOWN, noop, OTHER_RUN_ID, RUN_ID } from "../known_run.ts";
import { DOWN, FINAL } from "./answered_repository.ts";
import {
  ControlledRepository,
  recordingRepository,
  statuses,
} from "./controlled_repository.ts";
import { openRowsOnlyLog } from "./open_rows_only_log.ts";
import { transition } from "./repository_contract.ts";

type Status = Parameters<typeof transition>[0];

function row(status: Status, pipelineRunId: string = RUN_ID) {
  return { ...transition(status, { pipelineRunId }), id: crypto.randomUUID() };
}

/** Writes a row; a test need not wait for it. */
function write(
  lease: RunLease,
  status: Status,
  runId?: string,
): Promise<void> {
  const written = lease.write({ transition: row(status, runId) });
  written.catch(noop);
  return written;
}

/** Fails if a row was not given up because of `cause`. */
async function assertGivenUp(
  written: Promise<void>,
  cause: unknown,
): Promise<void> {
  assertStrictEquals(await assertRejects(() => written), cause);
}

Deno.test("RunLease.write() of RowsOnlyLog sends each row at once, in order", async () => {
  await using opened = openRowsOnlyLog();
  const { repository } = opened;
  const lease = opened.lease();
  write(lease, "INITIATED");
  write(lease, "STARTED");
  write(lease, "COMPLETED");
  assertEquals(repository.rows, ["INITIATED", "STARTED", "COMPLETED"]);
});

Deno.test("RunLease.write() of RowsOnlyLog sends a row once if it is acknowledged", async () => {
  await using opened = openRowsOnlyLog();
  const { repository, time } = opened;
  const written = write(opened.lease(), "STARTED");
  await assertPending(written);
  await repository.acknowledge();
  await time.tickAsync(60_000);
  await runMicrotasks();
  assertEquals(repository.rows, ["STARTED"]);
  await written;
});

Deno.test("RunLease.write() of RowsOnlyLog retries a refused row under the same id", async () => {
  await using opened = openRowsOnlyLog();
  const { repository } = opened;
  const started = row("STARTED");
  const written = opened.lease().write({ transition: started });
  await repository.refuse();
  assertEquals(repository.calls.map(({ row }) => row), [started, started]);
  await repository.acknowledge();
  await written;
});

Deno.test("RunLease.write() of RowsOnlyLog waits longer after each refusal, 5 s at most", async () => {
  using _ = fixRandom(0);
  await using opened = openRowsOnlyLog();
  const { repository, time } = opened;
  write(opened.lease(), "STARTED");
  await repository.refuse();
  for (const longest of [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]) {
    await repository.refuse();
    const before = repository.calls.length;
    await runMicrotasks();
    assertEquals(repository.calls.length, before);
    await time.tickAsync(longest - 1);
    assertEquals(repository.calls.length, before);
    await time.tickAsync(1);
    assertEquals(repository.calls.length, before + 1);
  }
});

Deno.test("RunLease.write() of RowsOnlyLog gives up a row that is finally refused", async () => {
  await using opened = openRowsOnlyLog();
  const { repository, time, warnings } = opened;
  const written = write(opened.lease(), "STARTED");
  await repository.refuse(FINAL);
  await time.tickAsync(60_000);
  await runMicrotasks();
  assertEquals(repository.rows, ["STARTED"]);
  await assertGivenUp(written, FINAL);
  assertEquals(warnings, []);
});

for (const error of [DOWN, new TypeError("error sending request"), "text"]) {
  Deno.test(`RunLease.write() of RowsOnlyLog retries a row that is refused with ${error}`, async () => {
    await using opened = openRowsOnlyLog();
    const { repository } = opened;
    const written = write(opened.lease(), "STARTED");
    await repository.refuse(error);
    assertEquals(repository.rows, ["STARTED", "STARTED"]);
    await repository.acknowledge();
    await written;
  });
}

Deno.test("RunLease.write() of RowsOnlyLog treats a repository that throws like one that refuses", async () => {
  await using opened = openRowsOnlyLog();
  const { repository } = opened;
  const log = repository.logPipelineRun;
  repository.logPipelineRun = () => {
    repository.logPipelineRun = log;
    throw DOWN;
  };
  const written = write(opened.lease(), "STARTED");
  await runMicrotasks();
  await repository.acknowledge();
  await written;
});

Deno.test("RunLease.write() of RowsOnlyLog holds back the rows after a refused one", async () => {
  await using opened = openRowsOnlyLog();
  const { repository, time } = opened;
  const lease = opened.lease();
  write(lease, "STARTED");
  await repository.refuse();
  await repository.refuse();
  write(lease, "COMPLETED");
  assertEquals(repository.rows, ["STARTED", "STARTED"]);
  time.tick(100);
  await runMicrotasks();
  assertEquals(repository.rows.slice(2), ["STARTED"]);
  await repository.acknowledge();
  assertEquals(repository.rows.slice(2), ["STARTED", "COMPLETED"]);
});

Deno.test("RunLease.write() of RowsOnlyLog retries only the newest row that may be written", async () => {
  await using opened = openRowsOnlyLog();
  const { repository } = opened;
  const lease = opened.lease();
  const started = write(lease, "STARTED");
  const completed = write(lease, "COMPLETED");
  repository.calls[1].refuse(DOWN);
  repository.calls[0].refuse(DOWN);
  await runMicrotasks();
  assertEquals(repository.rows.slice(2), ["COMPLETED"]);
  await repository.acknowledge();
  await assertGivenUp(started, DOWN);
  await completed;
});

Deno.test("RunLease.write() of RowsOnlyLog writes the row sent after one that is given up", async () => {
  await using opened = openRowsOnlyLog();
  const { repository } = opened;
  const lease = opened.lease();
  const started = write(lease, "STARTED");
  const completed = write(lease, "COMPLETED");
  repository.calls[0].refuse(FINAL);
  repository.calls[1].acknowledge();
  await runMicrotasks();
  assertEquals(repository.rows, ["STARTED", "COMPLETED"]);
  await assertGivenUp(started, FINAL);
  await completed;
});

Deno.test("RunLease.write() of RowsOnlyLog writes the row that waits behind one that is given up", async () => {
  await using opened = openRowsOnlyLog();
  const { repository } = opened;
  const lease = opened.lease();
  const started = write(lease, "STARTED");
  await repository.refuse();
  const completed = write(lease, "COMPLETED");
  await repository.refuse(FINAL);
  assertEquals(repository.rows, ["STARTED", "STARTED", "COMPLETED"]);
  await repository.acknowledge();
  await assertGivenUp(started, FINAL);
  await completed;
});

Deno.test("RunLease.write() of RowsOnlyLog gives up a refused row once a later one is written", async () => {
  await using opened = openRowsOnlyLog();
  const { repository, time } = opened;
  const lease = opened.lease();
  const started = write(lease, "STARTED");
  const completed = write(lease, "COMPLETED");
  repository.calls[0].refuse(DOWN);
  repository.calls[1].acknowledge();
  await runMicrotasks();
  await time.tickAsync(60_000);
  await runMicrotasks();
  assertEquals(repository.rows, ["STARTED", "COMPLETED"]);
  await assertGivenUp(started, DOWN);
  await completed;
});

Deno.test("RunLease.write() of RowsOnlyLog gives up a row that is refused after a later one is written", async () => {
  await using opened = openRowsOnlyLog();
  const { repository, time } = opened;
  const lease = opened.lease();
  const started = write(lease, "STARTED");
  const completed = write(lease, "COMPLETED");
  await repository.acknowledge();
  repository.calls[0].refuse(DOWN);
  await runMicrotasks();
  await time.tickAsync(60_000);
  await runMicrotasks();
  assertEquals(repository.rows, ["STARTED", "COMPLETED"]);
  await assertGivenUp(started, DOWN);
  await completed;
});

Deno.test("RunLease.write() of RowsOnlyLog holds back no rows of other runs", async () => {
  await using opened = openRowsOnlyLog();
  const { repository } = opened;
  const started = write(opened.lease(), "STARTED");
  await repository.refuse();
  await repository.refuse();
  const other = write(opened.lease(OTHER_RUN_ID), "STARTED", OTHER_RUN_ID);
  assertEquals(repository.rows.length, 3);
  await repository.acknowledge();
  await other;
  await assertPending(started);
});

Deno.test("RunLease.write() of RowsOnlyLog retries one run while another run's row gets no answer", async () => {
  await using opened = openRowsOnlyLog();
  const { repository, time } = opened;
  const lease = opened.lease();
  write(lease, "STARTED");
  write(lease, "COMPLETED");
  repository.calls[0].refuse(DOWN);
  await runMicrotasks();
  write(opened.lease(OTHER_RUN_ID), "ERRORED", OTHER_RUN_ID);
  await repository.refuse();
  for (let i = 0; i < 3; i++) {
    time.tick(5_000);
    await runMicrotasks();
  }
  assertEquals(repository.rows.filter((row) => row === "ERRORED").length, 2);
});

Deno.test("RunLease.write() of RowsOnlyLog warns of a refused row once, however often it is refused", async () => {
  await using opened = openRowsOnlyLog();
  const { repository, time, warnings } = opened;
  write(opened.lease(), "STARTED");
  await repository.refuse();
  for (let i = 0; i < 5; i++) {
    await repository.refuse();
    time.tick(5_000);
    await runMicrotasks();
  }
  assertEquals(warnings, [{
    kind: "row",
    runId: RUN_ID,
    message:
      `Row DATASET_PROCESSING_STARTED of run ${RUN_ID} was not written yet`,
    cause: DOWN,
  }]);
});

Deno.test("RunLease.write() of RowsOnlyLog warns again when a later row of the run is refused", async () => {
  await using opened = openRowsOnlyLog();
  const { repository, warnings } = opened;
  const lease = opened.lease();
  write(lease, "STARTED");
  await repository.refuse();
  await repository.acknowledge();
  write(lease, "COMPLETED");
  await repository.refuse();
  assertEquals(warnings.map(({ kind }) => kind), ["row", "row"]);
  await repository.acknowledge();
});

Deno.test("RunLease.write() of RowsOnlyLog gives up a retried row that is finally refused", async () => {
  await using opened = openRowsOnlyLog();
  const { repository, warnings } = opened;
  const written = write(opened.lease(), "STARTED");
  await repository.refuse();
  await repository.refuse(FINAL);
  assertEquals(warnings.map(({ cause }) => cause), [DOWN]);
  await assertGivenUp(written, FINAL);
});

Deno.test("RunLease.abandon() of RowsOnlyLog gives up every row that waits to be retried", async () => {
  await using opened = openRowsOnlyLog();
  const { repository, time } = opened;
  const lease = opened.lease();
  const started = write(lease, "STARTED");
  await repository.refuse();
  await repository.refuse();
  const completed = write(lease, "COMPLETED");
  await assertPending(started, completed);
  lease.abandon();
  for (const written of [started, completed]) {
    await assertRejects(() => written, DOMException);
  }
  await time.tickAsync(60_000);
  await runMicrotasks();
  assertEquals(repository.rows, ["STARTED", "STARTED"]);
});

Deno.test("RunLease.abandon() of RowsOnlyLog gives up a row that is refused later", async () => {
  await using opened = openRowsOnlyLog();
  const { repository, time, warnings } = opened;
  const lease = opened.lease();
  const started = write(lease, "STARTED");
  lease.abandon();
  await Promise.all([assertRejects(() => started), repository.refuse()]);
  await time.tickAsync(60_000);
  assertEquals(repository.rows, ["STARTED"]);
  assertEquals(warnings, []);
});

Deno.test("RowsOnlyLog.status() gives the phase of the newest row", async () => {
  const repository = new ControlledRepository();
  const log = new RowsOnlyLog({ repository, payloads: "json", warn: noop });
  assertEquals(await log.status(RUN_ID), undefined);
  const runInfo = { data: "None" as const, error: "boom" };
  for (
    const { status, phase, ended } of [
      { status: "STARTED", phase: { name: "Running" }, ended: false },
      {
        status: "ERRORED",
        phase: { name: "Errored", code: "work", message: "boom" },
        ended: true,
      },
    ] as const
  ) {
    await repository.logPipelineRun(
      transition(status, { pipelineRunId: RUN_ID, runInfo }),
    );
    const row = await repository.getPipelineRun(RUN_ID);
    assertEquals(row?.status, `DATASET_PROCESSING_${status}`);
    assertEquals(await log.status(RUN_ID), {
      runId: RUN_ID,
      phase,
      ended,
      row,
      firstSeq: 1,
      lastSeq: 0,
    });
  }
});

Deno.test("RowsOnlyLog.requestAbort() knows no run, even if it has rows", async () => {
  const { repository, calls } = recordingRepository();
  await repository.logPipelineRun(
    transition("STARTED", { pipelineRunId: RUN_ID }),
  );
  const log = new RowsOnlyLog({ repository, payloads: "json", warn: noop });
  assertEquals(await log.requestAbort(), "unknown");
  assertEquals(calls, ["logPipelineRun"]);
});

Deno.test("RowsOnlyLog.reap() leaves the rows of runs alone", async () => {
  const { repository, calls } = recordingRepository();
  await repository.logPipelineRun(
    transition("STARTED", { pipelineRunId: RUN_ID }),
  );
  const log = new RowsOnlyLog({ repository, payloads: "json", warn: noop });
  assertEquals(await log.reap(), 0);
  assertEquals(calls, ["logPipelineRun"]);
});

Deno.test("RowsOnlyLog.follow() reads a run from memory", () => {
  const { repository, calls } = recordingRepository();
  const log = new RowsOnlyLog({ repository, payloads: "json", warn: noop });
  const events = new ReadableStream<RunEvent>();
  const stream = log.follow(RUN_ID, { after: 3 }, {
    follow: () => ({ onEvent: noop, onEnd: noop }),
    subscribe: () => events,
    unrecorded: forever,
  });
  assertStrictEquals(stream, events);
  assertEquals(calls, []);
});

/** A registry of one run whose COMPLETED rows are refused while it is down. */
function openRegistry(onWarning: (warning: RegistryWarning) => void = noop) {
  const time = new FakeTime();
  const repository = new ControlledRepository();
  const state = { down: true };
  repository.beforeRow = ({ status }) => {
    if (state.down && status === "DATASET_PROCESSING_COMPLETED") throw DOWN;
  };
  let now = 0;
  const registry = new PipelineRunRegistry({
    repository,
    maxInMemoryRuns: 1,
    finishedRetention: 0,
    clock: () => now,
    onWarning,
  });
  return {
    repository,
    registry,
    state,
    /** Lets time pass for timers and clocks alike. */
    async pass(milliseconds: number): Promise<void> {
      await time.runMicrotasks();
      now += milliseconds;
      time.tick(milliseconds);
      await time.runMicrotasks();
    },
    async [Symbol.asyncDispose]() {
      await registry.shutdown();
      time.restore();
    },
  };
}

Deno.test("PipelineRunRegistry does not forget a run before its ending is written", async () => {
  await using opened = openRegistry();
  const { registry, repository, state, pass } = opened;
  const { outcome } = await registry.registerBackground(KNOWN, noop);
  await pass(5_000);
  assertEquals((await outcome).durable, false);
  assertEquals(await registry.sweep(), { evicted: 0, reaped: 0, pruned: 0 });
  await assertRejects(
    () => registry.registerInline({ pipelineName: "ingest" }, noop),
    RegistryFullError,
  );
  state.down = false;
  await pass(5_000);
  assertEquals(await statuses(repository, RUN_ID), ["STARTED", "COMPLETED"]);
  await registry.registerInline({ pipelineName: "ingest" }, noop);
  assertEquals(registry.snapshotStatus(RUN_ID), undefined);
});

Deno.test("PipelineRunRegistry leaves the outcome as it was when the ending is written later", async () => {
  await using opened = openRegistry();
  const { registry, state, pass } = opened;
  const { outcome } = await registry.registerBackground(KNOWN, noop);
  await pass(5_000);
  const early = await outcome;
  state.down = false;
  await pass(5_000);
  assertEquals(await outcome, early);
  assertEquals(
    (await Array.fromAsync(registry.subscribe(RUN_ID))).map(({ kind }) => kind),
    ["Started", "Completed"],
  );
});

Deno.test("PipelineRunRegistry writes an ending also when onWarning throws (fault 6)", async () => {
  await using opened = openRegistry(() => {
    throw new Error("from onWarning");
  });
  const { registry, repository, state, pass } = opened;
  const { outcome } = await registry.registerBackground(KNOWN, noop);
  await pass(1_000);
  state.down = false;
  await pass(5_000);
  assertEquals((await outcome).runId, RUN_ID);
  assertEquals(await statuses(repository, RUN_ID), ["STARTED", "COMPLETED"]);
});
