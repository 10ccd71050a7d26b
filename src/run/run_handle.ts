import type { RunEvent } from "../model/event.ts";
import type { RunPhase } from "../model/phase.ts";
import type { RunStatus, SubscribeOptions } from "../repository/run_log.ts";

/**
 * How a run ended.
 *
 * @typeParam R The type of the run's result.
 */
export interface RunOutcome<R = unknown> {
  /** The run's UUID in canonical spelling. */
  runId: string;
  /** `Completed` or `Errored`. */
  phase: RunPhase;
  /**
   * Whether the ending was in the repository when the run ended. If not, it may be
   * written later, or was not to be written at all.
   */
  durable: boolean;
  /** What the work returned, if the run completed and that is not `undefined`. */
  result?: R;
  /** Why the result could not be stored; absent if it was. */
  resultError?: string;
}

/**
 * A run in the background, typed by its work. Its methods work when destructured.
 *
 * @typeParam P The type of what the work publishes.
 * @typeParam R The type of the run's result.
 */
export interface RunHandle<P = unknown, R = unknown> {
  /** The run's UUID in canonical spelling. */
  runId: string;
  /** The UUID of the run's STARTED row. */
  taskRunId: string;
  /** The user whom the run is for. */
  userId?: string;
  /** The UUID of the dataset it works on. */
  datasetId?: string;
  /** The name of its pipeline. */
  pipelineName: string;
  /** When it was registered, by this instance's clock. */
  startedAt: Date;
  /** How the run ends. It never rejects. */
  outcome: Promise<RunOutcome<R>>;
  /** The run's events; see `PipelineRunRegistry.subscribe()`. */
  subscribe(options?: SubscribeOptions): ReadableStream<RunEvent<P>>;
  /** Aborts the run; see `PipelineRunRegistry.abort()`. */
  abort(reason?: unknown): Promise<"requested" | "ended">;
  /** The run's state; see `PipelineRunRegistry.status()`. */
  status(): Promise<RunStatus | undefined>;
}
