import type {
  AttributedPipelineRunRow,
  PipelineRunRow,
} from "../../model/row.ts";
import { insertInto, TABLES, typeOf } from "./schema.ts";
import { type Statement, statement } from "./statement.ts";

/**
 * A row as one column of JSON, with names as `PipelineRunRow` has them: so neither the
 * client's types nor its naming of columns matter.
 */
const ROW = Object.keys(TABLES.pipeline_runs)
  .map((column) => `r.${column} as "${camelCase(column)}"`)
  .join(", ");

const NEWEST_FIRST = "order by r.created_at desc, r.id desc";

/** What is known of a row's dataset. */
const ATTRIBUTION = {
  select: `, d.name as "datasetName", d.owner_id as "ownerId"`,
  join: "left join datasets d on d.id = r.dataset_id",
};

/** The columns of the tables, as this connection finds them: `[table, column, type]`. */
export const GET_COLUMNS = statement("get columns", {}, () => `
  select json_build_array(
    c.relname, a.attname, format_type(a.atttypid, null)
  )::text
  from pg_class c
  join pg_attribute a on a.attrelid = c.oid
  where c.oid in (${
  Object.keys(TABLES).map((table) => `to_regclass('${table}')`).join(", ")
})`);

export const LATEST_STATUS = statement(
  "latest status",
  { datasetIds: "uuid[]", pipelineName: "text" },
  ({ datasetIds, pipelineName }) => `
  select json_build_array(d.id, latest.status)::text
  from unnest(${datasetIds}) d (id)
  cross join lateral (
    select r.status
    from pipeline_runs r
    where r.dataset_id = d.id and r.pipeline_name = ${pipelineName}
    ${NEWEST_FIRST}
    limit 1
  ) latest`,
);

/** Lists the newest rows, of all runs or of those with the values of some columns. */
export const LIST_RECENT = list([]);
export const LIST_BY_DATASET = list(["dataset_id"]);
export const LIST_BY_RUN = list(["pipeline_run_id"]);
export const LIST_BY_PIPELINE = list(["dataset_id", "pipeline_name"]);

/** Need a table `datasets`, as cognee makes it. */
export const LIST_RECENT_ATTRIBUTED = list([], ATTRIBUTION);
export const LIST_BY_DATASET_ATTRIBUTED = list(["dataset_id"], ATTRIBUTION);

export const HAS_DATASETS = statement("has attribution", {}, () => `
  select to_json(to_regclass('datasets') is not null)::text`);

/** The newest row of each pipeline. */
export const GET_BY_DATASET = statement(
  "get by dataset",
  { datasetId: "uuid" },
  ({ datasetId }) => `
  select row_to_json(t)::text
  from (
    select distinct on (r.pipeline_name) ${ROW}
    from pipeline_runs r
    where r.dataset_id = ${datasetId} and ${isOfRun("r")}
    order by r.pipeline_name, r.created_at desc, r.id desc
  ) t`,
);

export const GET_PAYLOAD = statement(
  "get payload",
  { runId: "uuid" },
  ({ runId }) => `
  select json_build_array(f.key, f.value)::text
  from pipeline_run_payload_fields f
  where f.pipeline_run_id = ${runId}
  order by f.key`,
);

/** The result of the newest row of a run. */
export const GET_RESULT = statement(
  "get result",
  { runId: "uuid" },
  ({ runId }) => `
  select x.result::text
  from pipeline_run_results x
  where x.pipeline_run_id = ${runId} and x.row_id = (
    ${newestOf(runId, "r.id")}
  )`,
);

/**
 * Ends runs whose newest row is INITIATED or STARTED. The new row's id follows from
 * the old one's, so concurrent resets insert the row once.
 */
