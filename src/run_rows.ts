import { type AuditTrail, RunTrail } from "./audit_trail.ts";
import type { PipelineRunStatus, PipelineRunTransition } from "./repository.ts";
import {
  type RunInfo,
  runInfoForErrored,
  runInfoForInitiated,
  runInfoForRunning,
} from "./run_info.ts";
import type { CheckedRunSpec } from "./run_spec.ts";

/** Writes the rows of one attempt of a run. */
export class RunRows {
  /** The UUID of the STARTED row. */
  readonly startedRowId: string = crypto.randomUUID();
  /** The UUID of the pipeline; set before the first row. */
  pipelineId: string = "";
  readonly #spec: CheckedRunSpec;
  readonly #auditTrail: AuditTrail;
  readonly #trail: RunTrail = new RunTrail();

  constructor(spec: CheckedRunSpec, auditTrail: AuditTrail) {
    this.#spec = spec;
    this.#auditTrail = auditTrail;
  }

  /** Sends the INITIATED row. */
  initiated(): void {
    this.#send("DATASET_PROCESSING_INITIATED", runInfoForInitiated());
  }

  /** Sends the STARTED row. */
  started(): void {
    this.#send(
      "DATASET_PROCESSING_STARTED",
      runInfoForRunning(this.#spec.dataIds),
      this.startedRowId,
    );
  }

  /**
   * Sends the row of the ending.
   *
   * @param error What went wrong; `undefined` is nothing.
   * @returns Whether it was written in time.
   */
  ended(error: string | undefined): Promise<boolean> {
    const { dataIds } = this.#spec;
    return this.#auditTrail.sendEnding(
      this.#trail,
      error === undefined
        ? this.#row("DATASET_PROCESSING_COMPLETED", runInfoForRunning(dataIds))
        : this.#row(
          "DATASET_PROCESSING_ERRORED",
          runInfoForErrored(dataIds, error),
        ),
    );
  }

  /** Calls back as soon as no row is on its way. */
  whenIdle(callback: () => void): void {
    if (this.#trail.idle) callback();
    else this.#trail.onIdle = callback;
  }

  #send(status: PipelineRunStatus, runInfo: RunInfo, id?: string): void {
    this.#auditTrail.send(this.#trail, this.#row(status, runInfo, id));
  }

  #row(
    status: PipelineRunStatus,
    runInfo: RunInfo,
    id: string = crypto.randomUUID(),
  ): PipelineRunTransition {
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
