/**
 * A registry of pipeline runs: register long work, follow its events as
 * `ReadableStream`s, abort it, and keep its audit trail.
 *
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
 * Sections: registering, following, aborting, the audit trail, options, events and
 * codes, errors, warnings, sweeping, limits, bounds, permissions, troubleshooting.
 * `./postgres` shares runs between instances, `./http` and `./client` carry them
 * over HTTP.
 *
 * ## Registering
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { PipelineRunRegistry } from "@pipeline/run-registry";
 *
 * await using registry = new PipelineRunRegistry();
 *
 * const { runId, phase, result } = await registry.registerInline(
 *   { pipelineName: "fetch", timeout: 60_000 },
 *   async ({ publish, setPayload, signal }) => {
 *     const response = await fetch("data:text/plain,hello", { signal });
 *     publish({ status: response.status }); // an event
 *     await setPayload("status", response.status); // a field that stays
 *     return await response.text(); // the result
 *   },
 * );
 * assertEquals(phase, { name: "Completed" });
 * assertEquals(result, "hello");
 * assertEquals(await registry.getPayload(runId), { status: 200 });
 * ```
 *
 * `registerInline()` waits for the end. `registerBackground()` returns a handle
 * when the run has begun, and the handle's `outcome` never rejects.
 *
 * The work is a plain function, an async one, or a generator of either kind, whose
 * values are published. What it returns is the result, also an array or a string;
 * `registry.getResult(runId)` reads it. The handle has the types of what the work
 * yields, or of the `P` of its `RunContext<P>`, and of the result.
 *
 * If the work throws, the run ends as `Errored`; the call does not reject. The
 * phase and the last event have a `message` and a `code`. The name of an error of
 * the work is the event's `name` and the phase's `errorName`. `onWarning` gets the
 * error itself once, as the `cause` of a warning of the kind `"work"`.
 *
 * You may give a run id: any UUID, in any spelling. Registering the id of a live
 * run rejects with a `RunAlreadyActiveError`. After the run has ended, registering
 * its id begins a new attempt, which continues the numbering of events.
 *
 * | `RunSpec`      | default       | what it is                                                               |
 * | -------------- | ------------- | ------------------------------------------------------------------------ |
 * | `pipelineName` | required      | the pipeline's name: 1 to 512 characters                                 |
 * | `runId`        | a new UUID    | the run's UUID                                                           |
 * | `userId`       |               | the user whom the run is for                                             |
 * | `tenantId`     |               | the tenant the run is for                                                |
 * | `datasetId`    |               | the UUID of the dataset the run works on                                 |
 * | `dataIds`      |               | the UUIDs of the data the run works on                                   |
 * | `signal`       |               | aborts the run when it fires                                             |
 * | `timeout`      |               | how long the run may take, in ms: then it ends as `Errored`, `"timeout"` |
 *
 * `definePipeline()` gives a pipeline a name, a schema of its input and its work.
 * `registry.registerBackground(...await pipeline.prepare(input))` runs it here;
 * the handler of `./http` and the client of `./client` take its types from it.
 *
 * ## Following
 *
 * `registry.subscribe(runId)` and the handle's `subscribe()` return a stream. It
 * begins with the oldest event held, or after the event `after`, and closes after
 * the run's last event. You can subscribe before the run is registered, while it
 * runs and after it has ended. The stream iterates, pipes, tees and cancels like
 * any `ReadableStream`; cancelling it does not touch the run.
 *
 * Each run holds its last 64 events (`channelCapacity`). A subscriber that falls
 * further behind gets one `Lagged` event with the exact number missed; then the
 * stream closes, or continues with `lag: "skip"`. One that begins without `after`
 * when events are no longer held gets `Lagged` first, and its stream continues. A
 * slow subscriber slows nobody. With Postgres a subscriber reads from the log what
 * memory has lost, so nobody lags.
 *
 * | `SubscribeOptions` | default                                                 | what it is                                                                      |
 * | ------------------ | ------------------------------------------------------- | ------------------------------------------------------------------------------- |
 * | `after`            | begin with the oldest event held of the current attempt | the number of the last event that the subscriber knows                          |
 * | `durable`          | `false`                                                 | whether to deliver events of this instance's runs only once they are in the log |
 * | `signal`           |                                                         | errors the stream with its reason; the run goes on                              |
 * | `lag`              | `"close"`                                               | what follows a `Lagged`: `"close"` closes the stream, `"skip"` continues        |
 *
 * ## Aborting
 *
 * `registry.abort(runId, reason)` works in any instance: the run's `signal` fires
 * with the reason, the row is written, and subscribers get `Errored` with the code
 * `"aborted"` and the message `"aborted: the user left"`. What the work does
 * afterwards is ignored. It resolves with `"ended"` if the run had ended before,
 * otherwise with `"requested"`. `RunSpec.signal` and `RunSpec.timeout` end a run
 * too.
 *
 * `shutdown()`, or the end of an `await using`, aborts the live runs of the
 * registry with the code `"shutdown"`, and closes all streams.
 *
 * ## The audit trail
 *
 * A run writes rows with the four statuses of cognee:
 * `DATASET_PROCESSING_INITIATED`, `_STARTED`, `_COMPLETED`, `_ERRORED`. The
 * `run_info` of an ERRORED row also has the failure's `code`, unless that is
 * `"work"`, and `name`.
 *
 * From the rows, `checkPipelineRunQualification()` decides whether a pipeline may
 * run on a dataset; `resetPipelineRunStatus()` allows it again.
 * `DbPipelineWatcher` writes the rows of code that runs without a registry.
 *
 * `PipelineRunRegistry.withOrphanReset()` first ends the runs that a crash left
 * unfinished, with the code `"orphan"`.
 *
 * ## Options
 *
 * | `PipelineRunRegistryOptions` | default                             | what it is                                                                           |
 * | ---------------------------- | ----------------------------------- | ------------------------------------------------------------------------------------ |
 * | `repository`                 | `new MemoryPipelineRunRepository()` | where the audit trail, results and payload fields go; the registry does not close it |
 * | `maxInMemoryRuns`            | `4096`                              | how many runs are held, live and finished                                            |
 * | `maxAwaitedSubscriptions`    | `100_000`                           | how many subscriptions may wait for runs that nobody has registered yet              |
 * | `finishedRetention`          | `3_600_000`                         | how long a finished run is held in memory, in ms                                     |
 * | `channelCapacity`            | `64`                                | how many events of a run are held for its subscribers                                |
 * | `yieldThrottle`              | `0`                                 | the shortest time between two Yields of a run, in ms; the latest wins                |
 * | `abortWritesErroredRow`      | `true`                              | whether an aborted run gets an ERRORED row                                           |
 * | `maxPayloadBytes`            | `1_048_576`                         | how large a payload field, a result and, with a log, a payload may be as JSON        |
 * | `payloads`                   | `"json"`                            | `"any"` publishes any value as it is; it needs a repository without a log            |
 * | `endingTimeout`              | `5_000`                             | how long a run's last event waits for its ending to be durable, in ms                |
 * | `sweeps`                     | `true`                              | whether it sweeps every minute; otherwise call `sweep()`, or leave it to others      |
 * | `telemetry`                  | none                                | where to report runs and figures: `createTelemetry()` of `./telemetry`               |
 * | `onWarning`                  | `console.warn`                      | called with problems that do not stop a run                                          |
 * | `clock`                      | `performance.now`                   | a clock that never goes back, in ms                                                  |
 *
 * ## Events and codes
 *
 * Every event has `runId`, `seq`, `at` and `kind`. Only a `Yield` has a `payload`.
 *
 * | `kind`             | further fields            | what it says                                                     |
 * | ------------------ | ------------------------- | ---------------------------------------------------------------- |
 * | `Started`          |                           | the work begins                                                  |
 * | `Yield`            | `payload`                 | the work published a value                                       |
 * | `AlreadyCompleted` |                           | the work found nothing to do; the run goes on                    |
 * | `Completed`        |                           | the run's last event: the work returned                          |
 * | `Errored`          | `code`, `message`, `name` | the run's last event: it failed                                  |
 * | `Lagged`           | `missed`                  | this subscriber missed so many events; `seq` is that of the last |
 *
 * | `code`            | what ended the run                                        |
 * | ----------------- | --------------------------------------------------------- |
 * | `"work"`          | its work threw or rejected                                |
 * | `"aborted"`       | somebody aborted it                                       |
 * | `"timeout"`       | it took longer than its `timeout`                         |
 * | `"shutdown"`      | its registry was shut down                                |
 * | `"lease_expired"` | its instance died, or was cut off for longer than a lease |
 * | `"orphan"`        | an orphan reset found it unfinished                       |
 *
 * ## Errors
 *
 * All are `RegistryError`s. `code` tells them apart, also across versions of this
 * package. Arguments of the wrong shape are a `TypeError`, values out of range a
 * `RangeError`.
 *
 * | `code`                 | class                   | when                                                                                         |
 * | ---------------------- | ----------------------- | -------------------------------------------------------------------------------------------- |
 * | `"unknown_run"`        | `UnknownRunError`       | no instance knows the run                                                                    |
 * | `"run_already_active"` | `RunAlreadyActiveError` | the id is that of a live run, here or on another instance, or its rows are not written yet   |
 * | `"registry_full"`      | `RegistryFullError`     | `maxInMemoryRuns` are held and none can be forgotten, or `maxAwaitedSubscriptions` wait      |
 * | `"registry_shutdown"`  | `RegistryShutdownError` | the registry was shut down; also the reason of a run's `signal` then                         |
 * | `"repository"`         | `RepositoryError`       | the repository failed; `cause` says why, `transient` whether the same call may succeed later |
 * | `"invalid_input"`      | `InvalidInputError`     | the input of a pipeline is not what its schema says; `issues` has the details                |
 * | `"lease_lost"`         | `LeaseLostError`        | the reason of a run's `signal` once another instance has ended the run                       |
 *
 * `ProblemError`, of `./http` and `./client`, is one too.
 *
 * ## Warnings
 *
 * `onWarning` gets a `kind`, a `message`, and the `runId` and the `cause`, if
 * there are.
 *
 * | `kind`            | what happened                                              |
 * | ----------------- | ---------------------------------------------------------- |
 * | `"work"`          | the work of a run failed                                   |
 * | `"row"`           | a row of the audit trail could not be written yet, or ever |
 * | `"payload"`       | a payload field could not be written                       |
 * | `"result"`        | the result of a run cannot be stored                       |
 * | `"ending"`        | a run ended before its ending was durable                  |
 * | `"retention"`     | a sweep failed, or a timer has replaced the cron job       |
 * | `"lease"`         | leases could not be renewed                                |
 * | `"log"`           | events of other instances could not be read                |
 * | `"notifications"` | notifications do not arrive                                |
 * | `"reader"`        | the read replica failed                                    |
 *
 * ## Sweeping
 *
 * Every minute a sweep forgets finished runs that have expired, ends the runs of
 * dead instances, and deletes what the repository keeps no longer. The registry
 * registers one `Deno.cron` named `pipeline-run-retention` for it. If `Deno.cron`
 * is missing or refuses, a timer sweeps instead, which does not keep the process
 * alive. `sweep()` does it now.
 *
 * ## Limits
 *
 * - Payloads and payload fields must be JSON: a value that JSON would change is
 *   refused with a `TypeError` that names the place. Only without a log can
 *   payloads be anything, with `payloads: "any"`. Payload fields, results and,
 *   with a log, payloads take 1 MiB at most (`maxPayloadBytes`). If a result is
 *   larger, or not JSON, the run completes with a `resultError`. Work that returns
 *   a function fails with a `TypeError`.
 * - An event's `at` is by the clock of the instance that published it; nothing
 *   depends on it.
 * - Without a log, a new attempt continues the numbering of events only while the
 *   former attempt is held in memory, and begins at 1 otherwise.
 * - `withOrphanReset()` also ends unfinished runs that have no lease, such as
 *   those of programs that write the tables without a registry.
 * - JavaScript cannot be preempted: work that never awaits cannot be stopped.
 * - `durable` is about the ending's row. `setPayload()` waits until the field is
 *   written; if that fails, `onWarning` is called.
 *
 * ## Bounds
 *
 * What an instance holds at most, with the default options, and what it held after
 * a flood (`deno task bench bounds connections`):
 *
 * | what                  | bound                                                            | after a flood                                     |
 * | --------------------- | ---------------------------------------------------------------- | ------------------------------------------------- |
 * | runs                  | `maxInMemoryRuns` (4,096), the memory repository as many         | 6 MB after 200,000 runs                           |
 * | events of a run       | `channelCapacity` (64), whatever their size                      |                                                   |
 * | subscribers           | a position each                                                  | 13 MB for 10,000 that do not read                 |
 * | unknown run ids       | `maxAwaitedSubscriptions` (100,000)                              | 183 MB for 200,000, half of them refused          |
 * | viewers over HTTP     | two events each, with a log 64 KiB more                          | 15 MB for 1,000 that do not read                  |
 * | what is to be written | `maxQueuedBytes` (64 MiB), as JSON and as it was published       | 145 MB after 1 GB of Yields, with Postgres silent |
 * | connections           | `max` (4) and one to listen, also while Postgres does not answer | 5 with `pipeline_runs` locked for 60 s            |
 *
 * Endings with their results and rows of runs are never dropped, so they count
 * beyond `maxQueuedBytes`: as many as runs are held. A connection that a broken
 * network has silenced can stay at the server until the server's own time limits
 * find it.
 *
 * ## Permissions
 *
 * The core needs none.
 *
 * ## Troubleshooting
 *
 * | symptom                                                              | cause                                                                                                              | what to do                                                                                                                                              |
 * | -------------------------------------------------------------------- | ------------------------------------------------------------------------------------------------------------------ | ------------------------------------------------------------------------------------------------------------------------------------------------------- |
 * | a stream gets `Lagged` and closes                                    | the subscriber fell more than `channelCapacity` events behind                                                      | subscribe with `lag: "skip"`, read faster, raise `channelCapacity`, or use `./postgres`                                                                 |
 * | a stream begins with `Lagged`                                        | it began without `after` when events were no longer held                                                           | subscribe before the run is registered, or as above; the stream goes on                                                                                 |
 * | `durable: false`                                                     | the repository did not answer within `endingTimeout`, or before the end of a shutdown, or refused the row          | look at `onWarning`: `"ending"` says that the row is late, `"row"` with a `cause` why it was not written; a late row is retried while the process lives |
 * | `durable: false` for every aborted run                               | `abortWritesErroredRow` is `false`                                                                                 | nothing: there is no row to be durable                                                                                                                  |
 * | `resultError`                                                        | the result is larger than `maxPayloadBytes`, or not JSON                                                           | return less, or JSON                                                                                                                                    |
 * | `TypeError` from `publish()`                                         | the payload is not JSON; the message names the place                                                               | publish JSON, or set `payloads: "any"` where there is no log                                                                                            |
 * | `RegistryFullError` from registering                                 | `maxInMemoryRuns` runs are live, or their endings are not written                                                  | wait for runs to end, or raise the bound                                                                                                                |
 * | `RegistryFullError` from subscribing                                 | `maxAwaitedSubscriptions` wait for runs that nobody has registered                                                 | cancel streams of ids that will not come, or raise the bound                                                                                            |
 * | `Deno.cron refused "pipeline-run-retention": a timer sweeps instead` | the registry was made too late for the platform, on Deno Deploy after the module's top level, or the name is taken | make the registry at the top level, before `Deno.serve`; where the process lives on, the timer does                                                     |
 * | a run goes on after `abort()`, its `timeout` or a shutdown           | the run has ended, but its work ignores `signal`                                                                   | pass `signal` on, or call `signal.throwIfAborted()`                                                                                                     |
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
  FollowOptions,
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
export type {
  Gauges,
  ReapedRuns,
  RunSpan,
  Telemetry,
  TracedRun,
} from "./src/model/telemetry.ts";
export type { RegistryWarning } from "./src/model/warning.ts";
export {
  type PipelineProgress,
  type PipelineRunInfo,
  PipelineWatcher,
  type TaskProgress,
} from "./src/cognee/watcher.ts";
