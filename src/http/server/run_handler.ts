import {
  RegistryFullError,
  RegistryShutdownError,
  RepositoryError,
  RunAlreadyActiveError,
  UnknownRunError,
} from "../../model/errors.ts";
import { hasEnded } from "../../model/phase.ts";
import type { PipelineRunRegistry } from "../../registry/registry.ts";
import type { PipelineRunRow } from "../../model/row.ts";
import type { RunStatus } from "../../repository/run_log.ts";
import {
  eventSocketResponse,
  eventStreamResponse,
  isUpgrade,
  positionOf,
} from "./follow_response.ts";
import { jsonResponse } from "./json_response.ts";
import { ProblemError, problemResponse } from "../wire/problem_error.ts";
import { recentRuns } from "./recent_runs.ts";
import { routeOf, type RunAction } from "./route.ts";
import {
  resolveRunHandlerOptions,
  type RunHandlerOptions,
  type RunHandlerSettings,
} from "./run_handler_options.ts";
import { startRun } from "./start_run.ts";
import { toWireRow, toWireRun } from "../wire/messages.ts";

const DEFAULT_LISTED = 50;
const MAX_LISTED = 100;
/** How many rows of one run are given. */
const MAX_ROWS_OF_RUN = 50;
/** When to ask again where something is full or cannot be reached, in seconds. */
const RETRY_AFTER = { "Retry-After": "1" };

/** Answers requests about the runs of one registry. */
class RunHandler {
  readonly #registry: PipelineRunRegistry;
  readonly #settings: RunHandlerSettings;

  constructor(registry: PipelineRunRegistry, settings: RunHandlerSettings) {
    this.#registry = registry;
    this.#settings = settings;
  }

