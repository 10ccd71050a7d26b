import type postgres from "postgres";

/** How often a term occurs. */
export interface TopTerm {
  /** The term. */
  readonly term: string;
  /** How often it occurs. */
  readonly count: number;
  /** In how many files it occurs. */
  readonly files: number;
}

const BATCH_SIZE = 1_000;

/** The counts of terms, for each file of each run, in the table `demo_term_counts`. */
export class TermCounts {
  readonly #sql: postgres.Sql;

  /**
   * Makes a store. Nothing is sent yet.
   *
   * @param sql The database, which stays its owner's.
   */
  constructor(sql: postgres.Sql) {
    this.#sql = sql;
  }

  /** Makes the table where it is missing. */
  async migrate(): Promise<void> {
    // Two "if not exists" at once can both find nothing: hence the lock.
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
   * @param runId The run that counted them.
   * @param file The file.
   * @param counts How often each term occurs in it.
   * @param signal Stops between two batches when it fires.
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

  /**
   * The terms that occur most often.
   *
   * @param runIds In what these runs indexed.
   * @param limit How many at most.
   * @returns The terms, the most frequent first.
   */
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
