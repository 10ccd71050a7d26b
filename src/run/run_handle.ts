import type { RunPhase } from "../model/phase.ts";

/** How a run ended. */
export interface RunOutcome {
  /** The run's UUID in canonical spelling. */
  runId: string;
  /** `Completed` or `Errored`. */
  phase: RunPhase;
  /**
   * Whether the ending was in the repository when the run ended. If not, it may be
   * written later, or was not to be written at all.
   */
  durable: boolean;
}

/** A run in the background. */
export interface RunHandle {
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
  outcome: Promise<RunOutcome>;
}
