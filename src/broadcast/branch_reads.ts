import type { BranchSource } from "./branch_source.ts";
import { type Cursor, OVER, WAIT } from "./cursor.ts";

type Result<T> = ReadableStreamReadResult<T>;

/**
 * The reads under one lock of a branch. They take from the ring, with no stream
 * in between. Only the first chunk may be in the stream, where a former reader
 * left it.
 */
export class BranchReads<T> {
  readonly #source: BranchSource<T>;
  readonly #cursor: Cursor<T>;
  readonly #onOver: (() => void) | undefined;
  readonly #waiting: PromiseWithResolvers<Result<T>>[] = [];
  /** Reads the chunk that is left in the stream. */
  #readStream: (() => Promise<Result<T>>) | undefined;
  /** Whether a read may take from the ring at once: none comes before it. */
  #direct: boolean;

  /**
   * @param source The branch's source, whose stream was locked just now.
   * @param readStream Reads from that stream.
   * @param onOver Makes it an iterator's reads: called when a read finds the end,
   * and those behind it are done, also where it rejects.
   */
  constructor(
    source: BranchSource<T>,
    readStream: () => Promise<Result<T>>,
    onOver?: () => void,
  ) {
    source.settlePull();
    this.#source = source;
    this.#cursor = source.cursor;
    this.#onOver = onOver;
    this.#readStream = source.holdsChunk ? readStream : undefined;
    this.#direct = this.#readStream === undefined;
  }

  /** The next chunk; what was asked for first comes first. */
  read(): Promise<Result<T>> {
    if (this.#direct && this.#cursor.ready) {
      return Promise.resolve(this.#next());
    }
    return this.#readSlowly();
  }

  /** Settles the reads that wait as done. */
  settle(): void {
    for (const { resolve } of this.#waiting.splice(0)) {
      resolve({ done: true, value: undefined });
    }
  }

  /** Rejects the reads that wait, as the lock is released. */
  release(): void {
    this.#cursor.stopWaiting();
    for (const { reject } of this.#waiting.splice(0)) {
      reject(new TypeError("Cannot read: the reader was released"));
    }
  }

  /**
   * Called by the cursor while reads wait. Taking may call the caller back, who
   * may release the lock.
   */
  wake(): void {
    while (this.#waiting.length > 0) {
      try {
        const result = this.#cursor.ready ? this.#next() : this.#take();
        if (result === undefined) return this.#cursor.wait(this);
        this.#shift()?.resolve(result);
      } catch (error) {
        this.#shift()?.reject(error);
        // An iterator throws once, and is done.
        if (this.#onOver !== undefined) this.settle();
      }
    }
    this.#direct = true;
  }

  /** The read that waits longest. Mostly it is the only one, and pop() is faster. */
  #shift(): PromiseWithResolvers<Result<T>> | undefined {
    return this.#waiting.length === 1
      ? this.#waiting.pop()
      : this.#waiting.shift();
  }

  #readSlowly(): Promise<Result<T>> {
    const readStream = this.#readStream;
    if (readStream !== undefined) {
      this.#readStream = undefined;
      this.#direct = true;
      if (this.#source.failure === undefined) return readStream();
    }
    if (this.#direct) {
      try {
        const result = this.#take();
        if (result !== undefined) return Promise.resolve(result);
      } catch (error) {
        return Promise.reject(error);
      }
      this.#direct = false;
      this.#cursor.wait(this);
    }
    const waiting = Promise.withResolvers<Result<T>>();
    this.#waiting.push(waiting);
    return waiting.promise;
  }

  /** The next chunk, which must be ready. */
  #next(): Result<T> {
    const value = this.#cursor.read();
    if (this.#cursor.over) this.#source.close();
    return { done: false, value };
  }

  /** What there is to read now; `undefined` is nothing yet. */
  #take(): Result<T> | undefined {
    const source = this.#source;
    if (source.failure === undefined) {
      try {
        const chunk = this.#cursor.take();
        if (chunk === WAIT) return undefined;
        if (this.#cursor.over) source.close();
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
