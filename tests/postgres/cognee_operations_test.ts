import { assertEquals, assertRejects } from "@std/assert";
import {
  checkPipelineRunQualification,
  PipelineRunRegistry,
  RepositoryError,
  resetDatasetPipelineRunStatus,
} from "../../mod.ts";
import { allowAll, createRunHandler } from "../../src/http/mod.ts";
import { PostgresPipelineRunRepository } from "../../src/postgres/mod.ts";
import { transition } from "../repository/repository_contract.ts";
import { addOperations, COGNEE_TABLE } from "./cognee_table.ts";
import { openDatabase } from "./open_database.ts";

const DATASET = crypto.randomUUID();

/** Two pipelines of a dataset, among a thousand operations on it. */
async function open() {
  await using stack = new AsyncDisposableStack();
  const { sql } = stack.use(await openDatabase());
  await sql.unsafe(COGNEE_TABLE);
  const repository = stack.use(new PostgresPipelineRunRepository(sql));
  await repository.migrate();
  const registry = stack.use(new PipelineRunRegistry({ repository }));
  for (const pipelineName of ["add", "cognify"]) {
    await repository.logPipelineRun(
      transition("COMPLETED", { pipelineName, datasetId: DATASET }),
    );
  }
  await addOperations(sql, 1_000, { datasetId: DATASET });
  const opened = stack.move();
  return {
    sql,
    repository,
    registry,
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

const names = (rows: readonly { pipelineName: string }[]) =>
  rows.map(({ pipelineName }) => pipelineName).sort();

Deno.test("PostgresPipelineRunRepository lists no operations of cognee", async () => {
  await using opened = await open();
  const { repository } = opened;
  for (const dataset of [undefined, DATASET]) {
    assertEquals(names(await repository.listRecent(dataset, 10)), [
      "add",
      "cognify",
    ]);
  }
  assertEquals(names(await repository.getPipelineRunsByDataset(DATASET)), [
    "add",
    "cognify",
  ]);
  assertEquals(
    await repository.latestStatus([DATASET], "add"),
    new Map([[DATASET, "DATASET_PROCESSING_COMPLETED"]]),
  );
});

Deno.test("PostgresPipelineRunRepository lists no operations of cognee with their datasets", async () => {
  await using opened = await open();
  const { repository, sql } = opened;
  await sql`create table datasets (id uuid, name text, owner_id uuid)`;
  for (const dataset of [undefined, DATASET]) {
    const rows = await repository.listRecentWithAttribution(dataset, 10);
    assertEquals(names(rows), ["add", "cognify"]);
  }
});

Deno.test("PipelineRunRegistry does not know a run by an operation of cognee", async () => {
  await using opened = await open();
  const { repository, registry, sql } = opened;
  const runId = crypto.randomUUID();
  await addOperations(sql, 1, { runId });
  assertEquals(await repository.getPipelineRun(runId), undefined);
  assertEquals(await repository.listByRun(runId, 10), []);
  assertEquals(await registry.status(runId), undefined);

  const known = await registry.registerInline(
    { pipelineName: "ingest" },
    () => {},
  );
  await addOperations(sql, 1, known);
  assertEquals((await registry.status(known.runId))?.phase, known.phase);
});

Deno.test("resetDatasetPipelineRunStatus() leaves operations of cognee alone", async () => {
  await using opened = await open();
  const { repository } = opened;
  const qualify = () =>
    Promise.all(["add", "cognify"].map(async (name) => {
      const { kind } = await checkPipelineRunQualification(
        repository,
        DATASET,
        name,
      );
      return kind;
    }));
  assertEquals(await qualify(), ["AlreadyCompleted", "AlreadyCompleted"]);
  const userId = crypto.randomUUID();
  await resetDatasetPipelineRunStatus(repository, userId, DATASET);
  assertEquals(await qualify(), ["Proceed", "Proceed"]);
  assertEquals((await repository.listRecent(DATASET, 10)).length, 4);
});

Deno.test("createRunHandler() lists no operations of cognee", async () => {
  await using opened = await open();
  const handler = createRunHandler(opened.registry, { authorize: allowAll });
  for (const query of ["", `?dataset_id=${DATASET}`]) {
    const response = await handler(
      new Request(`http://localhost/runs${query}`),
    );
    const rows = await response.json();
    assertEquals(
      rows.map((row: { pipeline_name: string }) => row.pipeline_name).sort(),
      ["add", "cognify"],
    );
  }
});

Deno.test("PostgresPipelineRunRepository.resetOrphans() and prune() leave operations of cognee alone", async () => {
  await using opened = await open();
  const { sql } = opened;
  const repository = new PostgresPipelineRunRepository(sql, {
    auditRetention: 1,
  });
  await sql`update pipeline_runs set created_at = created_at - interval '1 day'`;
  assertEquals(await repository.resetOrphans("gone"), 0);
  // The newest row of each pipeline on the dataset stays too.
  assertEquals(await repository.prune(), 0);
  await repository.close();
});

Deno.test("PostgresPipelineRunRepository.migrate() refuses ids that are no UUIDs, as in cognee for Rust", async () => {
  await using database = await openDatabase();
  await database.sql.unsafe(
    COGNEE_TABLE.replace("id uuid not null", "id text not null")
      .replace("dataset_id uuid", "dataset_id text"),
  );
  const repository = new PostgresPipelineRunRepository(database.sql);
  const error = await assertRejects(
    () => repository.migrate(),
    RepositoryError,
    "Table pipeline_runs must have UUIDs in the columns id, dataset_id",
  );
  assertEquals(error.transient, false);
  await repository.close();
});
