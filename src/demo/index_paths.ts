import { auditTable } from "./audit_table.ts";
import type { Database } from "./database.ts";
import { indexFiles } from "./index_pipeline.ts";
import { LiveLines } from "./live_lines.ts";
import { openPipelines } from "./open_pipelines.ts";
import { showProgress } from "./progress.ts";
import { termTable } from "./term_table.ts";
import { printable, type Terminal } from "./terminal.ts";

const TOP_TERMS = 10;
const AUDIT_ROWS = 20;

/** Options of {@linkcode indexPaths}. */
export interface IndexPathsOptions {
  /** What to index: one run for each. */
  readonly paths: readonly string[];
  /** What standard output is. */
  readonly terminal: Terminal;
  /** Aborts the runs when it fires. */
  readonly signal: AbortSignal;
}

/**
 * Indexes paths and tells about it: how far the runs are, why some of them
 * failed, the audit trail, and the terms found most often.
 *
 * @param database Where everything is stored.
 * @param options What to index.
 * @returns Whether all runs completed.
 * @throws {Error} If the database fails.
 */
export async function indexPaths(
  database: Database,
  options: IndexPathsOptions,
): Promise<boolean> {
  const { paths, terminal, signal } = options;
  const lines = new LiveLines(terminal, paths.length);
  await using pipelines = await openPipelines(
    database,
    (message) => lines.warn(message),
  );
  const { repository, registry, store } = pipelines;

  const runs = await Promise.all(paths.map(async (path) => {
    const run = await registry.registerBackground(
      { pipelineName: "index_files", signal },
      indexFiles(path, store),
    );
    return { path, run };
  }));
  await showProgress(registry, runs, lines);

  const completed: string[] = [];
  for (const { run } of runs) {
    const { runId, phase } = await run.outcome;
    if (phase.name === "Errored") {
      console.error(
        `Run ${runId.slice(0, 8)} failed: ${printable(phase.message)}`,
      );
    } else completed.push(runId);
  }
  const audit = await auditTable(repository, {
    limit: Math.max(AUDIT_ROWS, 2 * runs.length),
    width: lines.width,
  });
  console.log(`\nAudit trail\n${audit.join("\n")}`);
  if (completed.length > 0) {
    const terms = termTable(await store.top(completed, TOP_TERMS));
    console.log(`\nTop terms\n${terms.join("\n")}`);
  }
  return completed.length === runs.length;
}
