import {
  checkDelay,
  checkInteger,
  checkOneOf,
  checkType,
} from "../../arguments/checks.ts";
import { contain } from "../../model/warning.ts";
import type { PipelineWork } from "../../run/run_context.ts";
import type { Pipeline, PipelineRunSpec } from "../../run/pipeline.ts";
import { checkCors, type CorsOptions } from "./cors.ts";
import type { RunAction } from "./route.ts";

/** The run that a pipeline starts for a request. */
export interface RequestedRun extends PipelineRunSpec {
  /** The work of the run. */
  // deno-lint-ignore no-explicit-any -- each pipeline has its own payload type
  work: PipelineWork<any>;
}

/**
 * A pipeline that requests can start.
 *
 * It checks the input and throws a {@linkcode ProblemError} if that is invalid. It
 * must not pass the request's `signal` to the run, because that signal also fires
 * when the response is complete.
 *
 * @param input The parsed JSON body, not validated; `undefined` if it is empty.
 * @param request The request, whose body is already read.
 * @returns The run to start. Without a run id it gets a random one; the id of a live
 * run is answered with 409.
 */
export type RequestedPipeline = (
  input: unknown,
  request: Request,
) => RequestedRun | Promise<RequestedRun>;

/** What the handler uses of a WebSocket. One of Deno, of browsers or of `ws` fits. */
export interface RunSocket {
  /** 1 once it is open. */
  readonly readyState: number;
  /** How many bytes wait to be sent. */
  readonly bufferedAmount: number;
  /** Calls back when the socket opens, if it is not open yet, and when it closes. */
  addEventListener(type: "open" | "close", listener: () => void): void;
  /** Sends a text message. */
  send(text: string): void;
  /** Closes the socket. */
  close(code: number, reason: string): void;
}

/**
 * Upgrades a request to a WebSocket, as `Deno.upgradeWebSocket` does. The handler
 * returns the response as it is. Where the platform sends the response to an upgrade
 * itself, it can be any, such as `new Response()`; do not send it then.
 *
 * @example Node, Bun and Deno
 *
 * `npm install crossws srvx`. crossws also pings the peers and closes the sockets of
 * those that do not answer.
 *
 * ```ts ignore
 * import { createRunHandler, type RunSocket } from "@pipeline/run-registry/http";
 * import type { Peer } from "crossws";
 * import { serve } from "crossws/server";
 *
 * class PeerSocket extends EventTarget implements RunSocket {
 *   peer?: Peer;
 *   get readyState() {
 *     return this.peer ? 1 : 0;
 *   }
 *   get bufferedAmount() {
 *     return this.peer?.bufferedAmount ?? 0;
 *   }
 *   send(text: string) {
 *     this.peer?.send(text);
 *   }
 *   close(code: number, reason: string) {
 *     this.peer?.close(code, reason);
 *   }
 * }
 *
 * const sockets = new WeakMap<Request, PeerSocket>();
 * const handler = createRunHandler(registry, {
 *   pipelines,
 *   authorize,
 *   upgradeWebSocket(request) {
 *     const socket = new PeerSocket();
 *     sockets.set(request, socket);
 *     return { socket, response: new Response() };
 *   },
 * });
 *
 * export const server = serve({
 *   fetch: handler,
 *   websocket: {
 *     async upgrade(request) {
 *       const response = await handler(request);
 *       const socket = sockets.get(request);
 *       return socket ? { context: { socket } } : response;
 *     },
 *     open(peer) {
 *       const socket = peer.context.socket as PeerSocket;
 *       socket.peer = peer;
 *       socket.dispatchEvent(new Event("open"));
 *     },
 *     close(peer) {
 *       const socket = peer.context.socket as PeerSocket;
 *       socket.dispatchEvent(new Event("close"));
 *     },
 *   },
 * });
 * ```
 */
export type UpgradeWebSocket = (
  request: Request,
  options: {
    /** Seconds a peer may leave a ping unanswered; pings are sent at half of it. */
    idleTimeout: number;
  },
) => { socket: RunSocket; response: Response };

/** Options of {@linkcode createRunHandler}. */
export interface RunHandlerOptions {
  /**
   * The pipelines that `POST /pipelines/:name` starts: those of `definePipeline()`, or
   * functions by name.
   *
   * @default {none}
   */
  pipelines?: readonly Pipeline[] | Readonly<Record<string, RequestedPipeline>>;
  /**
   * Decides whether to allow a request, before anything is read. A refused request
   * about a run is answered with 404, as if the run did not exist; any other with
   * 403. Listing calls it for each run and omits those that may not be read.
   *
   * To ask for credentials or give a reason, throw a {@linkcode ProblemError}.
   *
   * Browsers also send cookies with WebSockets of foreign pages, and a foreign page
   * can use this host's name (DNS rebinding). If access depends on cookies or on
   * network reach alone, check `Origin` and `Host` as well.
   *
   * Without it everything is allowed, and the first handler warns of that; pass
   * {@linkcode allowAll} if it is meant.
   *
   * @default {allowAll}
   */
  authorize?: (
    request: Request,
    action: RunAction,
  ) => boolean | Promise<boolean>;
  /**
   * Which pages of other origins may use the handler (CORS).
   *
   * @default {none}
   */
  cors?: CorsOptions;
  /**
   * Who may cache what `GET /runs/:id/stream` has read: `"public"` also lets shared caches
   * answer, which do not ask `authorize`; `"private"` only the client's own.
   *
   * @default {"public" with allowAll, otherwise "private"}
   */
  caching?: "public" | "private";
  /**
   * How long `GET /runs/:id/stream?live=long-poll` waits for an event, in milliseconds.
   *
   * @default {20_000}
   */
  longPollTimeout?: number;
  /**
   * The path under which the handler is mounted, such as `"/api"`.
   *
   * @default {""}
   */
  prefix?: string;
  /**
   * How often to send a heartbeat to each viewer of a run, in milliseconds. Deno
   * Deploy stops an instance 5 s after the last byte.
   *
   * @default {4_000}
   */
  heartbeat?: number;
  /**
   * The size of the largest request body, in bytes: a positive integer.
   *
   * @default {1_048_576}
   */
  maxBodyBytes?: number;
  /**
   * How many bytes a slow WebSocket may buffer before reading pauses, plus one
   * event: a non-negative integer.
   *
   * @default {65_536}
   */
  maxBufferedBytes?: number;
  /**
   * Whether to close a WebSocket after `Errored`. Cognee leaves that to the client.
   *
   * @default {true}
   */
  closeAfterErrored?: boolean;
  /**
   * Upgrades requests on platforms other than Deno, as {@linkcode UpgradeWebSocket}
   * shows. A `TypeError` that it throws is answered with 400.
   *
   * @default {Deno.upgradeWebSocket}
   */
  upgradeWebSocket?: UpgradeWebSocket;
  /**
   * Called with errors that clients see only as a generic failure: those of
   * `authorize`, the pipelines and the repository.
   *
   * @default {console.error}
   */
  onError?: (error: unknown, request: Request) => void;
}

