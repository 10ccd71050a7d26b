import type { RunEvent } from "../../model/event.ts";
import type { PipelineRunRegistry } from "../../registry/registry.ts";
import type { RunStatus } from "../../repository/run_log.ts";
import { closeOnceOpen, sendEvents } from "./event_socket.ts";
import { ProblemError } from "../wire/problem_error.ts";
import { RunEventEncoderStream } from "../wire/run_event_encoder_stream.ts";
import type { RunHandlerSettings } from "./run_handler_options.ts";

/** What proxies are told, nginx in words of its own. */
const EVENT_STREAM_HEADERS = {
  "Content-Type": "text/event-stream",
  "Cache-Control": "no-store",
  "X-Accel-Buffering": "no",
};

/**
 * The event behind which the request goes on: what the browser says of itself
 * when it connects again is newer than what is in the URL.
 *
 * @throws {ProblemError} If it is no number of an event.
 */
export function positionOf(request: Request): number | undefined {
  const after = request.headers.get("Last-Event-ID") ??
    new URL(request.url).searchParams.get("after");
  if (after === null) return undefined;
  const position = /^\d+$/.test(after) ? Number(after) : NaN;
  if (!Number.isSafeInteger(position)) {
    throw new ProblemError(
      400,
      "Last-Event-ID and after must be the number of an event",
    );
  }
  return position;
}

/**
 * Where in a run to go on; `undefined` where nothing will come. A number that the
 * run has not reached is from a former life of it: it begins anew then.
 */
function startOf(
  { ended, firstSeq, lastSeq }: RunStatus,
  after: number | undefined,
): { after: number | undefined; position: number } | undefined {
  const position = after ?? firstSeq - 1;
  if (ended && position >= lastSeq) return undefined;
  return position > lastSeq
    ? { after: undefined, position: firstSeq - 1 }
    : { after, position };
}

/** The events of a run as server-sent events; 204 where none will come. */
export function eventStreamResponse(
  registry: PipelineRunRegistry,
  { heartbeat, onError }: RunHandlerSettings,
  status: RunStatus,
  after: number | undefined,
  request: Request,
): Response {
  const start = startOf(status, after);
  if (start === undefined) {
    return new Response(null, {
      status: 204,
      headers: { "Cache-Control": "no-store" },
    });
  }
  const events = registry.subscribe(status.runId, {
    after: start.after,
    lag: "skip",
    durable: true,
  });
  const encoder = new RunEventEncoderStream({
    heartbeat,
    position: start.position,
  });
  events.pipeTo(encoder.writable, { preventAbort: true }).catch((error) => {
    if (encoder.cancelled) return; // The viewer has left.
    onError(error, request);
    encoder.writable.abort(error);
  });
  return new Response(encoder.readable, { headers: EVENT_STREAM_HEADERS });
}

/** Whether the request asks for a WebSocket. */
export function isUpgrade({ headers }: Request): boolean {
  return headers.get("Upgrade")?.toLowerCase() === "websocket";
}

/**
 * The events of a run over a WebSocket.
 *
 * @param status The run; `undefined` closes the socket, since a browser is not
 * told how a request was answered that was to become one.
 * @throws {ProblemError} If no WebSocket can be made of the request.
 */
export function eventSocketResponse(
  registry: PipelineRunRegistry,
  settings: RunHandlerSettings,
  status: RunStatus | undefined,
  after: number | undefined,
  request: Request,
): Response {
  const start = status && startOf(status, after);
  // Before the upgrade: after it, only its response may be given. To anything else
  // Deno answers by ending the server.
  const events = start && registry.subscribe(status.runId, {
    after: start.after,
    durable: true,
  });
  const { socket, response } = upgrade(settings, request, events);
  if (events === undefined) {
    closeOnceOpen(socket, status === undefined ? "unknown" : "ended");
  } else {
    sendEvents(socket, events, settings)
      .catch((error) => settings.onError(error, request));
  }
  return response;
}

function upgrade(
  { upgradeWebSocket, heartbeat }: RunHandlerSettings,
  request: Request,
  events: ReadableStream<RunEvent> | undefined,
): { socket: WebSocket; response: Response } {
  try {
    if (upgradeWebSocket === undefined) {
      throw new ProblemError(501, "There are no WebSockets here");
    }
    // Of a client that has left Deno makes a socket that never opens nor closes.
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
