import { assertEquals, assertNotEquals } from "@std/assert";
import type { RunEvent } from "../../src/model/event.ts";
import * as rows from "../../src/postgres/sql/rows.ts";
import type {
  Statement,
  StatementValues,
} from "../../src/postgres/sql/statement.ts";
import {
  type Insertion,
  type RowValues,
  WRITE_ROWS,
  WRITE_WHOLE_RUNS,
} from "../../src/postgres/sql/writes.ts";
import { isBlocked, OtherTransaction, RunTables } from "./run_tables.ts";

const DAY = 24 * 3_600_000;

type ValuesOf<I> = I extends Insertion<infer P> ? StatementValues<P> : never;

/** Writes rows and fields, as `first` or `again`. */
async function writeRows(
  tables: RunTables,
  values: Partial<ValuesOf<typeof WRITE_ROWS>>,
  form: "first" | "again" = "first",
): Promise<void> {
  await tables.execute(WRITE_ROWS[form], {
    rows: [],
    fields: "[]",
    statementId: "1",
    ...values,
  });
}

function row(runId: string, status = "STARTED"): RowValues {
  return {
    id: crypto.randomUUID(),
    status: `DATASET_PROCESSING_${status}` as RowValues["status"],
    runId,
    name: "ingest",
    pipelineId: runId,
    datasetId: undefined,
    runInfo: undefined,
    result: undefined,
  };
}

/** The first columns of the rows that a statement reads, in their order. */
async function read<P extends Record<string, string>>(
  tables: RunTables,
  statement: Statement<P>,
  values: StatementValues<P>,
): Promise<string[]> {
  const found = await tables.execute(statement, values) as object[];
  return found.map((row) => {
    const { id, status } = rows.toRow(row);
    return `${id.slice(0, 1)} ${status.slice("DATASET_PROCESSING_".length)}`;
  });
}

/** A UUID that begins with a digit. */
const idOf = (digit: number) => `${digit}0000000-0000-4000-8000-000000000000`;

async function resetOrphans(tables: RunTables, limit = 10): Promise<number> {
  const values = { reason: "orphan", limit };
  const [count] = await tables.execute(rows.RESET_ORPHANS, values) as [number];
  return count;
}

Deno.test("WRITE_ROWS writes each status", async () => {
  await using tables = await RunTables.open();
  for (const status of ["INITIATED", "STARTED", "COMPLETED", "ERRORED"]) {
    const runId = crypto.randomUUID();
    await writeRows(tables, { rows: [row(runId, status)] });
    assertEquals(await tables.statusesOf(runId), [status]);
  }
});

Deno.test("WRITE_ROWS dates the rows of one statement in their order", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  const statuses = ["COMPLETED", "INITIATED", "ERRORED", "STARTED"];
  const written = statuses.map((status) => row(runId, status));
  await writeRows(tables, { rows: written });
  assertEquals(await tables.statusesOf(runId), statuses);
  const [{ count }] = await tables.sql`
    select count(distinct created_at)::int as count from pipeline_runs`;
  assertEquals(count, 4);
});

Deno.test("WRITE_ROWS dates a row after the last one of its run, and not of another", async () => {
  await using tables = await RunTables.open();
  const [runId, otherId] = [crypto.randomUUID(), crypto.randomUUID()];
  await tables.addRow({ runId, status: "INITIATED", writtenIn: -2 * DAY });
  await tables.addRow({ runId, status: "STARTED", writtenIn: 2 * DAY });
  await writeRows(tables, { rows: [row(runId, "COMPLETED"), row(otherId)] });
  assertEquals(await tables.statusesOf(runId), [
    "INITIATED",
    "STARTED",
    "COMPLETED",
  ]);
  const [{ is_now }] = await tables.sql`
    select created_at between now() - interval '1 minute' and now() as is_now
    from pipeline_runs where pipeline_run_id = ${otherId}`;
  assertEquals(is_now, true);
});

Deno.test("WRITE_ROWS dates a row now if the last one of its run is older", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  await tables.addRow({ runId, status: "STARTED", writtenIn: -2 * DAY });
  await writeRows(tables, { rows: [row(runId, "COMPLETED")] });
  const [{ is_now }] = await tables.sql`
    select max(created_at) > now() - interval '1 minute' as is_now
    from pipeline_runs`;
  assertEquals(is_now, true);
});

