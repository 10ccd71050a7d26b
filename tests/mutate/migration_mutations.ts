import { type Mutation, mutationsOf } from "./mutation.ts";

const STATEMENT = "postgres/sql/statement.ts";
const MIGRATIONS = "postgres/sql/migrations.ts";

/** The steps that make the tables. */
export const MIGRATION_MUTATIONS: readonly Mutation[] = [
  ...mutationsOf(MIGRATIONS, ["postgres/migrations_test.ts"], [
    [
      "Versions begin with 1",
      "  version: index + 1,",
      "  version: index,",
    ],
    [
      "A step that was taken is not taken again",
      "select from pipeline_run_migrations where version = ${version}",
      "select from pipeline_run_migrations where version > ${version}",
    ],
    [
      "Every step is taken",
      "select from pipeline_run_migrations where version = ${version}",
      "select from pipeline_run_migrations",
    ],
    [
      "A step is recorded under its number",
      "const version = index + 1;",
      "const version = index + 2;",
    ],
    ["Newer tables are refused", "if found > ${LATEST}", "if false"],
    [
      "Tables of this release are not refused",
      "if found > ${LATEST}",
      "if found >= ${LATEST}",
    ],
    [
      "One instance migrates at a time",
      "  perform pg_advisory_xact_lock(hashtext('pipeline_run_registry.migrate'));",
      "",
    ],
    [
      "A table that is there is left alone",
      "return `if to_regclass(here || '${table}') is null then",
      "return `if true then",
    ],
    [
      "Tables are made here",
      "return `if to_regclass(here || '${table}') is null then",
      "return `if to_regclass('${table}') is null then",
    ],
    [
      "An index that is there is left alone",
      "return `if to_regclass(here || '${index}') is null then",
      "return `if true then",
    ],
    [
      "Indexes are made here",
      "return `if to_regclass(here || '${index}') is null then",
      "return `if to_regclass('${index}') is null then",
    ],
    [
      "A column that is there is left alone",
      "        and a.attname = '${column}' and not a.attisdropped",
      "        and false",
    ],
    [
      "Only attempts behind the first are looked for",
      "where l.generation > 1 and l.first_seq = 1;",
      "where l.first_seq = 1;",
    ],
    [
      "An attempt begins with its run's event",
      "where e.pipeline_run_id = l.pipeline_run_id and e.kind = 'Started'",
      "where e.kind = 'Started'",
    ],
    [
      "An attempt begins with Started",
      "where e.pipeline_run_id = l.pipeline_run_id and e.kind = 'Started'",
      "where e.pipeline_run_id = l.pipeline_run_id",
    ],
    [
      "An attempt begins with its last Started",
      "select max(e.seq)\n",
      "select min(e.seq)\n",
    ],
    [
      "An attempt without events begins behind the last",
      "l.last_seq + 1\n      )",
      "l.last_seq\n      )",
    ],
  ]),
  ...mutationsOf(MIGRATIONS, ["postgres/migrations_test.ts"], [
    [
      "The schema is made if need be",
      "  if to_regnamespace('\"${schema}\"') is null then",
      "  if false then",
    ],
    [
      "A schema that is there is used",
      "  if to_regnamespace('\"${schema}\"') is null then",
      "  if true then",
    ],
    [
      "The tables are made in the schema",
      "  perform set_config('search_path', '\"${schema}\"', true);",
      "",
    ],
    [
      "The search path stays as it was",
      "  perform set_config('search_path', '\"${schema}\"', true);",
      "  perform set_config('search_path', '\"${schema}\"', false);",
    ],
  ]),
  ...mutationsOf(STATEMENT, ["postgres/migrations_test.ts"], [
    [
      "Leases are found in the schema",
      "payload_fields|results|leases|events",
      "payload_fields|results|events",
    ],
    [
      "Payload fields are found in the schema",
      "payload_fields|results|leases|events",
      "results|leases|events",
    ],
    [
      "Events are found in the schema",
      "payload_fields|results|leases|events",
      "payload_fields|results|leases",
    ],
    [
      "Results are found in the schema",
      "payload_fields|results|leases|events",
      "payload_fields|leases|events",
    ],
    ["Migrations are found in the schema", "|events|migrations)", "|events)"],
    ["Datasets are found in the schema", "|datasets)", ")"],
    ["Rows are found in the schema", "(pipeline_runs|", "("],
  ]),
];
