import { UnknownRunError } from "../../../model/errors.ts";
import type { PipelineRunRegistry } from "../../../registry/registry.ts";
import type { RunStatus } from "../../../repository/run_log.ts";
import { ProblemError } from "../../wire/problem_error.ts";
import { eventStreamHeaders } from "../event_stream_headers.ts";
import type { RunHandlerSettings } from "../run_handler_options.ts";
import { type EventBatch, EventBatches } from "./event_batches.ts";
import { openServerSentStream } from "./server_sent_stream.ts";
import { nextCursor } from "./stream_cursor.ts";
import {
  positionAt,
  positionBehind,
  type StreamPosition,
} from "./stream_position.ts";
import { offsetOf, type StreamQuery, streamQueryOf } from "./stream_query.ts";

/** How long to read events that are there, in milliseconds. */
const READ_TIMEOUT = 10_000;

const UP_TO_DATE = "Stream-Up-To-Date";

/**
 * The events of a run as a stream of the Durable Streams protocol, in JSON mode; its
 * messages are wire events.
 * https://github.com/durable-streams/durable-streams/blob/main/PROTOCOL.md
 *
 * @throws {UnknownRunError} If no instance knows the run.
 * @throws {ProblemError} If the query is invalid or the events are not kept any more.
 */
export async function streamResponse(
  registry: PipelineRunRegistry,
  settings: RunHandlerSettings,
  runId: string,
  request: Request,
): Promise<Response> {
  const query = streamQueryOf(request);
  const status = await registry.status(runId, { durable: true });
  if (status === undefined) throw new UnknownRunError(runId);
  const { ended, lastSeq } = status;
  const after = startOf(query, status);
  // An offset that the run has not reached is of an earlier run with its id.
  if (ended && lastSeq === 0 || after > lastSeq) {
    throw new ProblemError(410, "The events are not kept any more", { runId });
  }
  if (request.method === "HEAD") return metadata(status);
  const open = () =>
    new EventBatches(
      registry.subscribe(runId, { after, lag: "skip", durable: true }),
    );
  if (query.live === "sse") {
    const body = openServerSentStream({
      batches: open(),
      after,
      status,
      cursor: query.cursor,
      heartbeat: settings.heartbeat,
      onError: (error) => settings.onError(error, request),
    });
    return new Response(body, { headers: eventStreamHeaders("no-cache") });
  }
  const batch = after < lastSeq
    ? await read(open(), lastSeq)
    : query.live !== undefined && !ended
    ? await next(open(), { timeout: settings.longPollTimeout })
    : undefined;
  return batchResponse(batch, { settings, query, status, after });
}

/** The number of the event after which a read begins. */
function startOf(
  { offset }: StreamQuery,
  { firstSeq, lastSeq }: RunStatus,
): number {
  if (offset === "beginning") return firstSeq - 1;
  return offset === "now" ? lastSeq : offset;
}

/** Reads events that are there. */
async function read(
  batches: EventBatches,
  until: number,
): Promise<EventBatch> {
  const batch = await next(batches, { until, timeout: READ_TIMEOUT });
  if (batch !== undefined) return batch;
  // Since the status was read, the registry was shut down, the run was forgotten, its
  // events were pruned, or the repository fails.
  throw new ProblemError(503, "The events cannot be read now", {
    code: "repository",
    headers: { "Retry-After": "1" },
  });
}

/**
 * Reads one batch; `undefined` if none came in time. It waits for a client that has left
 * too: of Deno's servers, those that look at `request.signal` print a warning.
 */
async function next(
  batches: EventBatches,
  { until, timeout }: { until?: number; timeout: number },
): Promise<EventBatch | undefined> {
  const timer = setTimeout(() => batches.cancel(), timeout);
  try {
    return await batches.next(until);
  } finally {
    clearTimeout(timer);
    batches.cancel();
  }
}

/** The tail of the stream, for a `HEAD`. */
function metadata(status: RunStatus): Response {
  const headers = headersOf(positionAt(status.lastSeq, status));
  headers.delete(UP_TO_DATE); // Nothing was read.
  headers.set("Content-Type", "application/json");
  headers.set("Cache-Control", "no-store");
  return new Response(null, { headers });
}

/** What a batch was read for. */
interface BatchRequest {
  readonly settings: RunHandlerSettings;
  readonly query: StreamQuery;
  readonly status: RunStatus;
  readonly after: number;
}

/** A batch, or that there was none. */
function batchResponse(
  batch: EventBatch | undefined,
  { settings, query, status, after }: BatchRequest,
): Response {
  const { offset, live, cursor } = query;
  const position = batch === undefined
    ? positionAt(after, status)
    : positionBehind(batch, status);
  const headers = headersOf(position);
  if (live !== undefined && !position.isClosed) {
    headers.set("Stream-Cursor", nextCursor(cursor));
  }
  const caching = batch !== undefined
    ? "max-age=60, stale-while-revalidate=300"
    // The next request has another cursor.
    : live !== undefined
    ? "max-age=5"
    : "no-cache";
  headers.set(
    "Cache-Control",
    offset === "now" ? "no-store" : `${settings.caching}, ${caching}`,
  );
  if (batch === undefined && live !== undefined) {
    return new Response(null, { status: 204, headers });
  }
  if (offset !== "now") {
    const { seq, isClosed } = position;
    const { runId } = status;
    // The time tells the events of another run with the id apart.
    const time = batch === undefined ? "" : `:${batch.last.at.getTime()}`;
    const tag = `"${runId}:${after}:${seq}${time}${isClosed ? ":c" : ""}"`;
    headers.set("ETag", tag);
    if (isMatch(query.ifNoneMatch, tag)) {
      return new Response(null, { status: 304, headers });
    }
  }
  headers.set("Content-Type", "application/json");
  return new Response(batch?.json ?? "[]", { headers });
}

function headersOf({ seq, isUpToDate, isClosed }: StreamPosition): Headers {
  const headers = new Headers({ "Stream-Next-Offset": offsetOf(seq) });
  if (isUpToDate) headers.set(UP_TO_DATE, "true");
  if (isClosed) headers.set("Stream-Closed", "true");
  return headers;
}

/** Whether a client has the response already. */
function isMatch(ifNoneMatch: string | null, tag: string): boolean {
  if (ifNoneMatch === null) return false;
  const tags = ifNoneMatch.split(",").map((each) => each.trim());
  return tags.some((each) => each === "*" || each.replace(/^W\//, "") === tag);
}