Deno.test("WRITE_ROWS skips rows that are written already, if it is repeated", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  const written = row(runId);
  await writeRows(tables, { rows: [written] });
  const values = { rows: [written, row(runId, "COMPLETED")] };
  await writeRows(tables, values, "again");
  assertEquals(await tables.statusesOf(runId), ["STARTED", "COMPLETED"]);
});

Deno.test("WRITE_ROWS sets the last value of each field, and when", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  const set = (value: unknown) => {
    const field = { pipeline_run_id: runId, key: "a", value };
    return writeRows(tables, { fields: JSON.stringify([field]) });
  };
  await set(1);
  await tables.sql`
    update pipeline_run_payload_fields
    set created_at = now() - interval '1 day',
      updated_at = now() - interval '1 day'`;
  await set(null);
  const fields = await tables.sql`
    select value::text, created_at < now() - interval '1 hour' as is_old,
      updated_at > now() - interval '1 hour' as is_updated
    from pipeline_run_payload_fields`;
  assertEquals(fields.map((field) => ({ ...field })), [
    { value: "null", is_old: true, is_updated: true },
  ]);
});

Deno.test("WRITE_WHOLE_RUNS writes rows and events once, though it is repeated", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  const base = { runId, at: new Date() };
  const events: { event: RunEvent; payload?: string }[] = [
    {
      event: { ...base, seq: 1, kind: "Yield", payload: "äöü" },
      payload: '"äöü"',
    },
    {
      event: {
        ...base,
        seq: 2,
        kind: "Errored",
        code: "timeout",
        message: "boom",
        name: "E",
      },
    },
  ];
  const written = [{ ...row(runId), result: '{"value":42}' }];
  const values = { rows: written, events, statementId: "1" };
  await tables.execute(WRITE_WHOLE_RUNS.first, values);
  await tables.execute(WRITE_WHOLE_RUNS.again, values);
  const found = await tables.sql`
    select seq::int, kind, payload_length as length, message, code, name
    from pipeline_run_events order by seq`;
  assertEquals(found.map((event) => ({ ...event })), [
    { seq: 1, kind: "Yield", length: 8, message: null, code: null, name: null },
    {
      seq: 2,
      kind: "Errored",
      length: 0,
      message: "boom",
      code: "timeout",
      name: "E",
    },
  ]);
  assertEquals(await tables.statusesOf(runId), ["STARTED"]);
  assertEquals(await tables.resultsOf(runId), [{ value: 42 }]);
});

for (
  const [name, rewritten] of [
    ["a row", { events: [] }],
    ["an event", { rows: [] }],
  ] as const
) {
  Deno.test(`WRITE_WHOLE_RUNS skips ${name} that alone is written already, if it is repeated`, async () => {
    await using tables = await RunTables.open();
    const runId = crypto.randomUUID();
    const values = {
      rows: [row(runId)],
      events: [{
        event: {
          runId,
          seq: 1,
          kind: "Completed" as const,
          at: new Date(),
          payload: null,
        },
      }],
      statementId: "1",
    };
    const { first, again } = WRITE_WHOLE_RUNS;
    await tables.execute(first, { ...values, ...rewritten });
    await tables.execute(again, values);
    assertEquals(await tables.statusesOf(runId), ["STARTED"]);
    assertEquals(await tables.eventsOf(runId), ["1 Completed"]);
  });
}

/** Adds three rows of a run and a dataset, two of them of one microsecond. */
async function addThree(tables: RunTables, runId: string): Promise<void> {
  const row = { runId, datasetId: runId };
  // The newest one last, so that their place in the table is not their order.
  await tables.addRow({ ...row, id: idOf(3), status: "INITIATED" });
  await tables.addRow({ ...row, id: idOf(1), status: "STARTED", writtenIn: 1 });
  await tables.addRow({ ...row, id: idOf(2), status: "ERRORED", writtenIn: 1 });
  const otherId = crypto.randomUUID();
  const other = { runId: otherId, datasetId: otherId, name: "another" };
  await tables.addRow({ ...other, status: "COMPLETED", writtenIn: 5 });
}

