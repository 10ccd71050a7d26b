import type { PostgresPipelineRunRepository } from "../postgres/mod.ts";
import type { Output } from "./output.ts";

/** Takes the migrations that the tables lack, and prints them. */
export async function migrateTables(
  repository: PostgresPipelineRunRepository,
  output: Output,
): Promise<void> {
  const pending = await repository.pendingMigrations();
  // Also if none is pending: it checks the columns.
  await repository.migrate();
  for (const { version, name } of pending) {
    if (output.isJson) await output.json({ version, name });
    else await output.line(`Took migration ${version}: ${name}`);
  }
  if (pending.length === 0 && !output.isJson) {
    await output.line("Nothing to do: the tables have all migrations");
  }
}
