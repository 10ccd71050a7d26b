import { delay } from "@std/async/delay";
import type { RunEvent } from "../../model/event.ts";
import { frameJson } from "../wire/messages.ts";

/** A WebSocket does not tell when what waits in it has gone: it is asked. */
const DRAIN_POLL = 20;

/** Close codes of RFC 6455, with what they are used for here. */
const OVER = 1000;
const GOING_AWAY = 1001;
const REFUSED = 1008;
const FAILED = 1011;

/** Options of {@linkcode sendEvents}. */
export interface SendEventsOptions {
  /** How many bytes may wait in the socket before reading pauses. */
  maxBufferedBytes: number;
  /** Whether an `Errored` run closes the socket. */
  closeAfterErrored: boolean;
}

/**
 * Sends the events of a run to a WebSocket as they come, and closes it after the
 * last one. Nothing is read for a socket that does not drain, so that the stream
 * may lag. When the socket closes, the stream is cancelled.
 *
 * @param socket The socket, which may not be open yet.
 * @param events The events.
 * @param options When to pause and when to close.
 * @returns When nothing more is to be sent. It rejects when the events fail.
 */
export async function sendEvents(
  socket: WebSocket,
  events: ReadableStream<RunEvent>,
  options: SendEventsOptions,
): Promise<void> {
  const { maxBufferedBytes, closeAfterErrored } = options;
  const reader = events.getReader();
  const closed = new AbortController();
  socket.addEventListener("close", () => {
    closed.abort();
    reader.cancel().catch(() => {}); // The stream may have failed by itself.
  });
  const close = (code: number, reason: string) => {
    if (!closed.signal.aborted) socket.close(code, reason);
  };
  try {
    await opened(socket, closed.signal);
    while (true) {
      const { done, value: event } = await reader.read();
      if (closed.signal.aborted) return;
      if (done) return close(GOING_AWAY, "The instance is shutting down");
      if (event.kind === "Lagged") {
        return close(FAILED, `Too slow: ${event.missed} events were missed`);
      }
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

/** Closes a socket as soon as it is open: there is nothing to send. */
export function closeOnceOpen(
  socket: WebSocket,
  why: "unknown" | "ended",
): void {
  socket.addEventListener("open", () => {
    if (why === "ended") socket.close(OVER, "The run has ended");
    else socket.close(REFUSED, "Unknown run");
  });
}

async function opened(socket: WebSocket, closed: AbortSignal): Promise<void> {
  if (socket.readyState === WebSocket.OPEN) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.addEventListener("open", () => resolve(), { once: true });
  closed.addEventListener("abort", () => resolve(), { once: true });
  await promise;
}
