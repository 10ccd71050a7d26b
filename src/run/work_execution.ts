import type { PipelineWork, RunContext } from "./run_context.ts";

/**
 * The work of one run while it executes, and the signal that asks it to stop.
 */
export class WorkExecution {
  readonly #controller = new AbortController();
  #settled = false;
  #iterator: AsyncIterator<unknown> | undefined;

  /** Asks the work to stop. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /**
   * Executes the work and settles as it does. Of an async iterable every value
   * is published, until the work is stopped.
   */
  async execute(work: PipelineWork, context: RunContext): Promise<void> {
    try {
      const result = await work(context);
      if (isAsyncIterable(result)) await this.#publishAll(result, context);
    } finally {
      this.#settled = true;
      this.#iterator = undefined;
    }
  }

  /**
   * Fires the signal and ends the iteration, unless the work has settled.
   *
   * @param reason The signal's reason; `undefined` is an `AbortError`.
   */
  stop(reason: unknown): void {
    if (this.#settled || this.signal.aborted) return;
    this.#controller.abort(reason);
    this.#endIteration();
  }

  /** The run has ended: how the iterator takes it is of no account. */
  async #endIteration(): Promise<void> {
    try {
      await this.#iterator?.return?.();
    } catch {
      // As above.
    }
  }

  async #publishAll(
    iterable: AsyncIterable<unknown>,
    context: RunContext,
  ): Promise<void> {
    const iterator = iterate(iterable);
    this.#iterator = iterator;
    if (this.signal.aborted) return await this.#endIteration();
    while (!this.signal.aborted) {
      const result: unknown = await iterator.next();
      // As `for await` does: an iterator like this would go on for ever.
      if (Object(result) !== result) {
        throw new TypeError(
          `Iterator result ${String(result)} is not an object`,
        );
      }
      const { done, value } = result as IteratorResult<unknown>;
      if (done) return;
      context.publish(value);
    }
  }
}

/** The iterator of a stream that waits cannot be ended; its reader can. */
function iterate(iterable: AsyncIterable<unknown>): AsyncIterator<unknown> {
  if (!(iterable instanceof ReadableStream)) {
    return iterable[Symbol.asyncIterator]();
  }
  const reader: ReadableStreamDefaultReader = iterable.getReader();
  return {
    next: () => reader.read() as Promise<IteratorResult<unknown>>,
    return: async () => {
      await reader.cancel();
      return { done: true, value: undefined };
    },
  };
}

function isAsyncIterable(
  value: unknown,
): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null &&
    Symbol.asyncIterator in value;
}
