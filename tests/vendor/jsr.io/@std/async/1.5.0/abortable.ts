// Stands for @std/async@1.5.0 where jsr.io cannot be reached.

/** Settles as `p` does, or rejects with the signal's reason if that aborts first. */
export function abortable<T>(p: Promise<T>, signal: AbortSignal): Promise<T> {
  let onAbort = (): void => {};
  const aborted = new Promise<never>((_resolve, reject): void => {
    onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
  return Promise.race([aborted, p]).finally((): void =>
    signal.removeEventListener("abort", onAbort)
  );
}
