import type { Deadlines } from "../async/deadlines.ts";
import { LeaseLostError } from "../model/errors.ts";
import type { RunEvent } from "../model/event.ts";
import type { RunFailure } from "../model/failure.ts";
import { CheckedTransition, type PipelineRunStatus } from "../model/row.ts";
import {
  type RunInfo,
  runInfoForFailure,
  runInfoForInitiated,
  runInfoForRunning,
} from "../model/run_info.ts";
import type { RegistryWarning } from "../model/warning.ts";
import type { RunLease, RunLog, RunStep } from "../repository/run_log.ts";
import type { CheckedRunSpec } from "./run_spec.ts";

/** The ending of a run, to be recorded. */
export interface EndingToRecord {
  /** Why it failed; `undefined` is completion. */
  readonly failure: RunFailure | undefined;
  /** The last event. */
  readonly event: RunEvent;
  /** The result as JSON, if there is one; see {@linkcode RunStep.result}. */
  readonly result: string | undefined;
  /** Whether the ending has a row. */
  readonly writesRow: boolean;
}

/** How the ending of a run was recorded. */
export interface RecordedEnding {
  /** Whether its row was written in time. */
  readonly durable: boolean;
  /** The last event as another instance logged it, if that instance ended the run. */
  readonly instead: RunEvent | undefined;
}

/** What a {@linkcode RunRecorder} needs of the registry. */
export interface RunRecorderDependencies {
  readonly runLog: Pick<RunLog, "newId">;
  /** Bounds the wait for an ending. */
  readonly endings: Deadlines;
  readonly warn: (warning: RegistryWarning) => void;
}

/**
 * Records one attempt of a run: makes its rows and writes them with its events, in
 * steps that the run's lease keeps in order.
 */
export class RunRecorder {
  /** The UUID of the STARTED row. */
  readonly startedRowId: string;
  /** The UUID of the pipeline; set before the first row. */
  pipelineId: string = "";
  readonly #spec: CheckedRunSpec;
  readonly #ids: Pick<RunLog, "newId">;
  readonly #lease: RunLease;
  readonly #endings: Deadlines;
  readonly #warn: (warning: RegistryWarning) => void;
  /** How many steps are being written. */
  #writing = 0;
  #onIdle: (() => void) | undefined;
  #lost = false;
  #abandoned = false;

  constructor(
    spec: CheckedRunSpec,
    lease: RunLease,
    { runLog, endings, warn }: RunRecorderDependencies,
  ) {
    this.startedRowId = runLog.newId();
    this.#spec = spec;
    this.#ids = runLog;
    this.#lease = lease;
    this.#endings = endings;
    this.#warn = warn;
  }

  /** Claims the run; see {@linkcode RunLease.claim}. */
  claim(): Promise<number | undefined> {
    return this.#lease.claim();
  }

  /** Records that the run is about to begin. */
  initiated(): void {
    const runInfo = runInfoForInitiated();
    const transition = this.#row("DATASET_PROCESSING_INITIATED", runInfo);
    this.#write({ transition });
  }

  /**
   * Records that the run has begun.
   *
   * @param event The Started event.
   * @param traceparent That of the run's span, if there is one.
   */
  started(event: RunEvent, traceparent?: string): void {
    const runInfo = runInfoForRunning(this.#spec.dataIds);
    if (traceparent !== undefined) runInfo.traceparent = traceparent;
    const transition = this.#row(
      "DATASET_PROCESSING_STARTED",
      runInfo,
      this.startedRowId,
    );
    this.#write({ transition, event });
  }

  /** A payload as it is recorded; see {@linkcode RunLease.serialize}. */
  serialize(payload: unknown): string | undefined {
    return this.#lease.serialize(payload);
  }

  /** Records an event without waiting. */
  append(event: RunEvent, json: string | undefined): void {
    this.#lease.append(event, json);
  }

  /** Records the ending, and calls back once: when that is done, or at the deadline. */
  ended(
    ending: EndingToRecord,
    onRecorded: (recorded: RecordedEnding) => void,
  ): void {
    const { failure, event, result, writesRow } = ending;
    const transition = writesRow ? this.#endingRow(failure) : undefined;
    this.#write({ transition, event, result, ends: true }, (isWritten) => {
      if (!this.#endings.cancel(deadline)) return;
      this.#tell(isWritten && writesRow, onRecorded);
    });
    const deadline = this.#endings.add(() => {
      const { runId } = this.#spec;
      const message = `Run ${runId} ended before its ending was durable`;
      this.#warn({ kind: "ending", runId, message });
      this.#tell(false, onRecorded);
    });
  }

  async #tell(
    durable: boolean,
    onRecorded: (recorded: RecordedEnding) => void,
  ): Promise<void> {
    if (!this.#lost) return onRecorded({ durable, instead: undefined });
    const instead = await this.#lease.recordedEnding();
    onRecorded({ durable: instead !== undefined, instead });
  }

  /** Whether everything is written or given up. */
  get idle(): boolean {
    return this.#writing === 0;
  }

  /** Calls back once everything is written or given up. */
  whenIdle(callback: () => void): void {
    if (this.idle) callback();
    else this.#onIdle = callback;
  }

  /** Gives up what is not written yet, at shutdown; see {@linkcode RunLease.abandon}. */
  abandon(): boolean {
    this.#abandoned = true;
    const isRefused = this.#lease.abandon();
    if (!this.idle) {
      const { runId } = this.#spec;
      const message = `Run ${runId} has rows that were not written at shutdown`;
      this.#warn({ kind: "row", runId, message });
    }
    return isRefused;
  }

  #write(step: RunStep, onSettled?: (isWritten: boolean) => void): void {
    this.#writing++;
    this.#send(step).then(
      () => this.#settle(true, onSettled),
      (cause) => {
        this.#onFailure(step, cause);
        this.#settle(false, onSettled);
      },
    );
  }

  /** A lease that throws counts as one that rejects. */
  #send(step: RunStep): Promise<void> {
    try {
      return this.#lease.write(step);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #settle(isWritten: boolean, onSettled?: (isWritten: boolean) => void): void {
    this.#writing--;
    onSettled?.(isWritten);
    if (this.idle) this.#onIdle?.();
  }

  #onFailure({ transition }: RunStep, cause: unknown): void {
    if (cause instanceof LeaseLostError) this.#lost = true;
    if (this.#abandoned) return;
    const { runId } = this.#spec;
    const what = transition ? `Row ${transition.status}` : "The ending";
    const message = `${what} of run ${runId} was not written`;
    this.#warn({ kind: "row", runId, message, cause });
  }

  #endingRow(failure: RunFailure | undefined) {
    const { dataIds } = this.#spec;
    if (failure === undefined) {
      const runInfo = runInfoForRunning(dataIds);
      return this.#row("DATASET_PROCESSING_COMPLETED", runInfo);
    }
    const runInfo = runInfoForFailure(dataIds, failure);
    return this.#row("DATASET_PROCESSING_ERRORED", runInfo);
  }

  #row(
    status: PipelineRunStatus,
    runInfo: RunInfo,
    id: string = this.#ids.newId(),
  ): CheckedTransition {
    const { runId, pipelineName, datasetId } = this.#spec;
    return new CheckedTransition({
      id,
      status,
      pipelineRunId: runId,
      pipelineName,
      pipelineId: this.pipelineId,
      datasetId,
      runInfo,
    });
  }
}
