import { assert, assertEquals } from "@std/assert";

/** An event in the log. */
export interface LoggedEvent {
  readonly seq: number;
  readonly kind: string;
  /** Its kind, and its message if it has one. */
  readonly text: string;
}

/**
 * Checks the log of one run: numbers rise by one, every attempt begins with `Started`,
 * has one ending, and nothing follows that. An attempt that expired before it began has
 * nothing but an ending.
 *
 * @param expired How many leases have expired.
 */
export function checkLog(
  events: readonly LoggedEvent[],
  expired: number,
): void {
  const numbers = events.map(({ seq }) => seq);
  assertEquals(numbers, numbers.map((_, place) => place + 1));
  let isOpen = false;
  let endings = 0;
  const log = events.map(({ seq, text }) => `${seq} ${text}`).join(", ");
  for (const { kind, text } of events) {
    const hasExpired = text === "Errored: lease_expired";
    if (hasExpired) endings++;
    assert(
      kind === "Started" ? !isOpen : isOpen || hasExpired,
      `${text} is out of place: ${log}`,
    );
    isOpen = kind !== "Completed" && kind !== "Errored";
  }
  assert(endings <= expired, `a run ended whose lease had not expired: ${log}`);
}

/** Checks the rows of a run: one for each event that has one, in the same order. */
export function checkRows(
  events: readonly LoggedEvent[],
  statuses: readonly string[],
): void {
  const expected: string[] = [];
  for (const { kind } of events) {
    const isOpen = expected.at(-1) === "STARTED";
    if (kind === "Started" || kind !== "Yield" && isOpen) {
      expected.push(kind.toUpperCase());
    }
  }
  assertEquals(statuses, expected);
}
