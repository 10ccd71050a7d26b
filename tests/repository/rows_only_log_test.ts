import { assertEquals, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { AuditTrail, RunTrail } from "../../src/repository/audit_trail.ts";
import {
  MemoryPipelineRunRepository,
  PipelineRunRegistry,
  type PipelineRunTransition,
  RegistryFullError,
  type RegistryWarning,
  RepositoryError,
} from "../../mod.ts";
import { assertPending, runMicrotasks } from "../assert_pending.ts";
import { ControlledRepository, statuses } from "./controlled_repository.ts";

const RUN_ID = "14818e76-a756-5be2-a535-a40479dcbd43";
const KNOWN = { pipelineName: "ingest", runId: RUN_ID };
const DOWN = new RepositoryError("down");
const FOR_GOOD = new RepositoryError("bad row", { transient: false });

const noop = () => {};

/** One time that a repository was asked to write a row. */
interface Asked {
  row: PipelineRunTransition;
  acknowledge(): void;
  refuse(error: unknown): void;
}

/** A repository that a test answers for. */
class AnsweredRepository extends MemoryPipelineRunRepository {
  readonly asked: Asked[] = [];

  override logPipelineRun(row: PipelineRunTransition): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const acknowledge = () => resolve(row.id!);
    this.asked.push({ row, acknowledge, refuse: reject });
    return promise;
  }

  /** The rows it was asked for so far, such as `STARTED`. */
  get rows(): string[] {
    return this.asked.map(({ row }) => shown(row));
  }

  /** Answers the newest question and lets the answer be heard. */
  async acknowledge(): Promise<void> {
    this.asked.at(-1)!.acknowledge();
    await runMicrotasks();
  }

  /** Answers the newest question and lets the answer be heard. */
  async refuse(error: unknown = DOWN): Promise<void> {
    this.asked.at(-1)!.refuse(error);
    await runMicrotasks();
  }
}

function shown({ status }: PipelineRunTransition): string {
  return status.replace("DATASET_PROCESSING_", "");
}

function row(
  status: "INITIATED" | "STARTED" | "COMPLETED" | "ERRORED",
  pipelineRunId: string = RUN_ID,
): PipelineRunTransition {
  return {
    id: crypto.randomUUID(),
    status: `DATASET_PROCESSING_${status}`,
    pipelineRunId,
    pipelineName: "ingest",
    pipelineId: crypto.randomUUID(),
  };
}

/** An audit trail of a repository that the test answers for, in fake time. */
function open() {
  const time = new FakeTime();
  const repository = new AnsweredRepository();
  const warnings: RegistryWarning[] = [];
  const auditTrail = new AuditTrail({
    repository,
    endingTimeout: 5_000,
    warn: (warning) => warnings.push(warning),
  });
  return {
    time,
    repository,
    warnings,
    auditTrail,
    trail: new RunTrail(),
    async [Symbol.asyncDispose]() {
      const closed = auditTrail.close(0);
      await runMicrotasks();
      time.tick(1);
      await closed;
      time.restore();
    },
  };
}

Deno.test("AuditTrail.send() asks for each row at once, in order", async () => {
  await using opened = open();
  const { auditTrail, repository, trail } = opened;
  auditTrail.send(trail, row("INITIATED"));
  auditTrail.send(trail, row("STARTED"));
  auditTrail.send(trail, row("COMPLETED"));
  assertEquals(repository.rows, ["INITIATED", "STARTED", "COMPLETED"]);
});

Deno.test("AuditTrail.send() asks once for a row that is acknowledged", async () => {
  await using opened = open();
  const { auditTrail, repository, time, trail } = opened;
  auditTrail.send(trail, row("STARTED"));
  await repository.acknowledge();
  await time.tickAsync(60_000);
  await runMicrotasks();
  assertEquals(repository.rows, ["STARTED"]);
  assertEquals(trail.idle, true);
});

Deno.test("AuditTrail.send() asks again for a row that was refused, under the same id", async () => {
  await using opened = open();
  const { auditTrail, repository, trail } = opened;
  const started = row("STARTED");
  auditTrail.send(trail, started);
  await repository.refuse();
  assertEquals(repository.asked.map(({ row }) => row), [started, started]);
  await repository.acknowledge();
  assertEquals(trail.idle, true);
});

Deno.test("AuditTrail.send() waits longer after each refusal, 5 s at most", async () => {
  await using opened = open();
  const { auditTrail, repository, time, trail } = opened;
  auditTrail.send(trail, row("STARTED"));
  await repository.refuse();
  for (const longest of [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]) {
    await repository.refuse();
    const before = repository.asked.length;
    await runMicrotasks();
    assertEquals(repository.asked.length, before);
    time.tick(longest);
    await runMicrotasks();
    assertEquals(repository.asked.length, before + 1);
  }
});

