import { assert, assertEquals } from "@std/assert";
import { PRUNE } from "../../src/postgres/sql/events.ts";
import { PRUNE_LEASES } from "../../src/postgres/sql/leases.ts";
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

/** Prunes leases once; those of `RunTables` that have ended did so an hour ago. */
async function pruneLeases(
  tables: RunTables,
  { retention = HOUR / 2, limit = 100 } = {},
): Promise<number> {
  const [count] = await tables.execute(PRUNE_LEASES, { retention, limit });
  return count as number;
}

Deno.test("PRUNE_LEASES deletes leases that ended longer ago than the retention", async () => {
  await using tables = await RunTables.open();
  const [ended, live] = [crypto.randomUUID(), crypto.randomUUID()];
  await tables.addLease({ runId: ended, ended: true });
  await tables.addLease({ runId: live, expiresIn: -2 * HOUR });
  assertEquals(await pruneLeases(tables, { retention: 2 * HOUR }), 0);
  assertEquals(await pruneLeases(tables), 1);
  assertEquals(await tables.leaseOf(ended), undefined);
  assert(await tables.leaseOf(live) !== undefined);
});

Deno.test("PRUNE_LEASES keeps the lease of a run that has events", async () => {
  await using tables = await RunTables.open();
  const [kept, pruned] = [crypto.randomUUID(), crypto.randomUUID()];
  for (const runId of [kept, pruned]) {
    await tables.addLease({ runId, ended: true });
  }
  await tables.addEvents({ runId: kept, seq: 1, kind: "Completed", ...OLD });
  assertEquals(await pruneLeases(tables), 1);
  assert(await tables.leaseOf(kept) !== undefined);
});

Deno.test("PRUNE_LEASES deletes at most as many leases as it is told", async () => {
  await using tables = await RunTables.open();
  for (let i = 0; i < 3; i++) {
    await tables.addLease({ runId: crypto.randomUUID(), ended: true });
  }
  assertEquals(await pruneLeases(tables, { limit: 2 }), 2);
  assertEquals(await pruneLeases(tables, { limit: 2 }), 1);
});

Deno.test("PRUNE_LEASES skips leases that another changes, and does not wait", async () => {
  await using tables = await RunTables.open();
  const [runId, otherId] = [crypto.randomUUID(), crypto.randomUUID()];
  for (const id of [runId, otherId]) {
    await tables.addLease({ runId: id, ended: true });
  }
  await using _other = await OtherTransaction.begin(
    tables,
    (sql) =>
      sql`
        update pipeline_run_leases set ended_at = null
        where pipeline_run_id = ${otherId}`,
  );
  await using patient = await tables.withLockTimeout(300);
  assertEquals(await pruneLeases(patient), 1);
  assertEquals(await tables.leaseOf(runId), undefined);
});
