import { type Statement, statement } from "./statement.ts";

/** A step from one version of the tables to the next. */
export interface Migration {
  /** Its number, from 1 on without gaps. */
  readonly version: number;
  /** What it brings. */
  readonly name: string;
  /**
   * One statement that does it and records it in `pipeline_run_migrations`, unless that
   * has it. It changes nothing that is there already, so it may run on tables that were
   * made before steps were recorded, and while older instances write.
   */
  readonly sql: string;
}

/** What a step does, in PL/pgSQL. */
interface Step {
  readonly name: string;
  readonly changes: readonly string[];
}

/**
 * The steps from nothing to the tables of this release. A step that was released is
 * never changed.
 */
const STEPS: readonly Step[] = [
  {
    name: "rows and payload fields, as cognee has them",
    changes: [
      createTable("pipeline_runs", [
        "id uuid primary key",
        "created_at timestamptz not null",
        "status text not null",
        "pipeline_run_id uuid not null",
        "pipeline_name text not null",
        "pipeline_id uuid not null",
        "dataset_id uuid",
        "run_info json",
      ]),
      createTable("pipeline_run_payload_fields", [
        "pipeline_run_id uuid",
        "key text",
        "value json not null",
        "created_at timestamptz not null",
        "updated_at timestamptz not null",
        "primary key (pipeline_run_id, key)",
      ]),
      createIndex(
        "pipeline_runs_run_created_at_idx",
        "pipeline_runs (pipeline_run_id, created_at desc)",
      ),
      createIndex(
        "pipeline_runs_dataset_name_created_at_idx",
        "pipeline_runs (dataset_id, pipeline_name, created_at desc)",
        "dataset_id is not null",
      ),
      createIndex(
        "pipeline_runs_created_at_idx",
        "pipeline_runs (created_at desc)",
      ),
    ],
  },
  {
    name: "leases and the log of events",
    changes: [
      createTable("pipeline_run_leases", [
        "pipeline_run_id uuid primary key",
        "owner uuid not null",
        "claim uuid not null",
        "generation integer not null",
        "last_seq bigint not null",
        "expires_at timestamptz not null",
        "ended_at timestamptz",
        "ending uuid",
        "abort_requested_at timestamptz",
        "abort_reason text",
      ]),
      createTable("pipeline_run_events", [
        "pipeline_run_id uuid",
        "seq bigint",
        "kind text not null",
        "at timestamptz not null",
        "payload json",
        "message text",
        "logged_at timestamptz not null default now()",
        "primary key (pipeline_run_id, seq)",
      ]),
      // No index has columns that change while a run lives, so updates stay cheap.
      createIndex(
        "pipeline_run_leases_live_idx",
        "pipeline_run_leases (owner)",
        "ended_at is null",
      ),
      createIndex(
        "pipeline_run_events_ending_idx",
        "pipeline_run_events (logged_at)",
        "kind in ('Completed', 'Errored')",
      ),
    ],
  },
  {
    name: "how long payloads are",
    changes: [
      addColumn(
        "pipeline_run_events",
        "payload_length integer not null default 0",
      ),
    ],
  },
  {
    name: "where the attempt of a lease begins",
    changes: [
      addColumn("pipeline_run_leases", "first_seq bigint not null default 1"),
      `update pipeline_run_leases l
      set first_seq = coalesce(
        (
          select max(e.seq)
          from pipeline_run_events e
          where e.pipeline_run_id = l.pipeline_run_id and e.kind = 'Started'
        ),
        l.last_seq + 1
      )
      where l.generation > 1 and l.first_seq = 1;`,
    ],
  },
  {
    name: "notice of an expired lease",
    changes: [addColumn("pipeline_run_leases", "notice_at timestamptz")],
  },
  {
    name: "until when a run is followed",
    changes: [addColumn("pipeline_run_leases", "followed_until timestamptz")],
  },
  {
    name: "leases by their end",
    changes: [
      createIndex(
        "pipeline_run_leases_ended_idx",
        "pipeline_run_leases (ended_at)",
        "ended_at is not null",
      ),
    ],
  },
  {
    name: "payload fields by their age",
    changes: [
      createIndex(
        "pipeline_run_payload_fields_updated_at_idx",
        "pipeline_run_payload_fields (updated_at)",
      ),
    ],
  },
  {
    name: "results, and what ended a run",
    changes: [
      createTable("pipeline_run_results", [
        "pipeline_run_id uuid",
        "row_id uuid",
        "result json not null",
        "created_at timestamptz not null",
        "primary key (pipeline_run_id, row_id)",
      ]),
      createIndex(
        "pipeline_run_results_created_at_idx",
        "pipeline_run_results (created_at)",
      ),
      addColumn("pipeline_run_events", "code text"),
      addColumn("pipeline_run_events", "name text"),
    ],
  },
];

