import { statement } from "./statement.ts";

/** The tables: their columns, as `create table` defines them. */
export const TABLES = {
  pipeline_runs: {
    id: "uuid not null",
    created_at: "timestamptz not null",
    status: "text not null",
    pipeline_run_id: "uuid not null",
    pipeline_name: "text not null",
    pipeline_id: "uuid not null",
    dataset_id: "uuid",
    run_info: "json",
  },
  pipeline_run_payload_fields: {
    pipeline_run_id: "uuid not null",
    key: "text not null",
    value: "json not null",
    created_at: "timestamptz not null",
    updated_at: "timestamptz not null",
  },
  pipeline_run_leases: {
    pipeline_run_id: "uuid not null",
    owner: "uuid not null",
    claim: "uuid not null",
    generation: "integer not null",
    first_seq: "bigint not null default 1",
    last_seq: "bigint not null",
    expires_at: "timestamptz not null",
    notice_at: "timestamptz",
    followed_until: "timestamptz",
    ended_at: "timestamptz",
    ending: "uuid",
    abort_requested_at: "timestamptz",
    abort_reason: "text",
  },
  pipeline_run_events: {
    pipeline_run_id: "uuid not null",
    seq: "bigint not null",
    kind: "text not null",
    at: "timestamptz not null",
    payload: "json",
    payload_length: "integer not null default 0",
    message: "text",
    logged_at: "timestamptz not null default now()",
  },
} as const;

type Table = keyof typeof TABLES;

const PRIMARY_KEYS: Readonly<Record<Table, string>> = {
  pipeline_runs: "id",
  pipeline_run_payload_fields: "pipeline_run_id, key",
  pipeline_run_leases: "pipeline_run_id",
  pipeline_run_events: "pipeline_run_id, seq",
};

/** The type of a column. */
export function typeOf<T extends Table>(
  table: T,
  column: keyof typeof TABLES[T],
): string {
  return String(TABLES[table][column]).split(" ")[0];
}

/**
 * The beginning of a statement that inserts.
 *
 * @param table The table.
 * @param values Its columns, each with the SQL of its value.
 * @param alias What the statement calls the row that is there already.
 */
export function insertInto<T extends Table>(
  table: T,
  values: { readonly [Column in keyof typeof TABLES[T]]?: string },
  alias: string = table,
): string {
  const columns = Object.keys(values).join(", ");
  const expressions = Object.values(values).join(", ");
  return `insert into ${table} as ${alias} (${columns}) select ${expressions}`;
}

const createTables = Object.entries(TABLES).map(([table, columns]) => {
  const definitions = Object.entries(columns)
    .map(([name, definition]) => `      ${name} ${definition},\n`);
  return `
  if to_regclass(here || '${table}') is null then
    create table ${table} (
${definitions.join("")}      primary key (${PRIMARY_KEYS[table as Table]})
    );
  end if;`;
});

/** Adds columns that the table of leases did not have at first. */
function addColumns(
  ...columns: readonly (keyof typeof TABLES.pipeline_run_leases)[]
): string[] {
  return columns.map((column) => `
  if not exists (
    select
    from pg_attribute a
    where a.attrelid = to_regclass(here || 'pipeline_run_leases')
      and a.attname = '${column}' and not a.attisdropped
  ) then
    alter table pipeline_run_leases
      add column ${column} ${TABLES.pipeline_run_leases[column]};
  end if;`);
}

/**
 * What `migrate()` runs: one statement that makes the tables and indexes that are
 * missing and touches no others. It may run at any time, repeatedly, and from many
 * instances at once.
 *
 * A `pipeline_runs` table that cognee made only gets the missing indexes.
 */
export const schemaSql: string = `do $migration$
declare
  here text := quote_ident(current_schema()) || '.';
begin
  -- Two migrations at once would both find nothing. The lock ends with the statement,
  -- so it holds behind a transaction pooler too.
  --
  -- "if not exists" is not used: for an index it waits for every writer of the table
  -- before it looks, and for a table it needs the privilege to create.
  perform pg_advisory_xact_lock(hashtext('pipeline_run_registry.migrate'));
${createTables.join("\n")}

${addColumns("notice_at", "followed_until").join("\n")}

  if to_regclass(here || 'pipeline_runs_run_created_at_idx') is null then
    create index pipeline_runs_run_created_at_idx
      on pipeline_runs (pipeline_run_id, created_at desc);
  end if;
  -- A run without a dataset is not in this index.
  if to_regclass(here || 'pipeline_runs_dataset_name_created_at_idx') is null then
    create index pipeline_runs_dataset_name_created_at_idx
      on pipeline_runs (dataset_id, pipeline_name, created_at desc)
      where dataset_id is not null;
  end if;
  if to_regclass(here || 'pipeline_runs_created_at_idx') is null then
    create index pipeline_runs_created_at_idx on pipeline_runs (created_at desc);
  end if;
  -- No index has columns that change while a run lives, so updates stay cheap.
  if to_regclass(here || 'pipeline_run_leases_live_idx') is null then
    create index pipeline_run_leases_live_idx
      on pipeline_run_leases (owner) where ended_at is null;
  end if;
  if to_regclass(here || 'pipeline_run_events_ending_idx') is null then
    create index pipeline_run_events_ending_idx
      on pipeline_run_events (logged_at) where kind in ('Completed', 'Errored');
  end if;
end
$migration$`;

/** Runs {@linkcode schemaSql}. */
export const MIGRATE = statement("migrate", {}, () => schemaSql);
