/**
 * The runs of a registry over HTTP: a handler, server-sent events that resume,
 * WebSockets, a page for operators, and `followRun()`. The typed client is in
 * `./client`.
 *
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
 * Sections: requests, problems, the wire format, Durable Streams, slow viewers,
 * the page, security, other frameworks, Deno Deploy, options, permissions,
 * troubleshooting.
 *
 * ## Requests
 *
 * The handler takes a `Request` and returns a `Response`. Its JSON uses the names
 * of cognee.
 *
 * | request                        | answer                                                                                       |
 * | ------------------------------ | -------------------------------------------------------------------------------------------- |
 * | `POST /pipelines/ingest`       | 202 with the run id and a `Location`; with `Prefer: wait`, 200 with the outcome              |
 * | `GET /runs/:id/events?after=n` | its events: server-sent events, or a WebSocket with the messages of cognee                   |
 * | `GET /runs/:id/stream`         | its events as a Durable Stream                                                               |
 * | `GET /runs/:id`                | phase, rows, payload fields, result                                                          |
 * | `GET /runs`                    | the newest runs, a row of the audit trail each; `?dataset_id=` and `?limit=` (50, up to 100) |
 * | `DELETE /runs/:id?reason=…`    | 202 when the abort is under way, 409 once the run has ended                                  |
 * | `OPTIONS` of each              | 204 with the methods in `Allow`, and what `cors` allows                                      |
 *
 * The types go from the pipeline to the client of `./client`; the server checks
 * inputs. With `Prefer: wait=10` the outcome comes if the run ends within 10 s,
 * otherwise 202. `spec` of a pipeline gives its runs a dataset, an id or a
 * timeout. `pipelines` may also be an object of functions by name,
 * `(input, request) => ({ work })`, which throw a `ProblemError` to refuse.
 *
 * Do not give a run the request's `signal`: it also fires when the response is
 * done.
 *
 * ## Problems
 *
 * Errors are problem details (RFC 9457) with a `code`. An input that the schema
 * refuses gets 422 with `errors: [{ detail, pointer }]`.
 *
 * | status | `code`                                             | when                                                                        |
 * | ------ | -------------------------------------------------- | --------------------------------------------------------------------------- |
 * | 400    | `problem`                                          | a number, a UUID, the path or the JSON is malformed; no upgrade is possible |
 * | 403    | `problem`                                          | `authorize` refused a request that is not about one run                     |
 * | 404    | `unknown_run`                                      | no instance knows the run, or `authorize` refused                           |
 * | 404    | `problem`                                          | there is no such pipeline or path                                           |
 * | 405    | `problem`                                          | the method is not in `Allow`                                                |
 * | 409    | `run_already_active`, `run_ended`                  | the id to start is live; the run to abort has ended                         |
 * | 410    | `problem`                                          | the events of the stream are not kept any more                              |
 * | 413    | `problem`                                          | the body is larger than `maxBodyBytes`                                      |
 * | 415    | `problem`                                          | the body is not `application/json`                                          |
 * | 422    | `invalid_input`                                    | the schema refused the input                                                |
 * | 501    | `problem`                                          | the platform has no `upgradeWebSocket`                                      |
 * | 503    | `registry_full`, `repository`, `registry_shutdown` | a retry after `Retry-After: 1` may succeed                                  |
 * | 500    | `problem`                                          | anything else; `onError` gets it                                            |
 *
 * ## The wire format
 *
 * **Server-sent events.** The `id` of an event is its number, `event` its kind,
 * `data` a `WireEvent` as one line of JSON:
 *
 * ```text
 * id: 2
 * event: Yield
 * data: {"pipeline_run_id":"…","status":"PipelineRunYield","payload":{"document":"a.txt"},"seq":2,"at":"…"}
 * ```
 *
 * The names are `Started`, `Yield`, `AlreadyCompleted`, `Completed`, `Errored` and
 * `Lagged`. The stream begins with an `id` of its own, so that a viewer can resume
 * before the first event. A comment every 4 s (`heartbeat`) keeps the connection
 * alive. Since every event has a name, `onmessage` of an `EventSource` gets none
 * of them:
 *
 * ```ts ignore
 * const source = new EventSource(`/runs/${runId}/events`);
 * source.addEventListener("Yield", ({ data }) => {
 *   console.log(JSON.parse(data).payload);
 * });
 * source.addEventListener("Errored", ({ data }) => {
 *   console.log(JSON.parse(data).message);
 * });
 * ```
 *
 * **Following resumes.** A browser's `EventSource` reconnects with the last `id`,
 * to any instance, and misses nothing; after the run's end it gets 204 and stops.
 * With Postgres an event is sent once it is in the log, so even the death of the
 * run's instance takes back nothing that was shown.
 *
 * **A WebSocket** gets the messages of cognee, a `WireFrame` each:
 * `{ pipeline_run_id, status, payload }`, where `status` is the kind behind
 * `PipelineRun`, and the payload of a `PipelineRunErrored` is its message. It
 * closes with
 *
 * | code | when                                                              |
 * | ---- | ----------------------------------------------------------------- |
 * | 1000 | the run has ended                                                 |
 * | 1001 | the instance shuts down                                           |
 * | 1008 | the run is unknown or refused                                     |
 * | 1011 | the viewer was too slow and missed events, or they cannot be read |
 *
 * `RunEventEncoderStream` and `RunEventDecoderStream` convert to and from the
 * format of server-sent events, for a handler or a client of your own.
 *
 * ## Durable Streams
 *
 * `GET /runs/:id/stream` speaks the read side of the
 * [Durable Streams protocol](https://github.com/durable-streams/durable-streams/blob/main/PROTOCOL.md)
 * in JSON mode, so its clients in TypeScript, Python, Go and other languages follow
 * runs unchanged. The messages are `WireEvent`s.
 *
 * ```ts ignore
 * import { stream } from "@durable-streams/client";
 *
 * const events = await stream({
 *   url: `https://example.com/runs/${runId}/stream`,
 *   offset: "-1", // from the beginning; or an offset that was kept
 *   live: "long-poll", // or "sse", or false
 * });
 * events.subscribeJson(({ items, offset }) => console.log(offset, items));
 * ```
 *
 * An offset is the number of the last event read. `-1` begins with the newest
 * attempt. A stream closes with the last event; if the run is registered again,
 * it goes on behind that. What the log has lost is a `PipelineRunLagged` message.
 * Where the log was pruned, or an offset is of an earlier run with the id, the
 * answer is 410. A `HEAD` gives the tail. Only the registry writes: the answer to
 * other methods is 405.
 *
 * A response has 64 KiB at most, not counting its last event. With
 * `live=long-poll` the answer is 204 after `longPollTimeout`; with `live=sse` the
 * connection closes after a minute.
 *
 * **Caches.** What was read may be cached for a minute, by caches that are shared if
 * everybody may read (`caching`), so a CDN answers long-polls of many viewers with
 * one of ours. In nginx, `proxy_cache_lock on` makes them wait for it; its
 * `proxy_cache_lock_timeout` must be longer than `longPollTimeout`. For that minute a
 * cache may also have the former attempt of a run that is registered again.
 *
 * ## Slow viewers
 *
 * They cost the run nothing: two events wait in memory for each and, with a log,
 * up to 64 KiB more; in a WebSocket `maxBufferedBytes`. Events lost meanwhile are
 * reported as `Lagged`, and a WebSocket is closed; with a log none is lost.
 *
 * ## The page
 *
 * `createRunPage()` is a handler for a page on which operators see what runs, what
 * ended and why, follow events, and abort runs. Mount it beside the API, on the same
 * origin, with the same `authorize`:
 *
 * ```ts ignore
 * import { createRunHandler, createRunPage } from "@pipeline/run-registry/http";
 *
 * const api = createRunHandler(registry, { prefix: "/api", authorize });
 * const page = createRunPage(registry, { prefix: "/ops", api: "/api", authorize });
 * Deno.serve((request) =>
 *   new URL(request.url).pathname.startsWith("/ops") ? page(request) : api(request)
 * );
 * ```
 *
 * ## Security
 *
 * `authorize(request, action)` is asked first, always. Without it everybody may do
 * everything, and the first handler warns of that; `allowAll` says that it is
 * meant. It is asked once for each request: access that is withdrawn later
 * does not end an open stream. The handler bounds neither the time that
 * `authorize` takes nor that of a slow upload.
 *
 * A refused request about a run is answered with 404, as if there were no such
 * run. Browsers send cookies with WebSockets of foreign pages, and a foreign page
 * can use this host's name (DNS rebinding): where access depends on cookies or on
 * network reach alone, check `Origin` and `Host` as well. A page must send
 * `application/json` to start a run, also without a body, since a foreign page
 * cannot send that type without permission.
 *
 * Pages of other origins can neither read responses nor start or abort runs, unless
 * `cors` lists their origin. `OPTIONS` is answered without asking `authorize`: a
 * preflight has no credentials. With `caching: "public"`, which is the default with
 * `allowAll`, a shared cache answers readers of a stream whom `authorize` never sees.
 * Pass `"private"` if a proxy or a middleware checks who may read.
 *
 * Viewers are shown the code, message and name of errors that work throws, and
 * nothing else of them. Other errors are a generic failure to them; `onError` gets
 * the details.
 *
 * ## Other frameworks
 *
 * In Hono, `app.all("/api/*", (context) => handler(context.req.raw))` mounts a
 * handler whose `prefix` is `"/api"`. The same works in Oak, Fresh and every
 * framework that passes on the server's `Request` with its body unread. A copy of
 * the request, as Hono's `mount()` makes by default, cannot be upgraded to a
 * WebSocket.
 *
 * ## Deno Deploy
 *
 * ```ts ignore
 * import { PipelineRunRegistry } from "@pipeline/run-registry";
 * import { createRunHandler } from "@pipeline/run-registry/http";
 * import { connect } from "@pipeline/run-registry/postgres";
 *
 * const repository = await connect(); // DATABASE_URL, or the PG* variables
 * const registry = new PipelineRunRegistry({ repository });
 * const handler = createRunHandler(registry, { pipelines, authorize });
 * const server = Deno.serve(handler);
 *
 * Deno.addSignalListener("SIGINT", async () => {
 *   await registry.shutdown({ timeout: 3_000 }); // ends runs, closes streams
 *   await repository.close({ timeout: 1_000 });
 *   await server.shutdown(); // waits for what is open, so it comes last
 * });
 * ```
 *
 * Make the registry at the top level of the module, before `Deno.serve`: its
 * `Deno.cron` must be found at deploy time.
 *
 * An instance stops soon after it has sent its last byte, whatever is pending, and
 * a run lives as long as its instance. So start a run with `Prefer: wait`, or
 * follow it: an open stream of events keeps the instance alive as long as bytes
 * flow.
 *
 * On `SIGINT` live runs are aborted and their ERRORED rows are written; the
 * platform kills the process after 5 s. A viewer that has stopped reading, or an
 * upload, can delay `server.shutdown()` until then.
 *
 * ## Options
 *
 * | `RunHandlerOptions` | default                 | what it is                                                                     |
 * | ------------------- | ----------------------- | ------------------------------------------------------------------------------ |
 * | `pipelines`         | none                    | those of `definePipeline()`, or functions by name                              |
 * | `authorize`         | `allowAll`              | decides whether to allow a request                                             |
 * | `cors`              | none                    | which pages of other origins may use the handler                               |
 * | `caching`           | `"public"` with allowAll, otherwise `"private"` | who may cache what `/stream` has read                    |
 * | `longPollTimeout`   | `20_000`                | how long a long-poll of `/stream` waits, in ms                                 |
 * | `prefix`            | `""`                    | the path under which the handler is mounted, such as `"/api"`                  |
 * | `heartbeat`         | `4_000`                 | how often to send a comment or a ping to each viewer, in ms                    |
 * | `maxBodyBytes`      | `1_048_576`             | the size of the largest request body                                           |
 * | `maxBufferedBytes`  | `65_536`                | how many bytes a slow WebSocket may buffer, plus one event                     |
 * | `closeAfterErrored` | `true`                  | whether to close a WebSocket after `Errored`; cognee leaves that to the client |
 * | `upgradeWebSocket`  | `Deno.upgradeWebSocket` | upgrades requests on other platforms                                           |
 * | `onError`           | `console.error`         | called with errors that clients see only as a generic failure                  |
 *
 * | `RunPageOptions` | default           | what it is                                                           |
 * | ---------------- | ----------------- | -------------------------------------------------------------------- |
 * | `api`            | `""`              | where the API is mounted, absolute or relative to the page           |
 * | `title`          | `"Pipeline runs"` | the heading of the page                                              |
 * | `pipelines`      | none              | the pipelines that the page offers to start, with an example of each |
 *
 * and `authorize`, `prefix`, `heartbeat` and `onError` as above.
 *
 * | `RunEventEncoderStreamOptions` | default  | what it is                                                |
 * | ------------------------------ | -------- | --------------------------------------------------------- |
 * | `lastEventId`                  | not sent | the number of the event after which the stream begins     |
 * | `heartbeat`                    | `4_000`  | how often to send a comment, in ms; `Infinity` sends none |
 *
 * | `RunEventDecoderStreamOptions` | default      | what it is                                            |
 * | ------------------------------ | ------------ | ----------------------------------------------------- |
 * | `maxEventLength`               | `16_777_216` | the length of the longest event, in UTF-16 code units |
 *
 * | `ProblemErrorOptions` | default                  | what it is                                  |
 * | --------------------- | ------------------------ | ------------------------------------------- |
 * | `title`               | the phrase of the status | a short name for this kind of problem       |
 * | `code`                | `"problem"`              | a word for programs                         |
 * | `headers`             |                          | further headers of the response             |
 * | `runId`               |                          | the UUID of the run concerned               |
 * | `errors`              |                          | what is wrong with the parts of an input    |
 * | `cause`               |                          | the underlying error; clients do not see it |
 *
 * ## Permissions
 *
 * The handler needs none of its own.
 *
 * ## Troubleshooting
 *
 * | symptom                                                        | cause                                                                                                 | what to do                                                                                               |
 * | -------------------------------------------------------------- | ----------------------------------------------------------------------------------------------------- | -------------------------------------------------------------------------------------------------------- |
 * | `EventSource.onmessage` gets nothing                           | every event has a name                                                                                | `addEventListener("Yield", …)`                                                                           |
 * | a WebSocket closes with 1011, `Too slow: …`                    | the viewer read too slowly and missed events; without a log they are gone                             | follow by server-sent events, which report `Lagged` and go on; raise `channelCapacity`; use `./postgres` |
 * | a WebSocket closes with 1011, `The events cannot be read`      | the repository failed; `onError` gets the error                                                       | connect again; server-sent events have the number to resume after                                        |
 * | a WebSocket closes with 1008                                   | the run is unknown, or `authorize` refused it                                                         | register the run first                                                                                   |
 * | 400, `No WebSocket can be made of this request`                | the handler got a copy of the request, as from Hono's `mount()`                                       | pass `context.req.raw`                                                                                   |
 * | 500, and `onError` gets `The body was read before the handler` | a middleware read the body                                                                            | mount the handler before it                                                                              |
 * | 415 though the body is empty                                   | a page sent it, and not as `application/json`                                                         | send `Content-Type: application/json`                                                                    |
 * | 404 for a run that exists                                      | `authorize` refused it                                                                                | return `true` for this action                                                                            |
 * | 204 instead of events                                          | the run has ended, and nothing follows `after`                                                        | nothing; without `after` the events come again                                                           |
 * | runs end with `"shutdown"` on Deno Deploy                      | the platform sent `SIGINT`, which can hit busy instances                                              | as under Deno Deploy; start the run again                                                                |
 * | runs end with `"lease_expired"` on Deno Deploy                 | the instance was stopped without an end of its runs, since no bytes flowed or it took longer than 5 s | `Prefer: wait`, or follow the run; the listener of `SIGINT` above                                        |
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
export { createRunPage } from "./page/run_page.ts";
export type { RunPageOptions } from "./page/run_page_options.ts";
export type { CorsOptions } from "./server/cors.ts";
export {
  allowAll,
  type RequestedPipeline,
  type RequestedRun,
  type RunHandlerOptions,
  type RunSocket,
  type UpgradeWebSocket,
} from "./server/run_handler_options.ts";
export type {
  WireEvent,
  WireEventStatus,
  WireFrame,
  WireRow,
  WireRun,
} from "./wire/messages.ts";
