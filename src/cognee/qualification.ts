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
 * @param options `pipelineNames` are the only pipelines to reset; all by default.
 * @throws {TypeError} If an id is not a UUID.
 * @throws {RepositoryError} If the repository fails, once all resets have settled.
 */
export async function resetDatasetPipelineRunStatus(
  repository: PipelineRunRepository,
  userId: string,
  datasetId: string,
  options: { pipelineNames?: readonly string[] } = {},
): Promise<void> {
  const { pipelineNames } = options;
  const rows = await repository.getPipelineRunsByDataset(datasetId);
  const resets = await Promise.allSettled(
    rows
      .filter(({ status, pipelineName }) =>
        status !== "DATASET_PROCESSING_INITIATED" &&
        (pipelineNames === undefined || pipelineNames.includes(pipelineName))
      )
      .map(({ pipelineName }) =>
        resetPipelineRunStatus(repository, userId, datasetId, pipelineName)
      ),
  );
  const failed = resets.find(({ status }) => status === "rejected");
  if (failed !== undefined) throw (failed as PromiseRejectedResult).reason;
}
