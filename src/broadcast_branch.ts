import { Cursor, type CursorOptions, OVER, WAIT } from "./cursor.ts";
import type { Ring } from "./ring.ts";

/** Nothing is pulled ahead: what nobody has asked for stays in the ring. */
const NO_BUFFER: QueuingStrategy = { highWaterMark: 0 };

/** How a {@linkcode BroadcastBranch} reads. */
export interface BroadcastBranchOptions<T> extends CursorOptions<T> {
  /** The position of the first chunk to read. */
  position: number;
  /** Errors the stream with its reason when it fires. */
  signal?: AbortSignal;
  /** Called once, when the stream will read no more. */
  onRelease?: () => void;
}

/**
 * Moves chunks from a cursor to the stream, one for each pull. Only what the
 * platform reads by itself comes this way: `pipeTo()`, `pipeThrough()`,
 * `tee()`, a `Response` body.
 */
class BranchSource<T> implements UnderlyingDefaultSource<T> {
  readonly cursor: Cursor<T>;
  /** Why the stream errored, if it did. */
  failure: { error: unknown } | undefined;
  #controller!: ReadableStreamDefaultController<T>;
  #closed = false;
  #resolvePull: (() => void) | undefined;

  readonly #signal: AbortSignal | undefined;

  constructor(ring: Ring<T>, options: BroadcastBranchOptions<T>) {
    this.cursor = new Cursor(ring, options.position, options);
    this.cursor.onRelease = options.onRelease;
    this.#signal = options.signal;
  }

  /** Whether a chunk was pulled for a reader that did not stay to get it. */
  get holdsChunk(): boolean {
    return this.#controller.desiredSize! < 0;
  }

  start(controller: ReadableStreamDefaultController<T>): void {
    this.#controller = controller;
    const signal = this.#signal;
    if (signal === undefined) return;
    if (signal.aborted) return this.fail(signal.reason);
    const onAbort = () => this.fail(signal.reason);
    const { onRelease } = this.cursor;
    this.cursor.onRelease = () => {
      signal.removeEventListener("abort", onAbort);
      onRelease?.();
    };
    signal.addEventListener("abort", onAbort);
  }