export const RESET_ORPHANS = statement(
  "reset orphans",
  { reason: "text", limit: "integer" },
  ({ reason, limit }) => `
  with reset as (
    ${insertErrored("md5('orphan of ' || r.id::text)::uuid", reason)}
    from pipeline_runs r
    where ${isUnfinished("r")}
      and not exists (
        select
        from pipeline_run_leases l
        where l.pipeline_run_id = r.pipeline_run_id and l.ended_at is null
      )
      and not exists (
        select
        from pipeline_runs newer
        where newer.pipeline_run_id = r.pipeline_run_id
          and (newer.created_at, newer.id) > (r.created_at, r.id)
      )
    limit ${limit}
    on conflict (id) do nothing
    returning id
  )
  select to_json(count(*))::text from reset`,
);

/**
 * Whether a row is one of a pipeline's run. cognee writes rows of its other operations
 * too, which have none of these:
 * https://github.com/topoteretes/cognee/blob/a8f9760bb6da90a9956b3be77c0d0534134f533a/cognee/modules/pipelines/models/PipelineRun.py
 */
function isOfRun(row: string): string {
  return `(${row}.status, ${row}.pipeline_name, ${row}.pipeline_id) is not null`;
}

/** Whether a row says that its run has not ended. cognee makes the status an enum. */
export function isUnfinished(row: string): string {
  return `${row}.status::text in (
    'DATASET_PROCESSING_INITIATED', 'DATASET_PROCESSING_STARTED'
  )`;
}

/**
 * The beginning of a statement that adds an ERRORED row after the row `r`, with the
 * data of `r`.
 */
export function insertErrored(id: string, reason: string): string {
  return insertInto("pipeline_runs", {
    id,
    created_at: `greatest(
      statement_timestamp(), r.created_at + interval '1 microsecond'
    )`,
    status: "'DATASET_PROCESSING_ERRORED'",
    pipeline_run_id: "r.pipeline_run_id",
    pipeline_name: "r.pipeline_name",
    pipeline_id: "r.pipeline_id",
    dataset_id: "r.dataset_id",
    run_info: `json_build_object(
      'data', coalesce((r.run_info::json) -> 'data', to_json('None'::text)),
      'error', ${reason},
      'reason', ${reason}
    )`,
  });
}

/** The row of its JSON, in which absent values are null and the time is a string. */
export function toRow(json: unknown): AttributedPipelineRunRow {
  const present = Object.entries(json as object)
    .filter(([_, value]) => value !== null);
  const row = Object.fromEntries(present);
  return { ...row, createdAt: new Date(row.createdAt) } as PipelineRunRow;
}

/** The newest row of a run, as a query for JSON. */
export function newestRowOf(runId: string): string {
  return `
    select row_to_json(t)
    from (${newestOf(runId, ROW)}) t`;
}

function newestOf(runId: string, columns: string): string {
  return `
    select ${columns}
    from pipeline_runs r
    where r.pipeline_run_id = ${runId} and ${isOfRun("r")}
    ${NEWEST_FIRST}
    limit 1`;
}

function list<C extends keyof typeof TABLES.pipeline_runs>(
  columns: readonly C[],
  { select, join } = { select: "", join: "" },
): Statement<Record<C | "limit", string>> {
  const types = columns.map((name) => [name, typeOf("pipeline_runs", name)]);
  const name = ["list", select && "attributed", ...columns].join(" ");
  const parameters: Record<C | "limit", string> = Object.fromEntries([
    ...types,
    ["limit", "integer"],
  ]);
  return statement(name, parameters, (sql) => {
    const conditions = columns.map((name) => `r.${name} = ${sql[name]}`);
    return `
  select row_to_json(t)::text
  from (
    select ${ROW} ${select}
    from (
      select *
      from pipeline_runs r
      where ${[isOfRun("r"), ...conditions].join(" and ")}
      ${NEWEST_FIRST}
      limit ${sql.limit}
    ) r
    ${join}
    ${NEWEST_FIRST}
  ) t`;
  });
}

function camelCase(column: string): string {
  return column.replace(/_./g, ([, letter]) => letter.toUpperCase());
}
