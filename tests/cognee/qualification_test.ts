import { assertEquals, assertRejects } from "@std/assert";
import {
  checkPipelineRunQualification,
  MemoryPipelineRunRepository,
  type PipelineRunStatus,
  RepositoryError,
  resetDatasetPipelineRunStatus,
  resetPipelineRunStatus,
} from "../../mod.ts";
import { recordingRepository } from "../repository/controlled_repository.ts";

const USER = "3fa85f64-5717-4562-b3fc-2c963f66afa6";
const DATASET = "0f14d0ab-9605-4a62-a9e4-5ed26688389b";
const OTHER_DATASET = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";
const NAME = "cognify_pipeline";
/** The results of Python's uuid.uuid5(uuid.NAMESPACE_OID, …) for these. */
const PIPELINE_ID = "3f4c2d15-6185-5430-ba6f-d76b4d1477f6";
const RUN_ID = "14818e76-a756-5be2-a535-a40479dcbd43";

/** A repository with rows of the pipeline on the dataset, oldest first. */
async function repositoryWith(
  ...statuses: PipelineRunStatus[]
): Promise<MemoryPipelineRunRepository> {
  const repository = new MemoryPipelineRunRepository();
  for (const status of statuses) await log(repository, NAME, status);
  return repository;
}

async function log(
  repository: MemoryPipelineRunRepository,
  pipelineName: string,
  status: PipelineRunStatus,
  datasetId: string = DATASET,
): Promise<string> {
  return await repository.logPipelineRun({
    status,
    pipelineRunId: crypto.randomUUID(),
    pipelineName,
    pipelineId: PIPELINE_ID,
    datasetId,
  });
}

for (
  const { status, kind } of [
    { status: "DATASET_PROCESSING_INITIATED", kind: "Proceed" },
    { status: "DATASET_PROCESSING_STARTED", kind: "AlreadyRunning" },
    { status: "DATASET_PROCESSING_COMPLETED", kind: "AlreadyCompleted" },
    { status: "DATASET_PROCESSING_ERRORED", kind: "Proceed" },
  ] as const
) {
  Deno.test(`checkPipelineRunQualification() says ${kind} of ${status}`, async () => {
    const repository = await repositoryWith(status);
    const answer = await checkPipelineRunQualification(
      repository,
      DATASET,
      NAME,
    );
    assertEquals(answer.kind, kind);
  });
}

Deno.test("checkPipelineRunQualification() says Proceed when there is no row", async () => {
  const repository = await repositoryWith();
  assertEquals(
    await checkPipelineRunQualification(repository, DATASET, NAME),
    { kind: "Proceed" },
  );
});

Deno.test("checkPipelineRunQualification() goes by the newest row", async () => {
  const repository = await repositoryWith(
    "DATASET_PROCESSING_STARTED",
    "DATASET_PROCESSING_COMPLETED",
    "DATASET_PROCESSING_INITIATED",
  );
  assertEquals(
    await checkPipelineRunQualification(repository, DATASET, NAME),
    { kind: "Proceed" },
  );
});

Deno.test("checkPipelineRunQualification() returns the row that prevents a run", async () => {
  const repository = new MemoryPipelineRunRepository();
  await log(repository, NAME, "DATASET_PROCESSING_STARTED");
  const id = await log(repository, NAME, "DATASET_PROCESSING_STARTED");
  const answer = await checkPipelineRunQualification(repository, DATASET, NAME);
  assertEquals(answer.kind !== "Proceed" && answer.row.id, id);
});

Deno.test("checkPipelineRunQualification() does not look at other pipelines", async () => {
  const repository = await repositoryWith("DATASET_PROCESSING_COMPLETED");
  await log(repository, "other", "DATASET_PROCESSING_STARTED");
  const answer = await checkPipelineRunQualification(repository, DATASET, NAME);
  assertEquals(answer.kind, "AlreadyCompleted");
});

Deno.test("checkPipelineRunQualification() does not look at other datasets", async () => {
  const repository = new MemoryPipelineRunRepository();
  await log(repository, NAME, "DATASET_PROCESSING_STARTED", OTHER_DATASET);
  assertEquals(
    await checkPipelineRunQualification(repository, DATASET, NAME),
    { kind: "Proceed" },
  );
});

Deno.test("checkPipelineRunQualification() understands any spelling of the dataset", async () => {
  const repository = await repositoryWith("DATASET_PROCESSING_STARTED");
  const answer = await checkPipelineRunQualification(
    repository,
    `{${DATASET.toUpperCase()}}`,
    NAME,
  );
  assertEquals(answer.kind, "AlreadyRunning");
});

Deno.test("checkPipelineRunQualification() refuses a dataset that is no UUID", async () => {
  await assertRejects(
    () =>
      checkPipelineRunQualification(
        new MemoryPipelineRunRepository(),
        "no uuid",
        NAME,
      ),
    TypeError,
  );
});

