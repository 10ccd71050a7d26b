import { ProblemError } from "../../wire/problem_error.ts";

/** What a request asks of the stream of a run. */
export interface StreamQuery {
  /** The number of the event after which to begin. */
  readonly offset: number | "beginning" | "now";
  /** How to wait for further events; `undefined` to read what there is. */
  readonly live: "long-poll" | "sse" | undefined;
  /** The `Stream-Cursor` that the client got last. */
  readonly cursor: string | null;
  /** The tags of responses that the client has (RFC 9110, 13.1.2). */
  readonly ifNoneMatch: string | null;
}

/** As many digits as the largest number of an event has: offsets sort as texts. */
const DIGITS = String(Number.MAX_SAFE_INTEGER).length;
const OFFSET = new RegExp(`^\\d{${DIGITS}}$`);

/** The offset behind an event. */
export function offsetOf(seq: number): string {
  return String(seq).padStart(DIGITS, "0");
}

/**
 * Parses the query of a request.
 *
 * @throws {ProblemError} If a parameter is malformed, repeated or missing.
 */
export function streamQueryOf(request: Request): StreamQuery {
  const { searchParams } = new URL(request.url);
  const [offset = "-1", ...others] = searchParams.getAll("offset");
  if (others.length > 0) throw invalid("offset must be given once");
  const live = searchParams.get("live") ?? undefined;
  if (live !== undefined && live !== "long-poll" && live !== "sse") {
    throw invalid('live must be "long-poll" or "sse"');
  }
  if (live !== undefined && !searchParams.has("offset")) {
    throw invalid("live needs an offset");
  }
  return {
    offset: parseOffset(offset),
    live,
    cursor: searchParams.get("cursor"),
    ifNoneMatch: request.headers.get("If-None-Match"),
  };
}

function parseOffset(text: string): StreamQuery["offset"] {
  if (text === "-1") return "beginning";
  if (text === "now") return "now";
  const seq = OFFSET.test(text) ? Number(text) : NaN;
  if (Number.isSafeInteger(seq)) return seq;
  throw invalid('offset must be "-1", "now" or a Stream-Next-Offset');
}

function invalid(detail: string): ProblemError {
  return new ProblemError(400, detail);
}
