import type { PipelineRunRegistry, RunHandle } from "../../mod.ts";
import { auditTable } from "./audit_table.ts";
import { indexFiles, type IndexProgress } from "./index_files.ts";
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

interface PathRun {
  readonly path: string;
  readonly run: RunHandle;
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

  const runs = await Promise.all(paths.map(async (path): Promise<PathRun> => {
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

/** Shows the progress of each run in a line of its own until all have ended. */
async function showProgress(
  registry: PipelineRunRegistry,
  runs: readonly PathRun[],
  lines: LiveLines,
): Promise<void> {
  await Promise.all(runs.map(async ({ path, run: { runId } }, index) => {
    const line = new ProgressLine(path);
    const events = registry.subscribe<IndexProgress>(runId, { lag: "skip" });
    for await (const event of events) {
      line.update(event);
      if (line.isFinal || event.kind === "Yield") {
        lines.set(index, line.toString(lines.width), line.isFinal);
      }
    }
  }));
  lines.close();
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
