/**
 * The runs of a registry over HTTP: a handler, server-sent events that resume,
 * WebSockets, and a client.
 *
 * @example Usage
 * ```ts ignore
 * import { PipelineRunRegistry } from "@pipeline/run-registry";
 * import { createRunHandler } from "@pipeline/run-registry/http";
 *
 * const registry = new PipelineRunRegistry();
 * Deno.serve(createRunHandler(registry, {
 *   pipelines: { ingest: (input) => ({ work: (run) => ingest(input, run) }) },
 * }));
 * ```
 *
 * @module
 */
export { followRun, type FollowRunOptions } from "./follow_run.ts";
export { ProblemError, type ProblemErrorOptions } from "./problem_error.ts";
export type { RunAction } from "./route.ts";
export {
  RunEventDecoderStream,
  type RunEventDecoderStreamOptions,
} from "./run_event_decoder_stream.ts";
export {
  RunEventEncoderStream,
  type RunEventEncoderStreamOptions,
} from "./run_event_encoder_stream.ts";
export { createRunHandler } from "./run_handler.ts";
export type {
  RequestedPipeline,
  RequestedRun,
  RunHandlerOptions,
  UpgradeWebSocket,
} from "./run_handler_options.ts";
export type {
  WireEvent,
  WireEventStatus,
  WireFrame,
  WireRow,
  WireRun,
} from "./wire.ts";