Deno.test("AuditTrail.send() gives up a row that is refused for good", async () => {
  await using opened = open();
  const { auditTrail, repository, time, trail, warnings } = opened;
  auditTrail.send(trail, row("STARTED"));
  await repository.refuse(FOR_GOOD);
  await time.tickAsync(60_000);
  await runMicrotasks();
  assertEquals(repository.rows, ["STARTED"]);
  assertEquals(trail.idle, true);
  assertEquals(
    warnings.map(({ kind, runId, cause }) => ({ kind, runId, cause })),
    [{ kind: "row", runId: RUN_ID, cause: FOR_GOOD }],
  );
});

for (const error of [DOWN, new TypeError("error sending request"), "text"]) {
  Deno.test(`AuditTrail.send() does not give up a row that is refused with ${error}`, async () => {
    await using opened = open();
    const { auditTrail, repository, trail } = opened;
    auditTrail.send(trail, row("STARTED"));
    await repository.refuse(error);
    assertEquals(repository.rows, ["STARTED", "STARTED"]);
    await repository.acknowledge();
    assertEquals(trail.idle, true);
  });
}

Deno.test("AuditTrail.send() takes a repository that throws for one that refuses", async () => {
  await using opened = open();
  const { auditTrail, repository, trail } = opened;
  const log = repository.logPipelineRun;
  repository.logPipelineRun = () => {
    repository.logPipelineRun = log;
    throw DOWN;
  };
  auditTrail.send(trail, row("STARTED"));
  await runMicrotasks();
  await repository.acknowledge();
  assertEquals(trail.idle, true);
});

Deno.test("AuditTrail.send() holds back what follows a refused row", async () => {
  await using opened = open();
  const { auditTrail, repository, time, trail } = opened;
  auditTrail.send(trail, row("STARTED"));
  await repository.refuse();
  await repository.refuse();
  auditTrail.send(trail, row("COMPLETED"));
  assertEquals(repository.rows, ["STARTED", "STARTED"]);
  time.tick(100);
  await runMicrotasks();
  assertEquals(repository.rows.slice(2), ["STARTED"]);
  await repository.acknowledge();
  assertEquals(repository.rows.slice(2), ["STARTED", "COMPLETED"]);
});

Deno.test("AuditTrail.send() asks again only for the newest row that may be written", async () => {
  await using opened = open();
  const { auditTrail, repository, trail } = opened;
  auditTrail.send(trail, row("STARTED"));
  auditTrail.send(trail, row("COMPLETED"));
  const [started, completed] = repository.asked;
  completed.refuse(DOWN);
  started.refuse(DOWN);
  await runMicrotasks();
  assertEquals(repository.rows.slice(2), ["COMPLETED"]);
  await repository.acknowledge();
  assertEquals(trail.idle, true);
});

Deno.test("AuditTrail.send() asks for what follows a row that is given up", async () => {
  await using opened = open();
  const { auditTrail, repository, trail } = opened;
  auditTrail.send(trail, row("STARTED"));
  auditTrail.send(trail, row("COMPLETED"));
  const [started, completed] = repository.asked;
  started.refuse(FOR_GOOD);
  completed.acknowledge();
  await runMicrotasks();
  assertEquals(repository.rows, ["STARTED", "COMPLETED"]);
  assertEquals(trail.idle, true);
});

Deno.test("AuditTrail.send() gives up a refused row once a later one is written", async () => {
  await using opened = open();
  const { auditTrail, repository, time, trail } = opened;
  auditTrail.send(trail, row("STARTED"));
  auditTrail.send(trail, row("COMPLETED"));
  const [started, completed] = repository.asked;
  started.refuse(DOWN);
  completed.acknowledge();
  await runMicrotasks();
  await time.tickAsync(60_000);
  await runMicrotasks();
  assertEquals(repository.rows, ["STARTED", "COMPLETED"]);
  assertEquals(trail.idle, true);
});

Deno.test("AuditTrail.send() gives up a row that is refused after a later one is written", async () => {
  await using opened = open();
  const { auditTrail, repository, time, trail } = opened;
  auditTrail.send(trail, row("STARTED"));
  auditTrail.send(trail, row("COMPLETED"));
  const [started, completed] = repository.asked;
  completed.acknowledge();
  await runMicrotasks();
  started.refuse(DOWN);
  await runMicrotasks();
  await time.tickAsync(60_000);
  await runMicrotasks();
  assertEquals(repository.rows, ["STARTED", "COMPLETED"]);
  assertEquals(trail.idle, true);
});

Deno.test("AuditTrail.send() keeps the runs apart when one is refused", async () => {
  await using opened = open();
  const { auditTrail, repository, trail } = opened;
  auditTrail.send(trail, row("STARTED"));
  await repository.refuse();
  await repository.refuse();
  const other = new RunTrail();
  auditTrail.send(other, row("STARTED", crypto.randomUUID()));
  assertEquals(repository.rows.length, 3);
  await repository.acknowledge();
  assertEquals([trail.idle, other.idle], [false, true]);
});

