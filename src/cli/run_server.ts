import {
  type ClientRun,
  createRunClient,
  type RunClient,
} from "../http/client/mod.ts";
import type { Pipeline, PipelineRunRow, RunEvent } from "../../mod.ts";
import type { RunSource } from "./run_source.ts";

/** How long the server may take to answer, in milliseconds. */
const TIMEOUT = 30_000;
/** How often in a row to reconnect in vain: for about a minute. */
const MAX_FAILURES = 10;

/** The runs of a server, which a handler of `./http` serves. */
export class RunServer implements RunSource {
  readonly maxListed = 100;
  readonly #client: RunClient<readonly Pipeline[]>;

  /**
   * @param url Where the handler is mounted.
   * @param headers What to send with each request, such as credentials.
   */
  constructor(url: URL, headers: Headers) {
    this.#client = createRunClient(url, {
      fetch: (target, init) =>
        fetch(target, {
          ...init,
          headers: [...new Headers(init.headers), ...headers],
          // Following has a signal, and time limits of its own.
          signal: init.signal ?? AbortSignal.timeout(TIMEOUT),
        }),
    });
  }

  async list(
    options: { datasetId?: string; limit: number },
  ): Promise<PipelineRunRow[]> {
    return await explained(this.#client.list(options));
  }

  async get(runId: string): Promise<ClientRun | undefined> {
    return await explained(this.#client.get(runId));
  }

  follow(runId: string, options: { after?: number }): ReadableStream<RunEvent> {
    return this.#client.follow(runId, {
      ...options,
      maxFailures: MAX_FAILURES,
    });
  }

  async abort(
    runId: string,
    reason: string | undefined,
  ): Promise<"requested" | "ended"> {
    return await explained(this.#client.abort(runId, reason));
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** Explains why there is no answer, or one that is no JSON. */
async function explained<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (cause) {
    if (cause instanceof SyntaxError) {
      throw new Error("There is no handler of runs at --url", { cause });
    }
    if (cause instanceof DOMException && cause.name === "TimeoutError") {
      throw new Error(`The server did not answer in ${TIMEOUT / 1_000} s`);
    }
    throw cause;
  }
}
