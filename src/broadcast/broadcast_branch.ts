import { BranchReads } from "./branch_reads.ts";
import { BranchSource, type BranchSourceOptions } from "./branch_source.ts";
import type { Ring } from "./ring.ts";

/** Nothing is read ahead: unread chunks stay in the ring. */
const NO_BUFFER: QueuingStrategy = { highWaterMark: 0 };

/** A default reader that takes its chunks from the ring. */
class BranchReader<T> extends ReadableStreamDefaultReader<T> {
  readonly #reads: BranchReads<T>;
  #released = false;

  constructor(stream: ReadableStream<T>, source: BranchSource<T>) {
    super(stream);
    this.#reads = new BranchReads(source, () => super.read());
  }

  override read(): Promise<ReadableStreamReadResult<T>> {
    return this.#released ? super.read() : this.#reads.read();
  }

  override releaseLock(): void {
    if (this.#released) return;
    this.#released = true;
    this.#reads.release();
    super.releaseLock();
  }
}

/**
 * Iterates a branch under the stream's lock. Unlike the platform's iterator it may
 * be left while it waits: `return()` ends each `next()` that has no chunk yet.
 */
class BranchIterator<T> implements AsyncIterableIterator<T, undefined> {
  readonly #lock: ReadableStreamDefaultReader<T>;
  readonly #reads: BranchReads<T>;
  readonly #preventCancel: boolean;
  #done = false;
  #cancelled: Promise<void> | undefined;
  declare [Symbol.asyncIterator]: () => this;

  constructor(
    stream: ReadableStream<T>,
    source: BranchSource<T>,
    preventCancel: boolean,
  ) {
    this.#lock = new ReadableStreamDefaultReader(stream);
    this.#reads = new BranchReads(source, () => this.#lock.read(), () => {
      this.#done = true;
      queueMicrotask(() => this.#release());
    });
    this.#preventCancel = preventCancel;
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#done) return this.#end();
    return this.#reads.read() as Promise<IteratorResult<T, undefined>>;
  }

  return(value?: unknown): Promise<IteratorResult<T, undefined>> {
    this.#reads.wake();
    if (this.#done) return this.#end(value);
    this.#done = true;
    this.#reads.settle();
    this.#cancelled = this.#preventCancel
      ? Promise.resolve()
      : this.#lock.cancel(value);
    this.#release();
    return this.#cancelled.then(() => ended(value));
  }

  /** Answers a call after the end, later than the `return()` that cancels. */
  async #end(value?: unknown): Promise<IteratorReturnResult<undefined>> {
    await this.#cancelled?.catch(() => {});
    return ended(value);
  }

  #release(): void {
    this.#reads.release();
    this.#lock.releaseLock();
  }
}

// %AsyncIteratorPrototype% has its [Symbol.asyncIterator] and [Symbol.asyncDispose].
Object.setPrototypeOf(
  BranchIterator.prototype,
  Object.getPrototypeOf(
    Object.getPrototypeOf(async function* () {}.prototype),
  ),
);

function ended(value: unknown): IteratorReturnResult<undefined> {
  return { done: true, value: value as undefined };
}

/** Whether the platform takes it as options; for anything else it throws. */
function isDictionary(value: unknown): boolean {
  return value === undefined || value === null || Object(value) === value;
}

/**
 * One subscriber's stream of a broadcast. Until it is read it holds only a
 * position in the ring.
 */
export class BroadcastBranch<T> extends ReadableStream<T> {
  readonly #source: BranchSource<T>;

  constructor(ring: Ring<T>, options: BranchSourceOptions<T>) {
    const source = new BranchSource(ring, options);
    super(source, NO_BUFFER);
    this.#source = source;
  }

  /** A reader of this branch; `mode: "byob"` throws a `TypeError`, as on any stream of objects. */
  override getReader(options: { mode: "byob" }): ReadableStreamBYOBReader;
  override getReader(): ReadableStreamDefaultReader<T>;
  override getReader(
    options?: ReadableStreamGetReaderOptions,
  ): ReadableStreamReader<T>;
  override getReader(
    options?: ReadableStreamGetReaderOptions,
  ): ReadableStreamReader<T> {
    if (!isDictionary(options) || options?.mode !== undefined) {
      return super.getReader(options);
    }
    return new BranchReader(this, this.#source);
  }

  override values(
    options?: ReadableStreamIteratorOptions,
  ): AsyncIterableIterator<T> {
    if (!isDictionary(options)) return super.values(options);
    return new BranchIterator(
      this,
      this.#source,
      options?.preventCancel ?? false,
    );
  }

  override [Symbol.asyncIterator](
    options?: ReadableStreamIteratorOptions,
  ): AsyncIterableIterator<T> {
    return this.values(options);
  }
}
