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
   * @param payload What to publish. It must be JSON: null, booleans, finite numbers,
   * strings, and arrays and plain objects of these; see the registry's `payloads`.
   * @throws {TypeError} If it is not JSON.
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

/** A value that a run can have as its result; whether it is JSON shows at run time. */
export type WorkResult =
  | undefined
  | void
  | null
  | boolean
  | number
  | string
  | readonly unknown[]
  | object & {
    [Symbol.iterator]?: never;
    [Symbol.asyncIterator]?: never;
    /** Functions have it: a generator function that was not called is no result. */
    bind?: never;
  };

/**
 * What work may return: values to publish, or a result.
 *
 * @typeParam P The type of the values to publish.
 */
export type WorkOutput<P = unknown> =
  | WorkResult
  | Iterable<P, unknown, undefined>
  | AsyncIterable<P, unknown, undefined>
  | PromiseLike<
    | WorkResult
    | Iterable<P, unknown, undefined>
    | AsyncIterable<P, unknown, undefined>
  >;

/**
 * The work of a run: a function, mostly an async one or a generator.
 *
 * If it returns an iterable or an async iterable, as generators do, every value is
 * published as a Yield event, and what a generator returns at its end is the run's
 * result. Anything else that it returns or resolves to is the result itself, also an
 * array or a string. A result must be JSON to be stored. If the work throws, rejects
 * or returns a function, the run is `Errored`.
 *
 * JavaScript cannot be preempted: while work neither returns nor awaits anything but
 * settled promises, no timer fires and nothing else runs, so neither do timeouts and
 * aborts from other instances.
 *
 * @typeParam P The type of what the work publishes.
 * @typeParam O What the work returns.
 */
export type PipelineWork<
  P = unknown,
  O extends WorkOutput<P> = WorkOutput<P>,
> = (run: RunContext<P>) => O;

/** What a work's output publishes; `never` if it publishes nothing. */
export type YieldedBy<O> = O extends PromiseLike<infer Awaited>
  ? YieldedBy<Awaited>
  : O extends string | readonly unknown[] ? never
  : O extends AsyncIterable<infer Y> ? Y
  : O extends Iterable<infer Y> ? Awaited<Y>
  : never;

/**
 * The type of what a run publishes. A generator that does not say what it publishes
 * through its context is taken to publish what it yields.
 *
 * @typeParam P What the work publishes through its context.
 * @typeParam O What the work returns.
 */
export type PublishedBy<P, O> = unknown extends P
  ? [YieldedBy<O>] extends [never] ? unknown : YieldedBy<O>
  : P | YieldedBy<O>;

/**
 * The type of a run's result.
 *
 * @typeParam O What the work returns.
 */
export type ResultOf<O> = O extends PromiseLike<infer Awaited>
  ? ResultOf<Awaited>
  : O extends string | readonly unknown[] ? O
  : O extends
    | AsyncIterable<unknown, infer R, undefined>
    | Iterable<unknown, infer R, undefined> ? unknown extends R ? unknown : R
  : O extends void ? undefined
  : O;
