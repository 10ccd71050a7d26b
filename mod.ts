/**
 * A registry of pipeline runs: register long work, follow its events as
 * `ReadableStream`s, abort it, and keep its audit trail.
 *
 * @example Usage
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { PipelineRunRegistry } from "@pipeline/run-registry";
 *
 * await using registry = new PipelineRunRegistry();
 *
 * const { runId } = await registry.registerBackground(
 *   { pipelineName: "ingest" },
 *   async function* ({ signal }) {
 *     for (const document of ["a.txt", "b.txt"]) {
 *       signal.throwIfAborted();
 *       yield { document };
 *     }
 *   },
 * );
 *
 * const kinds = [];
 * for await (const event of registry.subscribe(runId)) kinds.push(event.kind);
 *
 * assertEquals(kinds, ["Started", "Yield", "Yield", "Completed"]);
 * ```
 *
 * @module
 */
export {
  BroadcastController,
  type BroadcastControllerOptions,
  type BroadcastTeeOptions,
} from "./src/broadcast_controller.ts";
export {
  DbPipelineWatcher,
  type DbPipelineWatcherOptions,
} from "./src/db_pipeline_watcher.ts";
export {
  LeaseLostError,
  RegistryError,
  RegistryFullError,
  RegistryShutdownError,
  RepositoryError,
  RunAlreadyActiveError,
  UnknownRunError,
} from "./src/errors.ts";
export type { RunEvent, RunEventBase } from "./src/event.ts";
export { pipelineId, pipelineRunId } from "./src/ids.ts";
export {
  MemoryPipelineRunRepository,
  type MemoryPipelineRunRepositoryOptions,
} from "./src/memory_repository.ts";
export type {
  PipelineRunRegistryOptions,
  SubscribeOptions,
} from "./src/options.ts";
export type { RunPhase } from "./src/phase.ts";
export {
  checkPipelineRunQualification,
  type PipelineRunQualification,
  resetDatasetPipelineRunStatus,
  resetPipelineRunStatus,
} from "./src/qualification.ts";
export { PipelineRunRegistry, type SweepReport } from "./src/registry.ts";
export type {
  AttributedPipelineRunRow,
  LogPipelineRunOptions,
  PipelineRunRepository,
  PipelineRunRow,
  PipelineRunStatus,
  PipelineRunTransition,
} from "./src/repository.ts";
export type { RunHandle, RunOutcome } from "./src/run.ts";
export type { PipelineWork, RunContext } from "./src/run_context.ts";
export type {
  LocalEvents,
  LoggedRun,
  LogStep,
  RunLease,
  RunLog,
  RunStatus,
} from "./src/run_log.ts";
export {
  dataInfo,
  type RunInfo,
  runInfoForErrored,
  runInfoForInitiated,
  runInfoForRunning,
} from "./src/run_info.ts";
export type { RunSpec } from "./src/run_spec.ts";
export { ScopedRunWatcher, type WatchedRun } from "./src/scoped_run_watcher.ts";
export type { RegistryWarning } from "./src/warning.ts";
export {
  type PipelineProgress,
  type PipelineRunInfo,
  PipelineWatcher,
  type TaskProgress,
} from "./src/watcher.ts";
