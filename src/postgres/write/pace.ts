/** How many items are worth a statement, however busy the database is. */
const WORTHWHILE = 64;

/** How long a rest is at most, in milliseconds. */
const MAX_REST = 100;

/**
 * How long to gather items before the next group is written.
 *
 * Four groups in a row that took more than twice as long as the quickest one lately say
 * that the database is busy. Then it rests for four times the excess: what many
 * instances write gathers in them, instead of queuing at the database in many small
 * statements. With 64 instances on two cores, 1.5 times as many events a second are
 * seen, half as late.
 */
export class Pace {
  /** How long the quickest of about the last hundred took, in milliseconds. */
  #quickest = Infinity;
  /** How long the last four took: a single one may have met a slow disk. */
  readonly #last = [0, 0, 0, 0];
  #restsUntil = -Infinity;

  /** Takes in from when to when a group was written, in milliseconds. */
  onWritten(items: number, from: number, now: number): void {
    const duration = now - from;
    if (items < WORTHWHILE) {
      this.#quickest = Math.min(duration, this.#quickest * 1.01);
    }
    this.#last.shift();
    this.#last.push(duration);
    const rest = 4 * (Math.min(...this.#last) - 2 * this.#quickest);
    this.#restsUntil = now + Math.min(rest, MAX_REST);
  }

  /** How long to rest from `now` on if so many items are pending, in milliseconds. */
  restWith(items: number, now: number): number {
    if (items === 0 || items >= WORTHWHILE) return 0;
    return Math.max(0, this.#restsUntil - now);
  }
}
