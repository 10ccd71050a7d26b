import { assert, assertEquals } from "@std/assert";
import {
  PRUNE_EVENTS,
  PRUNE_FIELDS,
  PRUNE_LEASES,
  PRUNE_RESULTS,
  PRUNE_ROWS,
} from "../../src/postgres/sql/retention.ts";
import { OtherTransaction, RunTables } from "./run_tables.ts";

const HOUR = 3_600_000;
const OLD = { age: 2 * HOUR };
const RECENT = { age: HOUR / 2 };

/** Prunes once, with a retention of an hour. */
async function prune(tables: RunTables, limit = 100): Promise<number> {
  const values = { retention: HOUR, limit };
  const [count] = await tables.execute(PRUNE_EVENTS, values) as [number];
  return count;
}

for (const kind of ["Completed", "Errored"] as const) {
  Deno.test(`PRUNE_EVENTS deletes the events of a run whose ${kind} is old`, async () => {
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

Deno.test("PRUNE_EVENTS keeps the events of a run that ended within the retention", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  await tables.addEvents(
    { runId, seq: 1, kind: "Started", ...OLD },
    { runId, seq: 2, kind: "Completed", ...RECENT },
  );
  assertEquals(await prune(tables), 0);
  assertEquals(await tables.eventsOf(runId), ["1 Started", "2 Completed"]);
});

Deno.test("PRUNE_EVENTS keeps the events of a run that has not ended", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  await tables.addEvents(
    { runId, seq: 1, kind: "Started", ...OLD },
    { runId, seq: 2, kind: "Yield", ...OLD },
  );
  assertEquals(await prune(tables), 0);
  assertEquals(await tables.eventsOf(runId), ["1 Started", "2 Yield"]);
});

Deno.test("PRUNE_EVENTS deletes every attempt that ended, and keeps the one that goes on", async () => {
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

Deno.test("PRUNE_EVENTS keeps the events of other runs", async () => {
  await using tables = await RunTables.open();
  const [runId, otherId] = [crypto.randomUUID(), crypto.randomUUID()];
  await tables.addEvents(
    { runId, seq: 1, kind: "Completed", ...OLD },
    { runId: otherId, seq: 1, kind: "Started", ...OLD },
  );
  assertEquals(await prune(tables), 1);
  assertEquals(await tables.eventsOf(otherId), ["1 Started"]);
});

Deno.test("PRUNE_EVENTS deletes at most as many events as it is told, the ending last", async () => {
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

Deno.test("PRUNE_EVENTS deletes what ended first", async () => {
  await using tables = await RunTables.open();
  const runIds = Array.from({ length: 8 }, () => crypto.randomUUID());
  for (const [i, runId] of runIds.entries()) {
    const age = (10 + i) * HOUR;
    await tables.addEvents({ runId, seq: 1, kind: "Completed", age });
  }
  assertEquals(await prune(tables, 7), 7);
  assertEquals(await tables.eventsOf(runIds[0]), ["1 Completed"]);
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

/** Prunes rows or payload fields once, with a retention of an hour. */
async function pruneBy(
  tables: RunTables,
  statement: typeof PRUNE_ROWS,
  limit = 100,
): Promise<number> {
  const [count] = await tables.execute(statement, { retention: HOUR, limit });
  return count as number;
}

/** Adds the rows of a run, the last of them some hours ago. */
async function addRun(
  tables: RunTables,
  hours: number,
  statuses: readonly ("STARTED" | "COMPLETED" | "ERRORED")[],
  row: { datasetId?: string; name?: string } = {},
): Promise<string> {
  const runId = crypto.randomUUID();
  const today = Date.now() % (24 * HOUR);
  for (const [i, status] of statuses.entries()) {
    const writtenIn = today - (hours + statuses.length - 1 - i) * HOUR;
    await tables.addRow({ runId, status, writtenIn, ...row });
  }
  return runId;
}

for (const status of ["COMPLETED", "ERRORED"] as const) {
  Deno.test(`PRUNE_ROWS deletes the rows of a run that was ${status} long ago`, async () => {
    await using tables = await RunTables.open();
    const runId = await addRun(tables, 1.1, ["STARTED", status]);
    assertEquals(await pruneBy(tables, PRUNE_ROWS), 2);
    assertEquals(await tables.statusesOf(runId), []);
  });
}

Deno.test("PRUNE_ROWS keeps the rows of a run that ended within the retention", async () => {
  await using tables = await RunTables.open();
  const runId = await addRun(tables, 0.9, ["STARTED", "COMPLETED"]);
  await addRun(tables, 1.1, ["STARTED", "COMPLETED"]);
  assertEquals(await pruneBy(tables, PRUNE_ROWS), 2);
  assertEquals(await tables.statusesOf(runId), ["STARTED", "COMPLETED"]);
});

Deno.test("PRUNE_ROWS keeps the rows of a run that has not ended, or began again", async () => {
  await using tables = await RunTables.open();
  await addRun(tables, 3, ["STARTED"]);
  await addRun(tables, 3, ["STARTED", "ERRORED", "STARTED"]);
  assertEquals(await pruneBy(tables, PRUNE_ROWS), 0);
});

Deno.test("PRUNE_ROWS keeps the newest row of each pipeline on a dataset", async () => {
  await using tables = await RunTables.open();
  const [datasetId, otherId] = [crypto.randomUUID(), crypto.randomUUID()];
  const ended = ["STARTED", "COMPLETED"] as const;
  const first = await addRun(tables, 5, ended, { datasetId });
  const second = await addRun(tables, 3, ended, { datasetId });
  const third = await addRun(tables, 7, ended, { datasetId, name: "other" });
  const fourth = await addRun(tables, 9, ended, { datasetId: otherId });
  assertEquals(await pruneBy(tables, PRUNE_ROWS), 5);
  assertEquals(await tables.statusesOf(first), []);
  for (const runId of [second, third, fourth]) {
    assertEquals(await tables.statusesOf(runId), ["COMPLETED"]);
  }
});

Deno.test("PRUNE_ROWS deletes at most as many rows as it is told, the oldest first", async () => {
  await using tables = await RunTables.open();
  const runId = await addRun(tables, 2, ["STARTED", "ERRORED", "COMPLETED"]);
  assertEquals(await pruneBy(tables, PRUNE_ROWS, 2), 2);
  assertEquals(await tables.statusesOf(runId), ["COMPLETED"]);
});

/** The keys of a run's payload fields. */
async function keysOf(tables: RunTables, runId: string): Promise<string[]> {
  const rows = await tables.sql`
    select key from pipeline_run_payload_fields
    where pipeline_run_id = ${runId} order by key`;
  return rows.map(({ key }) => key);
}

Deno.test("PRUNE_FIELDS deletes the old fields of a run that ended long ago", async () => {
  await using tables = await RunTables.open();
  const runId = await addRun(tables, 1.1, ["STARTED", "COMPLETED"]);
  await tables.addField({ runId, key: "new", age: 0.9 * HOUR });
  await tables.addField({ runId, key: "old", age: 1.1 * HOUR });
  assertEquals(await pruneBy(tables, PRUNE_FIELDS), 1);
  assertEquals(await keysOf(tables, runId), ["new"]);
});

Deno.test("PRUNE_FIELDS deletes the old fields of a run without rows", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  await tables.addField({ runId, key: "old", age: 2 * HOUR });
  assertEquals(await pruneBy(tables, PRUNE_FIELDS), 1);
});

Deno.test("PRUNE_FIELDS keeps the fields of a run that goes on, or ended within the retention", async () => {
  await using tables = await RunTables.open();
  for (
    const runId of [
      await addRun(tables, 2, ["STARTED"]),
      await addRun(tables, 2, ["COMPLETED", "STARTED"]),
      await addRun(tables, 0.9, ["STARTED", "COMPLETED"]),
    ]
  ) {
    await tables.addField({ runId, key: "old", age: 3 * HOUR });
  }
  assertEquals(await pruneBy(tables, PRUNE_FIELDS), 0);
});

Deno.test("PRUNE_FIELDS deletes at most as many fields as it is told, the oldest first", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  for (const [i, key] of ["a", "b", "c"].entries()) {
    await tables.addField({ runId, key, age: (2 + i) * HOUR });
  }
  assertEquals(await pruneBy(tables, PRUNE_FIELDS, 2), 2);
  assertEquals(await keysOf(tables, runId), ["a"]);
});

Deno.test("PRUNE_RESULTS deletes at most as many old results as it is told, the oldest first", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  for (const hours of [0.9, 1.1, 2, 3]) {
    await tables.sql`
      insert into pipeline_run_results
        (pipeline_run_id, row_id, result, created_at)
      values (
        ${runId}, gen_random_uuid(), ${String(hours)}::text::json,
        now() - ${hours} * interval '1 hour'
      )`;
  }
  assertEquals(await pruneBy(tables, PRUNE_RESULTS, 2), 2);
  assertEquals(await tables.resultsOf(runId), [1.1, 0.9]);
  assertEquals(await pruneBy(tables, PRUNE_RESULTS), 1);
  assertEquals(await tables.resultsOf(runId), [0.9]);
});

Deno.test("PRUNE_FIELDS skips fields that are being set, and does not wait", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  await tables.addField({ runId, key: "set", age: 2 * HOUR });
  await tables.addField({ runId, key: "old", age: 2 * HOUR });
  await using _other = await OtherTransaction.begin(
    tables,
    (sql) =>
      sql`
        update pipeline_run_payload_fields set updated_at = now()
        where key = 'set'`,
  );
  await using patient = await tables.withLockTimeout(300);
  assertEquals(await pruneBy(patient, PRUNE_FIELDS), 1);
  assertEquals(await keysOf(tables, runId), ["set"]);
});

const STATEMENTS = { PRUNE_EVENTS, PRUNE_LEASES, PRUNE_FIELDS, PRUNE_ROWS };

for (const [name, statement] of Object.entries(STATEMENTS)) {
  Deno.test(`${name} deletes nothing while another instance deletes from the table`, async () => {
    await using tables = await RunTables.open();
    const runId = await addRun(tables, 2, ["COMPLETED"]);
    const other = crypto.randomUUID();
    await tables.addEvents({ runId, seq: 1, kind: "Completed", ...OLD });
    await tables.addLease({ runId: other, ended: true });
    await tables.sql`
      update pipeline_run_leases set ended_at = now() - interval '2 hours'`;
    await tables.addField({ runId, key: "old", age: 2 * HOUR });
    {
      await using _other = await OtherTransaction.begin(
        tables,
        (sql) =>
          sql.unsafe(statement.text, [`${HOUR}`, "100"]).then((rows) => {
            assertEquals(Object.values(rows[0]), ["1"]);
          }),
      );
      await using patient = await tables.withLockTimeout(300);
      assertEquals(await pruneBy(patient, statement), 0);
    }
    // What the other one deleted is there again.
    assertEquals(await pruneBy(tables, statement), 1);
  });
}
