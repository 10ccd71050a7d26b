import type { Output } from "./output.ts";
import type { RunSource } from "./run_source.ts";

/**
 * Aborts a run, and prints whether it had ended before.
 *
 * @throws {Error} If the run is unknown.
 */
export async function abortRun(
  source: RunSource,
  runId: string,
  reason: string | undefined,
  output: Output,
): Promise<void> {
  const abort = await source.abort(runId, reason);
  if (output.isJson) {
    await output.json({ pipeline_run_id: runId, abort });
  } else if (abort === "ended") {
    await output.line(`Run ${runId} had ended before`);
  } else {
    await output.line(`Run ${runId} is being aborted`);
  }
}
