import type { ScopedRunWatcher } from "../cognee/scoped_run_watcher.ts";

/**
 * What a run's work is given. Its members can be taken out by destructuring.
 *
 * @typeParam P The type of what the work publishes.
 */
export interface RunContext<P = unknown> {
  /** The run's UUID in canonical spelling. */
  readonly runId: string;
  /**
   * Fires when the run ends before its work has: on abort with the caller's
   * reason, on time-out with a `TimeoutError`, on shutdown with a
   * `RegistryShutdownError`.
   */
  readonly signal: AbortSignal;
  /**
   * Publishes a Yield event. After the run's end it does nothing.
   *
   * @param payload What to publish, as it is.
   */
  publish(payload: P): void;
  /**
   * Sets a payload field; the last write wins. After the run's end it does
   * nothing. A repository that fails is told to `onWarning`, since it must not
   * stop the run.
   *
   * @param key The field's name: up to 512 characters.
   * @param value Its value.
   * @throws {TypeError} If the value is not JSON.
   * @throws {RangeError} If the name is too long, or the value is larger than `maxPayloadBytes`, or is nested
   * more than 500 deep.
   */
  setPayload(key: string, value: unknown): Promise<void>;
  /** Reports into the run what code that knows only watchers has to tell. */
  readonly watcher: ScopedRunWatcher;
}

/**
 * The work of a run: a function, plain or async, or an async generator (or any
 * function that returns an async iterable) whose every value is published as a
 * Yield event. What it returns otherwise is not used. If it throws or rejects,
 * the run errs.
 *
 * JavaScript cannot be interrupted: while work neither ends nor waits for
 * something but promises that are settled, no timer fires and nothing else runs,
 * time-outs and aborts from other instances among it.
 *
 * @typeParam P The type of what the work publishes.
 */
export type PipelineWork<P = unknown> = (
  run: RunContext<P>,
) => unknown | Promise<unknown> | AsyncIterable<P>;
