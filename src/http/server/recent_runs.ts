import type { PipelineRunRow } from "../../model/row.ts";
import type { PipelineRunRepository } from "../../repository/repository.ts";

/** How many rows a run has that is not registered again and again, at most. */
const ROWS_OF_RUN = 3;
/** How many rows are looked through. */
const MAX_ROWS = 1_000;

/** Which runs to list. */
export interface RecentRunsOptions {
  /** Only runs of this dataset; `undefined` for all. */
  datasetId: string | undefined;
  /** How many at most. */
  limit: number;
  /** Whether a run may be listed. */
  isShown: (row: PipelineRunRow) => Promise<boolean>;
}

/**
 * The newest row of each of the runs that changed last, as far as they are among
 * the newest 1,000 rows.
 *
 * @param repository Where the rows are.
 * @param options Which runs to list.
 * @returns The rows, newest first.
 */
export async function recentRuns(
  repository: PipelineRunRepository,
  options: RecentRunsOptions,
): Promise<PipelineRunRow[]> {
  const { datasetId, limit, isShown } = options;
  const seen = new Set<string>();
  const shown: PipelineRunRow[] = [];
  for (let asked = limit * ROWS_OF_RUN;; asked *= 4) {
    const most = Math.min(asked, MAX_ROWS);
    const rows = await repository.listRecent(datasetId, most);
    const fresh = rows.filter(({ pipelineRunId }) => {
      const isFresh = !seen.has(pipelineRunId);
      seen.add(pipelineRunId);
      return isFresh;
    });
    const decisions = await Promise.all(fresh.map(isShown));
    shown.push(...fresh.filter((_, index) => decisions[index]));
    const isAll = rows.length < most || most === MAX_ROWS;
    if (isAll || shown.length >= limit) return shown.slice(0, limit);
  }
}
