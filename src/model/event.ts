/** What every {@linkcode RunEvent} carries. */
export interface RunEventBase<P> {
  /** The run, in the canonical spelling of its UUID. */
  runId: string;
  /**
   * The event's number: 1, 2, 3 … within a run id, over its attempts too. A
   * `Lagged` event has the number of the last event that was missed.
   */
  seq: number;
  /** When it was published, by the clock of the instance that did. */
  at: Date;
  /** What was published with it; `null` for every kind but `Yield`. */
  payload: P | null;
}

/**
 * One event of a run. A run's events are `Started`, any number of `Yield` and
 * `AlreadyCompleted`, and exactly one `Completed` or `Errored` at the end.
 *
 * `Lagged` is no event of the run but a word to one subscriber who was too
 * slow: `missed` events are gone for it, and the run itself goes on.
 *
 * @typeParam P The type of what the work publishes.
 */
export type RunEvent<P = unknown> =
  & RunEventBase<P>
  & (
    | { kind: "Started" | "Yield" | "AlreadyCompleted" | "Completed" }
    | {
      kind: "Errored";
      /** What went wrong, as in the run's phase. */
      message: string;
    }
    | {
      kind: "Lagged";
      /** How many events were missed: a positive integer. */
      missed: number;
    }
  );

/** Whether an event is the last one of its run. */
export function isLast({ kind }: RunEvent): boolean {
  return kind === "Completed" || kind === "Errored";
}
