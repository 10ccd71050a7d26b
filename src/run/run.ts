import type { AuditTrail } from "../repository/audit_trail.ts";
import { currentDate } from "../async/current_date.ts";
import { errorMessage } from "../model/error_message.ts";
import { RegistryShutdownError } from "../model/errors.ts";
import type { RunEvent } from "../model/event.ts";
import type { RunPhase } from "../model/phase.ts";
import {
  checkPayloadKey,
  type PipelineRunRepository,
} from "../repository/repository.ts";
import type { RunBroadcast } from "./run_events.ts";
import type { PipelineWork, RunContext } from "./run_context.ts";
import type { RunLease, RunLog } from "../repository/run_log.ts";
import { RunRecord } from "./run_recorder.ts";
import type { CheckedRunSpec } from "./run_spec.ts";
import type { HeldRun } from "../registry/run_table.ts";
import { ScopedRunWatcher } from "../cognee/scoped_run_watcher.ts";
import { storableJson } from "../json/storable.ts";
import { Throttle } from "../async/throttle.ts";
import type { RegistryWarning } from "../model/warning.ts";
import { WorkExecution } from "./work_execution.ts";

/** How a run ended. */
export interface RunOutcome {
  /** The run's UUID in canonical spelling. */
  runId: string;
  /** `Completed` or `Errored`. */
  phase: RunPhase;
  /**
   * Whether the ending was in the repository when the run ended. If not it may
   * be written later, or was not to be written at all.
   */
  durable: boolean;
}

/** A run in the background. */
export interface RunHandle {
  /** The run's UUID in canonical spelling. */
  runId: string;
  /** The UUID of the run's STARTED row. */
  taskRunId: string;
  /** Who the run is for. */
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

/** What runs need of their registry. */
export interface RunDependencies {
  readonly repository: PipelineRunRepository;
  readonly runLog: RunLog | undefined;
  readonly auditTrail: AuditTrail;
  readonly yieldThrottle: number;
  readonly maxPayloadBytes: number;
  readonly abortWritesErroredRow: boolean;
  readonly warn: (warning: RegistryWarning) => void;
  /** The UUID that rows carry for a pipeline's name: at once where it is known. */
  readonly pipelineIdOf: (pipelineName: string) => string | Promise<string>;
  /** Told when a run could not begin. */
  readonly onRefused: (run: Run<unknown>) => void;
  /** Told when a run has ended and none of its rows is on its way. */
  readonly onFinished: (run: Run<unknown>) => void;
}

/** A way for a run to end. */
interface Ending {
  /** What the phase and the last event say; `undefined` is completion. */
  readonly message?: string;
  /** What the row says went wrong. */
  readonly error?: string;
  readonly writesRow: boolean;
  /** The reason the signal fires with. */
  readonly reason?: unknown;
}

/** A run that is beginning. */
export interface StartedRun {
  /**
   * Resolves when the run has begun; rejects when it could not, and then it has
   * never been.
   */
  readonly begun: Promise<void>;
  /** What the caller is given of a run in the background. */
  readonly handle: RunHandle;
}

/** What a run needs until it has ended and is recorded. */
interface LiveParts<P> {
  readonly spec: CheckedRunSpec;
  readonly record: RunRecord;
  readonly lease: RunLease | undefined;
  readonly outcome: PromiseWithResolvers<RunOutcome>;
  readonly execution: WorkExecution<P>;
  readonly throttle:
    | Throttle<{ payload: P; json: string | undefined }>
    | undefined;
  begun: Promise<void> | undefined;
  disarm: (() => void) | undefined;
}

const PENDING: RunPhase = Object.freeze({ name: "Pending" });
const RUNNING: RunPhase = Object.freeze({ name: "Running" });
const COMPLETED: RunPhase = Object.freeze({ name: "Completed" });

/**
 * One attempt of a run.
 *
 * It is `Pending` when made, `Running` once its Started event is out, and then
 * `Completed` or `Errored` for good. Everything that can end it (its work
 * settles, an abort, the time-out, a shutdown) goes through one method, which
 * acts the first time only. That claims the ending at once and stops the work.
 * Then, in this order: the row is written, the phase is set, the last event is
 * published and the broadcast closed. So who sees the last event can read the
 * row, and nothing follows that event.
 *
 * Finished runs are held by the thousand. Then all that it took to run is let go.
 */
export class Run<P> implements HeldRun {
  /** The run's UUID in canonical spelling. */
  readonly id: string;
  readonly broadcast: RunBroadcast<P>;
  expiresAt: number | undefined;
  older: HeldRun | undefined;
  newer: HeldRun | undefined;
  readonly #dependencies: RunDependencies;
  #live: LiveParts<P> | undefined;
  #phase: RunPhase = PENDING;
  #initiated = false;
  #ended = false;