/**
 * Allows everything: an `authorize` for handlers that only friends can reach. If what is
 * in front of the handler tells who is one, pass `caching: "private"` too.
 */
export function allowAll(): true {
  return true;
}

let hasWarned = false;

/** The default of `authorize`. It may have been forgotten, so it is told, once. */
function allowAllWithWarning(): typeof allowAll {
  if (!hasWarned) {
    console.warn(
      "Everybody may read, start and abort runs: createRunHandler() got no `authorize`. Pass `authorize: allowAll` if that is meant.",
    );
  }
  hasWarned = true;
  return allowAll;
}

/** {@linkcode RunHandlerOptions} with their defaults. */
export interface RunHandlerSettings extends
  Required<
    Omit<RunHandlerOptions, "pipelines" | "upgradeWebSocket" | "cors">
  > {
  readonly pipelines: ReadonlyMap<string, RequestedPipeline>;
  readonly upgradeWebSocket: UpgradeWebSocket | undefined;
  readonly cors: CorsOptions | undefined;
}

/**
 * Checks the options and applies their defaults.
 *
 * @throws {RangeError} If a number is out of range.
 * @throws {TypeError} If an option has the wrong type.
 */
export function resolveRunHandlerOptions(
  options: RunHandlerOptions,
): RunHandlerSettings {
  const {
    pipelines = {},
    authorize = allowAllWithWarning(),
    cors,
    caching = authorize === allowAll ? "public" : "private",
    longPollTimeout = 20_000,
    prefix = "",
    heartbeat = 4_000,
    maxBodyBytes = 1_048_576,
    maxBufferedBytes = 65_536,
    closeAfterErrored = true,
    upgradeWebSocket = globalThis.Deno?.upgradeWebSocket,
    onError = (error) => console.error(error),
  } = options;
  const here = "Cannot create handler:";
  if (prefix !== "" && !isPath(prefix)) {
    throw new TypeError(
      `${here} prefix must be "" or a path as URLs have it, without a "/" at its end, received "${prefix}"`,
    );
  }
  checkDelay(`${here} heartbeat`, heartbeat, 1);
  if (cors !== undefined) checkCors(here, cors);
  checkOneOf(`${here} caching`, caching, ["public", "private"]);
  checkDelay(`${here} longPollTimeout`, longPollTimeout);
  checkInteger(`${here} maxBodyBytes`, maxBodyBytes, 1);
  checkInteger(`${here} maxBufferedBytes`, maxBufferedBytes, 0);
  checkType(`${here} closeAfterErrored`, closeAfterErrored, "boolean");
  checkType(`${here} authorize`, authorize, "function");
  checkType(`${here} onError`, onError, "function");
  if (upgradeWebSocket !== undefined) {
    checkType(`${here} upgradeWebSocket`, upgradeWebSocket, "function");
  }
  const requested = isDefined(pipelines)
    ? pipelines.map((pipeline) =>
      [pipeline.name, requestedOf(pipeline)] as const
    )
    : Object.entries(pipelines);
  for (const [name, pipeline] of requested) {
    checkType(`${here} pipeline ${name}`, pipeline, "function");
  }
  const byName = new Map(requested);
  if (byName.size < requested.length) {
    throw new TypeError(`${here} pipelines must have different names`);
  }
  return {
    pipelines: byName,
    authorize,
    cors,
    caching,
    longPollTimeout,
    prefix,
    heartbeat,
    maxBodyBytes,
    maxBufferedBytes,
    closeAfterErrored,
    upgradeWebSocket,
    onError: contain(onError),
  };
}

function isDefined(
  pipelines: NonNullable<RunHandlerOptions["pipelines"]>,
): pipelines is readonly Pipeline[] {
  return Array.isArray(pipelines);
}

function requestedOf(pipeline: Pipeline): RequestedPipeline {
  return async (input, request) => {
    const [spec, work] = await pipeline.prepare(input, request);
    return { ...spec, work };
  };
}

function isPath(prefix: string): boolean {
  return /^\/.*[^/]$/.test(prefix) &&
    URL.canParse(prefix, "http://localhost") &&
    new URL(prefix, "http://localhost").pathname === prefix;
}
