import type { PipelineRunRegistry, RunHandle } from "../../mod.ts";
import { isLast } from "../model/event.ts";
import type { IndexProgress } from "./index_pipeline.ts";
import type { LiveLines } from "./live_lines.ts";
import { ProgressLine } from "./progress_line.ts";

/** A run and the path that it indexes. */
export interface PathRun {
  /** The path. */
  readonly path: string;
  /** The run. */
  readonly run: RunHandle;
}

/**
 * Shows how far runs are, one line for each, until all have ended.
 *
 * @param registry The registry of the runs.
 * @param runs The runs, in the order of their lines.
 * @param lines The lines.
 */
export async function showProgress(
  registry: PipelineRunRegistry,
  runs: readonly PathRun[],
  lines: LiveLines,
): Promise<void> {
  await Promise.all(runs.map(async ({ path, run: { runId } }, index) => {
    const line = new ProgressLine(path);
    const events = registry.subscribe<IndexProgress>(runId, { lag: "skip" });
    for await (const event of events) {
      line.update(event);
      const isFinal = isLast(event);
      if (isFinal || event.kind === "Yield") {
        lines.set(index, line.toString(lines.width), isFinal);
      }
    }
  }));
  lines.close();
}
