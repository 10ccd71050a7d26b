/**
 * Passes at most one value on in each interval, the latest one.
 *
 * The first value passes at once. Of those that follow within the interval the
 * latest passes at its end, or when flushed.
 */
export class Throttle<T> {
  readonly #interval: number;
  readonly #pass: (value: T) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #held: { value: T } | undefined;

  /**
   * @param interval The interval, in milliseconds.
   * @param pass Called with each value that passes.
   */
  constructor(interval: number, pass: (value: T) => void) {
    this.#interval = interval;
    this.#pass = pass;
  }

  /** Takes a value. */
  push(value: T): void {
    if (this.#timer !== undefined) {
      this.#held = { value };
      return;
    }
    this.#pass(value);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const held = this.#held;
      this.#held = undefined;
      if (held !== undefined) this.push(held.value);
    }, this.#interval);
  }

  /** Passes the value that waits, if one does, and stops the timer. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const held = this.#held;
    this.#held = undefined;
    if (held !== undefined) this.#pass(held.value);
  }
}
