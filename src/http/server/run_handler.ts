import { UnknownRunError } from "../../model/errors.ts";
import type { PipelineRunRegistry } from "../../registry/registry.ts";
import type { RunStatus } from "../../repository/run_log.ts";
import { corsHeaders } from "./cors.ts";
import {
  eventSocketResponse,
  eventStreamResponse,
  isUpgrade,
  lastEventIdOf,
} from "./follow_response.ts";
import { isAllowed } from "./is_allowed.ts";
import { jsonResponse, problemResponse } from "./json_response.ts";
import { ProblemError } from "../wire/problem_error.ts";
import { readRun } from "./read_run.ts";
import { recentRuns } from "./recent_runs.ts";
import {
  allowedMethods,
  checkMethod,
  resourceOf,
  type RunAction,
} from "./route.ts";
import {
  resolveRunHandlerOptions,
  type RunHandlerOptions,
  type RunHandlerSettings,
} from "./run_handler_options.ts";
import { startRun } from "./start_run.ts";
import { streamResponse } from "./stream/stream_response.ts";
import { toProblem } from "./to_problem.ts";
import { toWireRow, toWireRun } from "../wire/messages.ts";

const DEFAULT_LISTED = 50;
const MAX_LISTED = 100;
/** How many of the newest rows to search for runs to list. */
const MAX_ROWS = 1_000;

/** Handles requests about the runs of one registry. */
class RunHandler {
  readonly #registry: PipelineRunRegistry;
  readonly #settings: RunHandlerSettings;

  constructor(registry: PipelineRunRegistry, settings: RunHandlerSettings) {
    this.#registry = registry;
    this.#settings = settings;
  }

  async handle(request: Request): Promise<Response> {
    // Deno's request cannot be read any more once it is upgraded or its client leaves.
    const mustStay = isUpgrade(request);
    const isHead = request.method === "HEAD";
    const { cors, onError } = this.#settings;
    const headers = corsHeaders(request, cors);
    const response = await this.#answer(request)
      .catch((error) =>
        problemResponse(toProblem(error, () => onError(error, request)))
      );
    if (mustStay) return response;
    for (const [name, value] of headers) response.headers.set(name, value);
    if (!isHead) return response;
    await response.body?.cancel();
    return new Response(null, response);
  }

  async #answer(request: Request): Promise<Response> {
    const resource = resourceOf(request, this.#settings.prefix);
    if (request.method === "OPTIONS") {
      const headers = { Allow: allowedMethods(resource) };
      return new Response(null, { status: 204, headers });
    }
    checkMethod(request.method, resource);
    switch (resource.name) {
      case "runs":
        return await this.#list(request, resource.datasetId);
      case "run":
        return request.method === "DELETE"
          ? await this.#abort(request, resource.runId)
          : await this.#read(request, resource.runId);
      case "events":
        return await this.#follow(request, resource.runId);
      case "stream":
        return await this.#stream(request, resource.runId);
      case "pipeline":
        return await this.#start(request, resource.pipelineName);
    }
  }

  async #list(
    request: Request,
    datasetId: string | undefined,
  ): Promise<Response> {
    const limit = limitOf(request);
    await this.#authorize(
      request,
      datasetId === undefined ? { kind: "list" } : { kind: "list", datasetId },
    );
    const runs = await recentRuns(this.#registry.repository, {
      datasetId,
      limit,
      maxRows: MAX_ROWS,
      isShown: ({ pipelineRunId: runId }) =>
        isAllowed(this.#settings, request, { kind: "read", runId }),
    });
    return jsonResponse(runs.map(toWireRow), { status: 200 });
  }

  async #read(request: Request, runId: string): Promise<Response> {
    await this.#authorize(request, { kind: "read", runId });
    const run = await readRun(this.#registry, runId);
    if (run === undefined) throw new UnknownRunError(runId);
    const { status, rows, payload, result } = run;
    const wire = toWireRun(status, rows, payload, result);
    return jsonResponse(wire, { status: 200 });
  }

  async #follow(request: Request, runId: string): Promise<Response> {
    const registry = this.#registry;
    const settings = this.#settings;
    const action = { kind: "follow", runId } as const;
    const after = lastEventIdOf(request);
    if (!isUpgrade(request)) {
      await this.#authorize(request, action);
      const status = await this.#known(runId);
      return eventStreamResponse(registry, settings, status, after, request);
    }
    // Deno aborts the signal only if it was read before the client left.
    request.signal.aborted;
    const isAllowed = await settings.authorize(request, action);
    const status = isAllowed ? await registry.status(runId) : undefined;
    return eventSocketResponse(registry, settings, status, after, request);
  }

  async #stream(request: Request, runId: string): Promise<Response> {
    await this.#authorize(request, { kind: "follow", runId });
    return await streamResponse(
      this.#registry,
      this.#settings,
      runId,
      request,
    );
  }

  async #start(request: Request, pipelineName: string): Promise<Response> {
    await this.#authorize(request, { kind: "start", pipelineName });
    return await startRun(
      this.#registry,
      this.#settings,
      pipelineName,
      request,
    );
  }

  async #abort(request: Request, runId: string): Promise<Response> {
    await this.#authorize(request, { kind: "abort", runId });
    const reason = new URL(request.url).searchParams.get("reason") ?? undefined;
    if (await this.#registry.abort(runId, reason) === "ended") {
      const { phase } = await this.#known(runId);
      const code = "run_ended";
      const message = `The run has ended: ${phase.name}`;
      throw new ProblemError(409, message, { code, runId });
    }
    return jsonResponse({ pipeline_run_id: runId }, { status: 202 });
  }

  async #known(runId: string): Promise<RunStatus> {
    const status = await this.#registry.status(runId);
    if (status === undefined) throw new UnknownRunError(runId);
    return status;
  }

  /** Reports a refused run as unknown, so that its existence stays hidden. */
  async #authorize(request: Request, action: RunAction): Promise<void> {
    if (await this.#settings.authorize(request, action)) return;
    if ("runId" in action) throw new UnknownRunError(action.runId);
    throw new ProblemError(403, "This is not allowed");
  }
}

