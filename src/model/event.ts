/** The fields of every {@linkcode RunEvent}. */
export interface RunEventBase<P> {
  /** The run's UUID in canonical spelling. */
  runId: string;
  /**
   * The event's number: 1, 2, 3 … per run id, across its attempts. A `Lagged`
   * event has the number of the last missed event.
   */
  seq: number;
  /**
   * When it was published, by the publishing instance's clock. Events of one
   * millisecond share the object: copy it before you change it.
   */
  at: Date;
  /** The published value; `null` for every kind but `Yield`. */
  payload: P | null;
}

/**
 * One event of a run. A run's events are `Started`, any number of `Yield` and
 * `AlreadyCompleted`, and exactly one `Completed` or `Errored` at the end.
 *
 * `Lagged` is not an event of the run: it reports to one slow subscriber that it
 * missed `missed` events. The run goes on.
 *
 * @typeParam P The type of the values that the work publishes.
 */
export type RunEvent<P = unknown> =
  & RunEventBase<P>
  & (
    | { kind: "Started" | "Yield" | "AlreadyCompleted" | "Completed" }
    | {
      kind: "Errored";
      /** The error's message, as in the run's phase. */
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
