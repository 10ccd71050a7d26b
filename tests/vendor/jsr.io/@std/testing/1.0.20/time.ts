// Stands for @std/testing@1.0.20, of which it offers the part used here.
import { type Clock, install } from "npm:@sinonjs/fake-timers@^15.5.0";

const { setTimeout: setRealTimeout } = globalThis;

/** Fakes `Date`, the timers and `AbortSignal.timeout`, until it is disposed. */
export class FakeTime {
  readonly #clock: Clock;
  readonly #timeout = AbortSignal.timeout;

  constructor(start: number | Date = Date.now()) {
    this.#clock = install({
      now: start,
      toFake: [
        "Date",
        "setTimeout",
        "clearTimeout",
        "setInterval",
        "clearInterval",
      ],
    });
    AbortSignal.timeout = (delay) => {
      const controller = new AbortController();
      const reason = new DOMException("Signal timed out.", "TimeoutError");
      setTimeout(() => controller.abort(reason), delay);
      return controller.signal;
    };
  }

  /** The faked time, in milliseconds. */
  get now(): number {
    return this.#clock.now;
  }

  /** Moves the time on and calls what is due. */
  tick(ms: number = 0): void {
    this.#clock.tick(ms);
  }

  /** Waits for the microtasks that are ready, then moves the time on and calls what is due. */
  async tickAsync(ms: number = 0): Promise<void> {
    await this.runMicrotasks();
    this.tick(ms);
  }

  /** Moves the time on to the next timer, and tells whether there was one. */
  next(): boolean {
    const due = this.#clock.countTimers() > 0;
    if (due) this.#clock.next();
    return due;
  }

  /** Waits for the microtasks that are ready, and those that they make ready. */
  async runMicrotasks(): Promise<void> {
    await new Promise((resolve) => setRealTimeout(resolve, 0));
  }

  /** Restores the real time. */
  restore(): void {
    this.#clock.uninstall();
    AbortSignal.timeout = this.#timeout;
  }

  [Symbol.dispose](): void {
    this.restore();
  }
}
