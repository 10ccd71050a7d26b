import type { BranchSource } from "./branch_source.ts";
import { type Cursor, OVER, WAIT } from "./cursor.ts";

type Result<T> = ReadableStreamReadResult<T>;

/**
 * The reads under one lock of a branch. They take chunks directly from the ring;
 * only the first chunk may be in the stream, where a previous reader left it.
 */
export class BranchReads<T> {
  readonly #source: BranchSource<T>;
  readonly #cursor: Cursor<T>;
  readonly #onOver: (() => void) | undefined;
  readonly #waiting: PromiseWithResolvers<Result<T>>[] = [];
  /** Reads the chunk left in the stream, if there is one. */
  #readStream: (() => Promise<Result<T>>) | undefined;
  /** Whether nothing comes before the next read: it may take from the ring. */
  #direct: boolean;

  /**
   * @param source The branch's source, whose stream was locked just now.
   * @param readStream Reads from that stream.
   * @param onOver Set by iterators. Called when a read finds the end or an error;
   * the reads behind it then resolve as done.
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

  /** The next chunk. Reads are answered in the order they were made. */
  read(): Promise<Result<T>> {
    if (this.#direct && this.#cursor.ready) {
      return Promise.resolve(this.#next());
    }
    return this.#readSlowly();
  }

  /** Resolves the pending reads as done. */
  settle(): void {
    for (const { resolve } of this.#waiting.splice(0)) {
      resolve({ done: true, value: undefined });
    }
  }

  /** Rejects the pending reads, as the lock is released. */
  release(): void {
    this.#cursor.stopWaiting();
    for (const { reject } of this.#waiting.splice(0)) {
      reject(new TypeError("Cannot read: the reader was released"));
    }
  }

  /**
   * Answers the pending reads with what is there; called by the cursor too.
   * Taking a chunk may run the caller's callbacks, which may release the lock.
   */
  wake(): void {
    while (this.#waiting.length > 0) {
      try {
        const result = this.#cursor.ready ? this.#next() : this.#take();
        if (result === undefined) return this.#cursor.wait(this);
        this.#shift()?.resolve(result);
      } catch (error) {
        this.#shift()?.reject(error);
        // An iterator throws once and is then done.
        if (this.#onOver !== undefined) this.settle();
      }
    }
    this.#direct = true;
  }

  /** The oldest pending read, mostly the only one: pop() is faster then. */
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

  /** The result available now; `undefined` if there is none yet. */
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
