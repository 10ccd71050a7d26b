import type postgres from "postgres";

/**
 * The table as SQLAlchemy makes it of cognee's model of August 2026:
 * https://github.com/topoteretes/cognee/blob/a8f9760bb6da90a9956b3be77c0d0534134f533a/cognee/modules/pipelines/models/PipelineRun.py
 */
export const COGNEE_TABLE = `
  create type pipelinerunstatus as enum (
    'DATASET_PROCESSING_INITIATED', 'DATASET_PROCESSING_STARTED',
    'DATASET_PROCESSING_COMPLETED', 'DATASET_PROCESSING_ERRORED'
  );
  create table pipeline_runs (
    id uuid not null primary key,
    created_at timestamptz,
    status pipelinerunstatus,
    pipeline_run_id uuid,
    pipeline_name varchar,
    pipeline_id uuid,
    dataset_id uuid,
    run_info json,
    user_id uuid,
    tenant_id uuid,
    operation_name varchar,
    started_at timestamptz,
    ended_at timestamptz,
    outcome varchar,
    error_class varchar,
    tokens_in integer,
    tokens_out integer,
    origin varchar,
    session_id varchar,
    parent_operation_id uuid,
    background boolean,
    error_message varchar
  );
  create index ix_pipeline_runs_pipeline_run_id
    on pipeline_runs (pipeline_run_id);
  create index ix_pipeline_runs_pipeline_id on pipeline_runs (pipeline_id);
  create index ix_pipeline_runs_dataset_id on pipeline_runs (dataset_id);
  create index ix_pipeline_runs_operation_name on pipeline_runs (operation_name);`;

/** Adds rows of operations that are no pipeline runs, which are newer than all others. */
export async function addOperations(
  sql: postgres.Sql,
  count: number,
  ids: { datasetId?: string; runId?: string } = {},
): Promise<void> {
  const { datasetId = crypto.randomUUID(), runId = null } = ids;
  await sql`
    insert into pipeline_runs (
      id, created_at, pipeline_run_id, dataset_id, run_info,
      operation_name, started_at, ended_at, outcome, origin
    )
    select
      gen_random_uuid(), now() + interval '1 hour',
      coalesce(${runId}::uuid, gen_random_uuid()), ${datasetId}, '{}',
      'search', now(), now(), 'succeeded', 'api'
    from generate_series(1, ${count}::integer)`;
}
