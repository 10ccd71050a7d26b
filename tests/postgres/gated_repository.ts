import { PostgresPipelineRunRepository } from "../../src/postgres/mod.ts";
import type { Database } from "./open_database.ts";
import { statementName } from "./statement_name.ts";

/** A repository that writes no runs until a gate is open. */
export function gatedRepository(
  { sql }: Database,
  gate: Promise<void>,
): PostgresPipelineRunRepository {
  return new PostgresPipelineRunRepository({
    unsafe: async (query: string, ...rest) => {
      if (statementName(query)?.startsWith("write")) await gate;
      return await sql.unsafe(query, ...rest);
    },
  }, { statementTimeout: 60_000 });
}
