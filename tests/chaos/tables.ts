import type { Cluster } from "./cluster.ts";

/** A row of `pipeline_runs`. */
export interface RunRow {
  readonly id: string;
  readonly runId: string;
  /** Without the prefix that all statuses share. */
  readonly status: "INITIATED" | "STARTED" | "COMPLETED" | "ERRORED";
  readonly error?: string;
}

/** A row of `pipeline_run_events`. */
export interface EventRow {
  readonly runId: string;
  readonly seq: number;
  readonly kind: string;
  readonly message?: string;
  /** The payload. */
  readonly n?: unknown;
  /** When it was written, in milliseconds since 1970. */
  readonly loggedAt: number;
}

/** A row of `pipeline_run_leases`. */
export interface LeaseRow {
  readonly runId: string;
  readonly isEnded: boolean;
}

/** A row of `pipeline_run_payload_fields`. */
export interface FieldRow {
  readonly runId: string;
  readonly key: string;
  readonly value: unknown;
}

/** What the four tables hold; the rows and events of a run are in their order. */
export interface Tables {
  readonly rows: readonly RunRow[];
  readonly events: readonly EventRow[];
  readonly leases: readonly LeaseRow[];
  readonly fields: readonly FieldRow[];
}

const READ = `
  select json_build_object(
    'rows', (
      select coalesce(json_agg(json_strip_nulls(json_build_object(
        'id', id,
        'runId', pipeline_run_id,
        'status', replace(status, 'DATASET_PROCESSING_', ''),
        'error', run_info ->> 'error'
      )) order by created_at, id), '[]')
      from pipeline_runs
    ),
    'events', (
      select coalesce(json_agg(json_strip_nulls(json_build_object(
        'runId', pipeline_run_id,
        'seq', seq,
        'kind', kind,
        'message', message,
        'n', payload,
        'loggedAt', (extract(epoch from logged_at) * 1000)::bigint
      )) order by seq), '[]')
      from pipeline_run_events
    ),
    'leases', (
      select coalesce(json_agg(json_build_object(
        'runId', pipeline_run_id,
        'isEnded', ended_at is not null
      )), '[]')
      from pipeline_run_leases
    ),
    'fields', (
      select coalesce(json_agg(json_build_object(
        'runId', pipeline_run_id,
        'key', key,
        'value', value
      )), '[]')
      from pipeline_run_payload_fields
    )
  )::text as tables`;

/** Reads the tables, at one moment. */
export async function readTables(cluster: Cluster): Promise<Tables> {
  const [{ tables }] = await cluster.query(READ);
  return JSON.parse(tables);
}
