import type { Ring, Waiter } from "./ring.ts";

/** What {@linkcode Cursor.take} answers when no chunk is there yet. */
export const WAIT: unique symbol = Symbol("wait");
/** What {@linkcode Cursor.take} answers when none will come. */
export const OVER: unique symbol = Symbol("over");

/** How a {@linkcode Cursor} reads. */
export interface CursorOptions<T> {
  /** What follows a lag: the end, or the oldest chunk held. */
  lag: "close" | "skip";
  /** Makes the chunk that tells of a lag, or throws the error that does. */
  lagged: (missed: number, position: number) => T;
}

/**
 * One reader's position in a {@linkcode Ring}.
 *
 * It waits on behalf of one owner at a time, and leaves the ring when it is
 * released or has read to the end.
 */
export class Cursor<T> implements Waiter {
  parkedAt = -1;
  /** Called once, when the cursor leaves the ring. */
  onRelease: (() => void) | undefined;
  readonly #ring: Ring<T>;
  readonly #options: CursorOptions<T>;
  #position: number;
  #released = false;
  #owner: { wake(): void } | undefined;

  constructor(ring: Ring<T>, position: number, options: CursorOptions<T>) {
    this.#ring = ring;
    this.#position = position;
    this.#options = options;
  }

  /** Whether there is nothing left to take, now or later. */
  get over(): boolean {
    return this.#position >= this.#ring.end &&
      (this.#ring.closed || this.#released);
  }

  /** Whether the next chunk is there and no lag comes before it. */
  get ready(): boolean {
    return this.#position < this.#ring.end &&
      this.#position >= this.#ring.oldest;
  }

  /** The next chunk, which must be {@linkcode Cursor.ready}. */
  read(): T {
    return this.#ring.at(this.#position++);
  }

  /** The next chunk, or the one that tells of a lag, or {@linkcode WAIT} or {@linkcode OVER}. */
  take(): T | typeof WAIT | typeof OVER {
    if (this.ready) return this.read();
    if (this.#released) return OVER;
    if (this.#position < this.#ring.oldest) return this.#lag();
    if (!this.#ring.closed) return WAIT;
    this.release();
    return OVER;
  }

  /** Wakes `owner` once, when there may be something to take or all is over. */
  wait(owner: { wake(): void }): void {
    this.#owner = owner;
    if (this.parkedAt < 0) this.#ring.park(this);
  }

  /** Called by the ring. */
  wake(): void {
    const owner = this.#owner;
    this.#owner = undefined;
    owner?.wake();
  }

  /** Forgets the wait; its owner is not woken. */
  stopWaiting(): void {
    this.#ring.unpark(this);
    this.#owner = undefined;
  }

  /** Leaves the ring for good and wakes the owner that waits. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#position = Infinity;
    this.#ring.unpark(this);
    try {
      this.onRelease?.();
    } finally {
      this.wake();
    }
  }

  #lag(): T {
    const { oldest } = this.#ring;
    const missed = oldest - this.#position;
    this.#position = oldest;
    if (this.#options.lag === "close") this.release();
    return this.#options.lagged(missed, oldest);
  }
}
