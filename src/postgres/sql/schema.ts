/** The columns and types that the statements use, by table, as migrations make them. */
export const TABLES = {
  pipeline_runs: {
    id: "uuid",
    created_at: "timestamptz",
    status: "text",
    pipeline_run_id: "uuid",
    pipeline_name: "text",
    pipeline_id: "uuid",
    dataset_id: "uuid",
    run_info: "json",
  },
  pipeline_run_payload_fields: {
    pipeline_run_id: "uuid",
    key: "text",
    value: "json",
    created_at: "timestamptz",
    updated_at: "timestamptz",
  },
  pipeline_run_results: {
    pipeline_run_id: "uuid",
    row_id: "uuid",
    result: "json",
    created_at: "timestamptz",
  },
  pipeline_run_leases: {
    pipeline_run_id: "uuid",
    owner: "uuid",
    claim: "uuid",
    generation: "integer",
    first_seq: "bigint",
    last_seq: "bigint",
    expires_at: "timestamptz",
    notice_at: "timestamptz",
    followed_until: "timestamptz",
    ended_at: "timestamptz",
    ending: "uuid",
    abort_requested_at: "timestamptz",
    abort_reason: "text",
  },
  pipeline_run_events: {
    pipeline_run_id: "uuid",
    seq: "bigint",
    kind: "text",
    at: "timestamptz",
    payload: "json",
    payload_length: "integer",
    message: "text",
    code: "text",
    name: "text",
    logged_at: "timestamptz",
  },
} as const;

type Table = keyof typeof TABLES;

/** The type of a column. */
export function typeOf<T extends Table>(
  table: T,
  column: keyof typeof TABLES[T],
): string {
  return String(TABLES[table][column]);
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
  alias = "new",
): string {
  const columns = Object.keys(values).join(", ");
  const expressions = Object.values(values).join(", ");
  return `insert into ${table} as ${alias} (${columns}) select ${expressions}`;
}