function limitOf(request: Request): number {
  const text = new URL(request.url).searchParams.get("limit");
  if (text === null) return DEFAULT_LISTED;
  const limit = /^\d+$/.test(text) ? Number(text) : NaN;
  if (limit >= 1 && limit <= MAX_LISTED) return limit;
  throw new ProblemError(400, `limit must be from 1 to ${MAX_LISTED}`);
}

/**
 * Creates a request handler for the runs of a registry. Pass it to `Deno.serve`, or
 * mount it under a prefix in Hono, Oak or Fresh. It needs only web standards and, for
 * WebSockets, the platform's upgrade function.
 *
 * | request | response |
 * |---|---|
 * | `GET /runs?dataset_id=…&limit=…` | the newest runs: an array of {@linkcode WireRow}, the newest row of each |
 * | `GET /runs/:id` | a {@linkcode WireRun}: phase, error, rows, payload, result |
 * | `GET /runs/:id/events?after=…` | its events: server-sent events, or a WebSocket |
 * | `GET /runs/:id/stream?offset=…&live=…` | its events as a Durable Stream |
 * | `DELETE /runs/:id?reason=…` | 202 when the abort is under way; 409 if the run has ended |
 * | `POST /pipelines/:name` | 202 with the run id and a `Location` |
 *
 * A run id may have any spelling of a UUID. Errors are problem details (RFC 9457).
 * Clients see server errors only as a generic failure; `onError` gets the details.
 *
 * **Server-sent events** have the event's number as `id`. The stream begins after
 * `Last-Event-ID` or `after`, by default with the oldest held event of the current
 * attempt, and closes after the run's last event. Reconnecting after that event is
 * answered with 204, which ends an `EventSource`; an invalid number is answered with
 * 400. With an event log, events are sent only once they are in the log, so a client
 * can resume at any instance.
 *
 * **WebSocket** messages are those of cognee, {@linkcode WireFrame}; `after` works
 * as above. The socket closes with 1000 after the run's last event, with 1011 if the
 * client is too slow or the events cannot be read, with 1001 if the instance shuts
 * down, and with 1008 if the run is unknown or refused.
 *
 * **Lag.** For a client that does not read, the handler buffers two events and, with
 * a log, up to 64 KiB more that were read from it; for a WebSocket,
 * `maxBufferedBytes`. Later events stay in the run's broadcast or in the log. Events
 * lost there are reported by a `Lagged` event, and the stream goes on; a WebSocket is
 * closed, unless they were lost before it came.
 *
 * **Starting.** The body of `POST` is the pipeline's input. If it is not what the
 * pipeline's schema says, the response is 422 with the issues as `errors`. With `Prefer: wait` or
 * `Prefer: wait=SECONDS` (RFC 7240), the response is 200 with the outcome if the run
 * ends in time. The run continues if the client disconnects. Requests from browser
 * pages must be `application/json`, even without a body, because a foreign page
 * cannot send that type without permission.
 *
 * **Closing.** `registry.shutdown()` ends the runs of the instance, waits until their
 * viewers were sent the last event, for its timeout at most, and closes all streams.
 * Call it before `server.shutdown()`, which waits for them.
 *
 * @param registry The registry of the runs.
 * @param options Pipelines, permissions and bounds.
 * @returns The handler. It never rejects.
 * @throws {TypeError} If an option has the wrong type.
 * @throws {RangeError} If a number is out of range.
 *
 * @example Usage
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { definePipeline, PipelineRunRegistry } from "@pipeline/run-registry";
 * import { allowAll, createRunHandler } from "@pipeline/run-registry/http";
 *
 * await using registry = new PipelineRunRegistry();
 * const handler = createRunHandler(registry, {
 *   pipelines: [definePipeline({ name: "greet", run: () => "hello" })],
 *   authorize: allowAll,
 * });
 *
 * const response = await handler(
 *   new Request("http://localhost/pipelines/greet", {
 *     method: "POST",
 *     headers: { Prefer: "wait" },
 *   }),
 * );
 * assertEquals((await response.json()).result, "hello");
 * ```
 */
export function createRunHandler(
  registry: PipelineRunRegistry,
  options: RunHandlerOptions = {},
): (request: Request) => Promise<Response> {
  const handler = new RunHandler(registry, resolveRunHandlerOptions(options));
  return (request) => handler.handle(request);
}
