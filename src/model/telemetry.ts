import type { RunErrorCode } from "./failure.ts";
import type { RunPhase } from "./phase.ts";

/** A run, as its spans name it. */
export interface TracedRun {
  /** The run's UUID. */
  readonly runId: string;
  /** The pipeline's name. */
  readonly pipelineName: string;
  /** The UUID of the dataset it works on, if any. */
  readonly datasetId?: string;
  /** The W3C `traceparent` of the run's span, which the row of its beginning keeps. */
  readonly traceparent?: string;
}

/** The span of a run of this instance. */
export interface RunSpan {
  /** The W3C `traceparent` of the span; `undefined` if nothing is traced. */
  readonly traceparent: string | undefined;
  /** Calls a function with the span active. */
  within<T>(call: () => T): T;
  /**
   * Ends the span.
   *
   * @param phase How the run ended, with what its work threw.
   * @param durable Whether its ending is durable.
   */
  end(phase: RunPhase, durable: boolean): void;
}

/** Runs of other instances that this one has ended. */
export interface ReapedRuns {
  /** What their rows and events say. */
  readonly code: RunErrorCode;
  /** How many there are. */
  readonly count: number;
  /** Those that had a lease and have a row, for their spans. */
  readonly runs: readonly TracedRun[];
}

/** What can be read at any time; a part knows its own figures only. */
export interface Gauges {
  /** How many runs are live. */
  readonly activeRuns?: number;
  /** How many subscriptions have not ended. */
  readonly subscriptions?: number;
  /** How many bytes wait to be written. */
  readonly pendingBytes?: number;
}

/**
 * Where a registry and its repository report to: `createTelemetry()` of `./telemetry`
 * makes one for OpenTelemetry. No method may throw.
 */
export interface Telemetry {
  /**
   * Begins the span of a run, under the span that was active where it was registered.
   *
   * @param run The run.
   * @param former The `traceparent` of its former attempt, if there was one.
   */
  beginRun(run: TracedRun, former: string | undefined): RunSpan;
  /** A live run is to be aborted, wherever it runs. */
  onAbortRequest(run: TracedRun, reason: string | undefined): void;
  /** Runs of other instances were ended. */
  onReaped(reaped: ReapedRuns): void;
  /** This instance has lost the lease of a run. */
  onLeaseLost(): void;
  /** A subscriber has missed events. */
  onMissed(events: number): void;
  /** A group was written in one statement. */
  onCommit(items: number, milliseconds: number): void;
  /**
   * Reads figures whenever metrics are collected.
   *
   * @returns Stops it.
   */
  observe(read: () => Gauges): () => void;
}
