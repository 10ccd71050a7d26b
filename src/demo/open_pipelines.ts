import { PipelineRunRegistry, type RegistryWarning } from "../../mod.ts";
import { PostgresPipelineRunRepository } from "../postgres/mod.ts";
import type { Database } from "./open_database.ts";
import { TermCounts } from "./term_counts.ts";
import { errorMessage } from "./terminal.ts";

/** A registry with its repository and the table of counts. */
export interface Pipelines extends AsyncDisposable {
  /** Where the audit trail is stored. */
  readonly repository: PostgresPipelineRunRepository;
  /** The registry of the runs. */
  readonly registry: PipelineRunRegistry;
  /** Where the counts are stored. */
  readonly store: TermCounts;
}

/**
 * Creates the tables and opens a registry. If the database is exclusive, it ends
 * the runs that a killed process left.
 *
 * @param database Where everything is stored.
 * @param warn Called with problems that do not stop a run, as text for people.
 * @throws {Error} If the database fails.
 */
export async function openPipelines(
  database: Database,
  warn: (message: string) => void,
): Promise<Pipelines> {
  const onWarning = ({ message, cause }: RegistryWarning) => {
    const why = cause === undefined ? "" : `: ${errorMessage(cause)}`;
    warn(`Warning: ${message}${why}`);
  };
  await using stack = new AsyncDisposableStack();
  const repository = stack.use(
    new PostgresPipelineRunRepository(database.sql, {
      shared: !database.exclusive,
      onWarning,
    }),
  );
  await repository.migrate();
  const store = new TermCounts(database.sql);
  await store.migrate();
  const settings = {
    repository,
    // Without a log, this buffer is all that a reloaded page can catch up from.
    channelCapacity: 1_024,
    yieldThrottle: 100,
    endingTimeout: 2_000,
    onWarning,
  };
  // In a shared database an apparent orphan may be another process's live run.
  const registry = stack.use(
    database.exclusive
      ? await PipelineRunRegistry.withOrphanReset(settings)
      : new PipelineRunRegistry(settings),
  );
  const resources = stack.move();
  return {
    repository,
    registry,
    store,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}
