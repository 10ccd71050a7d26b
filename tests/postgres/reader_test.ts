import { assertEquals } from "@std/assert";
import type postgres from "postgres";
import { PipelineRunRegistry, type RegistryWarning } from "../../mod.ts";
import {
  type PostgresClient,
  PostgresPipelineRunRepository,
} from "../../src/postgres/mod.ts";
import { FakeClock } from "../fake_clock.ts";
import { RunTables } from "./run_tables.ts";
import { statementName } from "./statement_name.ts";

const RUN_ID = crypto.randomUUID();

/** How old what is old is, in milliseconds. */
const OLD = 11_000;

/**
 * A repository with a reader, whose tables a test can make differ from those of the
 * client: they are others.
 */
async function open() {
  await using stack = new AsyncDisposableStack();
  const tables = stack.use(await RunTables.open());
  const replica = stack.use(await RunTables.open());
  const asked: string[] = [];
  const clientOf = (place: string, sql: postgres.Sql): PostgresClient => ({
    unsafe(query, ...rest) {
      asked.push(`${place} ${statementName(query)}`);
      return sql.unsafe(query, ...rest);
    },
  });
  const repository = stack.use(
    new PostgresPipelineRunRepository(clientOf("client", tables.sql), {
      reader: clientOf("reader", replica.sql),
    }),
  );
  const registry = stack.use(new PipelineRunRegistry({ repository }));
  const opened = stack.move();
  return {
    tables,
    replica,
    asked,
    repository,
    /** How many events a subscriber gets, and who was asked for them. */
    async follow() {
      let next = 1;
      for await (const { seq, kind } of registry.subscribe(RUN_ID)) {
        assertEquals([seq, kind === "Lagged"], [next++, false]);
      }
      return {
        events: next - 1,
        reads: asked.filter((name) => name.endsWith("read events"))
          .map((name) => name.split(" ")[0]),
      };
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

/** Adds the first events of a run of 500 events that ended some time ago. */
async function addEvents(
  { sql }: RunTables,
  count = 500,
  endedAt = new Date(Date.now() - OLD),
): Promise<void> {
  await sql`
    insert into pipeline_run_events (pipeline_run_id, seq, kind, at)
    select ${RUN_ID}, seq,
      case seq when 1 then 'Started' when 500 then 'Completed' else 'Yield' end,
      ${endedAt}
    from generate_series(1, ${count}::integer) seq`;
}

Deno.test("PipelineRunRegistry.subscribe() reads old events from the reader, but the first ones", async () => {
  await using opened = await open();
  const endedAt = new Date(Date.now() - OLD);
  await addEvents(opened.tables, 500, endedAt);
  await addEvents(opened.replica, 500, endedAt);
  const { events, reads } = await opened.follow();
  assertEquals(events, 500);
  assertEquals(reads, ["client", "reader", "reader"]);
});

Deno.test("PipelineRunRegistry.subscribe() reads what the reader does not have yet from the client", async () => {
  await using opened = await open();
  const endedAt = new Date(Date.now() - OLD);
  await addEvents(opened.tables, 500, endedAt);
  await addEvents(opened.replica, 300, endedAt);
  const { events, reads } = await opened.follow();
  assertEquals(events, 500);
  assertEquals(reads, ["client", "reader", "reader", "client"]);
});

Deno.test("PipelineRunRegistry.subscribe() does not take the events of another life of the id from the reader", async () => {
  await using opened = await open();
  await addEvents(opened.tables);
  await addEvents(opened.replica, 500, new Date(Date.now() - 2 * OLD));
  const { events, reads } = await opened.follow();
  assertEquals(events, 500);
  assertEquals(reads, ["client", "reader", "client", "reader", "client"]);
});

Deno.test("PipelineRunRegistry.subscribe() reads events of the last 10 s from the client", async () => {
  await using opened = await open();
  const endedAt = new Date(Date.now() - 5_000);
  await addEvents(opened.tables, 500, endedAt);
  await addEvents(opened.replica, 500, endedAt);
  const { events, reads } = await opened.follow();
  assertEquals(events, 500);
  assertEquals(reads, ["client", "client", "client"]);
});

Deno.test("PostgresPipelineRunRepository lists the newest rows from the reader, and what must be new from the client", async () => {
  await using opened = await open();
  const { repository, tables, replica, asked } = opened;
  const datasetId = crypto.randomUUID();
  for (const { sql } of [tables, replica]) {
    await sql`create table datasets (id uuid, name text, owner_id uuid)`;
  }
  await replica.addRow({ runId: RUN_ID, status: "STARTED", datasetId });
  for (const dataset of [undefined, datasetId]) {
    const rows = [
      ...await repository.listRecent(dataset, 10),
      ...await repository.listRecentWithAttribution(dataset, 10),
    ];
    assertEquals(rows.map(({ datasetId }) => datasetId), [
      datasetId,
      datasetId,
    ]);
  }
  asked.length = 0;
  assertEquals(await repository.getPipelineRun(RUN_ID), undefined);
  assertEquals(await repository.listByRun(RUN_ID, 10), []);
  assertEquals(await repository.getPipelineRunsByDataset(datasetId), []);
  assertEquals(
    await repository.getPipelineRunByDataset(datasetId, "ingest"),
    undefined,
  );
  assertEquals(await repository.latestStatus([datasetId], "ingest"), new Map());
  assertEquals(await repository.getPayload(RUN_ID), {});
  assertEquals(asked.filter((name) => !name.startsWith("client")), []);
});

Deno.test("PostgresPipelineRunRepository asks the client instead of a reader that fails, warns once, and tries again after 10 s", async () => {
  using time = new FakeClock();
  let fails = true;
  const asked: string[] = [];
  const answers = (name: string): PostgresClient => ({
    unsafe() {
      asked.push(name);
      return name === "reader" && fails
        ? Promise.reject(new Error("away"))
        : Promise.resolve([]);
    },
  });
  const warnings: RegistryWarning[] = [];
  await using repository = new PostgresPipelineRunRepository(
    answers("client"),
    {
      reader: answers("reader"),
      onWarning: (warning) => warnings.push(warning),
    },
  );
  const list = async () => {
    asked.length = 0;
    assertEquals(await repository.listRecent(undefined, 10), []);
    return asked;
  };
  assertEquals(await list(), ["reader", "client"]);
  time.tick(9_999);
  assertEquals(await list(), ["client"]);
  time.tick(1);
  assertEquals(await list(), ["reader", "client"]);
  assertEquals(warnings.map(({ kind }) => kind), ["reader"]);
  fails = false;
  time.tick(10_000);
  assertEquals(await list(), ["reader"]);
  fails = true;
  assertEquals(await list(), ["reader", "client"]);
  assertEquals(warnings.length, 2);
});
