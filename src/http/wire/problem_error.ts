import { RegistryError } from "../../model/errors.ts";
import { jsonResponse } from "../server/json_response.ts";
import { readBytes } from "./read_bytes.ts";

/** The phrases of statuses, from RFC 9110 and RFC 6585. */
const TITLES: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  409: "Conflict",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  422: "Unprocessable Content",
  426: "Upgrade Required",
  429: "Too Many Requests",
  500: "Internal Server Error",
  501: "Not Implemented",
  503: "Service Unavailable",
};

/** More than any problem takes that a person would read, in bytes. */
const MAX_PROBLEM_BYTES = 64 * 1024;

/** Options of {@linkcode ProblemError}. */
export interface ProblemErrorOptions {
  /**
   * What kind of problem it is, in a few words.
   *
   * @default {the phrase of the status}
   */
  title?: string;
  /** Further headers of the response. */
  headers?: HeadersInit;
  /** The run it is about, where it is about one. */
  runId?: string;
  /** The error behind it, which is not shown. */
  cause?: unknown;
}

/**
 * A request that is answered with a problem (RFC 9457), or that was.
 *
 * The handler answers with what `authorize` and the pipelines throw of these, and
 * clients are given the problems that the handler answered with.
 */
export class ProblemError extends RegistryError {
  /** The name of the class. */
  override name = "ProblemError";
  /** The HTTP status, from 400 to 599. */
  readonly status: number;
  /** What kind of problem it is. */
  readonly title: string;
  /** Further headers of the response. */
  readonly headers: Headers;
  /** The run it is about, where it is about one. */
  readonly runId: string | undefined;

  /**
   * Says what is wrong with the request.
   *
   * @param status The HTTP status, from 400 to 599.
   * @param detail What is wrong this time; everybody sees it.
   * @param options What else is known of it.
   * @throws {RangeError} If the status is not that of an error.
   */
  constructor(
    status: number,
    detail: string,
    options: ProblemErrorOptions = {},
  ) {
    if (!Number.isInteger(status) || status < 400 || status > 599) {
      throw new RangeError(
        `Cannot create problem: status must be from 400 to 599, received ${status}`,
      );
    }
    super(detail, { cause: options.cause });
    this.status = status;
    this.title = options.title ?? TITLES[status] ?? "Error";
    this.headers = new Headers(options.headers);
    this.runId = options.runId;
  }
}

/** The response that tells of a problem. */
export function problemResponse(problem: ProblemError): Response {
  const { status, title, message: detail, runId, headers } = problem;
  const body = { status, title, detail, pipeline_run_id: runId };
  return jsonResponse(body, {
    status,
    headers,
    type: "application/problem+json",
  });
}

/**
 * What a response with the status of an error tells. Of its headers only
 * `Retry-After` is taken: others must not get into a response of ours.
 *
 * @param signal Stops reading when it fires.
 */
export async function problemOf(
  response: Response,
  signal: AbortSignal,
): Promise<ProblemError> {
  const { status, headers } = response;
  const retryAfter = headers.get("Retry-After");
  const { detail, title, pipeline_run_id: runId } = await readProblem(
    response,
    signal,
  );
  return new ProblemError(
    status,
    detail ?? `The server answered with ${status}`,
    {
      title,
      runId,
      headers: retryAfter === null ? {} : { "Retry-After": retryAfter },
    },
  );
}

interface ToldProblem {
  title?: string;
  detail?: string;
  pipeline_run_id?: string;
}

/** What answers may be any page of any proxy: of another shape it tells nothing. */
async function readProblem(
  { body, headers }: Response,
  signal: AbortSignal,
): Promise<ToldProblem> {
  const type = headers.get("Content-Type") ?? "";
  if (!/^application\/problem\+json\b/i.test(type)) {
    await body?.cancel();
    return {};
  }
  try {
    const bytes = await readBytes(body, MAX_PROBLEM_BYTES, signal);
    const problem = JSON.parse(new TextDecoder().decode(bytes));
    const members = Object.entries(problem)
      .filter(([, value]) => typeof value === "string");
    return Object.fromEntries(members);
  } catch {
    return {};
  }
}
