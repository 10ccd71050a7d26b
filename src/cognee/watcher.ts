import type { PipelineRunStatus } from "../model/row.ts";

/** A run, as the hooks of a {@linkcode PipelineWatcher} receive it. */
export interface PipelineRunInfo {
  /** The run's UUID. */
  runId: string;
  /** The pipeline's UUID. */
  pipelineId: string;
  /** The pipeline's name. */
  pipelineName: string;
  /** The user the run is for. */
  userId?: string;
  /** The tenant the run is for. */
  tenantId?: string;
  /** The UUID of the dataset it works on. */
  datasetId?: string;
  /** The UUIDs of the data it works on. */
  dataIds: readonly string[];
  /** Its current status. */
  status: PipelineRunStatus;
  /** When it started. */
  startedAt: Date;
  /** When it ended, if it has. */
  completedAt?: Date;
}

/** The progress of a pipeline. */
export type PipelineProgress =
  | { kind: "Started"; taskCount: number }
  | { kind: "Succeeded"; outputCount: number }
  | { kind: "Failed"; taskIndex: number; error: string }
  | { kind: "Cancelled" }
  | { kind: "ItemSkipped"; dataId: string };

/** The progress of a task. */
export type TaskProgress =
  | { kind: "Started" | "Succeeded" }
  | { kind: "Retrying"; attempt: number; error: string }
  | { kind: "Failed"; attempts: number; error: string };

/**
 * An observer of pipelines and their tasks. Subclasses must implement the first
 * two hooks; the others do nothing unless overridden.
 */
export abstract class PipelineWatcher {
  /** Called when a pipeline makes progress; `pipelineId` is its UUID. */
  abstract onPipeline(
    pipelineId: string,
    progress: PipelineProgress,
  ): Promise<void>;

  /**
   * Called when a task makes progress.
   *
   * @param pipelineId The pipeline's UUID.
   * @param task The task: its index from 0, its name, and the number of tasks.
   */
  abstract onTask(
    pipelineId: string,
    task: { index: number; name?: string; total: number },
    progress: TaskProgress,
  ): Promise<void>;

  /** Called when a run is about to start. */
  async onPipelineRunInitiated(_run: PipelineRunInfo): Promise<void> {}

  /** Called when a run has started. */
  async onPipelineRunStarted(_run: PipelineRunInfo): Promise<void> {}

  /** Called when a run has completed, with the number of its outputs. */
  async onPipelineRunCompleted(
    _run: PipelineRunInfo,
    _outputCount: number,
  ): Promise<void> {}

  /** Called when a run has failed, with the error's message. */
  async onPipelineRunErrored(
    _run: PipelineRunInfo,
    _error: string,
  ): Promise<void> {}

  /** Called when a task has started, with its name and its index from 0. */
  async onTaskStarted(
    _run: PipelineRunInfo,
    _taskName: string,
    _taskIndex: number,
  ): Promise<void> {}

  /** Called when a task has completed, with its name and number of results. */
  async onTaskCompleted(
    _run: PipelineRunInfo,
    _taskName: string,
    _resultCount: number,
  ): Promise<void> {}

  /** Called when a task has failed finally, with its name and the error's message. */
  async onTaskErrored(
    _run: PipelineRunInfo,
    _taskName: string,
    _error: string,
  ): Promise<void> {}

  /** Called to keep a payload field of a run; the value must be JSON. */
  async onPayloadField(
    _runId: string,
    _key: string,
    _value: unknown,
  ): Promise<void> {}
}
