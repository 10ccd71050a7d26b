import { checkTransition, type PipelineRunTransition } from "../repository.ts";
import { storableJson } from "../storable.ts";

/**
 * A row as the tables have it.
 *
 * @throws {TypeError} If it is no transition.
 */
export function rowJson(transition: PipelineRunTransition): string {
  const row = checkTransition(transition);
  return storableJson({
    id: row.id,
    status: row.status,
    pipeline_run_id: row.pipelineRunId,
    pipeline_name: row.pipelineName,
    pipeline_id: row.pipelineId,
    dataset_id: row.datasetId,
    run_info: row.runInfo,
  }, "Cannot log pipeline run: runInfo");
}
