import { delay } from "@std/async/delay";
import type { PipelineWork } from "../../mod.ts";
import {
  createRunHandler,
  ProblemError,
  type RequestedPipeline,
} from "../http/mod.ts";
import { indexFiles, type IndexProgress } from "./index_files.ts";
import { indexText } from "./index_text.ts";
import type { Database } from "./open_database.ts";
import { openPipelines } from "./open_pipelines.ts";
import type { TermCounts } from "./term_counts.ts";
import { errorMessage } from "./terminal.ts";

/** The longest pause between steps that the page may ask for, in milliseconds. */
const MAX_PAUSE = 1_000;

/** How long to wait for endings after Ctrl-C, in milliseconds. */
const SHUTDOWN_TIMEOUT = 3_000;

/** How long to wait for open responses after that, in milliseconds. */
const GRACE = 300;

const LOOPBACK: ReadonlySet<string> = new Set(["127.0.0.1", "localhost"]);

/** Options of {@linkcode servePage}. */
export interface ServePageOptions {
  /** The port on the loopback interface; 0 means any free one. */
  readonly port: number;
  /** The file or folder that the page indexes as a sample. */
  readonly sample: string;
  /** Stops the server when it fires. */
  readonly signal: AbortSignal;
}

/**
 * Serves a page on which runs are started, followed and aborted, and the routes
 * that it calls.
 *
 * @throws {Error} If the database fails or the port is taken.
 */
export async function servePage(
  database: Database,
  options: ServePageOptions,
): Promise<void> {
  const { port, sample, signal } = options;
  await using pipelines = await openPipelines(
    database,
    (warning) => console.error(warning),
  );
  const { registry, store } = pipelines;
  const handler = createRunHandler(registry, {
    pipelines: {
      index_files: (input) => ({
        work: paced(indexFiles(sample, store), pauseOf(input)),
      }),
      index_text: requestText(store),
    },
  });
  const page = await readPage();
  const hardStop = new AbortController();
  let server: Deno.HttpServer<Deno.NetAddr>;
  try {
    server = Deno.serve({
      port,
      hostname: "127.0.0.1",
      signal: hardStop.signal,
      onListen: ({ port }) => console.log(`Open http://127.0.0.1:${port}/`),
    }, (request) => {
      const url = URL.parse(request.url);
      // A foreign page can point its own host name at this address.
      if (url === null || !LOOPBACK.has(url.hostname)) {
        return new Response("Unknown host", { status: 421 });
      }
      return url.pathname === "/"
        ? pageResponse(request, page)
        : handler(request);
    });
  } catch (cause) {
    throw new Error(
      `Cannot serve on port ${port}: ${
        errorMessage(cause)
      }; choose another one with --port`,
      { cause },
    );
  }
  if (!signal.aborted) {
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
  }
  await registry.shutdown({ timeout: SHUTDOWN_TIMEOUT });
  // Not server.shutdown(): an upload, or a client that stops reading, can block it
  // for ever, and in Deno 2.9 the signal must not fire after it.
  await delay(GRACE);
  hardStop.abort();
  await server.finished;
}

function requestText(store: TermCounts): RequestedPipeline {
  return (input) => {
    const { text } = (input ?? {}) as { text?: unknown };
    if (typeof text !== "string" || text.trim() === "") {
      throw new ProblemError(422, "There is no text to index");
    }
    return { work: paced(indexText(text, store), pauseOf(input)) };
  };
}

function pauseOf(input: unknown): number {
  const { pause = 0 } = (input ?? {}) as { pause?: unknown };
  if (typeof pause === "number" && pause >= 0 && pause <= MAX_PAUSE) {
    return pause;
  }
  throw new ProblemError(422, `pause must be from 0 to ${MAX_PAUSE}`);
}

/** Adds a pause after each step, so that people can watch the run. */
function paced(
  work: PipelineWork<IndexProgress>,
  pause: number,
): PipelineWork<IndexProgress> {
  if (pause === 0) return work;
  return async function* (run): AsyncGenerator<IndexProgress> {
    for await (const step of work(run) as AsyncIterable<IndexProgress>) {
      yield step;
      await delay(pause, { signal: run.signal });
    }
  };
}

/** Reads the page with `fetch()`, which also works for a module from a registry. */
async function readPage(): Promise<string> {
  const response = await fetch(new URL("page.html", import.meta.url));
  return await response.text();
}

function pageResponse(request: Request, page: string): Response {
  if (request.method !== "GET" && request.method !== "HEAD") {
    return new Response(null, { status: 405, headers: { Allow: "GET, HEAD" } });
  }
  return new Response(request.method === "HEAD" ? null : page, {
    headers: {
      "Content-Type": "text/html; charset=utf-8",
      "Cache-Control": "no-store",
      "Content-Security-Policy":
        "default-src 'none'; connect-src 'self'; img-src data:; " +
        "script-src 'unsafe-inline'; style-src 'unsafe-inline'; " +
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    },
  });
}
