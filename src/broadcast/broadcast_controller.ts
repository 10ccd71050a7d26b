import { checkOneOf } from "../arguments/checks.ts";
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
   * The position of the first chunk to read; the first chunk ever enqueued has
   * position 0. Chunks from there on that are no longer held count as missed.
   *
   * @default {the oldest chunk held}
   */
  position?: number;
  /**
   * What follows a lag: `"close"` ends the branch, `"skip"` continues with the
   * oldest chunk held.
   *
   * @default {"close"}
   */
  lag?: "close" | "skip";
  /**
   * What follows a lag that is reported before the first chunk.
   *
   * @default {as `lag`}
   */
  initialLag?: "close" | "skip";
  /**
   * Makes the chunk that reports a lag, from the number of chunks missed and
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
 * position among them. Enqueuing costs the same for any number of branches,
 * never waits for one, and takes no memory per branch.
 *
 * **Lag.** A branch that is more than `capacity` chunks behind has missed some.
 * Its next read reports the exact number, once; then the branch closes or
 * continues with the oldest chunk held. For every branch, chunks read and chunks
 * missed add up to the chunks enqueued since its position.
 *
 * **Closing.** After `close()` a branch first delivers the chunks still held and
 * then closes. Cancelling a branch affects neither the broadcast nor its other
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

  /** How many chunks have been enqueued. */
  get enqueued(): number {
    return this.#ring.end;
  }

  /** The position of the oldest chunk held; `enqueued` if there is none. */
  get oldest(): number {
    return this.#ring.oldest;
  }

  /**
   * Delivers a chunk to every branch.
   *
   * @throws {TypeError} If the broadcast is closed.
   */
  enqueue(chunk: T): void {
    if (this.#ring.closed) {
      throw new TypeError("Cannot enqueue chunk: the broadcast is closed");
    }
    this.#ring.push(chunk);
  }

  /**
   * Closes the broadcast; every branch closes after its last chunk.
   *
   * @throws {TypeError} If the broadcast is already closed.
   */
  close(): void {
    if (this.#ring.closed) {
      throw new TypeError("Cannot close broadcast: it is closed");
    }
    this.#ring.close();
  }

  /**
   * Makes a branch. Unlike the two streams of `ReadableStream.tee()`, branches
   * share one bounded buffer: a slow branch takes no more memory and does not
   * slow the others.
   *
   * @param options Where to begin and how to handle lag.
   * @returns A stream that iterates, pipes, tees and cancels like any other.
   * @throws {RangeError} If the position is not an integer.
   * @throws {TypeError} If `lag` is unknown, or is `"skip"` without `lagged`,
   * which would hide the loss.
   */
  tee(options: BroadcastTeeOptions<T> = {}): ReadableStream<T> {
    const {
      position = this.#ring.oldest,
      lag = "close",
      initialLag = lag,
      lagged,
      signal,
      onRelease,
    } = options;
    if (!Number.isSafeInteger(position)) {
      throw new RangeError(
        `Cannot tee broadcast: position must be an integer, received ${position}`,
      );
    }
    checkOneOf("Cannot tee broadcast: lag", lag, ["close", "skip"]);
    checkOneOf("Cannot tee broadcast: initialLag", initialLag, [
      "close",
      "skip",
    ]);
    const isSkipping = lag === "skip" || initialLag === "skip";
    if (isSkipping && lagged === undefined) {
      throw new TypeError(
        `Cannot tee broadcast: lag "skip" needs lagged, which tells of the loss`,
      );
    }
    return new BroadcastBranch(this.#ring, {
      position,
      lag,
      initialLag,
      lagged: lagged ?? throwLag,
      signal,
      onRelease,
    });
  }
}

function throwLag(missed: number): never {
  throw new RangeError(`Branch lagged: ${missed} chunks were missed`);
}
