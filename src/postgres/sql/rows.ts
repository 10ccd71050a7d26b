import { STATUSES } from "../write/row_values.ts";

/**
 * Every row is one column of JSON, so that neither the client's types nor its
 * naming of columns matter.
 */
const ROW = `
  r.id, r.created_at as "createdAt", r.status,
  r.pipeline_run_id as "pipelineRunId", r.pipeline_name as "pipelineName",
  r.pipeline_id as "pipelineId", r.dataset_id as "datasetId",
  r.run_info as "runInfo"`;

/**
 * Rows from parameters, each an array of one column's values; in what order they
 * are tells their column `ordinality`.
 *
 * Postgres plans a prepared statement anew each time if it thinks that a plan for
 * just these parameters is better. So it must not see how long they are.
 *
 * @param first The number of the first parameter.
 * @param columns The columns, with their types.
 * @param alias What to call it.
 */
export function unnest(
  first: number,
  columns: Readonly<Record<string, string>>,
  alias: string,
): string {
  const names = Object.keys(columns);
  const arrays = names.map((name, index) =>
    `$${first + index}::text::${columns[name]}[] as ${name}`
  );
  return `(select ${arrays.join(", ")} offset 0) sent
    cross join lateral unnest(
      ${names.map((name) => `sent.${name}`).join(", ")}
    ) with ordinality ${alias} (${names.join(", ")}, ordinality)`;
}

/** The statuses as the table has them: cognee makes the column an enum. */
const TABLE_STATUSES = `(
    select array_agg(s.status order by s.ordinality)
    from json_populate_recordset(
      null::pipeline_runs,
      '${JSON.stringify(STATUSES.map((status) => ({ status })))}'
    ) with ordinality s
  )`;

/**
 * Writes the rows of {@linkcode rowParameters}, `$1` to `$8`.
 *
 * A row is dated by the database's clock, and after every row of its run: by a
 * microsecond for each row before it in the statement, and by one more than the
 * run's last row where that clock was set back.
 *
 * @param condition Which rows to write.
 * @param again Whether some may be there already. To look for them makes the
 * statement a tenth slower.
 */
export const insertRows = (condition: string, again: boolean): string => `
  insert into pipeline_runs (
    id, created_at, status, pipeline_run_id, pipeline_name, pipeline_id,
    dataset_id, run_info
  )
  select
    r.id,
    greatest(
      statement_timestamp(),
      case
        when not r.is_first then (
          select max(p.created_at) + interval '1 microsecond'
          from pipeline_runs p
          where p.pipeline_run_id = r.pipeline_run_id
        )
      end
    ) + r.ordinality * interval '1 microsecond',
    (${TABLE_STATUSES})[r.status], r.pipeline_run_id, r.pipeline_name,
    r.pipeline_id, r.dataset_id, r.run_info::json
  from ${
  unnest(
    1,
    {
      id: "uuid",
      status: "integer",
      pipeline_run_id: "uuid",
      pipeline_name: "text",
      pipeline_id: "uuid",
      dataset_id: "uuid",
      run_info: "text",
      is_first: "boolean",
    },
    "r",
  )
}
  ${condition}
  ${again ? "on conflict (id) do nothing" : ""}`;

export const UPSERT_FIELDS = `
  insert into pipeline_run_payload_fields (
    pipeline_run_id, key, value, created_at, updated_at
  )
  select
    f.pipeline_run_id, f.key,
    coalesce(f.value, 'null'), -- the JSON null becomes that of SQL
    statement_timestamp(), statement_timestamp()
  from json_populate_recordset(
    null::pipeline_run_payload_fields, $9::text::json
  ) f
  on conflict (pipeline_run_id, key) do update
    set value = excluded.value, updated_at = excluded.updated_at`;

/** Writes rows; `$9` comes back, to tell this statement's answer from another's. */
export const WRITE_ROWS = eitherTry((again) => `
  with written as (${insertRows("", again)})
  select to_json($9::text)::text`);

/** Writes rows and the payload fields `$9`; `$10` comes back. */
export const WRITE_ROWS_AND_FIELDS = eitherTry((again) => `
  with written as (${insertRows("", again)}), upserted as (${UPSERT_FIELDS})
  select to_json($10::text)::text`);

export const LATEST_STATUS = `
  select json_build_array(d.id, latest.status)::text
  from unnest($1::text::uuid[]) d (id)
  cross join lateral (
    select r.status
    from pipeline_runs r
    where r.dataset_id = d.id and r.pipeline_name = $2::text
    order by r.created_at desc, r.id desc
    limit 1
  ) latest`;

