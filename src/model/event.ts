import type { RunFailure } from "./failure.ts";

/** The fields of every {@linkcode RunEvent}. */
export interface RunEventBase {
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
}

/**
 * One event of a run. A run's events are `Started`, any number of `Yield` and
 * `AlreadyCompleted`, and exactly one `Completed` or `Errored` at the end. A `Yield`
 * has the value that the work published, an `Errored` says why the run failed.
 *
 * `Lagged` is not an event of the run: it reports to one subscriber, which is slow or
 * came late, that it missed `missed` events. The run goes on.
 *
 * @typeParam P The type of the values that the work publishes.
 */
export type RunEvent<P = unknown> =
  & RunEventBase
  & (
    | { kind: "Started" | "AlreadyCompleted" | "Completed" }
    | {
      kind: "Yield";
      /** The published value. */
      payload: P;
    }
    | { kind: "Errored" } & RunFailure
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
