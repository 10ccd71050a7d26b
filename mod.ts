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
 * const run = await registry.registerBackground(
 *   { pipelineName: "ingest" },
 *   async function* ({ signal }) {
 *     for (const document of ["a.txt", "b.txt"]) {
 *       signal.throwIfAborted();
 *       yield { document };
 *     }
 *     return "done";
 *   },
 * );
 *
 * const documents = [];
 * for await (const event of run.subscribe()) {
 *   if (event.kind === "Yield") documents.push(event.payload.document);
 * }
 * assertEquals(documents, ["a.txt", "b.txt"]);
 * assertEquals((await run.outcome).result, "done");
 * ```
 *
 * @module
 */
export {
  BroadcastController,
  type BroadcastControllerOptions,
  type BroadcastTeeOptions,
} from "./src/broadcast/broadcast_controller.ts";
export {
  DbPipelineWatcher,
  type DbPipelineWatcherOptions,
} from "./src/cognee/db_pipeline_watcher.ts";
export {
  type InputIssue,
  InvalidInputError,
  LeaseLostError,
  RegistryError,
  RegistryFullError,
  RegistryShutdownError,
  RepositoryError,
  RunAlreadyActiveError,
  UnknownRunError,
} from "./src/model/errors.ts";
export type { RunEvent, RunEventBase } from "./src/model/event.ts";
export type { RunErrorCode, RunFailure } from "./src/model/failure.ts";
export { pipelineId, pipelineRunId } from "./src/model/ids.ts";
export {
  MemoryPipelineRunRepository,
  type MemoryPipelineRunRepositoryOptions,
} from "./src/repository/memory_repository.ts";
export type { SubscribeOptions } from "./src/repository/run_log.ts";
export type { PipelineRunRegistryOptions } from "./src/registry/options.ts";
export type { RunPhase } from "./src/model/phase.ts";
export {
  checkPipelineRunQualification,
  type PipelineRunQualification,
  resetDatasetPipelineRunStatus,
  resetPipelineRunStatus,
} from "./src/cognee/qualification.ts";
export { PipelineRunRegistry } from "./src/registry/registry.ts";
export type { SweepReport } from "./src/registry/retention.ts";
export type {
  AttributedPipelineRunRow,
  PipelineRunRow,
  PipelineRunStatus,
  PipelineRunTransition,
} from "./src/model/row.ts";
export type {
  LogPipelineRunOptions,
  PipelineRunRepository,
  RunResult,
} from "./src/repository/repository.ts";
export type { RunHandle, RunOutcome } from "./src/run/run_handle.ts";
export type {
  PipelineWork,
  PublishedBy,
  ResultOf,
  RunContext,
  WorkOutput,
  WorkResult,
  YieldedBy,
} from "./src/run/run_context.ts";
export type {
  FollowedStream,
  LocalEvents,
  LocalRun,
  LoggedRun,
  RunLease,
  RunLog,
  RunStatus,
  RunStep,
} from "./src/repository/run_log.ts";
export {
  dataInfo,
  type RunInfo,
  runInfoForErrored,
  runInfoForInitiated,
  runInfoForRunning,
} from "./src/model/run_info.ts";
export {
  definePipeline,
  type InputSchema,
  type InputSchemaResult,
  type Pipeline,
  type PipelineDefinition,
  type PipelineRunSpec,
} from "./src/run/pipeline.ts";
export type { RunSpec } from "./src/run/run_spec.ts";
export {
  ScopedRunWatcher,
  type WatchedRun,
} from "./src/cognee/scoped_run_watcher.ts";
export type { RegistryWarning } from "./src/model/warning.ts";
export {
  type PipelineProgress,
  type PipelineRunInfo,
  PipelineWatcher,
  type TaskProgress,
} from "./src/cognee/watcher.ts";