Deno.test("AuditTrail.send() asks again for one run while another run's row gets no answer", async () => {
  await using opened = open();
  const { auditTrail, repository, time, trail } = opened;
  auditTrail.send(trail, row("STARTED"));
  auditTrail.send(trail, row("COMPLETED"));
  const [started] = repository.asked;
  started.refuse(DOWN);
  await runMicrotasks();
  const other = new RunTrail();
  auditTrail.send(other, row("ERRORED", crypto.randomUUID()));
  await repository.refuse();
  for (let i = 0; i < 3; i++) {
    time.tick(5_000);
    await runMicrotasks();
  }
  assertEquals(repository.rows.filter((row) => row === "ERRORED").length, 2);
});

Deno.test("RunTrail.onIdle is called once, when no row is on its way", async () => {
  await using opened = open();
  const { auditTrail, repository, trail } = opened;
  let calls = 0;
  trail.onIdle = () => calls++;
  auditTrail.send(trail, row("STARTED"));
  auditTrail.send(trail, row("COMPLETED"));
  const [started, completed] = repository.asked;
  completed.acknowledge();
  await runMicrotasks();
  assertEquals(calls, 0);
  started.acknowledge();
  await runMicrotasks();
  assertEquals(calls, 1);
});

// Endings

Deno.test("AuditTrail.sendEnding() resolves with true once the row is written", async () => {
  await using opened = open();
  const { auditTrail, repository, trail } = opened;
  const written = auditTrail.sendEnding(trail, row("COMPLETED"));
  await assertPending(written);
  await repository.acknowledge();
  assertEquals(await written, true);
});

Deno.test("AuditTrail.sendEnding() resolves with true for a row that is written at the second try", async () => {
  await using opened = open();
  const { auditTrail, repository, trail } = opened;
  const written = auditTrail.sendEnding(trail, row("COMPLETED"));
  await repository.refuse();
  await assertPending(written);
  await repository.acknowledge();
  assertEquals(await written, true);
});

Deno.test("AuditTrail.sendEnding() resolves with false at once for a row that is given up", async () => {
  await using opened = open();
  const { auditTrail, repository, trail } = opened;
  const written = auditTrail.sendEnding(trail, row("COMPLETED"));
  await repository.refuse(FOR_GOOD);
  assertEquals(await written, false);
});

Deno.test("AuditTrail.sendEnding() resolves with false when its time is over, and tells of it once", async () => {
  await using opened = open();
  const { auditTrail, repository, time, trail, warnings } = opened;
  const written = auditTrail.sendEnding(trail, row("COMPLETED"));
  time.tick(4_900);
  await assertPending(written);
  time.tick(100);
  assertEquals(await written, false);
  await repository.acknowledge();
  time.tick(60_000);
  assertEquals(warnings.map(({ kind, runId }) => ({ kind, runId })), [
    { kind: "ending", runId: RUN_ID },
  ]);
});

Deno.test("AuditTrail.sendEnding() gives each ending its own time, to 2%", async () => {
  await using opened = open();
  const { auditTrail, time, trail } = opened;
  const first = auditTrail.sendEnding(trail, row("COMPLETED"));
  time.tick(2_500);
  const second = auditTrail.sendEnding(new RunTrail(), row("COMPLETED"));
  time.tick(2_500);
  assertEquals(await first, false);
  time.tick(2_400);
  await assertPending(second);
  time.tick(100);
  assertEquals(await second, false);
});

Deno.test("AuditTrail.sendEnding() goes on with the row when its time is over", async () => {
  await using opened = open();
  const { auditTrail, repository, time, trail } = opened;
  const written = auditTrail.sendEnding(trail, row("COMPLETED"));
  await repository.refuse();
  await repository.refuse();
  time.tick(5_000);
  assertEquals(await written, false);
  await runMicrotasks();
  assertEquals(trail.idle, false);
  await repository.acknowledge();
  assertEquals(trail.idle, true);
});

Deno.test("AuditTrail.sendEnding() tells nothing of a row that was written in time", async () => {
  await using opened = open();
  const { auditTrail, repository, time, trail, warnings } = opened;
  const written = auditTrail.sendEnding(trail, row("COMPLETED"));
  await repository.acknowledge();
  assertEquals(await written, true);
  time.tick(60_000);
  assertEquals(warnings, []);
});

// Warnings

