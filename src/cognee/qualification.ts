import { pipelineId, pipelineRunId } from "../model/ids.ts";
import type { PipelineRunRow } from "../model/row.ts";
import type { PipelineRunRepository } from "../repository/repository.ts";
import { runInfoForInitiated } from "../model/run_info.ts";

/** Whether a pipeline may run on a dataset; where not, the row that says so. */
export type PipelineRunQualification =
  | { kind: "Proceed" }
  | { kind: "AlreadyRunning" | "AlreadyCompleted"; row: PipelineRunRow };

/**
 * Whether a pipeline may run on a dataset, by the newest row of the two: it may
 * when there is none, or it is INITIATED or ERRORED.
 *
 * @param repository Where the rows are.
 * @param datasetId The dataset's UUID.
 * @param pipelineName The pipeline's name.
 * @returns `Proceed`; `AlreadyRunning` when STARTED; `AlreadyCompleted` when
 * COMPLETED.
 * @throws {TypeError} If the dataset id is no UUID.
 * @throws {RepositoryError} If the repository fails.
 *
 * @example Usage
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import {
 *   checkPipelineRunQualification,
 *   MemoryPipelineRunRepository,
 * } from "@pipeline/run-registry";
 *
 * const { kind } = await checkPipelineRunQualification(
 *   new MemoryPipelineRunRepository(),
 *   crypto.randomUUID(),
 *   "cognify_pipeline",
 * );
 * assertEquals(kind, "Proceed");
 * ```
 */
export async function checkPipelineRunQualification(
  repository: PipelineRunRepository,
  datasetId: string,
  pipelineName: string,
): Promise<PipelineRunQualification> {
  const row = await repository.getPipelineRunByDataset(datasetId, pipelineName);
  switch (row?.status) {
    case "DATASET_PROCESSING_STARTED":
      return { kind: "AlreadyRunning", row };
    case "DATASET_PROCESSING_COMPLETED":
      return { kind: "AlreadyCompleted", row };
    default:
      return { kind: "Proceed" };
  }
}

/**
 * Writes a fresh INITIATED row for a pipeline on a dataset, so that it may run
 * again.
 *
 * @param repository Where to write.
 * @param userId The UUID of the user whose pipeline it is.
 * @param datasetId The dataset's UUID.
 * @param pipelineName The pipeline's name.
 * @throws {TypeError} If an id is no UUID.
 * @throws {RepositoryError} If the repository fails.
 */
export async function resetPipelineRunStatus(
  repository: PipelineRunRepository,
  userId: string,
  datasetId: string,
  pipelineName: string,
): Promise<void> {
  const pipeline = await pipelineId(userId, datasetId, pipelineName);
  await repository.logPipelineRun({
    status: "DATASET_PROCESSING_INITIATED",
    pipelineRunId: await pipelineRunId(pipeline, datasetId),
    pipelineName,
    pipelineId: pipeline,
    datasetId,
    runInfo: runInfoForInitiated(),
  });
}

/**
 * Does {@linkcode resetPipelineRunStatus} for every pipeline of a dataset whose
 * newest row is not INITIATED already.
 *
 * @param repository Where to read and write.
 * @param userId The UUID of the user whose pipelines they are.
 * @param datasetId The dataset's UUID.
 * @throws {TypeError} If an id is no UUID.
 * @throws {RepositoryError} If the repository fails.
 */
export async function resetDatasetPipelineRunStatus(
  repository: PipelineRunRepository,
  userId: string,
  datasetId: string,
): Promise<void> {
  const rows = await repository.getPipelineRunsByDataset(datasetId);
  await Promise.all(
    rows
      .filter(({ status }) => status !== "DATASET_PROCESSING_INITIATED")
      .map(({ pipelineName }) =>
        resetPipelineRunStatus(repository, userId, datasetId, pipelineName)
      ),
  );
}
