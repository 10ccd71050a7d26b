import type { Deadlines } from "../async/deadlines.ts";
import { onAbort } from "../async/on_abort.ts";
import { Throttle } from "../async/throttle.ts";
import {
  ScopedRunWatcher,
  type WatchedRun,
} from "../cognee/scoped_run_watcher.ts";
import { storableJson } from "../json/storable.ts";
import { errorMessage } from "../model/error_message.ts";
import { type LeaseLostError, RegistryShutdownError } from "../model/errors.ts";
import { abortFailure, LEASE_EXPIRED, workFailure } from "../model/failure.ts";
import { registryPipelineId } from "../model/ids.ts";
import { erroredPhase, type RunPhase } from "../model/phase.ts";
import type { RunSpan, Telemetry } from "../model/telemetry.ts";
import type { RegistryWarning } from "../model/warning.ts";
import {
  checkPayloadKey,
  type PipelineRunRepository,
} from "../repository/repository.ts";
import type { LocalEvents, LoggedRun, RunLog } from "../repository/run_log.ts";
import { formerTraceparent } from "./former_traceparent.ts";
import type { PipelineWork, RunContext } from "./run_context.ts";
import {
  outcomeOf,
  type RunEnding,
  type StoredResult,
  storedResult,
} from "./run_ending.ts";
import type { RunEvents } from "./run_events.ts";
import type { RunOutcome } from "./run_handle.ts";
import { RunRecorder } from "./run_recorder.ts";
import type { CheckedRunSpec } from "./run_spec.ts";
import { WorkExecution } from "./work_execution.ts";

/** What runs need of their registry. */
export interface RunDependencies {
  readonly repository: PipelineRunRepository;
  readonly runLog: RunLog;
  /** Bounds the wait for an ending. */
  readonly endings: Deadlines;
  readonly yieldThrottle: number;
  readonly maxPayloadBytes: number;
  readonly abortWritesErroredRow: boolean;
  readonly telemetry?: Telemetry;
  readonly warn: (warning: RegistryWarning) => void;
  /** Called when a run could not begin. */
  readonly onRefused: (run: Run) => void;
  /** Called when a run has ended and everything of it is written or given up. */
  readonly onFinished: (run: Run) => void;
}

/** What a run needs until it has ended and is recorded. */
interface LiveParts {
  readonly spec: CheckedRunSpec;
  readonly recorder: RunRecorder;
  readonly outcome: PromiseWithResolvers<RunOutcome>;
  readonly execution: WorkExecution;
  readonly throttle: Throttle<Yield> | undefined;
  begun: Promise<void> | undefined;
  span: RunSpan | undefined;
  disarm: (() => void) | undefined;
  onFinished: (() => void) | undefined;
}

interface Yield {
  readonly payload: unknown;
  readonly json: string | undefined;
}

const PENDING: RunPhase = Object.freeze({ name: "Pending" });
const RUNNING: RunPhase = Object.freeze({ name: "Running" });
const COMPLETED: RunPhase = Object.freeze({ name: "Completed" });

/**
 * One attempt of a run.
 *
 * It is `Pending` when made, `Running` once its Started event is published, and
 * finally `Completed` or `Errored`. Everything that can end it (its work settles,
 * an abort, the timeout, a shutdown, a lost lease) goes through one method, which
 * acts the first time only: it claims the ending at once and stops the work. Then,
 * in this order, the row is written, the phase is set, the last event is published
 * and the broadcast closed. So a subscriber that sees the last event can read the
 * row, and nothing follows that event.
 *
 * Finished runs are held by the thousand, so a finished run drops all that it took
 * to run.
 */
export class Run implements LoggedRun, WatchedRun {
  /** The run's UUID in canonical spelling. */
  readonly runId: string;
  readonly given: boolean;
  readonly events: RunEvents;
  readonly #dependencies: RunDependencies;
  #live: LiveParts | undefined;
  #phase: RunPhase = PENDING;
  #initiated = false;
  #ended = false;

  constructor(
    spec: CheckedRunSpec,
    events: RunEvents,
    dependencies: RunDependencies,
  ) {
    this.runId = spec.runId;
    this.given = spec.given;
    this.events = events;
    this.#dependencies = dependencies;
    const { yieldThrottle } = dependencies;
    const lease = dependencies.runLog.open(this);
    this.#live = {
      spec,
      recorder: new RunRecorder(spec, lease, dependencies),
      outcome: Promise.withResolvers(),
      execution: new WorkExecution(),
      throttle: yieldThrottle === 0
        ? undefined
        : new Throttle(yieldThrottle, (held) => this.#yield(held)),
      begun: undefined,
      span: undefined,
      disarm: undefined,
      onFinished: undefined,
    };
  }

  get phase(): RunPhase {
    return this.#phase;
  }

  /** Whether it has ended and everything of it is written or given up. */
  get finished(): boolean {
    return this.#live === undefined;
  }

  get watcher(): ScopedRunWatcher {
    return new ScopedRunWatcher(this.runId, this);
  }

