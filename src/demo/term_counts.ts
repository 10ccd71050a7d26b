import type postgres from "postgres";

/** How often a term occurs. */
export interface TopTerm {
  readonly term: string;
  /** How often it occurs. */
  readonly count: number;
  /** How many files it occurs in. */
  readonly files: number;
}

const BATCH_SIZE = 1_000;

/** The term counts of each file of each run, in the table `demo_term_counts`. */
export class TermCounts {
  readonly #sql: postgres.Sql;

  /** Makes a store; the owner of the client closes it. */
  constructor(sql: postgres.Sql) {
    this.#sql = sql;
  }

  /** Creates the table if it is missing. */
  async migrate(): Promise<void> {
    // The lock is needed because two concurrent "if not exists" can collide.
    await this.#sql`
      do $migration$
      begin
        perform pg_advisory_xact_lock(hashtext('demo_term_counts.migrate'));
        create table if not exists demo_term_counts (
          run_id uuid not null,
          file text not null,
          term text not null,
          count bigint not null
        );
        create index if not exists demo_term_counts_run_id_term_idx
          on demo_term_counts (run_id, term);
      end
      $migration$`;
  }

  /**
   * Adds the counts of a file, in batches.
   *
   * @param signal Stops between batches when it fires.
   */
  async add(
    runId: string,
    file: string,
    counts: ReadonlyMap<string, number>,
    signal: AbortSignal,
  ): Promise<void> {
    const rows = Array.from(counts, ([term, count]) => ({ term, count }));
    for (let start = 0; start < rows.length; start += BATCH_SIZE) {
      signal.throwIfAborted();
      const batch = JSON.stringify(rows.slice(start, start + BATCH_SIZE));
      await this.#sql`
        insert into demo_term_counts (run_id, file, term, count)
        select ${runId}::uuid, ${file}::text, t.term, t.count
        from json_to_recordset(${batch}::text::json)
          as t (term text, count bigint)`;
    }
  }

  /** Finds the most frequent terms of some runs, the most frequent first. */
  async top(runIds: readonly string[], limit: number): Promise<TopTerm[]> {
    const rows = await this.#sql<TopTerm[]>`
      select term, sum(count)::float8 as count, count(*)::float8 as files
      from demo_term_counts
      where run_id in (
        select value::uuid
        from json_array_elements_text(${JSON.stringify(runIds)}::text::json)
      )
      group by term
      order by sum(count) desc, term collate "C"
      limit ${limit}::integer`;
    return [...rows];
  }
}
