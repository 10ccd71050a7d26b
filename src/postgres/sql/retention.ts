import { isUnfinished } from "./rows.ts";
import { statement } from "./statement.ts";

/** What a statement deletes. */
interface Prunable {
  readonly table: string;
  /** The columns of its primary key. */
  readonly key: readonly string[];
  /**
   * What to delete, from the SQL of the time before which it must have ended, and of
   * whether no other instance deletes from the table.
   */
  readonly doomed: (cutoff: string, isAlone: string) => string;
  /** Which of its rows others may change meanwhile, if any: they are left alone. */
  readonly changing?: string;
}

/**
 * A statement that deletes what ended longer ago than the retention, in milliseconds,
 * and returns how much that is: nothing while another instance deletes from the table.
 */
function prune(
  name: string,
  { table, key, doomed, changing }: Prunable,
) {
  const columns = key.map((column) => `t.${column} = doomed.${column}`);
  return statement(
    name,
    { retention: "bigint", limit: "integer" },
    ({ retention, limit }) => `
  with doomed as (
    ${
      doomed(
        `now() - ${retention} * interval '1 millisecond'`,
        aloneOn(table),
      )
    }
    limit ${limit}
    ${changing === undefined ? "" : `for update of ${changing} skip locked`}
  ), deleted as (
    delete from ${table} t
    using doomed
    where ${columns.join(" and ")}
    returning 1
  )
  select to_json(count(*))::text from deleted`,
  );
}

/** Whether no other instance deletes from a table, until the end of the statement. */
function aloneOn(table: string): string {
  return `(
      select pg_try_advisory_xact_lock(
        hashtext('pipeline_run_registry.prune'), '${table}'::regclass::oid::integer
      )
    )`;
}

/** Deletes events of runs up to an old ending: those of an attempt since then stay. */
export const PRUNE_EVENTS = prune("prune events", {
  table: "pipeline_run_events",
  key: ["pipeline_run_id", "seq"],
  doomed: (cutoff, isAlone) => `
    select e.pipeline_run_id, e.seq
    from pipeline_run_events ending
    cross join lateral (
      select e.pipeline_run_id, e.seq
      from pipeline_run_events e
      where e.pipeline_run_id = ending.pipeline_run_id and e.seq <= ending.seq
      order by e.seq -- the ending, which finds them, last
    ) e
    where ending.kind in ('Completed', 'Errored')
      and ending.logged_at < ${cutoff}
      and ${isAlone}
    order by ending.logged_at`,
});

/** Deletes leases of runs that have no events any more. */
export const PRUNE_LEASES = prune("prune leases", {
  table: "pipeline_run_leases",
  key: ["pipeline_run_id"],
  doomed: (cutoff, isAlone) => `
    select l.pipeline_run_id
    from pipeline_run_leases l
    where l.ended_at < ${cutoff}
      and not exists (
        select
        from pipeline_run_events e
        where e.pipeline_run_id = l.pipeline_run_id
      )
      and ${isAlone}
    order by l.ended_at`,
  changing: "l",
});

/** Deletes payload fields of runs that have ended, or have no rows. */
export const PRUNE_FIELDS = prune("prune payload fields", {
  table: "pipeline_run_payload_fields",
  key: ["pipeline_run_id", "key"],
  doomed: (cutoff, isAlone) => `
    select f.pipeline_run_id, f.key
    from pipeline_run_payload_fields f
    where f.updated_at < ${cutoff}
      and coalesce(${hasEnded("f.pipeline_run_id", cutoff)}, true)
      and ${isAlone}
    order by f.updated_at`,
  changing: "f",
});

/** Deletes results: each was written when its run ended. */
export const PRUNE_RESULTS = prune("prune results", {
  table: "pipeline_run_results",
  key: ["pipeline_run_id", "row_id"],
  doomed: (cutoff, isAlone) => `
    select x.pipeline_run_id, x.row_id
    from pipeline_run_results x
    where x.created_at < ${cutoff} and ${isAlone}
    order by x.created_at`,
});

/**
 * Deletes rows of runs that have ended, but not the newest of a pipeline on a dataset:
 * the qualification of the pipeline depends on it.
 */
export const PRUNE_ROWS = prune("prune rows", {
  table: "pipeline_runs",
  key: ["id"],
  doomed: (cutoff, isAlone) => `
    select r.id
    from pipeline_runs r
    where r.created_at < ${cutoff}
      and ${hasEnded("r.pipeline_run_id", cutoff)}
      and (
        r.dataset_id is null or exists (
          select
          from pipeline_runs newer
          where newer.dataset_id = r.dataset_id
            and newer.pipeline_name = r.pipeline_name
            and (newer.created_at, newer.id) > (r.created_at, r.id)
        )
      )
      and ${isAlone}
    order by r.created_at`,
});

/** Whether the newest row of a run says that it had ended by then; null without a row. */
function hasEnded(runId: string, cutoff: string): string {
  return `(
        select newest.created_at < ${cutoff} and not ${isUnfinished("newest")}
        from pipeline_runs newest
        where newest.pipeline_run_id = ${runId}
        order by newest.created_at desc, newest.id desc
        limit 1
      )`;
}
