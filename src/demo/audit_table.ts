import type { PipelineRunRepository } from "../../mod.ts";
import { cut, cutPath, printable } from "./terminal.ts";

const PATH_WIDTH_BEFORE_ERROR = 12;
const STATUS_PREFIX = "DATASET_PROCESSING_";

/** Options of {@linkcode auditTable}. */
export interface AuditTableOptions {
  /** The maximum number of rows. */
  readonly limit: number;
  /** The maximum length of a line, in characters. */
  readonly width: number;
}

/**
 * Reads the newest rows of the audit trail, and formats them as a table with the
 * path that each run indexed.
 *
 * @returns The lines: a heading, then the rows from oldest to newest.
 * @throws {RepositoryError} If it cannot be read.
 */
export async function auditTable(
  repository: PipelineRunRepository,
  options: AuditTableOptions,
): Promise<string[]> {
  const { limit, width } = options;
  const rows = (await repository.listRecent(undefined, limit)).reverse();
  const runIds = [...new Set(rows.map(({ pipelineRunId }) => pipelineRunId))];
  const payloads = new Map(
    await Promise.all(
      runIds.map(async (runId) =>
        [runId, await repository.getPayload(runId)] as const
      ),
    ),
  );
  const lines = rows.map((row) => {
    const start = [
      row.createdAt.toISOString().slice(0, 19).replace("T", " "),
      row.pipelineRunId.slice(0, 8),
      row.status.replace(STATUS_PREFIX, "").padEnd(9),
    ].join("  ");
    const payload = payloads.get(row.pipelineRunId);
    const path = printable(String(payload?.path ?? row.pipelineName));
    const error = printable(row.runInfo?.error ?? "");
    const detail = error === ""
      ? cutPath(path, width - start.length - 2)
      : error.includes(path)
      ? error
      : `${cutPath(path, PATH_WIDTH_BEFORE_ERROR)}  ${error}`;
    return cut(`${start}  ${detail}`, width);
  });
  return ["TIME (UTC)           RUN       STATUS     PATH AND ERROR", ...lines];
}
