import { every } from "../async/timers.ts";
import type { RegistryWarning } from "../model/warning.ts";

/** What a sweep did. */
export interface SweepReport {
  /** How many finished runs this instance forgot. */
  evicted: number;
  /** How many runs of dead instances it ended. */
  reaped: number;
  /** How many events, leases, payload fields and rows of old runs it deleted. */
  pruned: number;
}

/** What the retention timer sweeps. */
export interface Sweepable {
  /** Does one pass of retention. */
  sweep(): Promise<SweepReport>;
}

/** The part of `Deno.cron` used here; its types come only with an unstable flag. */
type Cron = (
  name: string,
  schedule: string,
  options: { signal: AbortSignal; backoffSchedule: number[] },
  handler: () => Promise<void>,
) => Promise<void>;

const NAME = "pipeline-run-retention";
const EVERY_MINUTE = "* * * * *";
const MINUTE = 60_000;

type Warn = (warning: RegistryWarning) => void;

const sweepables = new Map<Sweepable, Warn>();
let stop: (() => void) | undefined;

/**
 * Sweeps a registry every minute from now on. One `Deno.cron` serves all registries of
 * the process, or one timer if `Deno.cron` is missing or refuses; the timer does not
 * keep the process alive.
 *
 * @param warn Called when a sweep fails, and when `Deno.cron` exists but refuses.
 */
export function startSweeping(
  sweepable: Sweepable,
  warn: Warn,
): void {
  sweepables.set(sweepable, warn);
  stop ??= startCron(warn) ?? every(MINUTE, sweepAll);
}

/** Stops sweeping a registry, and the cron or timer with the last one. */
export function stopSweeping(sweepable: Sweepable): void {
  sweepables.delete(sweepable);
  if (sweepables.size > 0) return;
  stop?.();
  stop = undefined;
}

/** A cron that is being stopped may fire once more, with nothing to sweep. */
async function sweepAll(): Promise<void> {
  await Promise.all([...sweepables].map(async ([sweepable, warn]) => {
    try {
      await sweepable.sweep();
    } catch (cause) {
      if (!sweepables.has(sweepable)) return; // It was shut down meanwhile.
      warn({ kind: "retention", message: "A sweep failed", cause });
    }
  }));
}

function startCron(
  warn: Warn,
): (() => void) | undefined {
  const { cron } = (globalThis.Deno ?? {}) as { cron?: Cron };
  if (cron === undefined) return undefined;
  const controller = new AbortController();
  const onRefusal = (cause: unknown) =>
    warn({
      kind: "retention",
      message: `Deno.cron refused "${NAME}": a timer sweeps instead`,
      cause,
    });
  try {
    const { signal } = controller;
    cron(NAME, EVERY_MINUTE, { signal, backoffSchedule: [] }, sweepAll)
      .catch((cause) => {
        if (signal.aborted) return;
        onRefusal(cause);
        stop = every(MINUTE, sweepAll);
      });
  } catch (cause) {
    onRefusal(cause);
    return undefined;
  }
  return () => controller.abort();
}
