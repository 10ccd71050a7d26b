import type { PipelineRunStatus } from "../model/row.ts";
import type { PipelineRunRepository } from "../repository/repository.ts";
import {
  type RunInfo,
  runInfoForErrored,
  runInfoForInitiated,
  runInfoForRunning,
} from "../model/run_info.ts";
import {
  type PipelineProgress,
  type PipelineRunInfo,
  PipelineWatcher,
  type TaskProgress,
} from "./watcher.ts";
import { contain, logWarning, type RegistryWarning } from "../model/warning.ts";

/** Options of {@linkcode DbPipelineWatcher}. */
export interface DbPipelineWatcherOptions {
  /**
   * Called when a write fails; the pipeline goes on. Errors it throws are
   * ignored.
   *
   * @default {console.warn}
   */
  onWarning?: (warning: RegistryWarning) => void;
}

/**
 * Writes the payload fields and the audit trail of pipelines that run without
 * a registry: INITIATED, STARTED, then COMPLETED or ERRORED.
 *
 * @example Usage
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import {
 *   DbPipelineWatcher,
 *   MemoryPipelineRunRepository,
 *   type PipelineRunInfo,
 * } from "@pipeline/run-registry";
 *
 * const repository = new MemoryPipelineRunRepository();
 * const watcher = new DbPipelineWatcher(repository);
 * const run: PipelineRunInfo = {
 *   runId: crypto.randomUUID(),
 *   pipelineId: crypto.randomUUID(),
 *   pipelineName: "ingest",
 *   dataIds: [],
 *   status: "DATASET_PROCESSING_INITIATED",
 *   startedAt: new Date(),
 * };
 * await watcher.onPipelineRunInitiated(run);
 *
 * const row = await repository.getPipelineRun(run.runId);
 * assertEquals(row?.status, "DATASET_PROCESSING_INITIATED");
 * ```
 */
export class DbPipelineWatcher extends PipelineWatcher {
  readonly #repository: PipelineRunRepository;
  readonly #warn: (warning: RegistryWarning) => void;

  /** Makes a watcher that writes to a repository. */
  constructor(
    repository: PipelineRunRepository,
    options: DbPipelineWatcherOptions = {},
  ) {
    super();
    this.#repository = repository;
    this.#warn = contain(options.onWarning ?? logWarning);
  }

  /** Does nothing. */
  async onPipeline(
    _pipelineId: string,
    _progress: PipelineProgress,
  ): Promise<void> {}

  /** Does nothing. */
  async onTask(
    _pipelineId: string,
    _task: { index: number; name?: string; total: number },
    _progress: TaskProgress,
  ): Promise<void> {}

  /** Writes an INITIATED row. */
  override async onPipelineRunInitiated(run: PipelineRunInfo): Promise<void> {
    await this.#log(run, "DATASET_PROCESSING_INITIATED", runInfoForInitiated());
  }

  /** Writes a STARTED row. */
  override async onPipelineRunStarted(run: PipelineRunInfo): Promise<void> {
    await this.#log(
      run,
      "DATASET_PROCESSING_STARTED",
      runInfoForRunning(run.dataIds),
    );
  }

  /** Writes a COMPLETED row. */
  override async onPipelineRunCompleted(
    run: PipelineRunInfo,
    _outputCount: number,
  ): Promise<void> {
    await this.#log(
      run,
      "DATASET_PROCESSING_COMPLETED",
      runInfoForRunning(run.dataIds),
    );
  }

  /** Writes an ERRORED row. */
  override async onPipelineRunErrored(
    run: PipelineRunInfo,
    error: string,
  ): Promise<void> {
    await this.#log(
      run,
      "DATASET_PROCESSING_ERRORED",
      runInfoForErrored(run.dataIds, error),
    );
  }

  /** Sets a payload field. */
  override async onPayloadField(
    runId: string,
    key: string,
    value: unknown,
  ): Promise<void> {
    try {
      await this.#repository.setPayloadField(runId, key, value);
    } catch (cause) {
      const message = `Payload field ${key} of run ${runId} was not written`;
      this.#warn({ kind: "payload", runId, message, cause });
    }
  }

  async #log(
    run: PipelineRunInfo,
    status: PipelineRunStatus,
    runInfo: RunInfo,
  ): Promise<void> {
    const { runId, pipelineId, pipelineName, datasetId } = run;
    try {
      await this.#repository.logPipelineRun({
        status,
        pipelineRunId: runId,
        pipelineId,
        pipelineName,
        datasetId,
        runInfo,
      });
    } catch (cause) {
      const message = `Row ${status} of run ${runId} was not written`;
      this.#warn({ kind: "row", runId, message, cause });
    }
  }
}
