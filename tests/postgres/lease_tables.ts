import type postgres from "postgres";
import type { LoggedEvent } from "./logged_attempts.ts";

/** What the tables have of some runs at one moment. */
export interface TableContents {
  /** The claims that hold a lease. */
  readonly live: ReadonlySet<string>;
  /** How many leases know a lower number than that of their last event. */
  readonly behind: number;
  /** The events of all runs in the order of their numbers. */
  readonly events: readonly (LoggedEvent & { readonly runId: string })[];
}

/** What the tables have of some runs, past everything that goes wrong. */
export class LeaseTables {
  readonly #sql: postgres.Sql;
  readonly #ids: string[];

  constructor(sql: postgres.Sql, ids: readonly string[]) {
    this.#sql = sql;
    this.#ids = [...ids];
  }

  /**
   * Lets the lease of a run expire, with a notice of two seconds that is just over, and
   * tells its claim.
   */
  async expire(runId: string): Promise<string | undefined> {
    const [row] = await this.#sql`
      update pipeline_run_leases
      set expires_at = now() - interval '2 hours',
        notice_at = now() - interval '2.1 s'
      where pipeline_run_id = ${runId} and ended_at is null
      returning claim`;
    return row?.claim;
  }

  /** Reads what the tables have at one moment. */
  async read(): Promise<TableContents> {
    const [{ contents }] = await this.#sql`
      with l as (
        select * from pipeline_run_leases where pipeline_run_id = any (${this.#ids})
      ), e as (
        select * from pipeline_run_events where pipeline_run_id = any (${this.#ids})
      )
      select json_build_object(
        'live', (select json_agg(claim) from l where ended_at is null),
        'behind', (
          select count(*) from l where last_seq < (
            select max(seq) from e where e.pipeline_run_id = l.pipeline_run_id
          )
        ),
        'events', (
          select json_agg(
            json_build_object(
              'runId', pipeline_run_id,
              'seq', seq,
              'kind', kind,
              'text', concat_ws(': ', kind, message)
            ) order by seq
          ) from e
        )
      ) as contents`;
    const { behind, events, live } = contents;
    return { behind, events: events ?? [], live: new Set(live ?? []) };
  }

  /** The statuses of a run's rows without their prefix, oldest first. */
  async statuses(runId: string): Promise<string[]> {
    const rows = await this.#sql`
      select status from pipeline_runs
      where pipeline_run_id = ${runId} order by created_at`;
    return rows.map(({ status }) => status.replace("DATASET_PROCESSING_", ""));
  }
}
