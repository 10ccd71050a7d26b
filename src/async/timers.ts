/** Lets the process end before a timer fires, where the platform can. */
export function unref(timer: unknown): void {
  // Timers are objects in Node and in Deno 2.9; in older versions of Deno they are numbers.
  if (typeof timer === "number") globalThis.Deno?.unrefTimer(timer);
  else (timer as { unref?: () => void }).unref?.();
}

/**
 * Calls back at an interval, in milliseconds, without keeping the process alive.
 *
 * @returns Stops calling.
 */
export function every(interval: number, callback: () => void): () => void {
  const timer = setInterval(callback, interval);
  unref(timer);
  return () => clearInterval(timer);
}
