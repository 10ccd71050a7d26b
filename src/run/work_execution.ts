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
   * Executes the work and settles as it does. Of an iterable every value is published,
   * until the work is stopped.
   *
   * @returns The result.
   */
  async execute(work: PipelineWork, context: RunContext): Promise<unknown> {
    try {
      const output: unknown = await work(context);
      if (typeof output === "function") {
        throw new TypeError(
          "Cannot run work: it must return a result or an iterable, received a function",
        );
      }
      const iterator = iteratorOf(output);
      if (iterator === undefined) return output;
      return await this.#publishAll(iterator, context);
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
    iterator: AsyncIterator<unknown>,
    context: RunContext,
  ): Promise<unknown> {
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
      if (done) return value;
      context.publish(value);
    }
  }
}

/** The iterator of what work returned, if that is to be published. */
function iteratorOf(output: unknown): AsyncIterator<unknown> | undefined {
  if (typeof output !== "object" || output === null) return undefined;
  if (output instanceof ReadableStream) return iterateStream(output);
  if (Symbol.asyncIterator in output) {
    return (output as AsyncIterable<unknown>)[Symbol.asyncIterator]();
  }
  if (!(Symbol.iterator in output) || Array.isArray(output)) return undefined;
  return iterateSync(output as Iterable<unknown>);
}

/** The iterator of a stream that waits cannot be ended; its reader can. */
function iterateStream(stream: ReadableStream): AsyncIterator<unknown> {
  const reader: ReadableStreamDefaultReader = stream.getReader();
  return {
    next: () => reader.read() as Promise<IteratorResult<unknown>>,
    return: async () => {
      await reader.cancel();
      return { done: true, value: undefined };
    },
  };
}

async function* iterateSync(iterable: Iterable<unknown>) {
  return yield* iterable;
}
