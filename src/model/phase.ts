import type { RunErrorCode, RunFailure } from "./failure.ts";

/**
 * The live state of a run: `Pending` until its work starts, `Running` until it
 * ends, then finally `Completed` or `Errored`.
 */
export type RunPhase =
  | { name: "Pending" | "Running" | "Completed" }
  | {
    name: "Errored";
    /** What ended the run. */
    code: RunErrorCode;
    /** The work's error, `"aborted"`, `"aborted: …"` or a timeout; for people. */
    message: string;
    /** The name of the work's error, such as `"TypeError"`; absent for a plain `Error`. */
    errorName?: string;
    /**
     * What the work threw: only in the outcome that the registering instance gets. It is
     * not enumerable, so neither JSON nor a copy contains it.
     */
    cause?: unknown;
  };

/** Whether a phase is final. */
export function hasEnded({ name }: RunPhase): boolean {
  return name === "Completed" || name === "Errored";
}

/** The phase of a run that failed. */
export function erroredPhase({ code, message, name }: RunFailure): RunPhase {
  return name === undefined
    ? { name: "Errored", code, message }
    : { name: "Errored", code, message, errorName: name };
}
