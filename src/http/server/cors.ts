import { checkType } from "../../arguments/checks.ts";

/** Which pages of other origins may send requests and read the responses. */
export interface CorsOptions {
  /** The origins, such as `https://example.com`; `"*"` for any. */
  origins: "*" | readonly string[];
  /**
   * Whether their requests may carry cookies. Not with any origin.
   *
   * @default {false}
   */
  credentials?: boolean;
}

const METHODS = "GET, HEAD, POST, DELETE";

/** What pages may read besides the headers that every page may. */
const EXPOSED = [
  "Allow",
  "ETag",
  "Location",
  "Preference-Applied",
  "Retry-After",
  "Stream-Closed",
  "Stream-Cursor",
  "Stream-Next-Offset",
  "Stream-Up-To-Date",
].join(", ");

/** How long a browser may remember the answer to a preflight, in seconds. */
const MAX_AGE = 7_200;

/**
 * Checks the options.
 *
 * @throws {TypeError} If an option has the wrong type, or an origin is none.
 */
export function checkCors(here: string, cors: CorsOptions): void {
  if (typeof cors !== "object" || cors === null) {
    throw new TypeError(`${here} cors must be an object with origins`);
  }
  const { origins, credentials = false } = cors;
  checkType(`${here} cors.credentials`, credentials, "boolean");
  if (origins === "*") {
    if (!credentials) return;
    throw new TypeError(`${here} cors.credentials needs a list of origins`);
  }
  if (!Array.isArray(origins)) {
    throw new TypeError(`${here} cors.origins must be "*" or an array`);
  }
  for (const origin of origins) {
    if (URL.canParse(origin) && new URL(origin).origin === origin) continue;
    throw new TypeError(
      `${here} cors.origins must be origins such as "https://example.com", received "${origin}"`,
    );
  }
}

/** The headers of a response that tell the browser who may read it. */
export function corsHeaders(
  request: Request,
  cors: CorsOptions | undefined,
): Headers {
  const headers = new Headers({
    "X-Content-Type-Options": "nosniff",
    // Without CORS, pages of listed origins have no use for the responses.
    "Cross-Origin-Resource-Policy": cors?.origins === "*"
      ? "cross-origin"
      : "same-origin",
  });
  if (cors === undefined) return headers;
  const { origins, credentials } = cors;
  if (origins === "*") {
    // To requests without an Origin too: a cache may give a page what they got.
    headers.set("Access-Control-Allow-Origin", "*");
  } else {
    headers.set("Vary", "Origin");
    const origin = request.headers.get("Origin");
    if (origin === null || !origins.includes(origin)) return headers;
    headers.set("Access-Control-Allow-Origin", origin);
  }
  headers.set("Access-Control-Expose-Headers", EXPOSED);
  if (credentials) headers.set("Access-Control-Allow-Credentials", "true");
  if (request.method !== "OPTIONS") return headers;
  headers.set("Access-Control-Allow-Methods", METHODS);
  headers.set("Access-Control-Max-Age", String(MAX_AGE));
  const asked = request.headers.get("Access-Control-Request-Headers");
  if (asked !== null) headers.set("Access-Control-Allow-Headers", asked);
  return headers;
}