  get maxPayloadBytes(): number {
    return this.#dependencies.maxPayloadBytes;
  }

  /** Resolves when the run has begun, rejects if it cannot; `undefined` once finished. */
  get begun(): Promise<void> | undefined {
    return this.#live?.begun;
  }

  /** How the run ends; `undefined` once finished. It never rejects. */
  get outcome(): Promise<RunOutcome> | undefined {
    return this.#live?.outcome.promise;
  }

  /** What was registered; `undefined` once finished. */
  get spec(): CheckedRunSpec | undefined {
    return this.#live?.spec;
  }

  /** The UUID of the STARTED row; `undefined` once finished. */
  get startedRowId(): string | undefined {
    return this.#live?.recorder.startedRowId;
  }

  /** Its span, if it is traced; `undefined` before it begins and once finished. */
  get span(): RunSpan | undefined {
    return this.#live?.span;
  }

  /** Begins the run; its work is called in a later microtask. */
  start(work: PipelineWork): void {
    const live = this.#live!;
    live.begun = this.#begin(work, live);
    this.#arm(live);
  }

  /**
   * Ends the run as aborted, unless it has ended.
   *
   * @param reason What the signal fires with.
   * @param text What the last event and the row say, if anything.
   */
  abort(reason: unknown, text?: string): void {
    const code = reason instanceof RegistryShutdownError
      ? "shutdown"
      : "aborted";
    this.#end({
      failure: abortFailure(code, text),
      writesRow: this.#dependencies.abortWritesErroredRow,
      reason,
    });
  }

  onAbortRequest(reason: string | undefined): void {
    this.abort(reason, reason);
  }

  onLost(error: LeaseLostError): void {
    this.#dependencies.telemetry?.onLeaseLost();
    this.#end({ failure: LEASE_EXPIRED, writesRow: true, reason: error });
  }

  initiate(): void {
    this.#initiated = true;
  }

  fail(message: string): void {
    this.#fail(new Error(message));
  }

  async setPayload(key: string, value: unknown): Promise<void> {
    checkPayloadKey(key);
    const { repository, warn } = this.#dependencies;
    const json = storableJson(
      value,
      "Cannot set payload: value",
      this.maxPayloadBytes,
    );
    if (this.#ended) return;
    try {
      // Parsed again, so that the repository gets a plain copy of the value as it is now.
      await repository.setPayloadField(this.runId, key, JSON.parse(json));
    } catch (cause) {
      const message =
        `Payload field ${key} of run ${this.runId} was not written`;
      warn({ kind: "payload", runId: this.runId, message, cause });
    }
  }

  /** Gives up, at shutdown, a claim that is pending and what is not written yet. */
  abandon(): void {
    if (this.#live?.recorder.abandon() && this.#phase === PENDING) {
      this.#refuse(new RegistryShutdownError());
    }
  }

  /** Resolves when the run is {@linkcode Run.finished}. */
  whenFinished(): Promise<void> {
    const live = this.#live;
    if (live === undefined) return Promise.resolve();
    return new Promise((resolve) => live.onFinished = resolve);
  }

  /** Publishes an AlreadyCompleted event after Started, unless the run has ended. */
  publishAlreadyCompleted(): boolean {
    if (this.#ended) return false;
    const publish = () => {
      if (this.#ended) return;
      const event = this.events.publish("AlreadyCompleted");
      this.#live!.recorder.append(event, undefined);
    };
    if (this.#phase === PENDING) this.#live!.begun!.then(publish, () => {});
    else publish();
    return true;
  }

  /**
   * The events that the log may not have yet.
   *
   * @param after The number of the last event that the subscriber knows.
   */
  async unrecorded(
    after: number | undefined,
  ): Promise<LocalEvents | undefined> {
    try {
      await this.#live?.begun;
    } catch {
      // It was refused, and so is finished: another instance runs it.
    }
    if (this.finished) return undefined;
    const from = after ?? this.events.firstSeq - 1;
    const events = this.events.subscribe({ after: from, lag: "skip" });
    return { after: from, events };
  }

  async #begin(work: PipelineWork, live: LiveParts): Promise<void> {
    const { spec, recorder } = live;
    const { telemetry } = this.#dependencies;
    try {
      const id = registryPipelineId(spec.pipelineName);
      recorder.pipelineId = typeof id === "string" ? id : await id;
      const lastSeq = await recorder.claim();
      let former: string | undefined;
      if (telemetry !== undefined && this.given && lastSeq !== 0) {
        former = await formerTraceparent(this.runId, this.#dependencies);
      }
      if (this.#live === undefined) throw new RegistryShutdownError();
      if (lastSeq !== undefined) this.events.continueAfter(lastSeq);
      const span = telemetry?.beginRun(spec, former);
      live.span = span;
      if (this.#initiated) recorder.initiated();
      this.#phase = RUNNING;
      recorder.started(this.events.publish("Started"), span?.traceparent);
    } catch (error) {
      this.#refuse(error);
      throw error;
    }
    this.#execute(work, live);
  }

  async #execute(work: PipelineWork, live: LiveParts): Promise<void> {
    if (this.#ended) return;
    try {
      const { execution, span } = live;
      const result = await (span === undefined
        ? execution.execute(work, this.#context(live))
        : this.#executeWithin(span, work, live));
      this.#end({ writesRow: true, result });
    } catch (error) {
      this.#fail(error);
    }
  }

  /** A method of its own, since a closure costs also the runs that do not come by. */
  #executeWithin(
    span: RunSpan,
    work: PipelineWork,
    live: LiveParts,
  ): Promise<unknown> {
    return span.within(() => live.execution.execute(work, this.#context(live)));
  }

  /** Ends a run that could not begin, unless it was abandoned. */
  #refuse(error: unknown): void {
    const live = this.#live;
    if (live === undefined) return;
    this.#ended = true;
    live.disarm?.();
    this.events.close();
    const { runId } = this;
    const phase = erroredPhase(workFailure(error));
    this.#live = undefined;
    live.outcome.resolve({ runId, phase, durable: false });
    this.#dependencies.onRefused(this);
    live.onFinished?.();
  }

  #context({ execution, recorder, throttle }: LiveParts): RunContext {
    return {
      runId: this.runId,
      signal: execution.signal,
      watcher: this.watcher,
      publish: (payload) => {
        if (this.#ended) return;
        const json = recorder.serialize(payload);
        if (this.#ended) return; // Serializing may call code that ends the run.
        if (throttle === undefined) this.#yield({ payload, json });
        else throttle.push({ payload, json });
      },
      setPayload: (key, value) => this.setPayload(key, value),
    };
  }

  #yield({ payload, json }: Yield): void {
    const event = this.events.yield(payload);
    this.#live!.recorder.append(event, json);
  }

  #fail(cause: unknown): void {
    if (this.#ended) return;
    const failure = workFailure(cause);
    this.#dependencies.warn({
      kind: "work",
      runId: this.runId,
      message: `The work of run ${this.runId} failed: ${failure.message}`,
      cause,
    });
    this.#end({ failure, cause, writesRow: true, reason: cause });
  }

  #end(ending: RunEnding): void {
    if (this.#ended) return;
    const live = this.#live!;
    live.throttle?.flush();
    this.#ended = true;
    live.disarm?.();
    live.execution.stop(ending.reason);
    if (this.#phase !== PENDING) return this.#conclude(ending, live);
    // If it cannot begin, the caller that registered the run gets the error.
    live.begun!.then(() => this.#conclude(ending, live), () => {});
  }

  #conclude(ending: RunEnding, live: LiveParts): void {
    const { failure, writesRow, result } = ending;
    const last = this.events.last(failure);
    const stored = storedResult(result, this.maxPayloadBytes);
    if (stored?.error !== undefined) this.#warnOfResult(stored);
    const toRecord = { failure, event: last, result: stored?.json, writesRow };
    live.recorder.ended(toRecord, ({ durable, instead }) => {
      // The log may not have the last Yields that memory has: numbers do not go back.
      const event = instead === undefined
        ? last
        : { ...instead, seq: last.seq };
      this.#phase = event.kind === "Errored"
        ? Object.freeze(erroredPhase(event))
        : COMPLETED;
      const ended = outcomeOf(
        this.runId,
        this.#phase,
        durable,
        ending,
        stored?.error,
      );
      live.span?.end(ended.phase, durable);
      this.events.enqueue(event);
      this.events.close();
      live.outcome.resolve(ended);
      live.recorder.whenIdle(() => this.#finish(live));
    });
  }

  #finish(live: LiveParts): void {
    this.#live = undefined;
    this.#dependencies.onFinished(this);
    live.onFinished?.();
  }

  #warnOfResult({ error, cause }: StoredResult): void {
    const { runId } = this;
    const message = `The result of run ${runId} is not stored: ${error}`;
    this.#dependencies.warn({ kind: "result", runId, message, cause });
  }

  /** Ends the run on timeout and when the caller's signal fires. */
  #arm(live: LiveParts): void {
    const { signal, timeout } = live.spec;
    if (signal === undefined && timeout === undefined) return;
    const timer = timeout && setTimeout(() => {
      const message = `timed out after ${timeout} ms`;
      const reason = new DOMException(`The run ${message}`, "TimeoutError");
      const failure = { code: "timeout", message } as const;
      this.#end({ failure, writesRow: true, reason });
    }, timeout);
    live.disarm = () => clearTimeout(timer);
    const stopListening = onAbort(signal, (reason) => {
      this.abort(reason, abortText(reason));
    });
    live.disarm = () => {
      clearTimeout(timer);
      stopListening();
    };
  }
}

/** What the reason of a signal says; `undefined` for a signal aborted without one. */
function abortText(reason: unknown): string | undefined {
  return reason instanceof DOMException && reason.name === "AbortError"
    ? undefined
    : errorMessage(reason);
}
