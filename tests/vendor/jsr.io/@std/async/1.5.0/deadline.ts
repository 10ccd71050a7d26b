// Stands for @std/async@1.5.0 where jsr.io cannot be reached.

import { abortable } from "./abortable.ts";

/** Options of {@linkcode deadline}. */
export interface DeadlineOptions {
  /** Ends the wait early. */
  signal?: AbortSignal;
}

/** Settles as `p` does, or rejects with a `TimeoutError` after `ms`. */
export async function deadline<T>(
  p: Promise<T>,
  ms: number,
  options: DeadlineOptions = {},
): Promise<T> {
  const ends: AbortSignal[] = options.signal ? [options.signal] : [];
  if (ms < Number.MAX_SAFE_INTEGER) ends.unshift(AbortSignal.timeout(ms));
  return await abortable(p, AbortSignal.any(ends));
}
