import type { PipelineRunRepository } from "../../mod.ts";
import { cut, cutPath, printable } from "./terminal.ts";

const PATH_WIDTH_BEFORE_ERROR = 12;
const STATUS_PREFIX = "DATASET_PROCESSING_";

/** Options of {@linkcode auditTable}. */
export interface AuditTableOptions {
  /** How many rows to show at most. */
  readonly limit: number;
  /** How many characters a line may have. */
  readonly width: number;
}

/**
 * Reads the end of the audit trail back, with the path that each run indexed,
 * and shows it as a table.
 *
 * @param repository Where the audit trail is.
 * @param options How much to show.
 * @returns The lines: a heading, and the rows in the order of their times.
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