Deno.test("LIST_BY_RUN gives as many rows of the run as asked for, the newest first", async () => {
  await using tables = await RunTables.open();
  const pipeline_run_id = crypto.randomUUID();
  await addThree(tables, pipeline_run_id);
  const list = (limit: number) =>
    read(tables, rows.LIST_BY_RUN, { pipeline_run_id, limit });
  assertEquals(await list(10), ["2 ERRORED", "1 STARTED", "3 INITIATED"]);
  assertEquals(await list(2), ["2 ERRORED", "1 STARTED"]);
  assertEquals(await list(1), ["2 ERRORED"]);
});

Deno.test("LIST_RECENT gives as many rows as asked for, the newest first", async () => {
  await using tables = await RunTables.open();
  await addThree(tables, crypto.randomUUID());
  await tables.sql`delete from pipeline_runs where pipeline_name = 'another'`;
  assertEquals(await read(tables, rows.LIST_RECENT, { limit: 2 }), [
    "2 ERRORED",
    "1 STARTED",
  ]);
});

Deno.test("GET_BY_DATASET gives the newest row of each pipeline of the dataset", async () => {
  await using tables = await RunTables.open();
  const datasetId = crypto.randomUUID();
  await addThree(tables, datasetId);
  const second = { runId: datasetId, datasetId, name: "second" };
  await tables.addRow({ ...second, id: idOf(4), status: "COMPLETED" });
  assertEquals(await read(tables, rows.GET_BY_DATASET, { datasetId }), [
    "2 ERRORED",
    "4 COMPLETED",
  ]);
});

Deno.test("LATEST_STATUS gives the status of the dataset's newest row of the pipeline", async () => {
  await using tables = await RunTables.open();
  const datasetId = crypto.randomUUID();
  await addThree(tables, datasetId);
  const second = { runId: datasetId, datasetId, name: "second" };
  await tables.addRow({ ...second, status: "COMPLETED", writtenIn: 9 });
  const values = { datasetIds: `{${datasetId}}`, pipelineName: "ingest" };
  assertEquals(await tables.execute(rows.LATEST_STATUS, values), [
    [datasetId, "DATASET_PROCESSING_ERRORED"],
  ]);
  assertEquals(
    await tables.execute(rows.LATEST_STATUS, {
      datasetIds: `{${datasetId}}`,
      pipelineName: "another",
    }),
    [],
  );
});

Deno.test("GET_PAYLOAD gives the fields of the run, by their keys", async () => {
  await using tables = await RunTables.open();
  const [runId, otherId] = [crypto.randomUUID(), crypto.randomUUID()];
  const fields = [[runId, "b", 2], [runId, "a", 1], [otherId, "c", 3]]
    .map(([pipeline_run_id, key, value]) => ({ pipeline_run_id, key, value }));
  await writeRows(tables, { fields: JSON.stringify(fields) });
  assertEquals(await tables.execute(rows.GET_PAYLOAD, { runId }), [
    ["a", 1],
    ["b", 2],
  ]);
});

Deno.test("RESET_ORPHANS ends runs that are initiated or started, and no others", async () => {
  await using tables = await RunTables.open();
  const [initiated, started] = [crypto.randomUUID(), crypto.randomUUID()];
  const [completed, errored] = [crypto.randomUUID(), crypto.randomUUID()];
  await tables.addRow({ runId: initiated, status: "INITIATED" });
  await tables.addRow({ runId: started, status: "STARTED", writtenIn: 9 });
  await tables.addRow({ runId: completed, status: "STARTED" });
  await tables.addRow({ runId: completed, status: "COMPLETED", writtenIn: 1 });
  await tables.addRow({ runId: errored, status: "ERRORED" });
  assertEquals(await resetOrphans(tables), 2);
  assertEquals(await tables.statusesOf(initiated), ["INITIATED", "ERRORED"]);
  assertEquals(await tables.statusesOf(started), ["STARTED", "ERRORED"]);
  assertEquals(await tables.statusesOf(completed), ["STARTED", "COMPLETED"]);
  assertEquals(await tables.statusesOf(errored), ["ERRORED"]);
});