Deno.test("AuditTrail tells of a refused row once, however often it is refused", async () => {
  await using opened = open();
  const { auditTrail, repository, time, trail, warnings } = opened;
  auditTrail.send(trail, row("STARTED"));
  await repository.refuse();
  for (let i = 0; i < 5; i++) {
    await repository.refuse();
    time.tick(5_000);
    await runMicrotasks();
  }
  assertEquals(
    warnings.map(({ kind, runId, cause }) => ({ kind, runId, cause })),
    [{ kind: "row", runId: RUN_ID, cause: DOWN }],
  );
});

Deno.test("AuditTrail tells again when a later row of the run is refused", async () => {
  await using opened = open();
  const { auditTrail, repository, trail, warnings } = opened;
  auditTrail.send(trail, row("STARTED"));
  await repository.refuse();
  await repository.acknowledge();
  auditTrail.send(trail, row("COMPLETED"));
  await repository.refuse();
  assertEquals(warnings.map(({ kind }) => kind), ["row", "row"]);
  await repository.acknowledge();
});

Deno.test("AuditTrail tells when a row that was to be sent again is given up", async () => {
  await using opened = open();
  const { auditTrail, repository, trail, warnings } = opened;
  auditTrail.send(trail, row("STARTED"));
  await repository.refuse();
  await repository.refuse(FOR_GOOD);
  assertEquals(warnings.map(({ cause }) => cause), [DOWN, FOR_GOOD]);
  assertEquals(trail.idle, true);
});

// close()

Deno.test("AuditTrail.close() returns at once when no row is on its way", async () => {
  await using opened = open();
  await opened.auditTrail.close(1_000_000);
});

Deno.test("AuditTrail.close() waits for the rows that are on their way", async () => {
  await using opened = open();
  const { auditTrail, repository, trail, warnings } = opened;
  auditTrail.send(trail, row("STARTED"));
  auditTrail.send(new RunTrail(), row("STARTED"));
  const closed = auditTrail.close(1_000);
  const [first, second] = repository.asked;
  first.acknowledge();
  await assertPending(closed);
  second.acknowledge();
  await closed;
  assertEquals(warnings, []);
});

Deno.test("AuditTrail.close() waits for a row that is sent again", async () => {
  await using opened = open();
  const { auditTrail, repository, trail } = opened;
  auditTrail.send(trail, row("STARTED"));
  const closed = auditTrail.close(1_000);
  await repository.refuse();
  await assertPending(closed);
  await repository.acknowledge();
  await closed;
});

Deno.test("AuditTrail.close() returns by its timeout and names each run with rows that are not written", async () => {
  await using opened = open();
  const { auditTrail, time, trail, warnings } = opened;
  const other = crypto.randomUUID();
  auditTrail.send(trail, row("STARTED"));
  auditTrail.send(trail, row("COMPLETED"));
  auditTrail.send(new RunTrail(), row("STARTED", other));
  const closed = auditTrail.close(1_000);
  time.tick(999);
  await assertPending(closed);
  time.tick(1);
  await closed;
  assertEquals(
    warnings.map(({ kind, runId }) => ({ kind, runId })),
    [{ kind: "row", runId: RUN_ID }, { kind: "row", runId: other }],
  );
});

Deno.test("AuditTrail.close() lets nobody wait for an ending any longer", async () => {
  await using opened = open();
  const { auditTrail, time, trail } = opened;
  const written = auditTrail.sendEnding(trail, row("COMPLETED"));
  const closed = auditTrail.close(1_000);
  time.tick(1_000);
  await closed;
  assertEquals(await written, false);
});

Deno.test("AuditTrail.close() makes every refusal final", async () => {
  await using opened = open();
  const { auditTrail, repository, time, trail } = opened;
  auditTrail.send(trail, row("STARTED"));
  const closed = auditTrail.close(1_000);
  time.tick(1_000);
  await closed;
  await repository.refuse();
  await time.tickAsync(60_000);
  await runMicrotasks();
  assertEquals(repository.rows, ["STARTED"]);
});

Deno.test("AuditTrail.close() stops asking again for what was refused", async () => {
  await using opened = open();
  const { auditTrail, repository, time, trail } = opened;
  auditTrail.send(trail, row("STARTED"));
  await repository.refuse();
  await repository.refuse();
  const closed = auditTrail.close(0);
  await runMicrotasks();
  time.tick(0);
  await closed;
  const asked = repository.asked.length;
  await time.tickAsync(60_000);
  await runMicrotasks();
  assertEquals(repository.asked.length, asked);
});

Deno.test("AuditTrail.sendEnding() waits for nobody after close()", async () => {
  await using opened = open();
  const { auditTrail, time, trail } = opened;
  await auditTrail.close(0);
  const written = auditTrail.sendEnding(trail, row("COMPLETED"));
  const early = await Promise.race([
    written,
    runMicrotasks().then(() => "still waiting"),
  ]);
  time.tick(5_000);
  assertEquals(early, false);
});

// As the registry sees it

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

Deno.test("PipelineRunRegistry writes an ending also when onWarning throws", async () => {
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