  constructor(
    spec: CheckedRunSpec,
    broadcast: RunBroadcast<P>,
    dependencies: RunDependencies,
  ) {
    this.id = spec.runId;
    this.broadcast = broadcast;
    this.#dependencies = dependencies;
    const { auditTrail, maxPayloadBytes, runLog, yieldThrottle } = dependencies;
    const lease = runLog?.open({
      runId: spec.runId,
      given: spec.given,
      maxPayloadBytes,
      onAbortRequest: (reason) => this.abort(reason, reason),
      onLost: (error) => this.#fail(error),
    });
    this.#live = {
      spec,
      record: new RunRecord(spec, auditTrail, lease),
      lease,
      outcome: Promise.withResolvers(),
      execution: new WorkExecution(),
      throttle: yieldThrottle === 0 ? undefined : new Throttle(
        yieldThrottle,
        ({ payload, json }) => this.#yield(payload, json),
      ),
      begun: undefined,
      disarm: undefined,
    };
  }

  get phase(): RunPhase {
    return this.#phase;
  }

  /** Whether it is over and recorded: others know as much of it as this one. */
  get recorded(): boolean {
    return this.#live === undefined;
  }

  get watcher(): ScopedRunWatcher {
    return new ScopedRunWatcher(this.id, {
      initiate: () => this.#initiated = true,
      fail: (message) => this.#fail(new Error(message)),
      setPayload: (key, value) => this.#setPayload(key, value),
    });
  }

  /** How the run ends, as long as that is not recorded. It never rejects. */
  get outcome(): Promise<RunOutcome> | undefined {
    return this.#live?.outcome.promise;
  }

  /** Resolves when the run has begun; see {@linkcode StartedRun}. */
  get begun(): Promise<void> | undefined {
    return this.#live?.begun;
  }

  /** Begins the run; its work is called in a later microtask. */
  start(work: PipelineWork<P>): StartedRun {
    const live = this.#live!;
    const begun = this.#begin(live);
    live.begun = begun;
    this.#arm(live);
    this.#execute(work, live);
    const { userId, datasetId, pipelineName } = live.spec;
    const handle = {
      runId: this.id,
      taskRunId: live.record.startedRowId,
      userId,
      datasetId,
      pipelineName,
      startedAt: currentDate(),
      outcome: live.outcome.promise,
    };
    return { begun, handle };
  }

