import type { Ring, Waiter } from "./ring.ts";

/** {@linkcode Cursor.take} returns this while no chunk is available. */
export const WAIT: unique symbol = Symbol("wait");
/** {@linkcode Cursor.take} returns this when no chunk will follow. */
export const OVER: unique symbol = Symbol("over");

/** How a {@linkcode Cursor} reads. */
export interface CursorOptions<T> {
  /** The position of the first chunk to read. */
  position: number;
  /** What follows a lag: the end or the oldest chunk held. */
  lag: "close" | "skip";
  /** The same for a lag that is reported before the first chunk. */
  initialLag: "close" | "skip";
  /** Makes the chunk that reports a lag, or throws the error that does. */
  lagged: (missed: number, position: number) => T;
}

/**
 * One reader's position in a {@linkcode Ring}. It waits for one owner at a time
 * and leaves the ring when it is released or has read to the end.
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

  constructor(ring: Ring<T>, options: CursorOptions<T>) {
    this.#ring = ring;
    this.#position = options.position;
    this.#options = options;
  }

  /** Whether nothing is left to take, now or later. */
  get over(): boolean {
    return this.#position >= this.#ring.end &&
      (this.#ring.closed || this.#released);
  }

  /** Whether the next chunk is available, with no lag before it. */
  get ready(): boolean {
    return this.#position < this.#ring.end &&
      this.#position >= this.#ring.oldest;
  }

  /** The next chunk, which must be {@linkcode Cursor.ready}. */
  read(): T {
    return this.#ring.at(this.#position++);
  }

  /** The next chunk, the report of a lag, {@linkcode WAIT} or {@linkcode OVER}. */
  take(): T | typeof WAIT | typeof OVER {
    if (this.ready) return this.read();
    if (this.#released) return OVER;
    if (this.#position < this.#ring.oldest) return this.#lag();
    if (!this.#ring.closed) return WAIT;
    this.release();
    return OVER;
  }

  /** Wakes `owner` once, after a chunk, the end or a release. */
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

  /** Stops waiting without waking the owner. */
  stopWaiting(): void {
    this.#ring.unpark(this);
    this.#owner = undefined;
  }

  /** Leaves the ring and wakes the waiting owner. */
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
    const { position, lag, initialLag, lagged } = this.#options;
    const missed = oldest - this.#position;
    const then = this.#position === position ? initialLag : lag;
    this.#position = oldest;
    if (then === "close") this.release();
    return lagged(missed, oldest);
  }
}
