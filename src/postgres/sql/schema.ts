/**
 * What `migrate()` runs: one statement that makes the tables and indexes that
 * are missing and touches no others. It may run at any time, again, and from
 * many instances at once.
 *
 * A `pipeline_runs` table that cognee made is left as it is, but for the
 * indexes.
 */
export const schemaSql: string = `do $migration$
begin
  -- Two "if not exists" at once can both find nothing. The lock ends with the
  -- statement, so it holds behind a transaction pooler too.
  perform pg_advisory_xact_lock(hashtext('pipeline_run_registry.migrate'));

  create table if not exists pipeline_runs (
    id uuid primary key,
    created_at timestamptz not null,
    status text not null,
    pipeline_run_id uuid not null,
    pipeline_name text not null,
    pipeline_id uuid not null,
    dataset_id uuid,
    run_info json
  );

  create table if not exists pipeline_run_payload_fields (
    pipeline_run_id uuid not null,
    key text not null,
    value json not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (pipeline_run_id, key)
  );

  create table if not exists pipeline_run_leases (
    pipeline_run_id uuid primary key,
    owner uuid not null,
    claim uuid not null,
    generation integer not null,
    first_seq bigint not null default 1,
    last_seq bigint not null,
    expires_at timestamptz not null,
    ended_at timestamptz,
    ending uuid,
    abort_requested_at timestamptz,
    abort_reason text
  );

  create table if not exists pipeline_run_events (
    pipeline_run_id uuid not null,
    seq bigint not null,
    kind text not null,
    at timestamptz not null,
    payload json,
    payload_length integer not null default 0,
    message text,
    logged_at timestamptz not null default now(),
    primary key (pipeline_run_id, seq)
  );

  -- "create index if not exists" waits for every writer of the table before it
  -- looks; this looks first.
  if to_regclass('pipeline_runs_run_created_at_idx') is null then
    create index pipeline_runs_run_created_at_idx
      on pipeline_runs (pipeline_run_id, created_at desc);
  end if;
  -- Most runs need have no dataset: they cost nothing here.
  if to_regclass('pipeline_runs_dataset_name_created_at_idx') is null then
    create index pipeline_runs_dataset_name_created_at_idx
      on pipeline_runs (dataset_id, pipeline_name, created_at desc)
      where dataset_id is not null;
  end if;
  if to_regclass('pipeline_runs_created_at_idx') is null then
    create index pipeline_runs_created_at_idx on pipeline_runs (created_at desc);
  end if;
  -- What changes while a run lives is in no index, so that updates stay cheap.
  if to_regclass('pipeline_run_leases_live_idx') is null then
    create index pipeline_run_leases_live_idx
      on pipeline_run_leases (owner) where ended_at is null;
  end if;
  if to_regclass('pipeline_run_events_ending_idx') is null then
    create index pipeline_run_events_ending_idx
      on pipeline_run_events (logged_at) where kind in ('Completed', 'Errored');
  end if;
end
$migration$`;

/** The columns that the repository uses, by table. */
export const COLUMNS: Readonly<Record<string, readonly string[]>> = {
  pipeline_runs: [
    "id",
    "created_at",
    "status",
    "pipeline_run_id",
    "pipeline_name",
    "pipeline_id",
    "dataset_id",
    "run_info",
  ],
  pipeline_run_payload_fields: [
    "pipeline_run_id",
    "key",
    "value",
    "created_at",
    "updated_at",
  ],
  pipeline_run_leases: [
    "pipeline_run_id",
    "owner",
    "claim",
    "generation",
    "first_seq",
    "last_seq",
    "expires_at",
    "ended_at",
    "ending",
    "abort_requested_at",
    "abort_reason",
  ],
  pipeline_run_events: [
    "pipeline_run_id",
    "seq",
    "kind",
    "at",
    "payload",
    "payload_length",
    "message",
    "logged_at",
  ],
};
