/** Lets the process end before a timer fires, where the platform can. */
export function unref(timer: unknown): void {
  // Node's timers, and Deno's since 2.9, can do it; older ones of Deno are numbers.
  if (typeof timer === "number") globalThis.Deno?.unrefTimer(timer);
  else (timer as { unref?: () => void }).unref?.();
}
