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
import type { RunSource } from "./run_source.ts";

/** As many rows of a run as a server shows. */
const MAX_ROWS_OF_RUN = 50;
/** The most rows of a run, unless it is registered repeatedly. */
const ROWS_OF_RUN = 3;
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
    for (let asked = limit * ROWS_OF_RUN;; asked *= 4) {
      const most = Math.min(asked, MAX_ROWS);
      const rows = await this.#repository.listRecent(datasetId, most);
      const runs = Map.groupBy(rows, ({ pipelineRunId }) => pipelineRunId);
      const isAll = rows.length < most || most === MAX_ROWS;
      if (!isAll && runs.size < limit) continue;
      return [...runs.values()].map(([newest]) => newest).slice(0, limit);
    }
  }

  async get(runId: string): Promise<ClientRun | undefined> {
    const [status, rows, payload, result] = await Promise.all([
      this.#registry.status(runId),
      this.#repository.listByRun(runId, MAX_ROWS_OF_RUN),
      this.#registry.getPayload(runId),
      this.#registry.getResult(runId),
    ]);
    if (status === undefined) return undefined;
    const { phase, lastSeq } = status;
    const run = { runId: status.runId, phase, lastSeq, rows, payload };
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
