import type { PipelineRunRow } from "../../model/row.ts";
import type { PipelineRunRegistry } from "../../registry/registry.ts";
import type { RunResult } from "../../repository/repository.ts";
import type { RunStatus } from "../../repository/run_log.ts";

/** How many of a run's rows are read. */
const MAX_ROWS_OF_RUN = 50;

/** All that is known of a run. */
export interface KnownRun {
  readonly status: RunStatus;
  /** Its newest rows, newest first. */
  readonly rows: PipelineRunRow[];
  /** The payload fields that it has set. */
  readonly payload: Record<string, unknown>;
  readonly result: RunResult | undefined;
}

/** Reads all that is known of a run; `undefined` for an unknown one. */
export async function readRun(
  registry: PipelineRunRegistry,
  runId: string,
): Promise<KnownRun | undefined> {
  const [status, rows, payload, result] = await Promise.all([
    registry.status(runId),
    registry.repository.listByRun(runId, MAX_ROWS_OF_RUN),
    registry.getPayload(runId),
    registry.getResult(runId),
  ]);
  return status && { status, rows, payload, result };
}
