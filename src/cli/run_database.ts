import type { ClientRun } from "../http/client/mod.ts";
import {
  PipelineRunRegistry,
  type PipelineRunRow,
  type RegistryWarning,
  type RunEvent,
  type SweepReport,
} from "../../mod.ts";
import {
  connect,
  type ConnectOptions,
  migrations,
  type PostgresPipelineRunRepository,
} from "../postgres/mod.ts";
import { readRun } from "../http/server/read_run.ts";
import { recentRuns } from "../http/server/recent_runs.ts";
import type { RunSource } from "./run_source.ts";

/** How many of the newest rows to search. */
const MAX_ROWS = 10_000;

/** Options of {@linkcode connectDatabase}. */
export interface RunDatabaseOptions extends
  Pick<
    ConnectOptions,
    "auditRetention" | "logRetention" | "payloadRetention" | "schema"
  > {
  /** Called with problems while something is going on. */
  onWarning: (warning: RegistryWarning) => void;
}

/** Connects to a database and leaves its tables as they are. */
export async function connectDatabase(
  url: string,
  options: RunDatabaseOptions,
): Promise<PostgresPipelineRunRepository> {
  // The instances of this database may keep the log for longer than by default.
  const { logRetention = Infinity, ...rest } = options;
  return await connect(url, { ...rest, logRetention, max: 1, migrate: false });
}

/** The runs in a database. It runs none, and sweeps only if asked to. */
export class RunDatabase implements RunSource {
  readonly maxListed = 1_000;
  readonly #repository: PostgresPipelineRunRepository;
  readonly #registry: PipelineRunRegistry;

  private constructor(
    repository: PostgresPipelineRunRepository,
    onWarning: (warning: RegistryWarning) => void,
  ) {
    this.#repository = repository;
    this.#registry = new PipelineRunRegistry({
      repository,
      sweeps: false,
      onWarning,
    });
  }

  /**
   * Connects to a database.
   *
   * @throws {Error} If it cannot be reached, or lacks migrations.
   */
  static async open(
    url: string,
    options: RunDatabaseOptions,
  ): Promise<RunDatabase> {
    const repository = await connectDatabase(url, options);
    const database = new RunDatabase(repository, options.onWarning);
    try {
      const { length } = await repository.pendingMigrations();
      if (length === 0) return database;
      const problem = length === migrations.length
        ? "The database has no tables for runs"
        : `The tables lack ${length} of ${migrations.length} migrations`;
      throw new Error(`${problem}: the command migrate makes what is missing`);
    } catch (error) {
      await database[Symbol.asyncDispose]();
      throw error;
    }
  }

  async list(
    { datasetId, limit }: { datasetId?: string; limit: number },
  ): Promise<PipelineRunRow[]> {
    return await recentRuns(this.#repository, {
      datasetId,
      limit,
      maxRows: MAX_ROWS,
      isShown: () => Promise.resolve(true),
    });
  }

  async get(runId: string): Promise<ClientRun | undefined> {
    const known = await readRun(this.#registry, runId);
    if (known === undefined) return undefined;
    const { status: { phase, lastSeq }, rows, payload, result } = known;
    const run = { runId, phase, lastSeq, rows, payload };
    if (phase.name !== "Completed" || result === undefined) return run;
    return "error" in result
      ? { ...run, resultError: result.error }
      : { ...run, result: result.value };
  }

  follow(runId: string, options: { after?: number }): ReadableStream<RunEvent> {
    return this.#registry.subscribe(runId, { ...options, lag: "skip" });
  }

  async abort(
    runId: string,
    reason: string | undefined,
  ): Promise<"requested" | "ended"> {
    return await this.#registry.abort(runId, reason);
  }

  /** Ends the runs of dead instances, and deletes what is kept no longer. */
  async sweep(): Promise<SweepReport> {
    return await this.#registry.sweep();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#registry.shutdown();
    await this.#repository.close();
  }
}
