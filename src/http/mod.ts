/**
 * The runs of a registry over HTTP: a handler, server-sent events that resume,
 * WebSockets, and `followRun()`. The typed client is in `./client`.
 *
 * @example Usage
 * ```ts ignore
 * import { definePipeline, PipelineRunRegistry } from "@pipeline/run-registry";
 * import { allowAll, createRunHandler } from "@pipeline/run-registry/http";
 * import { z } from "zod"; // or any other library of Standard Schema
 *
 * const count = definePipeline({
 *   name: "count",
 *   input: z.object({ to: z.number() }),
 *   async *run({ to }) {
 *     for (let n = 1; n <= to; n++) yield n;
 *   },
 * });
 * const registry = new PipelineRunRegistry();
 * Deno.serve(
 *   createRunHandler(registry, { pipelines: [count], authorize: allowAll }),
 * );
 * ```
 *
 * @module
 */
export { followRun, type FollowRunOptions } from "./client/follow_run.ts";
export {
  type ProblemDetail,
  ProblemError,
  type ProblemErrorOptions,
} from "./wire/problem_error.ts";
export type { RunAction } from "./server/route.ts";
export {
  RunEventDecoderStream,
  type RunEventDecoderStreamOptions,
} from "./wire/run_event_decoder_stream.ts";
export {
  RunEventEncoderStream,
  type RunEventEncoderStreamOptions,
} from "./wire/run_event_encoder_stream.ts";
export { createRunHandler } from "./server/run_handler.ts";
export type { CorsOptions } from "./server/cors.ts";
export {
  allowAll,
  type RequestedPipeline,
  type RequestedRun,
  type RunHandlerOptions,
  type UpgradeWebSocket,
} from "./server/run_handler_options.ts";
export type {
  WireEvent,
  WireEventStatus,
  WireFrame,
  WireRow,
  WireRun,
} from "./wire/messages.ts";
