// Stands for @std/async@1.5.0 where jsr.io cannot be reached.

/** Options of {@linkcode delay}. */
export interface DelayOptions {
  /** Ends the wait early. */
  signal?: AbortSignal;
  /**
   * Whether the wait keeps the process alive.
   *
   * @default {true}
   */
  persistent?: boolean;
}

/** `setTimeout` fires at once when asked for more. */
const LONGEST_TIMEOUT = 2 ** 31 - 1;

/** Resolves after `ms`, or rejects with the signal's reason if that aborts first. */
export function delay(ms: number, options: DelayOptions = {}): Promise<void> {
  const { signal, persistent = true } = options;
  if (signal?.aborted) return Promise.reject(signal.reason);
  return new Promise<void>((resolve, reject): void => {
    let timer: number;
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const wait = (left: number): void => {
      const step = Math.min(left, LONGEST_TIMEOUT);
      const onStep = (): void => {
        if (left > step) return wait(left - step);
        signal?.removeEventListener("abort", onAbort);
        resolve();
      };
      timer = Number(setTimeout(onStep, step));
      if (!persistent) Deno.unrefTimer(timer);
    };
    wait(Math.max(ms, 0) || 0);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
