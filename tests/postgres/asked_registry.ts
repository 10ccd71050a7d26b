import { PipelineRunRegistry } from "../../mod.ts";
import {
  type PostgresClient,
  PostgresPipelineRunRepository,
  type PostgresPipelineRunRepositoryOptions,
} from "../../src/postgres/mod.ts";
import { RunTables } from "./run_tables.ts";
import { statementName } from "./statement_name.ts";

/** A registry on tables of its own, and what its client was asked. */
export interface AskedRegistry extends AsyncDisposable {
  readonly tables: RunTables;
  readonly repository: PostgresPipelineRunRepository;
  readonly registry: PipelineRunRegistry;
  /** The names of the statements, and "listen". */
  readonly asked: string[];
}

/** Opens a registry on tables of its own. */
export async function openAskedRegistry(
  options: PostgresPipelineRunRepositoryOptions = {},
): Promise<AskedRegistry> {
  const stack = new AsyncDisposableStack();
  const tables = stack.use(await RunTables.open());
  const asked: string[] = [];
  const client: PostgresClient = {
    unsafe(query, ...rest) {
      asked.push(statementName(query)!);
      return tables.sql.unsafe(query, ...rest);
    },
    listen(...listening) {
      asked.push("listen");
      return tables.sql.listen(...listening);
    },
  };
  const repository = stack.use(
    new PostgresPipelineRunRepository(client, {
      onWarning: () => {},
      ...options,
    }),
  );
  const registry = stack.use(
    new PipelineRunRegistry({ repository, onWarning: () => {} }),
  );
  return {
    tables,
    repository,
    registry,
    asked,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
