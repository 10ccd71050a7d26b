import type { Output } from "./output.ts";
import type { RunDatabase } from "./run_database.ts";

/** Sweeps a database, and prints what that did. */
export async function sweepDatabase(
  database: RunDatabase,
  output: Output,
): Promise<void> {
  const { reaped, pruned } = await database.sweep();
  if (output.isJson) return await output.json({ reaped, pruned });
  await output.line(`Runs of dead instances ended: ${reaped}`);
  await output.line(`Rows deleted: ${pruned}`);
}
