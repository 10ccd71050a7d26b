/**
 * Traces, metrics and logs of runs, by the API of OpenTelemetry.
 *
 * One object serves all registries and repositories of a process:
 *
 * ```ts ignore
 * import { PipelineRunRegistry } from "@pipeline/run-registry";
 * import { connect } from "@pipeline/run-registry/postgres";
 * import { createTelemetry } from "@pipeline/run-registry/telemetry";
 *
 * const telemetry = createTelemetry();
 * await using repository = await connect(undefined, { telemetry });
 * await using registry = new PipelineRunRegistry({ repository, telemetry });
 * ```
 *
 * **Switching on.** Deno exports what the API is told when the environment has
 * `OTEL_DENO=true`, by default to a collector at `localhost:4318`. On Node and Bun, start
 * an SDK such as that of `npm:@opentelemetry/sdk-node`, with a context manager, before
 * `createTelemetry()` is called. Without either, nothing is traced and no row changes.
 *
 * ## Spans
 *
 * | span             | what                                                                        |
 * | ---------------- | --------------------------------------------------------------------------- |
 * | `run <pipeline>`   | a run, from its beginning until its ending is written; its work has it active |
 * | `abort <pipeline>` | a request to abort a run of another instance                                |
 * | `reap <pipeline>`  | the ending of a run whose instance died, by another instance                |
 *
 * All are of the kind INTERNAL, and have these attributes:
 *
 * | attribute               | of      | what                                                        |
 * | ----------------------- | ------- | ----------------------------------------------------------- |
 * | `pipeline.name`         | all     | the pipeline's name                                         |
 * | `pipeline.run.id`       | all     | the run's UUID                                              |
 * | `pipeline.dataset.id`   | all     | the UUID of its dataset, if it has one                      |
 * | `pipeline.run.durable`  | `run`   | whether its ending is durable, as in its outcome            |
 * | `error.type`            | failure | the code: `work`, `aborted`, `timeout`, `shutdown`, `lease_expired` or `orphan` |
 * | `pipeline.abort.reason` | `abort` | the reason, if one was given                                |
 *
 * A run is a child of the span that was active where it was registered, such as the
 * request that Deno makes a span of. So its trace begins with what started it, and a
 * sampler decides once for both. The span of the request ends earlier.
 *
 * A completed run leaves the status unset. Any other has the status ERROR with the
 * message of its failure. Only a failure of the work has an `exception` event.
 *
 * **Across instances.** The row of a run's beginning keeps the W3C `traceparent` of its
 * span in `run_info`. The spans `abort` and `reap` of other instances are children of that
 * span, and link to the span that was active there. So where an instance dies, whose span
 * of the run is never exported, the trace still has the ending. A new attempt of a run is
 * in the trace of its own request and links to the span of the former attempt.
 *
 * ## Metrics
 *
 * | metric                          | kind                     | unit             | attributes                    |
 * | ------------------------------- | ------------------------ | ---------------- | ----------------------------- |
 * | `pipeline.runs.begun`           | counter                  | `{run}`          | `pipeline.name`               |
 * | `pipeline.runs.active`          | observable up-down counter | `{run}`        |                               |
 * | `pipeline.run.duration`         | histogram                | `s`              | `pipeline.name`, `error.type` |
 * | `pipeline.endings.not_durable`  | counter                  | `{ending}`       | `pipeline.name`, `error.type` |
 * | `pipeline.leases.lost`          | counter                  | `{lease}`        |                               |
 * | `pipeline.runs.reaped`          | counter                  | `{run}`          | `error.type`                  |
 * | `pipeline.subscriptions.active` | observable up-down counter | `{subscription}` |                             |
 * | `pipeline.events.missed`        | counter                  | `{event}`        |                               |
 * | `pipeline.writes.pending`       | observable up-down counter | `By`           |                               |
 * | `pipeline.commit.duration`      | histogram                | `s`              |                               |
 * | `pipeline.commit.items`         | histogram                | `{item}`         |                               |
 *
 * The count of `pipeline.run.duration` is how many runs have ended, by `error.type`, which
 * completed runs do not have. `pipeline.endings.not_durable` also counts aborted runs that
 * write no row, with `abortWritesErroredRow: false`. `pipeline.events.missed` is what
 * `Lagged` events told of. The last three are about Postgres.
 *
 * ## Logs
 *
 * `onWarning` of the registry is called with the span of the run active. So with Deno,
 * what it writes to the console, as by default, is a log record in the run's trace.
 *
 * ## Cost
 *
 * Without `telemetry` nothing is done. With it, nothing is done for each event, and a run
 * that takes up an id that was used before reads its rows once. See
 * `deno task bench telemetry`.
 *
 * @example Usage
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { PipelineRunRegistry } from "@pipeline/run-registry";
 * import { createTelemetry } from "@pipeline/run-registry/telemetry";
 *
 * await using registry = new PipelineRunRegistry({
 *   telemetry: createTelemetry(),
 * });
 * const { phase } = await registry.registerInline(
 *   { pipelineName: "ingest" },
 *   async () => {
 *     // Spans that begin here are children of the span `run ingest`.
 *     await Promise.resolve();
 *   },
 * );
 * assertEquals(phase.name, "Completed");
 * ```
 *
 * @module
 */
export { createTelemetry } from "./create_telemetry.ts";