Deno.test("RESET_ORPHANS leaves runs alone whose lease has not ended", async () => {
  await using tables = await RunTables.open();
  const [live, ended] = [crypto.randomUUID(), crypto.randomUUID()];
  for (const runId of [live, ended]) {
    await tables.addRow({ runId, status: "STARTED" });
    await tables.addLease({ runId, ended: runId === ended, expiresIn: -1 });
  }
  assertEquals(await resetOrphans(tables), 1);
  assertEquals(await tables.statusesOf(live), ["STARTED"]);
  assertEquals(await tables.statusesOf(ended), ["STARTED", "ERRORED"]);
});

Deno.test("RESET_ORPHANS takes the row with the highest id of one microsecond for the newest", async () => {
  await using tables = await RunTables.open();
  const [ended, orphan] = [crypto.randomUUID(), crypto.randomUUID()];
  await tables.addRow({ runId: ended, id: idOf(1), status: "STARTED" });
  await tables.addRow({ runId: ended, id: idOf(2), status: "COMPLETED" });
  await tables.addRow({ runId: orphan, id: idOf(3), status: "COMPLETED" });
  await tables.addRow({ runId: orphan, id: idOf(4), status: "STARTED" });
  assertEquals(await resetOrphans(tables), 1);
  assertEquals((await tables.statusesOf(orphan)).length, 3);
});

Deno.test("RESET_ORPHANS ends at most as many runs as it is told", async () => {
  await using tables = await RunTables.open();
  for (const _ of [1, 2, 3]) {
    await tables.addRow({ runId: crypto.randomUUID(), status: "STARTED" });
  }
  assertEquals(await resetOrphans(tables, 2), 2);
  assertEquals(await resetOrphans(tables, 2), 1);
});

Deno.test("RESET_ORPHANS dates the row now, and after the row that it ends", async () => {
  await using tables = await RunTables.open();
  const [old, future] = [crypto.randomUUID(), crypto.randomUUID()];
  await tables.addRow({ runId: old, status: "STARTED", writtenIn: -2 * DAY });
  await tables.addRow({ runId: future, status: "STARTED", writtenIn: 2 * DAY });
  await resetOrphans(tables);
  const dates = async (runId: string) => {
    const [found] = await tables.sql`
      select max(created_at) > now() - interval '1 minute' as is_now,
        (max(created_at) - min(created_at))::text as later
      from pipeline_runs where pipeline_run_id = ${runId}`;
    return found;
  };
  assertEquals((await dates(old)).is_now, true);
  assertNotEquals((await dates(old)).later, "00:00:00.000001");
  assertEquals((await dates(future)).later, "00:00:00.000001");
});

Deno.test("RESET_ORPHANS keeps the data of a run, if there are any", async () => {
  await using tables = await RunTables.open();
  const [known, unknown] = [crypto.randomUUID(), crypto.randomUUID()];
  const runInfo = '{"data":["a"]}';
  await tables.addRow({ runId: known, status: "STARTED", runInfo });
  await tables.addRow({ runId: unknown, status: "STARTED" });
  await resetOrphans(tables);
  const infoOf = async (runId: string) => {
    const [{ run_info }] = await tables.sql`
      select run_info from pipeline_runs
      where pipeline_run_id = ${runId} and status like '%ERRORED'`;
    return run_info;
  };
  const reason = { error: "orphan", reason: "orphan" };
  assertEquals(await infoOf(known), { data: ["a"], ...reason });
  assertEquals(await infoOf(unknown), { data: "None", ...reason });
});

Deno.test("RESET_ORPHANS skips what a concurrent reset writes", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  await tables.addRow({ runId, status: "STARTED" });
  const { text, values } = rows.RESET_ORPHANS;
  const parameters = values({ reason: "orphan", limit: 10 });
  await using first = await OtherTransaction.begin(
    tables,
    (sql) => sql.unsafe(text, parameters),
  );
  const second = resetOrphans(tables);
  await isBlocked(tables, "reset orphans");
  await first.commit();
  assertEquals(await second, 0);
  assertEquals(await tables.statusesOf(runId), ["STARTED", "ERRORED"]);
});

Deno.test("toRow() leaves absent values absent", () => {
  const createdAt = "2026-01-02T03:04:05Z";
  assertEquals<unknown>(rows.toRow({ id: "1", datasetId: null, createdAt }), {
    id: "1",
    createdAt: new Date(createdAt),
  });
});
