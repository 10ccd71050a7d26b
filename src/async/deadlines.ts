import { unref } from "./timers.ts";

/** How much shorter than asked for a deadline may be. */
const COARSENESS = 0.02;

/** Deadlines that one timer serves. */
interface Group {
  readonly callbacks: Set<() => void>;
  readonly timers: ReturnType<typeof setTimeout>[];
}

/**
 * Deadlines of one length, grouped under few timers: making and clearing a
 * timer takes 5 µs in Deno 2.9, which is more than a short run takes.
 *
 * A deadline is met up to 2% early.
 */
export class Deadlines {
  readonly #timeout: number;
  readonly #groups = new Set<Group>();
  #newest: Group | undefined;
  #closed = false;

  /** @param timeout How long each deadline is, in milliseconds. */
  constructor(timeout: number) {
    this.#timeout = timeout;
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
    const { callbacks } = this.#newest ??= this.#start();
    callbacks.add(callback);
    return () => callbacks.delete(callback);
  }

  /** Calls every callback now, and those that are added later at once. */
  close(): void {
    this.#closed = true;
    for (const group of this.#groups) this.#expire(group);
  }

  #start(): Group {
    const group: Group = {
      callbacks: new Set(),
      timers: [
        setTimeout(() => this.#expire(group), this.#timeout),
        setTimeout(() => this.#complete(group), this.#timeout * COARSENESS),
      ],
    };
    group.timers.forEach(unref);
    this.#groups.add(group);
    return group;
  }

  /** Lets no more deadlines into a group: they would be met too early. */
  #complete(group: Group): void {
    if (this.#newest === group) this.#newest = undefined;
  }

  #expire(group: Group): void {
    group.timers.forEach(clearTimeout);
    this.#groups.delete(group);
    this.#complete(group);
    for (const callback of group.callbacks) callback();
  }
}
