import type { PipelineRunRegistry } from "../../registry/registry.ts";
import { eventStreamHeaders } from "../server/event_stream_headers.ts";
import { isAllowed } from "../server/is_allowed.ts";
import { problemResponse } from "../server/json_response.ts";
import type { RunAction } from "../server/route.ts";
import { toProblem } from "../server/to_problem.ts";
import { ProblemError } from "../wire/problem_error.ts";
import { PageFilter } from "./page_filter.ts";
import { pageHtml } from "./page_html.ts";
import { PAGE_SCRIPT } from "./page_script.ts";
import { PAGE_STYLE } from "./page_style.ts";
import { RunFeed } from "./run_feed.ts";
import {
  resolveRunPageOptions,
  type RunPageOptions,
  type RunPageSettings,
} from "./run_page_options.ts";
import { runPageStream } from "./run_page_stream.ts";

/** Serves the page of one registry. */
class RunPage {
  readonly #registry: PipelineRunRegistry;
  readonly #settings: RunPageSettings;
  readonly #html: string;
  readonly #feed: RunFeed;
  #pageHeaders: Promise<HeadersInit> | undefined;

  constructor(registry: PipelineRunRegistry, settings: RunPageSettings) {
    this.#registry = registry;
    this.#settings = settings;
    this.#html = pageHtml(settings);
    this.#feed = new RunFeed(registry);
  }

  async handle(request: Request): Promise<Response> {
    try {
      return await this.#answer(request);
    } catch (error) {
      const { onError } = this.#settings;
      return problemResponse(toProblem(error, () => onError(error, request)));
    }
  }

  async #answer(request: Request): Promise<Response> {
    const { prefix } = this.#settings;
    if (!URL.canParse(request.url)) {
      throw new ProblemError(400, "The URL or the Host is malformed");
    }
    const { pathname, searchParams } = new URL(request.url);
    const isPage = pathname === prefix || pathname === `${prefix}/`;
    if (!isPage && pathname !== `${prefix}/events`) {
      throw new ProblemError(404, "There is nothing here");
    }
    if (request.method !== "GET" && request.method !== "HEAD") {
      throw new ProblemError(405, "The method must be one of GET, HEAD", {
        headers: { Allow: "GET, HEAD" },
      });
    }
    const filter = filterOf(searchParams, isPage);
    const { datasetId } = filter;
    const list: RunAction = datasetId === undefined
      ? { kind: "list" }
      : { kind: "list", datasetId };
    if (!await this.#settings.authorize(request, list)) {
      throw new ProblemError(403, "This is not allowed");
    }
    return isPage ? await this.#page(request) : this.#events(request, filter);
  }

  async #page(request: Request): Promise<Response> {
    const headers = await (this.#pageHeaders ??= pageHeaders());
    const body = request.method === "HEAD" ? null : this.#html;
    return new Response(body, { headers });
  }

  #events(request: Request, filter: PageFilter): Response {
    const { heartbeat, onError } = this.#settings;
    const headers = eventStreamHeaders("no-store");
    headers.set("X-Content-Type-Options", "nosniff");
    if (request.method === "HEAD") return new Response(null, { headers });
    const body = runPageStream({
      registry: this.#registry,
      feed: this.#feed,
      filter,
      may: (kind, runId) => isAllowed(this.#settings, request, { kind, runId }),
      heartbeat,
      onError: (error) => onError(error, request),
    });
    return new Response(body, { headers });
  }
}

/** The page itself says what is wrong with its filters, so it comes in any case. */
function filterOf(query: URLSearchParams, isPage: boolean): PageFilter {
  try {
    return new PageFilter(query);
  } catch (error) {
    if (isPage) return new PageFilter(new URLSearchParams());
    throw error;
  }
}

async function pageHeaders(): Promise<HeadersInit> {
  const policy = [
    "default-src 'none'",
    "connect-src 'self'",
    "img-src data:",
    `script-src '${await hashOf(PAGE_SCRIPT)}'`,
    `style-src '${await hashOf(PAGE_STYLE)}'`,
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ];
  return {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": policy.join("; "),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
  };
}

