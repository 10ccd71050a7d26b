/** The headers of server-sent events. */
export function eventStreamHeaders(
  cacheControl: "no-store" | "no-cache",
): Headers {
  return new Headers({
    "Content-Type": "text/event-stream",
    "Cache-Control": cacheControl,
    "X-Accel-Buffering": "no", // nginx buffers otherwise.
  });
}
