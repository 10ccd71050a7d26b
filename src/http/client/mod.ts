/**
 * A client for the runs that a handler of `./http` serves, typed by the pipelines. It
 * works in browsers, in Deno and elsewhere, and brings no code of the server.
 *
 * @example Usage
 * ```ts ignore
 * import { createRunClient } from "@pipeline/run-registry/client";
 * import type { pipelines } from "./pipelines.ts";
 *
 * const client = createRunClient<typeof pipelines>("https://example.com");
 * const run = await client.start("ingest", { documents: ["a.txt"] });
 * for await (const event of client.follow(run)) console.log(event);
 * ```
 *
 * @module
 */
export type { RunEvent, RunEventBase } from "../../model/event.ts";
export type { RunErrorCode, RunFailure } from "../../model/failure.ts";
export type { RunPhase } from "../../model/phase.ts";
export type { PipelineRunRow } from "../../model/row.ts";
export type { Pipeline } from "../../run/pipeline.ts";
export { followRun, type FollowRunOptions } from "./follow_run.ts";
export {
  type ProblemDetail,
  ProblemError,
  type ProblemErrorOptions,
} from "../wire/problem_error.ts";
export {
  type ClientRun,
  createRunClient,
  type PipelineInput,
  type PipelineNamed,
  type PipelinePayload,
  type PipelineResult,
  type RunClient,
  type RunClientOptions,
  type RunReference,
} from "./run_client.ts";
