import type { RunEvent } from "../../model/event.ts";
import type { PipelineRunRegistry } from "../../registry/registry.ts";
import type { RunStatus } from "../../repository/run_log.ts";
import { ProblemError } from "../wire/problem_error.ts";
import { RunEventEncoderStream } from "../wire/run_event_encoder_stream.ts";
import { eventStreamHeaders } from "./event_stream_headers.ts";
import { closeOnceOpen, sendEvents } from "./event_socket.ts";
import type { RunHandlerSettings, RunSocket } from "./run_handler_options.ts";

/**
 * The number of the event after which to resume. `Last-Event-ID` comes first: after a
 * browser reconnects, it is newer than the URL.
 *
 * @throws {ProblemError} If the number is invalid.
 */
export function lastEventIdOf(request: Request): number | undefined {
  const after = request.headers.get("Last-Event-ID") ??
    new URL(request.url).searchParams.get("after");
  if (after === null) return undefined;
  const lastEventId = /^\d+$/.test(after) ? Number(after) : NaN;
  if (!Number.isSafeInteger(lastEventId)) {
    throw new ProblemError(
      400,
      "Last-Event-ID and after must be the number of an event",
    );
  }
  return lastEventId;
}

/**
 * Where in a run to begin; `undefined` if no event will follow. A number that the run
 * has not reached is outdated: the current attempt is followed from its beginning.
 */
function startOf(
  { ended, firstSeq, lastSeq }: RunStatus,
  after: number | undefined,
): { after: number | undefined; lastEventId: number } | undefined {
  const lastEventId = after ?? firstSeq - 1;
  if (ended && lastEventId >= lastSeq) return undefined;
  return lastEventId > lastSeq
    ? { after: undefined, lastEventId: firstSeq - 1 }
    : { after, lastEventId };
}

/** The events of a run as server-sent events; 204 if no event will follow. */
export function eventStreamResponse(
  registry: PipelineRunRegistry,
  { heartbeat, onError }: RunHandlerSettings,
  status: RunStatus,
  after: number | undefined,
  request: Request,
): Response {
  const start = startOf(status, after);
  if (start === undefined) {
    const headers = { "Cache-Control": "no-store" };
    return new Response(null, { status: 204, headers });
  }
  const events = registry.subscribe(status.runId, {
    after: start.after,
    lag: "skip",
    durable: true,
  });
  const { lastEventId } = start;
  const encoder = new RunEventEncoderStream({ heartbeat, lastEventId });
  events.pipeTo(encoder.writable, { preventAbort: true }).catch((error) => {
    if (encoder.cancelled) return; // The viewer has left.
    onError(error, request);
    encoder.writable.abort(error);
  });
  const headers = eventStreamHeaders("no-store");
  return new Response(encoder.readable, { headers });
}

/** Whether the request asks for a WebSocket. */
export function isUpgrade({ headers }: Request): boolean {
  return headers.get("Upgrade")?.toLowerCase() === "websocket";
}

/**
 * The events of a run over a WebSocket.
 *
 * @param status The run's status. If it is `undefined`, the socket opens and closes:
 * browsers hide the response to a failed upgrade.
 * @throws {ProblemError} If the request cannot be upgraded.
 */
export function eventSocketResponse(
  registry: PipelineRunRegistry,
  settings: RunHandlerSettings,
  status: RunStatus | undefined,
  after: number | undefined,
  request: Request,
): Response {
  const start = status && startOf(status, after);
  // Subscribe before the upgrade: after it, Deno ends the server unless the handler
  // returns the upgrade's response.
  const events = start && registry.subscribe(status.runId, {
    after: start.after,
    durable: true,
  });
  const { socket, response } = upgrade(settings, request, events);
  const over = events === undefined
    ? closeOnceOpen(socket, status !== undefined)
    : sendEvents(socket, events, settings, start?.after);
  over.catch((error) => settings.onError(error, request));
  return response;
}

function upgrade(
  { upgradeWebSocket, heartbeat }: RunHandlerSettings,
  request: Request,
  events: ReadableStream<RunEvent> | undefined,
): { socket: RunSocket; response: Response } {
  try {
    if (upgradeWebSocket === undefined) {
      throw new ProblemError(501, "There are no WebSockets here");
    }
    // For a client that has left, Deno's socket neither opens nor closes.
    if (request.signal.aborted) {
      throw new ProblemError(400, "The client has left");
    }
    return upgradeWebSocket(request, { idleTimeout: 2 * heartbeat / 1_000 });
  } catch (error) {
    events?.cancel();
    if (!(error instanceof TypeError)) throw error;
    throw new ProblemError(400, "No WebSocket can be made of this request", {
      cause: error,
    });
  }
}
