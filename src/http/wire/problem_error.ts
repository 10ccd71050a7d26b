import { RegistryError } from "../../model/errors.ts";

/** The phrases of statuses, from RFC 9110 and RFC 6585. */
const TITLES: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  409: "Conflict",
  410: "Gone",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  422: "Unprocessable Content",
  426: "Upgrade Required",
  429: "Too Many Requests",
  500: "Internal Server Error",
  501: "Not Implemented",
  503: "Service Unavailable",
};

/** What is wrong with one part of an input, as in the example of RFC 9457. */
export interface ProblemDetail {
  /** What is wrong. */
  readonly detail: string;
  /** Where: a JSON Pointer as a URI fragment (RFC 6901), such as `#/documents/0`. */
  readonly pointer: string;
}

/** Options of {@linkcode ProblemError}. */
export interface ProblemErrorOptions {
  /**
   * A short name for this kind of problem.
   *
   * @default {the phrase of the status}
   */
  title?: string;
  /**
   * A word for programs, as the `code` of this package's errors.
   *
   * @default {"problem"}
   */
  code?: string;
  /** Further headers of the response. */
  headers?: HeadersInit;
  /** The UUID of the run concerned, if there is one. */
  runId?: string;
  /** What is wrong with the parts of an input. */
  errors?: readonly ProblemDetail[];
  /** The underlying error; clients do not see it. */
  cause?: unknown;
}

/**
 * A problem (RFC 9457) that a request is answered with.
 *
 * On the server, `authorize` and the pipelines throw it to choose the response. On
 * the client, it is the problem that the server responded with.
 */
export class ProblemError extends RegistryError {
  /** The name of the class. */
  override name = "ProblemError";
  /** A word for programs: `"problem"`, or the `code` of the error behind it. */
  override readonly code: string;
  /** The HTTP status, from 400 to 599. */
  readonly status: number;
  /** A short name for this kind of problem. */
  readonly title: string;
  /** Further headers of the response. */
  readonly headers: Headers;
  /** The UUID of the run concerned, if there is one. */
  readonly runId: string | undefined;
  /** What is wrong with the parts of an input; empty for other problems. */
  readonly errors: readonly ProblemDetail[];

  /**
   * Creates a problem.
   *
   * @param status The HTTP status, from 400 to 599.
   * @param detail What is wrong with this request; clients see it.
   * @param options Title, headers, run and cause.
   * @throws {RangeError} If the status is not from 400 to 599.
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
    this.code = options.code ?? "problem";
    this.status = status;
    this.title = options.title ?? TITLES[status] ?? "Error";
    this.headers = new Headers(options.headers);
    this.runId = options.runId;
    this.errors = options.errors ?? [];
  }
}