  pull(): Promise<void> | undefined {
    if (this.#deliver()) return;
    this.cursor.wait(this);
    return new Promise((resolve) => this.#resolvePull = resolve);
  }

  cancel(): void {
    this.#closed = true;
    this.settlePull();
    this.cursor.release();
  }

  /** Called by the cursor while a pull waits. */
  wake(): void {
    if (this.#deliver()) this.settlePull();
    else this.cursor.wait(this);
  }

  /** Lets go of a pull that waits: its reader may be gone. */
  settlePull(): void {
    if (this.#resolvePull === undefined) return;
    this.cursor.stopWaiting();
    this.#resolvePull();
    this.#resolvePull = undefined;
  }

  /** Closes the stream, once. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#controller.close();
    this.cursor.release();
  }

  /** Errors the stream; who waits learns of it at once. */
  fail(error: unknown): void {
    this.failure = { error };
    this.#controller.error(error);
    this.cancel();
  }

  #deliver(): boolean {
    try {
      const chunk = this.cursor.take();
      if (chunk === WAIT) return false;
      if (chunk !== OVER) this.#controller.enqueue(chunk);
      if (this.cursor.over) this.close();
    } catch (error) {
      this.fail(error);
    }
    return true;
  }
}

/**
 * A reader that takes from the ring with no stream in between. Only its first
 * chunk may be in the stream, where a former reader left it.
 */
class BranchReader<T> extends ReadableStreamDefaultReader<T> {
  readonly #source: BranchSource<T>;
  readonly #onOver: (() => void) | undefined;
  readonly #waiting: PromiseWithResolvers<ReadableStreamReadResult<T>>[] = [];
  #streamHoldsChunk: boolean;
  #released = false;

  constructor(
    stream: ReadableStream<T>,
    source: BranchSource<T>,
    onOver?: () => void,
  ) {
    super(stream);
    source.settlePull();
    this.#source = source;
    this.#onOver = onOver;
    this.#streamHoldsChunk = source.holdsChunk;
  }

  override read(): Promise<ReadableStreamReadResult<T>> {
    const { cursor } = this.#source;
    if (
      cursor.ready && this.#waiting.length === 0 && !this.#streamHoldsChunk &&
      !this.#released
    ) {
      const value = cursor.read();
      if (cursor.over) this.#source.close();
      return Promise.resolve({ done: false, value });
    }
    return this.#readSlowly();
  }

  override releaseLock(): void {
    if (this.#released) return;
    this.#released = true;
    this.#source.cursor.stopWaiting();
    for (const { reject } of this.#waiting.splice(0)) {
      reject(new TypeError("Cannot read: the reader was released"));
    }
    super.releaseLock();
  }

  /**
   * Called by the cursor while reads wait. Taking may call the caller back, who
   * may release this reader.
   */
  wake(): void {
    while (this.#waiting.length > 0) {
      try {
        const result = this.#take();
        if (result === undefined) return this.#source.cursor.wait(this);
        this.#waiting.shift()?.resolve(result);
      } catch (error) {
        this.#waiting.shift()?.reject(error);
        // An iterator throws once, and is done.
        if (this.#onOver !== undefined) this.settleWaiting();
      }
    }
  }

  /** Settles the reads that wait as done. */
  settleWaiting(): void {
    for (const { resolve } of this.#waiting.splice(0)) {
      resolve({ done: true, value: undefined });
    }
  }

  #readSlowly(): Promise<ReadableStreamReadResult<T>> {
    if (this.#released) return super.read();
    if (this.#streamHoldsChunk) {
      this.#streamHoldsChunk = false;
      if (this.#source.failure === undefined) return super.read();
    }
    if (this.#waiting.length === 0) {
      try {
        const result = this.#take();
        if (result !== undefined) return Promise.resolve(result);
      } catch (error) {
        return Promise.reject(error);
      }
      this.#source.cursor.wait(this);
    }
    const waiting = Promise.withResolvers<ReadableStreamReadResult<T>>();
    this.#waiting.push(waiting);
    return waiting.promise;
  }

  /** What there is to read now; `undefined` is nothing yet. */
  #take(): ReadableStreamReadResult<T> | undefined {
    const source = this.#source;
    if (source.failure === undefined) {
      try {
        const chunk = source.cursor.take();
        if (chunk === WAIT) return undefined;
        if (source.cursor.over) source.close();
        if (chunk !== OVER) return { done: false, value: chunk };
      } catch (error) {
        source.fail(error);
      }
    }
    this.#onOver?.();
    if (source.failure !== undefined) throw source.failure.error;
    return { done: true, value: undefined };
  }
}

/** Iterates a branch under the stream's lock. */
class BranchIterator<T> implements AsyncIterableIterator<T, undefined> {
  readonly #reader: BranchReader<T>;
  readonly #preventCancel: boolean;
  #done = false;

  constructor(
    stream: ReadableStream<T>,
    source: BranchSource<T>,
    preventCancel: boolean,
  ) {
    this.#reader = new BranchReader(stream, source, () => {
      this.#done = true;
      queueMicrotask(() => this.#reader.releaseLock());
    });
    this.#preventCancel = preventCancel;
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#done) return Promise.resolve({ done: true, value: undefined });
    return this.#reader.read() as Promise<IteratorResult<T, undefined>>;
  }

  return(value?: unknown): Promise<IteratorResult<T, undefined>> {
    const result = { done: true, value: value as undefined } as const;
    if (this.#done) return Promise.resolve(result);
    this.#done = true;
    this.#reader.settleWaiting();
    const cancelled = this.#preventCancel
      ? Promise.resolve()
      : this.#reader.cancel(value);
    this.#reader.releaseLock();
    return cancelled.then(() => result);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}

/**
 * One reader's stream of a broadcast. Until it is read it holds a position in
 * the ring and nothing else.
 */
export class BroadcastBranch<T> extends ReadableStream<T> {
  readonly #source: BranchSource<T>;

  constructor(ring: Ring<T>, options: BroadcastBranchOptions<T>) {
    const source = new BranchSource(ring, options);
    super(source, NO_BUFFER);
    this.#source = source;
  }

  /** A reader of this branch; `mode: "byob"` is a TypeError, as on any stream of objects. */
  override getReader(options: { mode: "byob" }): ReadableStreamBYOBReader;
  override getReader(): ReadableStreamDefaultReader<T>;
  override getReader(
    options?: ReadableStreamGetReaderOptions,
  ): ReadableStreamReader<T>;
  override getReader(
    options?: ReadableStreamGetReaderOptions,
  ): ReadableStreamReader<T> {
    if (options?.mode !== undefined) return super.getReader(options);
    return new BranchReader(this, this.#source);
  }

  override values(
    options?: ReadableStreamIteratorOptions,
  ): AsyncIterableIterator<T> {
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
