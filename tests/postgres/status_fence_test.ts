import { assertEquals } from "@std/assert";
import {
  type RunState,
  STATUS,
  toStatus,
} from "../../src/postgres/sql/status.ts";
import type { RunStatus } from "../../src/repository/run_log.ts";
import { RunTables } from "./run_tables.ts";

/** The status of a run, without its row. */
async function statusOf(
  tables: RunTables,
  runId: string,
): Promise<Partial<RunStatus> | undefined> {
  const [state] = await tables.execute(STATUS, { runId }) as [RunState];
  const status = toStatus(runId, state);
  if (status === undefined) return undefined;
  const { phase, ended, firstSeq, lastSeq } = status;
  return { phase, ended, firstSeq, lastSeq };
}

Deno.test("STATUS of a run that nobody knows is undefined", async () => {
  await using tables = await RunTables.open();
  await tables.addLease({ runId: crypto.randomUUID() });
  await tables.addOther();
  assertEquals(await statusOf(tables, crypto.randomUUID()), undefined);
});

Deno.test("STATUS knows a run by its row alone", async () => {
  await using tables = await RunTables.open();
  await tables.addOther();
  const runId = crypto.randomUUID();
  await tables.addRow({ runId, status: "COMPLETED" });
  assertEquals(await statusOf(tables, runId), {
    phase: { name: "Completed" },
    ended: true,
    firstSeq: 1,
    lastSeq: 0,
  });
});

Deno.test("STATUS knows a run by its lease alone", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  await tables.addLease({ runId });
  assertEquals(await statusOf(tables, runId), {
    phase: { name: "Pending" },
    ended: false,
    firstSeq: 1,
    lastSeq: 0,
  });
});

Deno.test("STATUS knows a run by its expired lease alone", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  await tables.addLease({ runId, expiresIn: -1 });
  const status = await statusOf(tables, runId);
  assertEquals(status?.phase, {
    name: "Errored",
    code: "lease_expired",
    message: "lease_expired",
  });
});

Deno.test("STATUS of a run whose only claim was given up is undefined", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  await tables.addLease({ runId, ended: true });
  assertEquals(await statusOf(tables, runId), undefined);
});

Deno.test("STATUS knows a run by its events alone, whose last one says how it ended", async () => {
  await using tables = await RunTables.open();
  await tables.addOther();
  const runId = await tables.addTwoAttempts();
  assertEquals(await statusOf(tables, runId), {
    phase: { name: "Errored", code: "work", message: "boom" },
    ended: true,
    firstSeq: 3,
    lastSeq: 5,
  });
});

Deno.test("STATUS believes the last event before the row", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  await tables.addEvents(
    { runId, seq: 1, kind: "Started" },
    { runId, seq: 2, kind: "Completed" },
  );
  await tables.addRow({ runId, status: "STARTED" });
  const status = await statusOf(tables, runId);
  assertEquals(status?.phase, { name: "Completed" });
});

Deno.test("STATUS gives the next number where the first event of the attempt is pruned", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  await tables.addEvents({ runId, seq: 4, kind: "Completed" });
  const status = await statusOf(tables, runId);
  assertEquals([status?.firstSeq, status?.lastSeq], [5, 4]);
});

Deno.test("STATUS of a live lease is Pending, then Running, whatever the former attempt was", async () => {
  await using tables = await RunTables.open();
  const runId = await tables.addTwoAttempts();
  await tables.addLease({ runId, firstSeq: 6, lastSeq: 5 });
  const status = await statusOf(tables, runId);
  assertEquals(status, {
    phase: { name: "Running" },
    ended: false,
    firstSeq: 6,
    lastSeq: 5,
  });
});

Deno.test("STATUS of an expired lease is an error whose event cannot be read yet", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  await tables.addLease({ runId, lastSeq: 1, expiresIn: -1 });
  await tables.addEvents({ runId, seq: 1, kind: "Started" });
  const status = await statusOf(tables, runId);
  assertEquals(status?.phase, {
    name: "Errored",
    code: "lease_expired",
    message: "lease_expired",
  });
  assertEquals(status?.ended, false);
});

Deno.test("STATUS of a lease that ended is that of the last event, though its time is over", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  await tables.addLease({ runId, lastSeq: 2, ended: true, expiresIn: -1 });
  await tables.addEvents(
    { runId, seq: 1, kind: "Started" },
    { runId, seq: 2, kind: "Completed" },
  );
  const status = await statusOf(tables, runId);
  assertEquals([status?.phase, status?.ended], [{ name: "Completed" }, true]);
});
