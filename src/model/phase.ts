/**
 * The live state of a run: `Pending` until its work begins, `Running` until it
 * ends, then `Completed` or `Errored` for good.
 */
export type RunPhase =
  | { name: "Pending" | "Running" | "Completed" }
  | {
    name: "Errored";
    /** What went wrong: the work's error, `"aborted"`, `"aborted: …"` or a time-out. */
    message: string;
  };

/** Whether a phase is for good. */
export function hasEnded({ name }: RunPhase): boolean {
  return name === "Completed" || name === "Errored";
}
