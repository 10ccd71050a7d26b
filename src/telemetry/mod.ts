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
 * | span               | what                                                                        |
 * | ------------------ | --------------------------------------------------------------------------- |
 * | `run <pipeline>`   | a run, from its beginning until its ending is written                       |
 * | `abort <pipeline>` | a call of `abort()` for a live run, in any instance                         |
 * | `reap <pipeline>`  | another instance ends the run of one that died                              |
 *
 * All are of the kind INTERNAL, and have these attributes:
 *
 * | attribute               | of        | what                                                           |
 * | ----------------------- | --------- | -------------------------------------------------------------- |
 * | `pipeline.name`         | all       | the pipeline's name                                            |
 * | `pipeline.run.id`       | all       | the run's UUID                                                 |
 * | `pipeline.dataset.id`   | all       | the UUID of its dataset, if it has one                         |
 * | `pipeline.run.durable`  | `run`     | whether its ending is durable, as in its outcome               |
 * | `error.type`            | failures  | the code: `work`, `aborted`, `timeout`, `shutdown`, `lease_expired`, `orphan` |
 * | `pipeline.abort.reason` | `abort`   | the reason, if one was given                                   |
 *
 * A run's span is a child of the span that was active where the run was registered, such
 * as that of a request, which Deno makes. It may end long after its parent. A child rather
 * than the root of a trace with a link, because one trace then leads from the request to
 * the ending even if the run's own span is lost, and because a sampler decides once. The
 * span is active in the run's work.
 *
 * A completed run leaves the status unset. Any other has the status ERROR with the
 * message of its failure. Only a failure of the work has an `exception` event.
 *
 * **Across instances.** The row of a run's beginning keeps the W3C `traceparent` of its
 * span in `run_info`. So `abort` and `reap` are children of that span on any instance,
 * and link to the span that was active there. Where an instance dies, the span of its run
 * is never exported, but the trace has the ending. Before the row is written, for some
 * milliseconds, other instances have no spans of a run; the metrics count it. A new
 * attempt of a run is in the trace of its own request and links to the span of the former
 * attempt.
 *
 * ## Metrics
 *
 * | metric                          | kind            | unit             | attributes                    | what                                       |
 * | ------------------------------- | --------------- | ---------------- | ----------------------------- | ------------------------------------------ |
 * | `pipeline.runs.begun`           | counter         | `{run}`          | `pipeline.name`               | runs that have begun                       |
 * | `pipeline.runs.active`          | up-down counter | `{run}`          |                               | runs whose ending is not written yet       |
 * | `pipeline.run.duration`         | histogram       | `s`              | `pipeline.name`, `error.type` | how long a run took until its ending was written |
 * | `pipeline.endings.not_durable`  | counter         | `{ending}`       | `pipeline.name`, `error.type` | endings whose row was not written in time, or not at all |
 * | `pipeline.leases.lost`          | counter         | `{lease}`        |                               | live runs that another instance has ended  |
 * | `pipeline.runs.reaped`          | counter         | `{run}`          | `error.type`                  | runs of dead instances that this one ended |
 * | `pipeline.subscriptions.active` | up-down counter | `{subscription}` |                               | subscriptions that have not ended          |
 * | `pipeline.events.missed`        | counter         | `{event}`        |                               | what `Lagged` events told of               |
 * | `pipeline.writes.pending`       | up-down counter | `By`             |                               | what waits to be written to Postgres       |
 * | `pipeline.commit.duration`      | histogram       | `s`              |                               | how long a group commit took               |
 * | `pipeline.commit.items`         | histogram       | `{item}`         |                               | rows, events and fields of a group commit  |
 *
 * The count of `pipeline.run.duration` is how many runs have ended, and how: a completed
 * one has no `error.type`. What is active or pending is read when metrics are collected.
 *
 * ## Logs
 *
 * `onWarning` of the registry is called with the span of the run active. So with Deno,
 * what it writes to the console, as by default, is a log record in the run's trace.
 *
 * ## Cost
 *
 * Without `telemetry` nothing is done. With it nothing is done for each event, and a run
 * that uses an id again reads two rows before it begins. Where Deno exports, a no-op run
 * takes 14 µs more, and 1.3 times fewer durable ones are made in a second
 * (`deno task bench telemetry`).
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
