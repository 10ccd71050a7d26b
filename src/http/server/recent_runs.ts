import type { PipelineRunRow } from "../../model/row.ts";
import type { PipelineRunRepository } from "../../repository/repository.ts";

/** The most rows of a run, unless it is registered repeatedly. */
const ROWS_OF_RUN = 3;

/** Options of {@linkcode recentRuns}. */
export interface RecentRunsOptions {
  /** List only runs of this dataset; `undefined` for all runs. */
  datasetId: string | undefined;
  /** How many runs to list at most. */
  limit: number;
  /** How many of the newest rows to search at most. */
  maxRows: number;
  /** Whether to list a run. */
  isShown: (row: PipelineRunRow) => Promise<boolean>;
}

/**
 * Finds the most recently changed runs among the newest rows.
 *
 * @returns The newest row of each run, newest first.
 */
export async function recentRuns(
  repository: PipelineRunRepository,
  options: RecentRunsOptions,
): Promise<PipelineRunRow[]> {
  const { datasetId, limit, maxRows, isShown } = options;
  const seen = new Set<string>();
  const shown: PipelineRunRow[] = [];
  for (let asked = limit * ROWS_OF_RUN;; asked *= 4) {
    const most = Math.min(asked, maxRows);
    const rows = await repository.listRecent(datasetId, most);
    const fresh = rows.filter(({ pipelineRunId: id }) =>
      !seen.has(id) && seen.add(id)
    );
    const decisions = await Promise.all(fresh.map(isShown));
    shown.push(...fresh.filter((_, index) => decisions[index]));
    const isAll = rows.length < most || most === maxRows;
    if (isAll || shown.length >= limit) return shown.slice(0, limit);
  }
}
