import { delay } from "@std/async/delay";
import {
  definePipeline,
  type InputSchema,
  type RunContext,
} from "../../mod.ts";
import { allowAll, createRunHandler, createRunPage } from "../http/mod.ts";
import { indexFiles, type IndexProgress } from "./index_files.ts";
import { indexText } from "./index_text.ts";
import type { Database } from "./open_database.ts";
import { openPipelines } from "./open_pipelines.ts";
import { errorMessage } from "./terminal.ts";

/** The longest pause between steps that the page may ask for, in milliseconds. */
const MAX_PAUSE = 1_000;

/** The inputs that the page suggests. They are slow, so that there is something to see. */
const EXAMPLES = {
  index_files: { pause: 50 },
  index_text: { text: "one line\nand another line", pause: 500 },
};

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
 * Serves the page of the runs, on which they are also started, and the API that it
 * calls.
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
  const authorize = allowAll; // The server below answers nobody but this machine.
  const handler = createRunHandler(registry, {
    authorize,
    pipelines: [
      definePipeline({
        name: "index_files",
        input: inputSchema({ hasText: false }),
        run: ({ pause }, run) =>
          paced(indexFiles(sample, store, run), pause, run),
      }),
      definePipeline({
        name: "index_text",
        input: inputSchema({ hasText: true }),
        run: ({ text, pause }, run) =>
          paced(indexText(text, store, run), pause, run),
      }),
    ],
  });
  const page = createRunPage(registry, { authorize, pipelines: EXAMPLES });
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
      return url.pathname === "/" || url.pathname === "/events"
        ? page(request)
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

/** The schema of what the page sends. */
function inputSchema(
  { hasText }: { hasText: boolean },
): InputSchema<unknown, { text: string; pause: number }> {
  const validate = (given: unknown) => {
    const { text = "", pause = 0 } = Object(given);
    if (hasText && (typeof text !== "string" || text.trim() === "")) {
      return { issues: [{ message: "There is no text to index" }] };
    }
    if (typeof pause === "number" && pause >= 0 && pause <= MAX_PAUSE) {
      return { value: { text, pause } };
    }
    return { issues: [{ message: `pause must be from 0 to ${MAX_PAUSE}` }] };
  };
  return { "~standard": { validate } };
}

/** Adds a pause after each step, so that people can watch the run. */
async function* paced(
  steps: AsyncIterable<IndexProgress>,
  pause: number,
  { signal }: RunContext<IndexProgress>,
): AsyncGenerator<IndexProgress, void, undefined> {
  for await (const step of steps) {
    yield step;
    if (pause > 0) await delay(pause, { signal });
  }
}
