import { unref } from "./unref.ts";

/** How much shorter than asked for a deadline may be. */
const COARSENESS = 0.02;

/** Deadlines that one timer serves. */
interface Group {
  readonly callbacks: Set<() => void>;
  readonly startedAt: number;
  readonly timer: ReturnType<typeof setTimeout>;
}

/**
 * Deadlines of one length, grouped under few timers: making and clearing a
 * timer takes 5 µs in Deno 2.9, which is more than a short run takes.
 *
 * A deadline is met up to 2% early.
 */
export class Deadlines {
  readonly #timeout: number;
  readonly #clock: () => number;
  readonly #groups = new Set<Group>();
  #newest: Group | undefined;
  #closed = false;

  /**
   * @param timeout How long each deadline is, in milliseconds.
   * @param clock A monotonic clock, in milliseconds.
   */
  constructor(timeout: number, clock: () => number) {
    this.#timeout = timeout;
    this.#clock = clock;
  }

  /**
   * Calls `callback` when the time is over.
   *
   * @returns Forgets it.
   */
  add(callback: () => void): () => void {
    if (this.#closed) {
      callback();
      return () => {};
    }
    const now = this.#clock();
    let group = this.#newest;
    if (
      group === undefined ||
      now - group.startedAt > this.#timeout * COARSENESS
    ) group = this.#newest = this.#start(now);
    const { callbacks } = group;
    callbacks.add(callback);
    return () => callbacks.delete(callback);
  }

  /** Calls every callback now, and those that are added later at once. */
  close(): void {
    this.#closed = true;
    for (const group of this.#groups) this.#expire(group);
  }

  #start(now: number): Group {
    const timer = setTimeout(() => this.#expire(group), this.#timeout);
    unref(timer);
    const group: Group = { callbacks: new Set(), startedAt: now, timer };
    this.#groups.add(group);
    return group;
  }

  #expire(group: Group): void {
    clearTimeout(group.timer);
    this.#groups.delete(group);
    if (this.#newest === group) this.#newest = undefined;
    for (const callback of group.callbacks) callback();
  }
}
