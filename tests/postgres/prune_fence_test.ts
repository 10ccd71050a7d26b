import { assertEquals } from "@std/assert";
import { PRUNE } from "../../src/postgres/sql/events.ts";
import { OtherTransaction, RunTables } from "./run_tables.ts";

const HOUR = 3_600_000;
const OLD = { age: 2 * HOUR };
const RECENT = { age: HOUR / 2 };

/** Prunes once, with a retention of an hour. */
async function prune(tables: RunTables, limit = 100): Promise<number> {
  const values = { retention: HOUR, limit };
  const [count] = await tables.execute(PRUNE, values) as [number];
  return count;
}

for (const kind of ["Completed", "Errored"] as const) {
  Deno.test(`PRUNE deletes the events of a run whose ${kind} is old`, async () => {
    await using tables = await RunTables.open();
    const runId = crypto.randomUUID();
    await tables.addEvents(
      { runId, seq: 1, kind: "Started", ...OLD },
      { runId, seq: 2, kind: "Yield", ...OLD },
      { runId, seq: 3, kind, ...OLD },
    );
    assertEquals(await prune(tables), 3);
    assertEquals(await tables.eventsOf(runId), []);
  });
}

Deno.test("PRUNE keeps the events of a run that ended within the retention", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  await tables.addEvents(
    { runId, seq: 1, kind: "Started", ...OLD },
    { runId, seq: 2, kind: "Completed", ...RECENT },
  );
  assertEquals(await prune(tables), 0);
  assertEquals(await tables.eventsOf(runId), ["1 Started", "2 Completed"]);
});

Deno.test("PRUNE keeps the events of a run that has not ended", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  await tables.addEvents(
    { runId, seq: 1, kind: "Started", ...OLD },
    { runId, seq: 2, kind: "Yield", ...OLD },
  );
  assertEquals(await prune(tables), 0);
  assertEquals(await tables.eventsOf(runId), ["1 Started", "2 Yield"]);
});

Deno.test("PRUNE deletes every attempt that ended, and keeps the one that goes on", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  await tables.addEvents(
    { runId, seq: 1, kind: "Started", ...OLD },
    { runId, seq: 2, kind: "Errored", ...OLD },
    { runId, seq: 3, kind: "Started", ...OLD },
    { runId, seq: 4, kind: "Completed", ...OLD },
    { runId, seq: 5, kind: "Started", ...OLD },
  );
  assertEquals(await prune(tables), 4);
  assertEquals(await tables.eventsOf(runId), ["5 Started"]);
});

Deno.test("PRUNE keeps the events of other runs", async () => {
  await using tables = await RunTables.open();
  const [runId, otherId] = [crypto.randomUUID(), crypto.randomUUID()];
  await tables.addEvents(
    { runId, seq: 1, kind: "Completed", ...OLD },
    { runId: otherId, seq: 1, kind: "Started", ...OLD },
  );
  assertEquals(await prune(tables), 1);
  assertEquals(await tables.eventsOf(otherId), ["1 Started"]);
});

Deno.test("PRUNE deletes at most as many events as it is told, the ending last", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  // Written last to first, so that their place in the table is not their order.
  await tables.addEvents(
    { runId, seq: 4, kind: "Completed", ...OLD },
    { runId, seq: 3, kind: "Yield", ...OLD },
    { runId, seq: 2, kind: "Yield", ...OLD },
    { runId, seq: 1, kind: "Started", ...OLD },
  );
  assertEquals(await prune(tables, 3), 3);
  assertEquals(await tables.eventsOf(runId), ["4 Completed"]);
  assertEquals(await prune(tables, 3), 1);
  assertEquals(await tables.eventsOf(runId), []);
});

Deno.test("PRUNE skips events that another deletes, and does not wait", async () => {
  await using tables = await RunTables.open();
  const [runId, otherId] = [crypto.randomUUID(), crypto.randomUUID()];
  await tables.addEvents(
    { runId, seq: 1, kind: "Completed", ...OLD },
    { runId: otherId, seq: 1, kind: "Completed", ...OLD },
  );
  await using _other = await OtherTransaction.begin(
    tables,
    (sql) =>
      sql`delete from pipeline_run_events where pipeline_run_id = ${otherId}`,
  );
  await using patient = await tables.withLockTimeout(300);
  assertEquals(await prune(patient), 1);
  assertEquals(await tables.eventsOf(runId), []);
});
