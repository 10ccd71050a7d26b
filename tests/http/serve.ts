import {
  PipelineRunRegistry,
  type PipelineRunRegistryOptions,
} from "../../mod.ts";
import {
  allowAll,
  createRunHandler,
  type RunHandlerOptions,
} from "../../src/http/mod.ts";
import { noop } from "../known_run.ts";

export type Handler = (request: Request) => Response | Promise<Response>;

/** A registry behind a server. */
export interface Served extends AsyncDisposable {
  readonly registry: PipelineRunRegistry;
  readonly server: Deno.HttpServer<Deno.NetAddr>;
  readonly origin: string;
}

/** Serves a registry of its own on a free port. */
export function serve(
  options: RunHandlerOptions & PipelineRunRegistryOptions = {},
  wrap: (handler: Handler) => Handler = (handler) => handler,
): Served {
  const registry = new PipelineRunRegistry(options);
  const handler = wrap(
    createRunHandler(registry, { authorize: allowAll, ...options }),
  );
  const hardStop = new AbortController();
  const server = Deno.serve({
    port: 0,
    hostname: "127.0.0.1",
    signal: hardStop.signal,
    onListen: noop,
  }, handler);
  return {
    registry,
    server,
    origin: `http://127.0.0.1:${server.addr.port}`,
    [Symbol.asyncDispose]: async () => {
      await registry.shutdown();
      hardStop.abort();
      await server.finished;
    },
  };
}

/** Opens a WebSocket on a path of the server. */
export function openSocket({ origin }: Served, path: string): WebSocket {
  return new WebSocket(origin.replace("http", "ws") + path);
}

/** Opens a connection and sends the head of a request for a run's events. */
export async function openConnection(
  { server }: Served,
  runId: string,
  ...headers: string[]
): Promise<Deno.TcpConn> {
  const { hostname, port } = server.addr;
  const connection = await Deno.connect({ hostname, port });
  const head = [
    `GET /runs/${runId}/events HTTP/1.1`,
    "Host: localhost",
    ...headers,
  ];
  await connection.write(
    new TextEncoder().encode(`${head.join("\r\n")}\r\n\r\n`),
  );
  return connection;
}
