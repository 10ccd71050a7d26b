import { type Mutation, mutationsOf } from "./mutation.ts";

const STATEMENTS = "postgres/sql/rows.ts";

/** The statements that read the audit trail, and the one that resets orphans. */
export const ROW_STATEMENT_MUTATIONS: readonly Mutation[] = [
  ...mutationsOf(STATEMENTS, ["postgres/row_fence_test.ts"], [
    [
      "The newest rows come first",
      '"order by r.created_at desc, r.id desc"',
      '"order by r.created_at, r.id desc"',
    ],
    [
      "Rows of one microsecond are ordered by their ids",
      '"order by r.created_at desc, r.id desc"',
      '"order by r.created_at desc"',
    ],
    [
      "LATEST_STATUS looks at the dataset",
      "where r.dataset_id = d.id and r.pipeline_name = ${pipelineName}",
      "where r.pipeline_name = ${pipelineName}",
    ],
    [
      "LATEST_STATUS looks at the pipeline",
      "where r.dataset_id = d.id and r.pipeline_name = ${pipelineName}",
      "where r.dataset_id = d.id and ${pipelineName} is not null",
    ],
    [
      "A list has the rows with the values",
      "columns.map((name) => `r.${name} = ${sql[name]}`)",
      "columns.map((name) => `${sql[name]} is not null`)",
    ],
    [
      "A list keeps the newest rows",
      "${NEWEST_FIRST}\n      limit ${sql.limit}",
      "limit ${sql.limit}",
    ],
    [
      "A list has as many rows as asked for",
      "      limit ${sql.limit}\n",
      "      limit ${sql.limit} + 1\n",
    ],
    [
      "GET_BY_DATASET looks at the dataset",
      "where r.dataset_id = ${datasetId} and",
      "where ${datasetId} is not null and",
    ],
    [
      "GET_BY_DATASET gives the newest row",
      "order by r.pipeline_name, r.created_at desc, r.id desc",
      "order by r.pipeline_name, r.created_at, r.id desc",
    ],
    [
      "GET_BY_DATASET gives the newest row of one microsecond",
      "order by r.pipeline_name, r.created_at desc, r.id desc",
      "order by r.pipeline_name, r.created_at desc",
    ],
    [
      "GET_PAYLOAD gives the fields of the run",
      "where f.pipeline_run_id = ${runId}",
      "where ${runId} is not null",
    ],
    [
      "GET_PAYLOAD orders the fields",
      "  order by f.key`",
      "`",
    ],
    [
      "RESET_ORPHANS resets only unfinished runs",
      'where ${isUnfinished("r")}\n      and not exists',
      "where not exists",
    ],
    [
      "RESET_ORPHANS leaves live runs alone",
      "where l.pipeline_run_id = r.pipeline_run_id and l.ended_at is null",
      "where false",
    ],
    [
      "RESET_ORPHANS looks at the lease of the run",
      "where l.pipeline_run_id = r.pipeline_run_id and l.ended_at is null",
      "where l.ended_at is null",
    ],
    [
      "RESET_ORPHANS resets runs whose lease has ended",
      "where l.pipeline_run_id = r.pipeline_run_id and l.ended_at is null",
      "where l.pipeline_run_id = r.pipeline_run_id",
    ],
    [
      "RESET_ORPHANS looks only at the newest row",
      "and (newer.created_at, newer.id) > (r.created_at, r.id)",
      "and false",
    ],
    [
      "RESET_ORPHANS looks for newer rows of the run",
      "where newer.pipeline_run_id = r.pipeline_run_id\n          and",
      "where",
    ],
    [
      "RESET_ORPHANS orders rows of one microsecond by their ids",
      "(newer.created_at, newer.id) > (r.created_at, r.id)",
      "newer.created_at > r.created_at",
    ],
    [
      "RESET_ORPHANS bounds what it resets",
      "    limit ${limit}\n    on conflict (id) do nothing",
      "    on conflict (id) do nothing",
    ],
    [
      "RESET_ORPHANS skips what a concurrent reset wrote",
      "    on conflict (id) do nothing\n    returning id",
      "    returning id",
    ],
    [
      "RESET_ORPHANS derives the id of the new row",
      "md5('orphan of ' || r.id::text)::uuid",
      "gen_random_uuid()",
    ],
    [
      "A run that is initiated is unfinished",
      "'DATASET_PROCESSING_INITIATED', 'DATASET_PROCESSING_STARTED'",
      "'DATASET_PROCESSING_STARTED'",
    ],
    [
      "A run that has started is unfinished",
      "'DATASET_PROCESSING_INITIATED', 'DATASET_PROCESSING_STARTED'",
      "'DATASET_PROCESSING_INITIATED'",
    ],
    [
      "An ERRORED row is dated after the row before it",
      "statement_timestamp(), r.created_at + interval '1 microsecond'",
      "statement_timestamp()",
    ],
    [
      "An ERRORED row differs in its date from the row before it",
      "r.created_at + interval '1 microsecond'",
      "r.created_at",
    ],
    [
      "An ERRORED row is not dated before now",
      "statement_timestamp(), r.created_at + interval '1 microsecond'",
      "r.created_at + interval '1 microsecond'",
    ],
    [
      "An ERRORED row keeps the data of the row before it",
      "coalesce((r.run_info::json) -> 'data', to_json('None'::text))",
      "to_json('None'::text)",
    ],
    [
      "An ERRORED row has data even if the row before it has none",
      "coalesce((r.run_info::json) -> 'data', to_json('None'::text))",
      "(r.run_info::json) -> 'data'",
    ],
    [
      "toRow() leaves absent values absent",
      ".filter(([_, value]) => value !== null)",
      "",
    ],
  ]),
  ...mutationsOf(STATEMENTS, ["postgres/status_fence_test.ts"], [
    [
      "The newest row of a run is the run's",
      "where r.pipeline_run_id = ${runId}",
      "where true",
    ],
  ]),
  ...mutationsOf("postgres/sql/rows.ts", [
    "postgres/cognee_operations_test.ts",
  ], [
    [
      "GET_BY_DATASET leaves out operations",
      'where r.dataset_id = ${datasetId} and ${isOfRun("r")}',
      "where r.dataset_id = ${datasetId}",
    ],
    [
      "Lists leave out operations",
      '[isOfRun("r"), ...conditions]',
      '["true", ...conditions]',
    ],
    [
      "The newest row of a run is none of an operation",
      'where r.pipeline_run_id = ${runId} and ${isOfRun("r")}',
      "where r.pipeline_run_id = ${runId}",
    ],
  ]),
  ...mutationsOf("postgres/postgres_repository.ts", [
    "postgres/cognee_operations_test.ts",
  ], [
    ["migrate() refuses ids of other types", "wrong.length > 0", "false"],
  ]),
  ...mutationsOf("cognee/qualification.ts", ["cognee/qualification_test.ts"], [
    [
      "Only the pipelines that are named are reset",
      "(pipelineNames === undefined || pipelineNames.includes(pipelineName))",
      "true",
    ],
    [
      "All pipelines are reset by default",
      "(pipelineNames === undefined || pipelineNames.includes(pipelineName))",
      "pipelineNames?.includes(pipelineName)",
    ],
    [
      "A reset that fails is told",
      "  if (failed !== undefined) throw (failed as PromiseRejectedResult).reason;\n",
      "",
    ],
  ]),
];
