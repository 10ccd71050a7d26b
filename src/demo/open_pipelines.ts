import { PipelineRunRegistry, type RegistryWarning } from "../../mod.ts";
import { errorMessage } from "../model/error_message.ts";
import { PostgresPipelineRunRepository } from "../postgres/mod.ts";
import type { Database } from "./database.ts";
import { TermCounts } from "./term_counts.ts";

/** What the demo runs its pipelines with, to be disposed of. */
export interface Pipelines extends AsyncDisposable {
  /** The audit trail. */
  readonly repository: PostgresPipelineRunRepository;
  /** The runs. */
  readonly registry: PipelineRunRegistry;
  /** What they index. */
  readonly store: TermCounts;
}

/**
 * Makes the tables, ends what a former process left, and opens a registry.
 *
 * @param database Where everything is stored.
 * @param warn Told of what goes wrong without stopping a run, for people.
 * @returns What to run pipelines with.
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
    // Without a log, what a page that was reloaded has missed must be held.
    channelCapacity: 1_024,
    yieldThrottle: 100,
    endingTimeout: 2_000,
    onWarning,
  };
  // What seems an orphan in a shared database may be another process's live run.
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