export const LIST_RECENT = listRecent("");

export const LIST_RECENT_OF_DATASET = listRecent(
  "where r.dataset_id = $2::text::uuid",
);

export const LIST_BY_RUN = listRecent(
  "where r.pipeline_run_id = $2::text::uuid",
);

/** Needs a table `datasets`, as cognee makes it. */
export const LIST_RECENT_WITH_ATTRIBUTION = listRecentWithAttribution("");

/** Needs a table `datasets`, as cognee makes it. */
export const LIST_RECENT_OF_DATASET_WITH_ATTRIBUTION =
  listRecentWithAttribution("where r.dataset_id = $2::text::uuid");

export const HAS_DATASETS = `
  select to_json(to_regclass('datasets') is not null)::text`;

export const GET_PIPELINE_RUN = newestRow("r.pipeline_run_id = $1::text::uuid");

export const GET_PIPELINE_RUN_BY_DATASET = newestRow(
  "r.dataset_id = $1::text::uuid and r.pipeline_name = $2::text",
);

export const GET_PIPELINE_RUNS_BY_DATASET = `
  select row_to_json(t)::text
  from (
    select distinct on (r.pipeline_name) ${ROW}
    from pipeline_runs r
    where r.dataset_id = $1::text::uuid
    order by r.pipeline_name, r.created_at desc, r.id desc
  ) t`;

export const GET_PAYLOAD = `
  select json_build_array(f.key, f.value)::text
  from pipeline_run_payload_fields f
  where f.pipeline_run_id = $1::text::uuid
  order by f.key`;

/**
 * Ends up to `$2` runs whose newest row is INITIATED or STARTED. The new row's
 * id follows from the old one's, so that of many who do this at once one does.
 */
export const RESET_ORPHANS = `
  with reset as (
    ${insertErrored("md5('orphan of ' || r.id::text)::uuid")}
    from pipeline_runs r
    where r.status::text in (
        'DATASET_PROCESSING_INITIATED', 'DATASET_PROCESSING_STARTED'
      )
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
    limit $2::text::integer
    on conflict (id) do nothing
    returning id
  )
  select to_json(count(*))::text from reset`;

/** A statement for the first try, and one for when that may have succeeded. */
export interface EitherTry {
  readonly first: string;
  readonly again: string;
}

/** Makes both statements. */
export function eitherTry(make: (again: boolean) => string): EitherTry {
  return { first: make(false), again: make(true) };
}

/** The columns of a table, as this connection finds it. */
export const GET_COLUMNS = `
  select to_json(a.attname)::text
  from pg_attribute a
  where a.attrelid = to_regclass($1::text) and a.attnum > 0
    and not a.attisdropped`;

/**
 * The beginning of a statement that writes an ERRORED row behind the row `r`, for
 * the reason `$1`, with the data of `r`.
 */
export function insertErrored(id: string): string {
  return `
    insert into pipeline_runs (
      id, created_at, status, pipeline_run_id, pipeline_name, pipeline_id,
      dataset_id, run_info
    )
    select
      ${id},
      greatest(
        statement_timestamp(), r.created_at + interval '1 microsecond'
      ),
      'DATASET_PROCESSING_ERRORED', r.pipeline_run_id, r.pipeline_name,
      r.pipeline_id, r.dataset_id,
      json_build_object(
        'data', coalesce((r.run_info::json) -> 'data', to_json('None'::text)),
        'error', $1::text,
        'reason', $1::text
      )`;
}

function newestRow(condition: string): string {
  return `
    select row_to_json(t)::text
    from (
      select ${ROW}
      from pipeline_runs r
      where ${condition}
      order by r.created_at desc, r.id desc
      limit 1
    ) t`;
}

function newest(condition: string): string {
  return `
    select *
    from pipeline_runs r
    ${condition}
    order by r.created_at desc, r.id desc
    limit $1::text::integer`;
}

function listRecent(condition: string): string {
  return `
    select row_to_json(t)::text
    from (select ${ROW} from (${newest(condition)}) r) t`;
}

function listRecentWithAttribution(condition: string): string {
  return `
    select row_to_json(t)::text
    from (
      select ${ROW}, d.name as "datasetName", d.owner_id as "ownerId"
      from (${newest(condition)}) r
      left join datasets d on d.id = r.dataset_id
      order by r.created_at desc, r.id desc
    ) t`;
}
