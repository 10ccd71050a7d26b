import type { PipelineRunRepository, PipelineRunRow } from "../repository.ts";

/** How many rows a run has that is not registered again and again, at most. */
const ROWS_OF_RUN = 3;
/** No repository lists more rows at once. */
const MAX_ROWS = 10_000;

/**
 * The newest row of each of the runs that changed last.
 *
 * @param repository Where the rows are.
 * @param datasetId Only runs of this dataset; `undefined` for all.
 * @param limit How many runs at most.
 * @returns The rows, newest first.
 */
export async function recentRuns(
  repository: PipelineRunRepository,
  datasetId: string | undefined,
  limit: number,
): Promise<PipelineRunRow[]> {
  for (
    let asked = limit * ROWS_OF_RUN;;
    asked = Math.min(asked * 4, MAX_ROWS)
  ) {
    const rows = await repository.listRecent(datasetId, asked);
    const newest = new Map<string, PipelineRunRow>();
    for (const row of rows) {
      if (!newest.has(row.pipelineRunId)) newest.set(row.pipelineRunId, row);
    }
    const isAll = rows.length < asked || asked === MAX_ROWS;
    if (isAll || newest.size >= limit) {
      return [...newest.values()].slice(
        0,
        limit,
      );
    }
  }
}