  async handle(request: Request): Promise<Response> {
    try {
      const response = await this.#answer(request);
      if (request.method !== "HEAD") return response;
      await response.body?.cancel();
      return new Response(null, response);
    } catch (error) {
      return problemResponse(this.#toProblem(error, request));
    }
  }

  async #answer(request: Request): Promise<Response> {
    const action = routeOf(request, this.#settings.prefix);
    switch (action.kind) {
      case "list":
        return await this.#list(request, action);
      case "read":
        return await this.#read(request, action);
      case "follow":
        return await this.#follow(request, action);
      case "abort":
        return await this.#abort(request, action);
      case "start": {
        const { pipelineName } = action;
        await this.#authorize(request, action);
        return await startRun(
          this.#registry,
          this.#settings,
          pipelineName,
          request,
        );
      }
    }
  }

  async #list(
    request: Request,
    action: RunAction & { kind: "list" },
  ): Promise<Response> {
    const limit = limitOf(request);
    await this.#authorize(request, action);
    const runs = await recentRuns(this.#registry.repository, {
      datasetId: action.datasetId,
      limit,
      isShown: (row) => this.#mayRead(request, row),
    });
    return jsonResponse(runs.map(toWireRow), { status: 200 });
  }

  async #read(
    request: Request,
    action: RunAction & { runId: string },
  ): Promise<Response> {
    await this.#authorize(request, action);
    const { runId } = action;
    const [status, rows, payload] = await Promise.all([
      this.#registry.status(runId),
      this.#registry.repository.listByRun(runId, MAX_ROWS_OF_RUN),
      this.#registry.getPayload(runId),
    ]);
    if (status === undefined) throw new UnknownRunError(runId);
    return jsonResponse(toWireRun(status, rows, payload), { status: 200 });
  }

  async #follow(
    request: Request,
    action: RunAction & { runId: string },
  ): Promise<Response> {
    const after = positionOf(request);
    if (!isUpgrade(request)) {
      await this.#authorize(request, action);
      const status = await this.#known(action.runId);
      return eventStreamResponse(
        this.#registry,
        this.#settings,
        status,
        after,
        request,
      );
    }
    // Deno tells of a client that leaves only who has looked before it did.
    request.signal.aborted;
    const isAllowed = await this.#settings.authorize(request, action);
    const status = isAllowed
      ? await this.#registry.status(action.runId)
      : undefined;
    return eventSocketResponse(
      this.#registry,
      this.#settings,
      status,
      after,
      request,
    );
  }

  async #abort(
    request: Request,
    action: RunAction & { runId: string },
  ): Promise<Response> {
    await this.#authorize(request, action);
    const { runId } = action;
    const { phase } = await this.#known(runId);
    if (hasEnded(phase)) {
      throw new ProblemError(409, `The run has ended: ${phase.name}`, {
        runId,
      });
    }
    const reason = new URL(request.url).searchParams.get("reason") ?? undefined;
    await this.#registry.abort(runId, reason);
    return jsonResponse({ pipeline_run_id: runId }, { status: 202 });
  }

  async #known(runId: string): Promise<RunStatus> {
    const status = await this.#registry.status(runId);
    if (status === undefined) throw new UnknownRunError(runId);
    return status;
  }

  /** A run that is refused is as one that does not exist. */
  async #authorize(request: Request, action: RunAction): Promise<void> {
    if (await this.#settings.authorize(request, action)) return;
    if ("runId" in action) throw new UnknownRunError(action.runId);
    throw new ProblemError(403, "This is not allowed");
  }

  async #mayRead(
    request: Request,
    { pipelineRunId: runId }: PipelineRunRow,
  ): Promise<boolean> {
    try {
      const { authorize } = this.#settings;
      return await authorize(request, { kind: "read", runId });
    } catch (error) {
      if (error instanceof ProblemError) return false;
      throw error;
    }
  }

  #toProblem(error: unknown, request: Request): ProblemError {
    if (error instanceof ProblemError) return error;
    if (error instanceof UnknownRunError) {
      const { message, runId } = error;
      return new ProblemError(404, message, { runId });
    }
    if (error instanceof RunAlreadyActiveError) {
      const { message, runId } = error;
      return new ProblemError(409, message, { runId });
    }
    if (error instanceof RegistryShutdownError) {
      return new ProblemError(503, "This instance is shutting down", {
        headers: RETRY_AFTER,
      });
    }
    this.#settings.onError(error, request);
    if (error instanceof RegistryFullError) {
      return new ProblemError(503, "There are too many runs", {
        headers: RETRY_AFTER,
      });
    }
    return error instanceof RepositoryError && error.transient
      ? new ProblemError(503, "The repository cannot be reached", {
        headers: RETRY_AFTER,
      })
      : new ProblemError(500, "Something went wrong here");
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
 * Makes a handler of requests about the runs of a registry, for `Deno.serve` or to
 * be mounted under a prefix in Hono, Oak or Fresh. It needs nothing but web
 * standards and, for WebSockets, what the platform has for them.
 *
 * | request | answer |
 * |---|---|
 * | `GET /runs?dataset_id=…&limit=…` | the newest runs: an array of {@linkcode WireRow}, the newest row of each |
 * | `GET /runs/:id` | a {@linkcode WireRun}: phase, rows, payload |
 * | `GET /runs/:id/events?after=…` | its events: server-sent events, or a WebSocket |
 * | `DELETE /runs/:id?reason=…` | 202 when the abort is under way; 409 where the run has ended |
 * | `POST /pipelines/:name` | 202 with the run id and a `Location` |
 *
 * A run id may have any spelling of a UUID. Errors are problem details (RFC 9457);
 * those of the server tell no more than that it failed, and `onError` the rest.
 *
 * **Server-sent events** have the event's number as `id`. The stream begins behind
 * `Last-Event-ID` or `after`, otherwise with the oldest event held of the current
 * attempt, and closes after the run's last event; who asks again behind that gets
 * 204, which ends an `EventSource`. A number that is none is 400. With an event
 * log an event is shown once it is in the log. So whichever instance a client
 * comes back to goes on where the last one left off.
 *
 * **WebSocket** messages are those of cognee, {@linkcode WireFrame}; `after` works
 * as above. The socket closes with 1000 after the run's last event, 1011 when the
 * client is too slow for the events or they cannot be read, 1001 when the instance
 * shuts down, and 1008 for a run that is unknown or refused.
 *
 * **Lag.** For a client who does not read, two events wait in memory and, with a
 * log, up to 64 KiB more that were read from it; in a WebSocket
 * `maxBufferedBytes`. The others wait in the run's broadcast or in the log. What is
 * lost there is told as an event `Lagged`, and the stream goes on; a WebSocket is
 * closed.
 *
 * **Starting.** The body of `POST` is the pipeline's input. With `Prefer: wait` or
 * `Prefer: wait=SECONDS` (RFC 7240) the answer is 200 with the outcome, when the
 * run ends by then. A client that leaves does not end the run. What comes from a
 * page of a browser must be `application/json`, also without a body, since a
 * foreign page cannot send that without being allowed to.
 *
 * **Closing.** `registry.shutdown()` closes all streams. Call it before
 * `server.shutdown()`, which waits for them.
 *
 * @param registry Whose runs they are.
 * @param options What may be done and started, and bounds.
 * @returns The handler. It never rejects.
 * @throws {TypeError} If an option has the wrong shape.
 * @throws {RangeError} If a number is out of range.
 *
 * @example Usage
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { PipelineRunRegistry } from "@pipeline/run-registry";
 * import { createRunHandler } from "@pipeline/run-registry/http";
 *
 * await using registry = new PipelineRunRegistry();
 * const handler = createRunHandler(registry, {
 *   pipelines: { ingest: () => ({ work: ({ publish }) => publish("hello") }) },
 * });
 *
 * const response = await handler(
 *   new Request("http://localhost/pipelines/ingest", {
 *     method: "POST",
 *     headers: { Prefer: "wait" },
 *   }),
 * );
 * assertEquals((await response.json()).status, "PipelineRunCompleted");
 * ```
 */
export function createRunHandler(
  registry: PipelineRunRegistry,
  options: RunHandlerOptions = {},
): (request: Request) => Promise<Response> {
  const handler = new RunHandler(registry, resolveRunHandlerOptions(options));
  return (request) => handler.handle(request);
}
