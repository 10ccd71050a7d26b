import {
  type PipelineProgress,
  type PipelineRunInfo,
  PipelineWatcher,
  type TaskProgress,
} from "./watcher.ts";

/** The run that a {@linkcode ScopedRunWatcher} reports into. */
export interface WatchedRun {
  /** Records that the run is about to start, unless it has started. */
  initiate(): void;
  /** Ends the run with an error, unless it has ended. */
  fail(message: string): void;
  /** Sets a payload field of the run. */
  setPayload(key: string, value: unknown): Promise<void>;
}

/**
 * Lets code that only knows watchers report into one run of a registry. The run
 * ids it passes are ignored: all reports concern this run.
 *
 * The registry itself writes the run's rows and publishes its events, once
 * each, so only these hooks have an effect:
 *
 * - `onPipelineRunInitiated` writes an INITIATED row while the run is `Pending`;
 * - `onPipelineRunErrored` ends the run with that error;
 * - `onPayloadField` sets a payload field.
 *
 * `onPipelineRunCompleted` has none: a run completes when its work does.
 */
export class ScopedRunWatcher extends PipelineWatcher {
  /** The run that this watcher reports into. */
  readonly runId: string;
  readonly #run: WatchedRun;

  /** Made by `PipelineRunRegistry.watcherFor()`. */
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
