import type { PipelineRunStatus } from "../model/row.ts";

/** What a watcher is told of a run. */
export interface PipelineRunInfo {
  /** The run's UUID. */
  runId: string;
  /** The pipeline's UUID. */
  pipelineId: string;
  /** The pipeline's name. */
  pipelineName: string;
  /** Who the run is for. */
  userId?: string;
  /** The tenant the run is for. */
  tenantId?: string;
  /** The UUID of the dataset it works on. */
  datasetId?: string;
  /** The UUIDs of the data it works on. */
  dataIds: readonly string[];
  /** What the run has become. */
  status: PipelineRunStatus;
  /** When it was begun. */
  startedAt: Date;
  /** When it ended, once it has. */
  completedAt?: Date;
}

/** What a pipeline reports of itself. */
export type PipelineProgress =
  | { kind: "Started"; taskCount: number }
  | { kind: "Succeeded"; outputCount: number }
  | { kind: "Failed"; taskIndex: number; error: string }
  | { kind: "Cancelled" }
  | { kind: "ItemSkipped"; dataId: string };

/** What a task reports of itself. */
export type TaskProgress =
  | { kind: "Started" | "Succeeded" }
  | { kind: "Retrying"; attempt: number; error: string }
  | { kind: "Failed"; attempts: number; error: string };

/**
 * An observer of pipelines and their tasks. Only the first two hooks must be
 * written; the others do nothing unless overridden.
 */
export abstract class PipelineWatcher {
  /**
   * A pipeline made progress.
   *
   * @param pipelineId The pipeline's UUID.
   * @param progress What happened.
   */
  abstract onPipeline(
    pipelineId: string,
    progress: PipelineProgress,
  ): Promise<void>;

  /**
   * A task made progress.
   *
   * @param pipelineId The pipeline's UUID.
   * @param task Which of the pipeline's tasks, counted from 0, and of how many.
   * @param progress What happened.
   */
  abstract onTask(
    pipelineId: string,
    task: { index: number; name?: string; total: number },
    progress: TaskProgress,
  ): Promise<void>;

  /**
   * A run is about to begin.
   *
   * @param _run The run.
   */
  async onPipelineRunInitiated(_run: PipelineRunInfo): Promise<void> {}

  /**
   * A run has begun.
   *
   * @param _run The run.
   */
  async onPipelineRunStarted(_run: PipelineRunInfo): Promise<void> {}

  /**
   * A run has ended well.
   *
   * @param _run The run.
   * @param _outputCount How many outputs it made.
   */
  async onPipelineRunCompleted(
    _run: PipelineRunInfo,
    _outputCount: number,
  ): Promise<void> {}

  /**
   * A run has failed.
   *
   * @param _run The run.
   * @param _error What went wrong.
   */
  async onPipelineRunErrored(
    _run: PipelineRunInfo,
    _error: string,
  ): Promise<void> {}

  /**
   * A task has begun.
   *
   * @param _run The run.
   * @param _taskName The task's name.
   * @param _taskIndex Its index, from 0.
   */
  async onTaskStarted(
    _run: PipelineRunInfo,
    _taskName: string,
    _taskIndex: number,
  ): Promise<void> {}

  /**
   * A task has ended well.
   *
   * @param _run The run.
   * @param _taskName The task's name.
   * @param _resultCount How many results it made.
   */
  async onTaskCompleted(
    _run: PipelineRunInfo,
    _taskName: string,
    _resultCount: number,
  ): Promise<void> {}

  /**
   * A task has failed for good.
   *
   * @param _run The run.
   * @param _taskName The task's name.
   * @param _error What went wrong.
   */
  async onTaskErrored(
    _run: PipelineRunInfo,
    _taskName: string,
    _error: string,
  ): Promise<void> {}

  /**
   * A run has a payload field to keep.
   *
   * @param _runId The run's UUID.
   * @param _key The field's name.
   * @param _value Its value, which must be JSON.
   */
  async onPayloadField(
    _runId: string,
    _key: string,
    _value: unknown,
  ): Promise<void> {}
}
