import type { ScopedRunWatcher } from "../cognee/scoped_run_watcher.ts";

/**
 * What a run's work gets. Its members work when destructured.
 *
 * @typeParam P The type of what the work publishes.
 */
export interface RunContext<P = unknown> {
  /** The run's UUID in canonical spelling. */
  readonly runId: string;
  /**
   * Fires when the run ends before its work does: on abort with the caller's
   * reason, on timeout with a `TimeoutError`, on shutdown with a
   * `RegistryShutdownError`.
   */
  readonly signal: AbortSignal;
  /**
   * Publishes a Yield event. After the run's end it does nothing.
   *
   * @param payload What to publish. Where the repository has a log, it must be JSON.
   * @throws {TypeError} If there is a log and the payload is not JSON.
   * @throws {RangeError} If there is a log and the payload is larger than
   * `maxPayloadBytes`, or is nested more than 500 deep.
   */
  publish(payload: P): void;
  /**
   * Sets a payload field; the last write wins. After the run's end it does nothing.
   * If the repository fails, `onWarning` is called and the run goes on.
   *
   * @param key The field's name: up to 512 characters.
   * @param value Its value, which must be JSON.
   * @throws {TypeError} If the name is not a string or the value is not JSON.
   * @throws {RangeError} If the name is too long, or the value is larger than
   * `maxPayloadBytes`, or is nested more than 500 deep.
   */
  setPayload(key: string, value: unknown): Promise<void>;
  /** Reports into the run, for code that knows only watchers. */
  readonly watcher: ScopedRunWatcher;
}

/**
 * The work of a run: a function, plain or async, or an async generator (or any
 * function that returns an async iterable) whose every value is published as a
 * Yield event. Any other return value is not used. If it throws or rejects, the run
 * is `Errored`.
 *
 * JavaScript cannot be preempted: while work neither returns nor awaits anything but
 * settled promises, no timer fires and nothing else runs, so neither do timeouts and
 * aborts from other instances.
 *
 * @typeParam P The type of what the work publishes.
 */
export type PipelineWork<P = unknown> = (
  run: RunContext<P>,
) => unknown | Promise<unknown> | AsyncIterable<P>;
