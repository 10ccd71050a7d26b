import { pipelineId, pipelineRunId } from "../model/ids.ts";
import type { PipelineRunRow } from "../model/row.ts";
import type { PipelineRunRepository } from "../repository/repository.ts";
import { runInfoForInitiated } from "../model/run_info.ts";

/** Whether a pipeline may run on a dataset, and the row that prevents it. */
export type PipelineRunQualification =
  | { kind: "Proceed" }
  | { kind: "AlreadyRunning" | "AlreadyCompleted"; row: PipelineRunRow };

/**
 * Checks by the newest row whether a pipeline may run on a dataset.
 *
 * @param datasetId The dataset's UUID.
 * @returns `AlreadyRunning` if the row is STARTED, `AlreadyCompleted` if it is
 * COMPLETED, otherwise `Proceed`: it is INITIATED or ERRORED, or there is none.
 * @throws {TypeError} If the dataset id is not a UUID.
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
 * Writes a new INITIATED row for a pipeline on a dataset, so that it may run
 * again.
 *
 * @param userId The UUID of the pipeline's user.
 * @param datasetId The dataset's UUID.
 * @throws {TypeError} If an id is not a UUID.
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
 * Calls {@linkcode resetPipelineRunStatus} for every pipeline of a dataset whose
 * newest row is not INITIATED.
 *
 * @param userId The UUID of the pipelines' user.
 * @param datasetId The dataset's UUID.
 * @throws {TypeError} If an id is not a UUID.
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
