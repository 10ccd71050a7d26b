import type { RunEvent } from "../model/event.ts";
import type { LeaseLostError } from "../model/errors.ts";
import type { RunPhase } from "../model/phase.ts";
import type { PipelineRunRow, PipelineRunTransition } from "../model/row.ts";

/** Options of `PipelineRunRegistry.subscribe()`. */
export interface SubscribeOptions {
  /**
   * The number of the last event that is known already: what follows it is
   * given, and what of that is no longer held counts as lag. A non-negative
   * integer.
   *
   * @default {begin with the oldest event held of the current attempt}
   */
  after?: number;
  /**
   * Whether to give events of this instance's runs only once they are in the
   * log, a commit later. Whoever goes on elsewhere behind such an event finds the
   * same ones, also when this instance dies. Without a log it changes nothing.
   *
   * @default {false}
   */
  durable?: boolean;
  /** Errors the stream with its reason when it fires; the run goes on. */
  signal?: AbortSignal;
  /**
   * What follows a `Lagged` event: `"close"` closes the stream, `"skip"` goes
   * on with the oldest event held.
   *
   * @default {"close"}
   */
  lag?: "close" | "skip";
}

/** What a {@linkcode RunLog} is told of a run that begins. */
export interface LoggedRun {
  /** The run's UUID. */
  readonly runId: string;
  /** Whether the caller gave the id: it may be live elsewhere, or known. */
  readonly given: boolean;
  /** How large a payload may be as JSON, in bytes of UTF-8. */
  readonly maxPayloadBytes: number;
  /** Called when any instance asks for the run to be aborted. */
  readonly onAbortRequest: (reason: string | undefined) => void;
  /** Called when the lease is found lost. */
  readonly onLost: (error: LeaseLostError) => void;
}

/** One atomic step of a run: rows and an event, on condition of the lease. */
export interface LogStep {
  /** A row of the audit trail. */
  readonly transition?: PipelineRunTransition & { id: string };
  /** An event without a payload. */
  readonly event?: RunEvent;
  /** Whether it releases the lease. */
  readonly ends?: boolean;
}

/** The claim of this instance on one run. */
export interface RunLease {
  /**
   * Claims the run.
   *
   * @returns The number of the run's last event so far.
   * @throws {RunAlreadyActiveError} If another instance holds it.
   */
  claim(): Promise<number>;

  /**
   * Writes a step, after those before it.
   *
   * @throws {LeaseLostError} If the lease is lost.
   */
  write(step: LogStep): Promise<void>;

  /**
   * A payload as the log will have it.
   *
   * @throws {TypeError} If it is not JSON.
   * @throws {RangeError} If it is too large.
   */
  serialize(payload: unknown): string;

  /** Gives the claim up: the run is not to be, also when the claim succeeds yet. */
  abandon(): void;

  /** Writes an event behind; it is dropped when too much waits. */
  append(event: RunEvent, json: string | undefined): void;

  /**
   * The last event of the attempt as the log has it, after the lease was lost;
   * `undefined` where the log cannot be read.
   */
  recordedEnding(): Promise<RunEvent | undefined>;
}

/** The events of a run of this instance, from memory. */
export interface LocalEvents {
  /** The number of the event behind which they begin. */
  readonly after: number;
  /** The events; a `Lagged` one tells what the memory has lost. */
  readonly events: ReadableStream<RunEvent>;
}

/** What is known of a run, wherever it runs. */
export interface RunStatus {
  /** The run's UUID. */
  runId: string;
  /**
   * Its phase. A run whose lease ran out is `Errored` with the message
   * `"lease_expired"`, before any sweep came by.
   */
  phase: RunPhase;
  /**
   * Whether its last event is there to read: not yet where its lease ran out and
   * no sweep came by.
   */
  ended: boolean;
  /** Its newest row, once it has one. */
  row?: PipelineRunRow;
  /**
   * The number of the first event of its newest attempt; of the event that would
   * be next where that is not known, since its events were pruned.
   */
  firstSeq: number;
  /** The number of its last event; 0 where no event of it is known. */
  lastSeq: number;
}

/** Makes runs known to other instances. */
export interface RunLog {
  /** Takes up a run of this instance. Nothing is written yet. */
  open(run: LoggedRun): RunLease;

  /**
   * The events of a run, wherever it runs: see `PipelineRunRegistry.subscribe()`.
   *
   * @param closing Closes the stream when it fires.
   * @param local Gives the run's events from memory, where it is of this instance
   * and has begun. What that has lost is read from the log.
   */
  follow(
    runId: string,
    options: SubscribeOptions,
    closing: AbortSignal,
    local?: () => Promise<LocalEvents | undefined>,
  ): ReadableStream<RunEvent>;

  /**
   * Asks whoever runs a run to abort it; ends it where nobody does any more.
   *
   * @returns Whether the run is known.
   */
  requestAbort(runId: string, reason: string | undefined): Promise<boolean>;

  /** What is known of a run; `undefined` for an unknown one. */
  status(runId: string): Promise<RunStatus | undefined>;

  /** Ends the runs whose lease ran out, and forgets old events. */
  sweep(reason?: string): Promise<{ reaped: number; pruned: number }>;
}
