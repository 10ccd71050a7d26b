import { deadline } from "@std/async/deadline";
import { delay } from "@std/async/delay";
import type { RunEvent } from "../../model/event.ts";
import { frameJson } from "../wire/messages.ts";
import type { RunHandlerSettings, RunSocket } from "./run_handler_options.ts";

/** No event reports that a WebSocket has drained, so it is polled. */
const DRAIN_POLL = 20;

/** The `readyState` of a socket that can send; not every platform has `WebSocket`. */
const OPEN = 1;

/** How long a socket may take to open. */
const OPEN_TIMEOUT = 10_000;

/** Close codes of RFC 6455. */
const OVER = 1000;
const GOING_AWAY = 1001;
const REFUSED = 1008;
const FAILED = 1011;

/**
 * Sends the events of a run to a WebSocket and closes it after the last one. It
 * stops reading while the socket does not drain, so that the stream may lag, and
 * cancels the stream when the socket closes.
 *
 * @param socket The socket, which may not be open yet.
 * @param after Where the events begin; without it, the viewer may have come late.
 * @returns When the last event is sent. It rejects if the events fail.
 */
export async function sendEvents(
  socket: RunSocket,
  events: ReadableStream<RunEvent>,
  { maxBufferedBytes, closeAfterErrored }: RunHandlerSettings,
  after: number | undefined,
): Promise<void> {
  let mayBeLate = after === undefined;
  const reader = events.getReader();
  const closed = new AbortController();
  socket.addEventListener("close", () => {
    closed.abort();
    reader.cancel().catch(() => {}); // The stream may have failed.
  });
  const close = (code: number, reason: string) => {
    if (!closed.signal.aborted) socket.close(code, reason);
  };
  try {
    // A socket whose client leaves during the handshake may never open nor close.
    await deadline(opened(socket), OPEN_TIMEOUT);
    while (true) {
      const { done, value: event } = await reader.read();
      if (closed.signal.aborted) return;
      if (done) return close(GOING_AWAY, "The instance is shutting down");
      // cognee has no message for what a viewer missed that came late.
      if (event.kind === "Lagged" && !mayBeLate) {
        return close(FAILED, `Too slow: ${event.missed} events were missed`);
      }
      mayBeLate = false;
      if (event.kind === "Lagged") continue;
      socket.send(frameJson(event));
      if (event.kind === "Completed") return close(OVER, "The run has ended");
      if (event.kind === "Errored") {
        if (closeAfterErrored) close(OVER, "The run has ended");
        return;
      }
      while (socket.bufferedAmount > maxBufferedBytes) {
        await delay(DRAIN_POLL, { signal: closed.signal });
      }
    }
  } catch (error) {
    if (closed.signal.aborted) return;
    close(FAILED, "The events cannot be read");
    throw error;
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Closes a socket that has nothing to send, as soon as it is open. */
export async function closeOnceOpen(
  socket: RunSocket,
  isKnown: boolean,
): Promise<void> {
  await opened(socket);
  if (socket.readyState !== OPEN) return;
  if (isKnown) socket.close(OVER, "The run has ended");
  else socket.close(REFUSED, "Unknown run");
}

/** Waits until a socket is open, or closed. */
async function opened(socket: RunSocket): Promise<void> {
  if (socket.readyState === OPEN) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.addEventListener("open", resolve);
  socket.addEventListener("close", resolve);
  await promise;
}
