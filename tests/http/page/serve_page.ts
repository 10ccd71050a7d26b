import { PipelineRunRegistry } from "../../../mod.ts";
import {
  allowAll,
  createRunHandler,
  createRunPage,
  type RunHandlerOptions,
  type RunPageOptions,
} from "../../../src/http/mod.ts";
import { noop } from "../../known_run.ts";

/** A page and its API behind a server. */
export interface ServedPage extends AsyncDisposable {
  readonly registry: PipelineRunRegistry;
  readonly port: number;
  readonly url: string;
}

/** Serves a page under `/ops`, and its API under `/api`. */
export function servePage(
  options: RunPageOptions & {
    /** The port; by default any free one. */
    port?: number;
    /** The pipelines of the API. */
    requested?: RunHandlerOptions["pipelines"];
  } = {},
): ServedPage {
  const { port = 0, requested, ...pageOptions } = options;
  const registry = new PipelineRunRegistry();
  const api = createRunHandler(registry, {
    prefix: "/api",
    authorize: allowAll,
    pipelines: requested,
  });
  const page = createRunPage(registry, {
    prefix: "/ops",
    api: "../api",
    authorize: allowAll,
    ...pageOptions,
  });
  const hardStop = new AbortController();
  const server = Deno.serve(
    { port, hostname: "127.0.0.1", signal: hardStop.signal, onListen: noop },
    (request) =>
      new URL(request.url).pathname.startsWith("/ops")
        ? page(request)
        : api(request),
  );
  return {
    registry,
    port: server.addr.port,
    url: `http://127.0.0.1:${server.addr.port}/ops`,
    [Symbol.asyncDispose]: async () => {
      await registry.shutdown();
      hardStop.abort();
      await server.finished;
    },
  };
}
