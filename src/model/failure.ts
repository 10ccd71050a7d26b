import { storableText } from "../json/storable.ts";
import { errorMessage } from "./error_message.ts";

/**
 * What ended a run as `Errored`:
 *
 * - `"work"`: its work threw or rejected
 * - `"aborted"`: somebody aborted it
 * - `"timeout"`: it took longer than its `timeout`
 * - `"shutdown"`: its registry was shut down
 * - `"lease_expired"`: its instance died, or was cut off for longer than a lease
 * - `"orphan"`: an orphan reset found it unfinished
 */
export type RunErrorCode =
  | "work"
  | "aborted"
  | "timeout"
  | "shutdown"
  | "lease_expired"
  | "orphan";

/** Why a run ended as `Errored`. */
export interface RunFailure {
  /** What ended it. */
  code: RunErrorCode;
  /** The work's error, `"aborted"`, `"aborted: …"` or a timeout; for people. */
  message: string;
  /** The name of the work's error, such as `"TypeError"`; absent for a plain `Error`. */
  name?: string;
}

/** The failure of a run whose lease expired. */
export const LEASE_EXPIRED: RunFailure = Object.freeze({
  code: "lease_expired",
  message: "lease_expired",
});

/** The failure of a run whose work threw. It never throws itself. */
export function workFailure(thrown: unknown): RunFailure {
  const message = errorMessage(thrown);
  const name = nameOf(thrown);
  return name === undefined
    ? { code: "work", message }
    : { code: "work", message, name };
}

/** The failure of a run that was aborted, or ended by a shutdown. */
export function abortFailure(
  code: "aborted" | "shutdown",
  reason: string | undefined,
): RunFailure {
  const message = reason === undefined ? "aborted" : `${ABORTED}${reason}`;
  return { code, message };
}

/** The reason in the message of an abort, if one was given. */
export function abortReason(message: string): string | undefined {
  return message.startsWith(ABORTED)
    ? message.slice(ABORTED.length)
    : undefined;
}

const ABORTED = "aborted: ";

const MAX_NAME_LENGTH = 200;

function nameOf(thrown: unknown): string | undefined {
  try {
    if (!(thrown instanceof Error) || thrown.name === "Error") return undefined;
    return storableText(String(thrown.name).slice(0, MAX_NAME_LENGTH));
  } catch {
    return undefined;
  }
}
