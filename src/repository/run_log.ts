import type { RunEvent } from "../model/event.ts";
import type { LeaseLostError } from "../model/errors.ts";
import type { RunPhase } from "../model/phase.ts";
import type { PipelineRunRow, PipelineRunTransition } from "../model/row.ts";

/** Options of `PipelineRunRegistry.subscribe()`. */
export interface SubscribeOptions {
  /**
   * The number of the last event that the subscriber knows, a non-negative integer.
   * The stream begins with the next one; events that are no longer held count as
   * lag.
   *
   * @default {begin with the oldest event held of the current attempt}
   */
  after?: number;
  /**
   * Whether to deliver events of this instance's runs only once they are in the
   * log, one commit later. A subscriber that has seen such an event can resume after
   * it on any instance, even if this one dies. Without a log it changes nothing.
   *
   * @default {false}
   */
  durable?: boolean;
  /** Errors the stream with its reason when it fires; the run goes on. */
  signal?: AbortSignal;
  /**
   * What follows a `Lagged` event: `"close"` closes the stream, `"skip"` continues
   * with the oldest event held. Without `after`, one for what was lost before the
   * subscription is followed by the oldest event held in any case.
   *
   * @default {"close"}
   */
  lag?: "close" | "skip";
}

/** Options of {@linkcode RunLog.follow}. */
export interface FollowOptions extends SubscribeOptions {
  /** To be called with how many events a `Lagged` one tells of. */
  readonly onMissed?: (events: number) => void;
}

/** A run that begins in this instance. */
export interface LoggedRun {
  /** The run's UUID. */
  readonly runId: string;
  /** Whether the caller gave the id: another instance may hold it. */
  readonly given: boolean;
  /** How large a payload may be as JSON, in bytes of UTF-8. */
  readonly maxPayloadBytes: number;
  /** Called when any instance asks to abort the run. */
  onAbortRequest(reason: string | undefined): void;
  /** Called when the lease is lost. */
  onLost(error: LeaseLostError): void;
}

/** One atomic step of a run: a row and an event, fenced by the lease. */
export interface RunStep {
  /** A row of the audit trail. */
  readonly transition?: PipelineRunTransition & { id: string };
  /** An event without a payload. */
  readonly event?: RunEvent;
  /** The run's {@linkcode RunResult} as JSON, stored with the row. */
  readonly result?: string;
  /** Whether it ends the run and releases the lease. */
  readonly ends?: boolean;
}

/** The claim of this instance on one run. */
export interface RunLease {
  /**
   * Claims the run.
   *
   * @returns The number of the run's last event so far; `undefined` where the log
   * keeps no events.
   * @throws {RunAlreadyActiveError} If another instance holds it.
   * @throws {RepositoryError} If the log cannot be reached.
   */
  claim(): Promise<number | undefined>;

  /**
   * Writes a step, after those before it. It is retried until it succeeds or never
   * can.
   *
   * @throws {LeaseLostError} If the lease is lost.
   * @throws {RepositoryError} If the step can never be written.
   */
  write(step: RunStep): Promise<void>;

  /**
   * A payload as the log stores it; `undefined` where it keeps no events.
   *
   * @throws {TypeError} If it is not JSON.
   * @throws {RangeError} If it is too large, or nested too deep.
   */
  serialize(payload: unknown): string | undefined;

  /**
   * Writes an event without waiting. It is dropped when too much is pending.
   *
   * @param event The event.
   * @param json Its payload, serialized.
   */
  append(event: RunEvent, json: string | undefined): void;

  /**
   * Stops retrying, at shutdown. A claim that succeeds later is released.
   *
   * @returns Whether a run that has not begun must be refused, since its claim may
   * never be answered.
   */
  abandon(): boolean;

  /**
   * The last event of the attempt as another instance logged it, after the lease
   * was lost; `undefined` if it cannot be read.
   */
  recordedEnding(): Promise<RunEvent | undefined>;
}

/** Events of one run from this instance's memory. */
export interface LocalEvents {
  /** The number of the event after which they begin. */
  readonly after: number;
  /** The events; a `Lagged` one reports what memory has lost. */
  readonly events: ReadableStream<RunEvent>;
}

/** A stream that follows a run; it tells the registry how it goes on. */
export interface FollowedStream {
  /** To be called when an event has arrived. */
  onEvent(): void;
  /** To be called when the stream has ended. */
  onEnd(): void;
}

/** What this instance has of a run, for a subscriber. */
export interface LocalRun {
  /**
   * Takes up the stream of the subscriber.
   *
   * @param close Closes the stream: the registry is shut down.
   * @throws {RegistryFullError} If too many streams wait for unknown runs.
   */
  follow(close: () => void): FollowedStream;
  /** Reads the run from memory alone; a run that nobody has registered is awaited. */
  subscribe(): ReadableStream<RunEvent>;
  /**
   * The events that the log may not have yet: `undefined` for a run that this
   * instance does not run, or that ended and is recorded.
   */
  readonly unrecorded: (() => Promise<LocalEvents | undefined>) | undefined;
}

/** The state of a run, wherever it runs. */
export interface RunStatus {
  /** The run's UUID. */
  runId: string;
  /**
   * Its phase. A run whose lease expired is `Errored` with the code
   * `"lease_expired"`, even before a sweep ends it. It is `Running` again if its
   * instance was only cut off and renews the lease in time.
   */
  phase: RunPhase;
  /**
   * Whether its last event can be read. It cannot while the run's lease has expired
   * and no sweep has ended it.
   */
  ended: boolean;
  /** Its newest row, if it has one. */
  row?: PipelineRunRow;
  /**
   * The number of the first event of its newest attempt; if that event was pruned,
   * the number that the next event would have.
   */
  firstSeq: number;
  /** The number of its last event; 0 if no event is known. */
  lastSeq: number;
}

/**
 * Where the runs of a registry are written and read. Those of a repository that has
 * none, and so only rows, are in a `RowsOnlyLog`.
 */
export interface RunLog {
  /** Whether it keeps events; otherwise only the instance of a run has them. */
  readonly keepsEvents: boolean;

  /** Makes a UUID for a run or a row, of the version that suits the storage. */
  newId(): string;

  /** Takes up a run of this instance. Nothing is written yet. */
  open(run: LoggedRun): RunLease;

  /**
   * The events of a run, wherever it runs; see `PipelineRunRegistry.subscribe()`.
   *
   * @param runId The run's UUID.
   * @param options The subscriber's options.
   * @param local What this instance has of the run.
   */
  follow(
    runId: string,
    options: FollowOptions,
    local: LocalRun,
  ): ReadableStream<RunEvent>;

  /**
   * Asks the instance that holds a run to abort it. If the lease has expired and the
   * instance does not come back, the run is ended some time later.
   *
   * @returns `"ended"` if the run had ended, `"unknown"` if there is no such run.
   */
  requestAbort(
    runId: string,
    reason: string | undefined,
  ): Promise<"requested" | "ended" | "unknown">;

  /** The state of a run; `undefined` for an unknown one. */
  status(runId: string): Promise<RunStatus | undefined>;

  /** Ends the runs whose lease expired, and returns how many. */
  reap(): Promise<number>;
}
