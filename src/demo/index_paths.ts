import { auditTable } from "./audit_table.ts";
import { indexFiles } from "./index_files.ts";
import { LiveLines } from "./live_lines.ts";
import type { Database } from "./open_database.ts";
import { openPipelines } from "./open_pipelines.ts";
import { ProgressLine } from "./progress_line.ts";
import type { TopTerm } from "./term_counts.ts";
import { printable, type Terminal } from "./terminal.ts";

const TOP_TERMS = 10;
const AUDIT_ROWS = 20;

/** Options of {@linkcode indexPaths}. */
export interface IndexPathsOptions {
  /** The files and folders to index, with one run for each. */
  readonly paths: readonly string[];
  /** Where progress and results are printed. */
  readonly terminal: Terminal;
  /** Aborts the runs when it fires. */
  readonly signal: AbortSignal;
}

/**
 * Indexes paths, and prints the progress of the runs, the errors of those that
 * failed, the audit trail, and the most frequent terms.
 *
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

  const runs = await Promise.all(
    paths.map((path) =>
      registry.registerBackground(
        { pipelineName: "index_files", signal },
        (run) => indexFiles(path, store, run),
      )
    ),
  );
  // Each run has a line of its own.
  await Promise.all(runs.map(async (run, index) => {
    const line = new ProgressLine(paths[index]);
    for await (const event of run.subscribe({ lag: "skip" })) {
      line.update(event);
      if (line.isFinal || event.kind === "Yield") {
        lines.set(index, line.toString(lines.width), line.isFinal);
      }
    }
  }));
  lines.close();

  const completed: string[] = [];
  for (const { outcome } of runs) {
    const { runId, phase } = await outcome;
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

function termTable(terms: readonly TopTerm[]): string[] {
  const lines = terms.map(({ term, count, files }) =>
    [
      term.padEnd(32),
      count.toLocaleString("en-US").padStart(12),
      files.toLocaleString("en-US").padStart(8),
    ].join("  ")
  );
  const header = ["TERM".padEnd(32), "COUNT".padStart(12), "FILES".padStart(8)];
  return [header.join("  "), ...lines];
}
