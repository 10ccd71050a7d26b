import {
  type PipelineProgress,
  type PipelineRunInfo,
  PipelineWatcher,
  type TaskProgress,
} from "./watcher.ts";

/** What a {@linkcode ScopedRunWatcher} reports into. */
export interface WatchedRun {
  /** Notes that the run is about to begin, unless it has begun. */
  initiate(): void;
  /** Ends the run with an error, unless it has ended. */
  fail(message: string): void;
  /** Sets a payload field of the run. */
  setPayload(key: string, value: unknown): Promise<void>;
}

/**
 * Reports into one run of a registry what code that knows only watchers has to
 * tell. Whatever run id the code gives, it is this run that is meant.
 *
 * The registry itself writes the run's rows and publishes its events, once
 * each. So of the hooks these have an effect:
 *
 * - `onPipelineRunInitiated` writes an INITIATED row while the run is `Pending`;
 * - `onPipelineRunErrored` ends the run with that error;
 * - `onPayloadField` sets a payload field.
 *
 * A run completes when its work does, so `onPipelineRunCompleted` has none.
 */
export class ScopedRunWatcher extends PipelineWatcher {
  /** The run that this watcher reports into. */
  readonly runId: string;
  readonly #run: WatchedRun;

  /**
   * Made by a registry: see `PipelineRunRegistry.watcherFor()`.
   *
   * @param runId The run's UUID.
   * @param run The run.
   */
  constructor(runId: string, run: WatchedRun) {
    super();
    this.runId = runId;
    this.#run = run;
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

  /** Writes an INITIATED row while the run is `Pending`. */
  override onPipelineRunInitiated(_run: PipelineRunInfo): Promise<void> {
    this.#run.initiate();
    return Promise.resolve();
  }

  /** Ends the run with the error. */
  override onPipelineRunErrored(
    _run: PipelineRunInfo,
    error: string,
  ): Promise<void> {
    this.#run.fail(error);
    return Promise.resolve();
  }

  /**
   * Sets a payload field of the run.
   *
   * @throws {TypeError} If the value is not JSON.
   * @throws {RangeError} If it is too large or too deep.
   */
  override async onPayloadField(
    _runId: string,
    key: string,
    value: unknown,
  ): Promise<void> {
    await this.#run.setPayload(key, value);
  }
}