/** The hash of an inline script or style, as a content security policy has it. */
async function hashOf(text: string): Promise<string> {
  const bytes = new TextEncoder().encode(text);
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return `sha256-${btoa(String.fromCharCode(...new Uint8Array(digest)))}`;
}

/**
 * Creates a request handler for a page on which operators see what runs, what ended
 * and why, follow events as they happen, and abort runs. Mount it beside the API of
 * {@linkcode createRunHandler}, on the same origin.
 *
 * | request | response |
 * |---|---|
 * | `GET {prefix}` or `GET {prefix}/` | the page |
 * | `GET {prefix}/events` | what the page shows, as server-sent events that only the page reads |
 *
 * Both take the filters of the page as a query: `?pipeline=` is part of a pipeline's
 * name, `?dataset=` the UUID of a dataset, `?status=` one of `live`, `completed`,
 * `errored`, `pending`, `running`, and the codes of failures, where `work` is a failure
 * of the work itself. The page keeps them in its URL, so that links can be shared.
 *
 * **One connection.** One stream follows all live runs, those of other instances too:
 * up to 100 at once for each viewer, and the page says how many more there are. The
 * newest rows are listed once a second for all viewers of an instance together; a
 * viewer begins with the live runs and the last 100 that ended, among the newest 1,000
 * rows.
 *
 * **Slow viewers.** 64 KiB and one message for each run wait in memory for a viewer
 * that does not read. Payloads and messages are cut to 300 characters. A run that
 * publishes more than 50 events a second is shown with its last events, and the page
 * says how many are left out.
 *
 * **Reconnecting.** The page says when the server is gone, and tries again after a
 * second, and then after twice as long each time, up to 15 s. It then gets all runs
 * anew, so it misses no ending.
 *
 * **Permissions.** `authorize` is asked for `list` when the page and its stream are
 * requested, for `read` before a run is shown and for `follow` before its events are.
 * A run that it refuses is not shown. Runs are aborted and started by requests to the
 * API, which asks its own `authorize`; give both the same one.
 *
 * **Security.** The page loads nothing from elsewhere, and its content security policy
 * allows no script and no style but its own, by their hashes. It shows what comes from
 * runs as text.
 *
 * **Closing.** `registry.shutdown()` closes the streams once the last events of the
 * live runs were sent.
 *
 * @param registry The registry of the runs.
 * @param options Where it is mounted, permissions, and what it offers.
 * @returns The handler. It never rejects.
 * @throws {TypeError} If an option has the wrong type.
 * @throws {RangeError} If a number is out of range.
 *
 * @example Usage
 * ```ts
 * import { assertEquals, assertStringIncludes } from "@std/assert";
 * import { PipelineRunRegistry } from "@pipeline/run-registry";
 * import { createRunHandler, createRunPage } from "@pipeline/run-registry/http";
 *
 * await using registry = new PipelineRunRegistry();
 * const authorize = ({ headers }: Request) => headers.get("Cookie") === "let=in";
 * const api = createRunHandler(registry, { prefix: "/api", authorize });
 * const page = createRunPage(registry, { prefix: "/ops", api: "/api", authorize });
 * const handler = (request: Request) =>
 *   new URL(request.url).pathname.startsWith("/ops") ? page(request) : api(request);
 *
 * const refused = await handler(new Request("http://localhost/ops"));
 * assertEquals(refused.status, 403);
 * const headers = { Cookie: "let=in" };
 * const shown = await handler(new Request("http://localhost/ops", { headers }));
 * assertStringIncludes(await shown.text(), "<h1>Pipeline runs</h1>");
 * ```
 */
export function createRunPage(
  registry: PipelineRunRegistry,
  options: RunPageOptions = {},
): (request: Request) => Promise<Response> {
  const page = new RunPage(registry, resolveRunPageOptions(options));
  return (request) => page.handle(request);
}
