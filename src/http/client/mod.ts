/**
 * A client for the runs that a handler of `./http` serves, typed by the pipelines.
 * It works in browsers, in Deno and elsewhere, and brings no code of the server.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { definePipeline, PipelineRunRegistry } from "@pipeline/run-registry";
 * import { createRunHandler } from "@pipeline/run-registry/http";
 * import { createRunClient } from "@pipeline/run-registry/client";
 *
 * // On the server:
 * const pipelines = [definePipeline({
 *   name: "ingest",
 *   async *run({ documents }: { documents: string[] }) {
 *     for (const document of documents) yield { document };
 *     return documents.length;
 *   },
 * })];
 * await using registry = new PipelineRunRegistry();
 * const handler = createRunHandler(registry, { pipelines });
 *
 * // On a page, which imports the type of `pipelines` only:
 * const client = createRunClient<typeof pipelines>("https://example.com", {
 *   fetch: (url, init) => handler(new Request(url, init)), // no network needed
 * });
 * const run = await client.start("ingest", { documents: ["a.txt"] });
 * for await (const event of client.follow(run)) {
 *   if (event.kind === "Yield") assertEquals(event.payload.document, "a.txt");
 * }
 * assertEquals((await client.get(run))?.result, 1);
 * ```
 *
 * `start()`, `follow()`, `abort()`, `get()` and `list()` are what the client does.
 * A run is named by its id, or by what `start()` returned, which knows the types
 * of its pipeline. The types are a claim of yours: the server checks inputs,
 * nobody checks what it sends.
 *
 * ## Reconnecting
 *
 * `follow()` reconnects, in Deno, browsers and on other platforms, after the last
 * event, so that none is lost or comes twice. `followRun(url)` follows one run
 * without the client. Its stream errors with a `ProblemError` if the server
 * refuses. The server's 408, 425, 429 and 5xx are retried, after its `Retry-After`
 * if that is longer than the wait.
 *
 * ## Options
 *
 * | `RunClientOptions` | default | what it is                                                |
 * | ------------------ | ------- | --------------------------------------------------------- |
 * | `fetch`            | `fetch` | sends the requests; it adds credentials and other headers |
 *
 * | `FollowRunOptions` | default                                                 | what it is                                                                |
 * | ------------------ | ------------------------------------------------------- | ------------------------------------------------------------------------- |
 * | `after`            | begin with the oldest held event of the current attempt | the number of the last event already known                                |
 * | `signal`           |                                                         | errors the stream with its reason                                         |
 * | `fetch`            | `fetch`                                                 | as above; `follow()` takes that of the client                             |
 * | `minBackoff`       | `500`                                                   | the wait before the first reconnect, in ms; it doubles with every failure |
 * | `maxBackoff`       | `30_000`                                                | the longest wait, in ms; each is a random part of it                      |
 * | `idleTimeout`      | `15_000`                                                | how long the server may send nothing, not even a heartbeat, in ms         |
 * | `maxFailures`      | `Infinity`                                              | how many failures in a row to allow                                       |
 *
 * ## Permissions
 *
 * `--allow-net=HOST:PORT` of the server.
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
