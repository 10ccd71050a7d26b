/**
 * Calls back when a signal fires, or at once if it has fired.
 *
 * @param signal The signal; without one nothing is called.
 * @param callback Called once, with the signal's reason.
 * @returns Stops listening.
 */
export function onAbort(
  signal: AbortSignal | undefined,
  callback: (reason: unknown) => void,
): () => void {
  const listener = () => callback(signal!.reason);
  if (signal?.aborted) listener();
  else signal?.addEventListener("abort", listener, { once: true });
  return () => signal?.removeEventListener("abort", listener);
}
