import { BroadcastBranch } from "./broadcast_branch.ts";
import { Ring } from "./ring.ts";

/** Options of {@linkcode BroadcastController}. */
export interface BroadcastControllerOptions {
  /** How many chunks are held for branches that are behind: a positive integer. */
  capacity: number;
}

/** Options of {@linkcode BroadcastController.tee}. */
export interface BroadcastTeeOptions<T> {
  /**
   * The position of the first chunk to read. The first chunk ever enqueued has
   * position 0. Of what lies before it nothing is read; what is no longer held
   * counts as missed.
   *
   * @default {the oldest chunk held}
   */
  position?: number;
  /**
   * What follows a lag: `"close"` ends the branch, `"skip"` goes on with the
   * oldest chunk held.
   *
   * @default {"close"}
   */
  lag?: "close" | "skip";
  /**
   * Makes the chunk that tells of a lag, from the number of chunks missed and
   * the position of the oldest one held.
   *
   * @default {none: the branch errors with a `RangeError`}
   */
  lagged?: (missed: number, position: number) => T;
  /** Errors the branch with its reason when it fires. */
  signal?: AbortSignal;
  /**
   * Called once when the branch needs no more chunks, for whatever reason. It
   * must not throw.
   */
  onRelease?: () => void;
}

/**
 * Broadcasts chunks to any number of `ReadableStream` branches over one bounded
 * buffer.
 *
 * The controller keeps the last `capacity` chunks and each branch keeps a
 * position among them. Enqueuing costs the same however many branches there
 * are, never waits for one, and takes no memory per branch.
 *
 * **Lag.** A branch that is more than `capacity` chunks behind has missed some.
 * Its next read tells how many, exactly and once, and then the branch closes or
 * goes on with the oldest chunk held. For every branch, chunks read and chunks
 * missed add up to the chunks enqueued since its position.
 *
 * **Closing.** After `close()` a branch first gives what is held and then
 * closes. Cancelling a branch touches neither the broadcast nor its other
 * branches.
 *
 * @typeParam T The type of the chunks.
 *
 * @example Usage
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { BroadcastController } from "@pipeline/run-registry";
 *
 * const broadcast = new BroadcastController<string>({ capacity: 64 });
 * const first = broadcast.tee();
 * const second = broadcast.tee();
 * broadcast.enqueue("a");
 * broadcast.enqueue("b");
 * broadcast.close();
 *
 * assertEquals(await Array.fromAsync(first), ["a", "b"]);
 * assertEquals(await Array.fromAsync(second), ["a", "b"]);
 * ```
 */
export class BroadcastController<T> {
  readonly #ring: Ring<T>;

  /**
   * Makes a broadcast without branches.
   *
   * @param options The capacity, in chunks.
   * @throws {RangeError} If the capacity is not a positive integer.
   */
  constructor(options: BroadcastControllerOptions) {
    const { capacity } = options;
    if (!Number.isSafeInteger(capacity) || capacity < 1) {
      throw new RangeError(
        `Cannot create broadcast: capacity must be a positive integer, received ${capacity}`,
      );
    }
    this.#ring = new Ring(capacity);
  }

  /** How many chunks were enqueued so far. */
  get enqueued(): number {
    return this.#ring.end;
  }

  /**
   * Gives a chunk to every branch.
   *
   * @param chunk The chunk.
   * @throws {TypeError} If the broadcast is closed.
   */
  enqueue(chunk: T): void {
    if (this.#ring.closed) {
      throw new TypeError("Cannot enqueue chunk: the broadcast is closed");
    }
    this.#ring.push(chunk);
  }

  /**
   * Closes every branch behind its last chunk.
   *
   * @throws {TypeError} If the broadcast is closed already.
   */
  close(): void {
    if (this.#ring.closed) {
      throw new TypeError("Cannot close broadcast: it is closed");
    }
    this.#ring.close();
  }

  /**
   * Makes a branch. Unlike the two streams of `ReadableStream.tee()`, branches
   * share one bounded buffer, so that a slow one neither grows nor slows the
   * others.
   *
   * @param options Where to begin and what to do about lag.
   * @returns A stream that iterates, pipes, tees and cancels like any other.
   * @throws {RangeError} If the position is not an integer.
   * @throws {TypeError} If `lag` is unknown, or is `"skip"` where `lagged` is
   * missing, since the loss would then go untold.
   */
  tee(options: BroadcastTeeOptions<T> = {}): ReadableStream<T> {
    const {
      position = this.#ring.oldest,
      lag = "close",
      lagged,
      signal,
      onRelease,
    } = options;
    if (!Number.isSafeInteger(position)) {
      throw new RangeError(
        `Cannot tee broadcast: position must be an integer, received ${position}`,
      );
    }
    if (lag !== "close" && lag !== "skip") {
      throw new TypeError(
        `Cannot tee broadcast: lag must be "close" or "skip", received ${lag}`,
      );
    }
    if (lag === "skip" && lagged === undefined) {
      throw new TypeError(
        `Cannot tee broadcast: lag "skip" needs lagged, which tells of the loss`,
      );
    }
    return new BroadcastBranch(this.#ring, {
      position,
      lag,
      lagged: lagged ?? throwLag,
      signal,
      onRelease,
    });
  }
}

function throwLag(missed: number): never {
  throw new RangeError(`Branch lagged: ${missed} chunks were missed`);
}
