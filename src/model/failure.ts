import { storableText } from "../json/storable.ts";
import { errorMessage } from "./error_message.ts";
import type { RunInfo } from "./run_info.ts";

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
  const message = reason === undefined ? "aborted" : `aborted: ${reason}`;
  return { code, message };
}

/**
 * The failure that an ERRORED row tells of. cognee's rows, and those of releases
 * without codes, count as failures of the work, unless a reset wrote them.
 */
export function failureOf(runInfo: RunInfo | undefined): RunFailure {
  const { error = "", reason, code, name } = runInfo ?? {};
  if (code === "aborted" || code === "shutdown") {
    return abortFailure(code, error === "abort" ? undefined : error);
  }
  if (code !== undefined) return { code, message: error };
  if (reason === LEASE_EXPIRED.code) return LEASE_EXPIRED;
  if (reason !== undefined) return { code: "orphan", message: error };
  return name === undefined
    ? { code: "work", message: error }
    : { code: "work", message: error, name };
}

const MAX_NAME_LENGTH = 200;

function nameOf(thrown: unknown): string | undefined {
  try {
    if (!(thrown instanceof Error) || thrown.name === "Error") return undefined;
    return storableText(String(thrown.name).slice(0, MAX_NAME_LENGTH));
  } catch {
    return undefined;
  }
}
