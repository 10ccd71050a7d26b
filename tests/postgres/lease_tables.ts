import type postgres from "postgres";
import type { LoggedEvent } from "./logged_attempts.ts";

/** What the tables have of some runs, past everything that goes wrong. */
export class LeaseTables {
  readonly #sql: postgres.Sql;
  readonly #ids: string[];

  constructor(sql: postgres.Sql, ids: readonly string[]) {
    this.#sql = sql;
    this.#ids = [...ids];
  }

  /** Lets the lease of a run expire, with a notice that is over, and tells its claim. */
  async expire(runId: string): Promise<string | undefined> {
    const [row] = await this.#sql`
      update pipeline_run_leases
      set expires_at = now() - interval '2 hours',
        notice_at = now() - interval '1 hour'
      where pipeline_run_id = ${runId} and ended_at is null
      returning claim`;
    return row?.claim;
  }

  /** The claims that hold a lease. */
  async liveClaims(): Promise<Set<string>> {
    const rows = await this.#sql`
      select claim from pipeline_run_leases
      where pipeline_run_id = any (${this.#ids}) and ended_at is null`;
    return new Set(rows.map(({ claim }) => claim));
  }

  /** The events of a run in the order of their numbers. */
  async events(runId: string): Promise<LoggedEvent[]> {
    const rows = await this.#sql`
      select seq::integer, kind, message from pipeline_run_events
      where pipeline_run_id = ${runId} order by seq`;
    return rows.map(({ seq, kind, message }) => ({
      seq,
      kind,
      text: message === null ? kind : `${kind}: ${message}`,
    }));
  }

  /** The statuses of a run's rows without their prefix, oldest first. */
  async statuses(runId: string): Promise<string[]> {
    const rows = await this.#sql`
      select status from pipeline_runs
      where pipeline_run_id = ${runId} order by created_at`;
    return rows.map(({ status }) => status.replace("DATASET_PROCESSING_", ""));
  }
}
