import type { Bounds } from "./evidence.ts";
import { entriesOf, type Entry } from "./journal.ts";

/** How long the loop of an instance may not turn before that counts as frozen. */
const LONGEST_STALL = 2_000;

/** How much later than planned anything may be. */
const SLACK = 1_000;

/** How long a pooler takes to log in again after the server was away. */
const POOLER_RETRY = 2_000;

/** A span of time, in milliseconds since 1970. */
interface Span {
  readonly from: number;
  readonly to: number;
}

/** When instances could reach the server, and when it was away from all. */
export class Reach {
  readonly #bounds: Bounds;
  readonly #outages: Span[];
  /** The spans in which something kept only that instance from the server. */
  readonly #obstructed = new Map<string, Span[]>();

  constructor(journal: readonly Entry[], bounds: Bounds) {
    this.#bounds = bounds;
    const outages = entriesOf(journal, "outage");
    this.#outages = outages.map(({ from, at }) => ({ from, to: at }));
    for (const { instance, pooled } of entriesOf(journal, "started")) {
      const spans: Span[] = [];
      this.#obstructed.set(instance, spans);
      const own = journal.filter((entry) => entry.instance === instance);
      for (const { from, at } of entriesOf(own, "frozen")) {
        spans.push({ from, to: at });
      }
      for (const { from, at, fault } of entriesOf(own, "cut")) {
        // Nobody notices the end of this one before a statement misses its deadline.
        const later = fault === "half-open"
          ? bounds.statementTimeout
          : pooled
          ? POOLER_RETRY
          : 0;
        spans.push({ from, to: at + later });
      }
      const turns = entriesOf(own, "alive");
      for (const [i, { at: to }] of turns.entries()) {
        const from = turns[Math.max(0, i - 1)].at;
        if (to - from > LONGEST_STALL) spans.push({ from, to });
      }
      if (!pooled) continue;
      for (const { from, at, fault } of outages) {
        if (fault === "freeze" || fault.startsWith("lock")) continue;
        spans.push({ from, to: at + POOLER_RETRY });
      }
    }
  }

  /** Whether nothing was between an instance and the server, which was there. */
  isClear(instance: string, from: number, to: number): boolean {
    return ![...this.#outages, ...this.#obstructed.get(instance) ?? []]
      .some((span) => span.to >= from && span.from <= to);
  }

  /**
   * Whether a run of an instance may have been ended as expired at a time: the
   * instance was itself kept from the server when it should have renewed, and the
   * lease had expired. That the server was away is no reason alone.
   */
  mayExpire(instance: string, at: number): boolean {
    const { leaseDuration, renewInterval } = this.#bounds;
    const notice = { from: at - 2 * renewInterval - SLACK, to: at };
    const own = this.#obstructed.get(instance) ?? [];
    if (covered(own, notice) === 0) return false;
    const lease = { from: notice.from - leaseDuration - SLACK, to: at };
    return covered([...own, ...this.#outages], lease) >=
      leaseDuration - renewInterval;
  }
}

/** How much of a span the union of others covers. */
function covered(spans: readonly Span[], { from, to }: Span): number {
  let sum = 0;
  let end = from;
  for (const span of spans.toSorted((a, b) => a.from - b.from)) {
    const begin = Math.max(span.from, end);
    const stop = Math.min(span.to, to);
    if (stop <= begin) continue;
    sum += stop - begin;
    end = stop;
  }
  return sum;
}