  /**
   * Ends the run as aborted, unless it has ended.
   *
   * @param reason What the signal fires with.
   * @param told What the last event and the row say of it, if anything.
   */
  abort(reason: unknown, told?: string): void {
    this.#end({
      message: told === undefined ? "aborted" : `aborted: ${told}`,
      error: told ?? "abort",
      writesRow: this.#dependencies.abortWritesErroredRow,
      reason,
    });
  }

  /** Gives the run up while it is claimed: a shutdown cannot wait for that. */
  abandon(): void {
    const lease = this.#live?.lease;
    if (lease === undefined || this.#phase !== PENDING) return;
    lease.abandon();
    this.#refuse(new RegistryShutdownError());
  }

  /** Publishes an AlreadyCompleted event behind Started, unless the run has ended. */
  publishAlreadyCompleted(): boolean {
    if (this.#ended) return false;
    const publish = () => {
      if (this.#ended) return;
      const event = this.broadcast.publish({ kind: "AlreadyCompleted" });
      this.#live!.record.append(event as RunEvent, undefined);
    };
    if (this.#phase === PENDING) this.#live!.begun!.then(publish, () => {});
    else publish();
    return true;
  }

  async #begin({ spec, record, lease }: LiveParts<P>): Promise<void> {
    const { pipelineIdOf } = this.#dependencies;
    record.pipelineId = await pipelineIdOf(spec.pipelineName);
    if (lease !== undefined) {
      this.broadcast.continueAfter(await lease.claim());
    }
    if (this.#initiated) record.initiated();
    this.#phase = RUNNING;
    const event = this.broadcast.publish({ kind: "Started" });
    record.started(event as RunEvent);
  }

  async #execute(
    work: PipelineWork<P>,
    { begun, execution }: LiveParts<P>,
  ): Promise<void> {
    try {
      await begun;
    } catch (error) {
      this.#refuse(error);
      return;
    }
    if (this.#ended) return;
    try {
      await execution.execute(work, this.#context(execution));
      this.#end({ writesRow: true });
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Ends a run that has not begun, unless it was abandoned. */
  #refuse(error: unknown): void {
    const live = this.#live;
    if (live === undefined) return;
    this.#ended = true;
    live.disarm?.();
    this.broadcast.close();
    const phase: RunPhase = { name: "Errored", message: errorMessage(error) };
    this.#live = undefined;
    live.outcome.resolve({ runId: this.id, phase, durable: false });
    this.#dependencies.onRefused(this as Run<unknown>);
  }

  #context(execution: WorkExecution<P>): RunContext<P> {
    return {
      runId: this.id,
      signal: execution.signal,
      watcher: this.watcher,
      publish: (payload) => this.#publish(payload),
      setPayload: (key, value) => this.#setPayload(key, value),
    };
  }

  #publish(payload: P): void {
    if (this.#ended) return;
    const { record, throttle } = this.#live!;
    const json = record.serialize(payload);
    if (throttle === undefined) this.#yield(payload, json);
    else throttle.push({ payload, json });
  }

  #yield(payload: P, json: string | undefined): void {
    const event = this.broadcast.publish({ kind: "Yield" }, payload);
    this.#live!.record.append(event as RunEvent, json);
  }

  async #setPayload(key: string, value: unknown): Promise<void> {
    checkPayloadKey(key);
    const { maxPayloadBytes, repository, warn } = this.#dependencies;
    const json = storableJson(
      value,
      "Cannot set payload: value",
      maxPayloadBytes,
    );
    if (this.#ended) return;
    try {
      // Parsed again, so that the repository gets the value as it is now, and
      // plain.
      await repository.setPayloadField(this.id, key, JSON.parse(json));
    } catch (cause) {
      const message = `Payload field ${key} of run ${this.id} was not written`;
      warn({ kind: "payload", runId: this.id, message, cause });
    }
  }

  #fail(error: unknown): void {
    const message = errorMessage(error);
    this.#end({ message, error: message, writesRow: true, reason: error });
  }

  #end(ending: Ending): void {
    if (this.#ended) return;
    const live = this.#live!;
    live.throttle?.flush();
    this.#ended = true;
    live.disarm?.();
    live.execution.stop(ending.reason);
    this.#conclude(ending, live);
  }

  async #conclude(
    { message, error, writesRow }: Ending,
    { begun, record, outcome }: LiveParts<P>,
  ): Promise<void> {
    if (this.#phase === PENDING) {
      try {
        await begun;
      } catch {
        return; // Who registered the run is told.
      }
      if (this.#live === undefined) return; // It was abandoned.
    }
    const last = this.broadcast.next(
      message === undefined
        ? { kind: "Completed" }
        : { kind: "Errored", message },
    );
    const { durable, instead } = await record.ended(
      error,
      last as RunEvent,
      writesRow,
    );
    const event = (instead ?? last) as RunEvent<P>;
    this.#phase = event.kind === "Errored"
      ? Object.freeze({ name: "Errored", message: event.message })
      : COMPLETED;
    this.broadcast.enqueue(event);
    this.broadcast.close();
    outcome.resolve({ runId: this.id, phase: this.#phase, durable });
    record.whenIdle(() => {
      this.#live = undefined;
      this.#dependencies.onFinished(this as Run<unknown>);
    });
  }

  /** Ends the run on time-out and when the caller's signal fires. */
  #arm(live: LiveParts<P>): void {
    const { signal, timeout } = live.spec;
    if (signal === undefined && timeout === undefined) return;
    const timer = timeout && setTimeout(() => {
      const message = `timed out after ${timeout} ms`;
      const reason = new DOMException(`The run ${message}`, "TimeoutError");
      this.#end({ message, error: message, writesRow: true, reason });
    }, timeout);
    const onAbort = () => this.abort(signal!.reason, linkedReason(signal!));
    signal?.addEventListener("abort", onAbort);
    live.disarm = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    };
    if (signal?.aborted) onAbort();
  }
}

/** What a signal says of why it fired; `undefined` when it was given no reason. */
function linkedReason({ reason }: AbortSignal): string | undefined {
  return reason instanceof DOMException && reason.name === "AbortError"
    ? undefined
    : errorMessage(reason);
}
