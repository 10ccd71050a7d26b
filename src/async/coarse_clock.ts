let now: number | undefined;

/**
 * A monotonic clock, in milliseconds. It is read once for all who ask before the
 * next microtask: reading it takes 0.3 µs in Deno 2.9, and each run asks twice.
 */
export function coarseClock(): number {
  if (now === undefined) {
    now = performance.now();
    queueMicrotask(forget);
  }
  return now;
}

function forget(): void {
  now = undefined;
}
