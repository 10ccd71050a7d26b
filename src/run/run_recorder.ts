import { type AuditTrail, RunTrail } from "../repository/audit_trail.ts";
import { LeaseLostError } from "../model/errors.ts";
import type { RunEvent } from "../model/event.ts";
import type { PipelineRunStatus, PipelineRunTransition } from "../model/row.ts";
import {
  type RunInfo,
  runInfoForErrored,
  runInfoForInitiated,
  runInfoForRunning,
} from "../model/run_info.ts";
import type { LogStep, RunLease } from "../repository/run_log.ts";
import type { CheckedRunSpec } from "./run_spec.ts";

/** How the ending of a run was recorded. */
export interface RecordedEnding {
  /** Whether its row was written in time. */
  readonly durable: boolean;
  /** The last event as it is recorded, where another instance ended the run. */
  readonly instead: RunEvent | undefined;
}

/**
 * Records one attempt of a run: its rows and, where the run is shared with other
 * instances, its events, in steps that are written in order.
 */
export class RunRecord {
  /** The UUID of the STARTED row. */
  readonly startedRowId: string = crypto.randomUUID();
  /** The UUID of the pipeline; set before the first row. */
  pipelineId: string = "";
  readonly #spec: CheckedRunSpec;
  readonly #auditTrail: AuditTrail;
  readonly #lease: RunLease | undefined;
  readonly #trail: RunTrail = new RunTrail();
  #lost = false;

  constructor(
    spec: CheckedRunSpec,
    auditTrail: AuditTrail,
    lease: RunLease | undefined,
  ) {
    this.#spec = spec;
    this.#auditTrail = auditTrail;
    this.#lease = lease;
  }

  /** Records that the run is about to begin. */
  initiated(): void {
    const row = this.#row(
      "DATASET_PROCESSING_INITIATED",
      runInfoForInitiated(),
    );
    const write = this.#writer({ transition: row });
    this.#auditTrail.send(this.#trail, row, write);
  }

  /** Records that the run has begun. */
  started(event: RunEvent): void {
    const runInfo = runInfoForRunning(this.#spec.dataIds);
    const row = this.#row(
      "DATASET_PROCESSING_STARTED",
      runInfo,
      this.startedRowId,
    );
    const write = this.#writer({ transition: row, event });
    this.#auditTrail.send(this.#trail, row, write);
  }

  /**
   * A payload as it will be recorded; `undefined` where events are not.
   *
   * @throws {TypeError} If it is not JSON.
   * @throws {RangeError} If it is too large.
   */
  serialize(payload: unknown): string | undefined {
    return this.#lease?.serialize(payload);
  }

  /** Records an event that nobody waits for. */
  append(event: RunEvent, json: string | undefined): void {
    this.#lease?.append(event, json);
  }

  /**
   * Records the ending.
   *
   * @param error What went wrong; `undefined` is nothing.
   * @param event The last event.
   * @param writesRow Whether there is a row of it.
   */
  async ended(
    error: string | undefined,
    event: RunEvent,
    writesRow: boolean,
  ): Promise<RecordedEnding> {
    if (!writesRow && this.#lease === undefined) {
      return { durable: false, instead: undefined };
    }
    const { dataIds } = this.#spec;
    const row = error === undefined
      ? this.#row("DATASET_PROCESSING_COMPLETED", runInfoForRunning(dataIds))
      : this.#row(
        "DATASET_PROCESSING_ERRORED",
        runInfoForErrored(dataIds, error),
      );
    const write = this.#writer({
      transition: writesRow ? row : undefined,
      event,
      ends: true,
    });
    const written = await this.#auditTrail.sendEnding(this.#trail, row, write);
    if (!this.#lost) {
      return { durable: written && writesRow, instead: undefined };
    }
    const instead = await this.#lease!.recordedEnding();
    return { durable: instead !== undefined, instead };
  }

  /** Whether no row is on its way. */
  get idle(): boolean {
    return this.#trail.idle;
  }

  /** Calls back as soon as no row is on its way. */
  whenIdle(callback: () => void): void {
    if (this.#trail.idle) callback();
    else this.#trail.onIdle = callback;
  }

  /** Writes a step, where the run is shared. */
  #writer(step: LogStep): (() => Promise<void>) | undefined {
    const lease = this.#lease;
    return lease && (async () => {
      try {
        await lease.write(step);
      } catch (error) {
        if (error instanceof LeaseLostError) this.#lost = true;
        throw error;
      }
    });
  }

  #row(
    status: PipelineRunStatus,
    runInfo: RunInfo,
    id: string = crypto.randomUUID(),
  ): PipelineRunTransition & { id: string } {
    const { runId, pipelineName, datasetId } = this.#spec;
    return {
      id,
      status,
      pipelineRunId: runId,
      pipelineName,
      pipelineId: this.pipelineId,
      datasetId,
      runInfo,
    };
  }
}
