/**
 * The live state of a run: `Pending` until its work starts, `Running` until it
 * ends, then finally `Completed` or `Errored`.
 */
export type RunPhase =
  | { name: "Pending" | "Running" | "Completed" }
  | {
    name: "Errored";
    /** The work's error, `"aborted"`, `"aborted: …"` or a timeout. */
    message: string;
  };

/** Whether a phase is final. */
export function hasEnded({ name }: RunPhase): boolean {
  return name === "Completed" || name === "Errored";
}