/** The version that this release needs. */
const LATEST = STEPS.length;

/** The steps from nothing to the tables of this release, in order. */
export const migrations: readonly Migration[] = STEPS.map((step, index) => ({
  version: index + 1,
  name: step.name,
  sql: migrationOf([stepOf(step, index)]),
}));

/**
 * What `migrate()` runs: all {@linkcode migrations} in one statement, in the first
 * schema of the search path. It may run at any time, repeatedly, and from many
 * instances at once. It fails if a newer release has migrated the tables.
 *
 * A `pipeline_runs` table that cognee made only gets the missing indexes.
 */
export const schemaSql: string = migrationOf(STEPS.map(stepOf));

/** Runs {@linkcode schemaSql}, or the same in a schema, which it makes if need be. */
export const MIGRATE: Statement<Record<never, never>> = {
  text: `/* migrate */ ${schemaSql}`,
  textIn: (schema) => `/* migrate */ ${migrationOf(STEPS.map(stepOf), schema)}`,
  values: () => [],
};

/** The versions of the steps that the tables have had; fails if no step was recorded. */
export const GET_VERSIONS = statement("get versions", {}, () => `
  select to_json(version)::text from pipeline_run_migrations`);

/** A statement that takes steps, one instance at a time. */
function migrationOf(steps: readonly string[], schema?: string): string {
  const go = schema === undefined ? "" : `
  if to_regnamespace('"${schema}"') is null then
    create schema "${schema}";
  end if;
  perform set_config('search_path', '"${schema}"', true);`;
  return `do $migration$
declare
  here text;
  found integer;
begin
  -- Two migrations at once would both find nothing. The lock ends with the statement,
  -- so it holds behind a transaction pooler too.
  perform pg_advisory_xact_lock(hashtext('pipeline_run_registry.migrate'));${go}
  here := quote_ident(current_schema()) || '.';
  ${
    createTable("pipeline_run_migrations", [
      "version integer primary key",
      "name text not null",
      "applied_at timestamptz not null default now()",
    ])
  }
  select max(version) into found from pipeline_run_migrations;
  if found > ${LATEST} then
    raise exception using
      errcode = 'object_not_in_prerequisite_state',
      message = format(
        'The tables have version %s, but this release knows only ${LATEST}', found
      ),
      hint = 'Update the package.';
  end if;
${steps.join("\n")}
end
$migration$`;
}

function stepOf({ name, changes }: Step, index: number): string {
  const version = index + 1;
  return `
  if not exists (
    select from pipeline_run_migrations where version = ${version}
  ) then
    ${changes.join("\n    ")}
    insert into pipeline_run_migrations (version, name)
    values (${version}, '${name}');
  end if;`;
}

// "if not exists" is not used: for an index it waits for every writer of the table
// before it looks, and for a table it needs the privilege to create.

function createTable(table: string, definitions: readonly string[]): string {
  return `if to_regclass(here || '${table}') is null then
      create table ${table} (
        ${definitions.join(",\n        ")}
      );
    end if;`;
}

function createIndex(index: string, on: string, where?: string): string {
  return `if to_regclass(here || '${index}') is null then
      create index ${index} on ${on}${where ? ` where ${where}` : ""};
    end if;`;
}

function addColumn(table: string, definition: string): string {
  const [column] = definition.split(" ");
  return `if not exists (
      select
      from pg_attribute a
      where a.attrelid = to_regclass(here || '${table}')
        and a.attname = '${column}' and not a.attisdropped
    ) then
      alter table ${table} add column ${definition};
    end if;`;
}