Deno.test("resetPipelineRunStatus() writes an INITIATED row under cognee's ids", async () => {
  const repository = new MemoryPipelineRunRepository();
  await resetPipelineRunStatus(repository, USER, DATASET, NAME);
  const [{ id: _id, createdAt: _createdAt, ...row }, ...rest] = await repository
    .listRecent(undefined, 10);
  assertEquals(row, {
    status: "DATASET_PROCESSING_INITIATED",
    pipelineRunId: RUN_ID,
    pipelineName: NAME,
    pipelineId: PIPELINE_ID,
    datasetId: DATASET,
    runInfo: {},
  });
  assertEquals(rest, []);
});

Deno.test("resetPipelineRunStatus() lets a completed pipeline run again", async () => {
  const repository = await repositoryWith("DATASET_PROCESSING_COMPLETED");
  await resetPipelineRunStatus(repository, USER, DATASET, NAME);
  assertEquals(
    await checkPipelineRunQualification(repository, DATASET, NAME),
    { kind: "Proceed" },
  );
});

Deno.test("resetPipelineRunStatus() writes a fresh row each time", async () => {
  const repository = new MemoryPipelineRunRepository();
  await resetPipelineRunStatus(repository, USER, DATASET, NAME);
  await resetPipelineRunStatus(repository, USER, DATASET, NAME);
  assertEquals((await repository.listRecent(DATASET, 10)).length, 2);
});

Deno.test("resetPipelineRunStatus() writes nothing when an id is no UUID", async () => {
  const { repository, calls } = recordingRepository();
  await assertRejects(
    () => resetPipelineRunStatus(repository, "no uuid", DATASET, NAME),
    TypeError,
  );
  await assertRejects(
    () => resetPipelineRunStatus(repository, USER, "no uuid", NAME),
    TypeError,
  );
  assertEquals(calls, []);
});

Deno.test("resetDatasetPipelineRunStatus() resets every pipeline that is not INITIATED", async () => {
  const repository = new MemoryPipelineRunRepository();
  await log(repository, "a", "DATASET_PROCESSING_COMPLETED");
  await log(repository, "b", "DATASET_PROCESSING_INITIATED");
  await log(repository, "c", "DATASET_PROCESSING_STARTED");
  await log(repository, "d", "DATASET_PROCESSING_ERRORED");
  await resetDatasetPipelineRunStatus(repository, USER, DATASET);
  const rows = await repository.listRecent(DATASET, 3);
  assertEquals(rows.map((row) => row.pipelineName).sort(), ["a", "c", "d"]);
  assertEquals(new Set(rows.map((row) => row.status)).size, 1);
  assertEquals(rows[0].status, "DATASET_PROCESSING_INITIATED");
  assertEquals((await repository.listRecent(DATASET, 10)).length, 7);
});

Deno.test("resetDatasetPipelineRunStatus() leaves other datasets alone", async () => {
  const repository = new MemoryPipelineRunRepository();
  await log(
    repository,
    NAME,
    "DATASET_PROCESSING_COMPLETED",
    OTHER_DATASET,
  );
  await resetDatasetPipelineRunStatus(repository, USER, DATASET);
  assertEquals((await repository.listRecent(undefined, 10)).length, 1);
});

Deno.test("resetDatasetPipelineRunStatus() changes nothing the second time", async () => {
  const repository = await repositoryWith("DATASET_PROCESSING_COMPLETED");
  await resetDatasetPipelineRunStatus(repository, USER, DATASET);
  await resetDatasetPipelineRunStatus(repository, USER, DATASET);
  assertEquals((await repository.listRecent(DATASET, 10)).length, 2);
});

Deno.test("resetDatasetPipelineRunStatus() resets only the pipelines that are named", async () => {
  const repository = new MemoryPipelineRunRepository();
  await log(repository, "a", "DATASET_PROCESSING_COMPLETED");
  await log(repository, "b", "DATASET_PROCESSING_COMPLETED");
  await resetDatasetPipelineRunStatus(repository, USER, DATASET, {
    pipelineNames: ["b", "c"],
  });
  const [row, ...others] = await repository.listRecent(DATASET, 10);
  assertEquals([row.pipelineName, row.status], [
    "b",
    "DATASET_PROCESSING_INITIATED",
  ]);
  assertEquals(others.length, 2);
});

Deno.test("resetDatasetPipelineRunStatus() rejects if a reset fails, once the others have settled", async () => {
  const repository = new MemoryPipelineRunRepository();
  await log(repository, "a", "DATASET_PROCESSING_COMPLETED");
  await log(repository, "b", "DATASET_PROCESSING_COMPLETED");
  const write = repository.logPipelineRun.bind(repository);
  let settled = false;
  repository.logPipelineRun = async (row) => {
    if (row.pipelineName === "a") throw new RepositoryError("no");
    await new Promise((resolve) => setTimeout(resolve, 1));
    settled = true;
    return await write(row);
  };
  await assertRejects(
    () => resetDatasetPipelineRunStatus(repository, USER, DATASET),
    RepositoryError,
  );
  assertEquals(settled, true);
});
