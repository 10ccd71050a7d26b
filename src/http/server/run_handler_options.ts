import { checkDelay } from "../../arguments/checks.ts";
import type { PipelineWork } from "../../run/run_context.ts";
import type { RunSpec } from "../../run/run_spec.ts";
import { contain } from "../../model/warning.ts";
import type { RunAction } from "./route.ts";

/** A run to start: what its pipeline made of a request. */
export interface RequestedRun extends Omit<RunSpec, "pipelineName"> {
  /** What the run does. */
  // deno-lint-ignore no-explicit-any -- each pipeline has a type of its own
  work: PipelineWork<any>;
}

/**
 * A pipeline that requests can start.
 *
 * It checks the input and throws a {@linkcode ProblemError} where that makes no
 * sense. It must not give the run the request's `signal`, which also fires when
 * the response is done.
 *
 * @param input The JSON of the request's body, as it came; `undefined` without one.
 * @param request The request. Its body has been read.
 * @returns The run to start. A run id that is live is answered with 409; without
 * one it gets a random one.
 */
export type RequestedPipeline = (
  input: unknown,
  request: Request,
) => RequestedRun | Promise<RequestedRun>;

/** Makes a WebSocket of a request, as `Deno.upgradeWebSocket` does. */
export type UpgradeWebSocket = (
  request: Request,
  options: {
    /**
     * When a peer counts as gone that does not answer a ping, in seconds. A ping is
     * sent after half of it.
     */
    idleTimeout: number;
  },
) => { socket: WebSocket; response: Response };

/** Options of {@linkcode createRunHandler}. */
export interface RunHandlerOptions {
  /**
   * The pipelines that `POST /pipelines/:name` starts, by their names.
   *
   * @default {none}
   */
  pipelines?: Readonly<Record<string, RequestedPipeline>>;
  /**
   * Decides whether a request may do something, before anything is read. What is
   * refused is answered with 404 where it is about a run, as if there were no such
   * run, and with 403 elsewhere. Listed runs are left out that may not be read,
   * so it is called for each of them.
   *
   * To ask for credentials, or to refuse with more words, throw a
   * {@linkcode ProblemError}.
   *
   * Browsers send cookies with the WebSockets of foreign pages, too, and a foreign
   * page may have this host's name: who goes by cookies, or by who can reach the
   * server at all, should go by `Origin` and `Host` as well.
   *
   * @default {everything is allowed}
   */
  authorize?: (
    request: Request,
    action: RunAction,
  ) => boolean | Promise<boolean>;
  /**
   * What the paths begin with, such as `"/api"`.
   *
   * @default {""}
   */
  prefix?: string;
  /**
   * How often something is sent to who follows a run, in milliseconds. Deno Deploy
   * stops an instance 5 s after the last byte.
   *
   * @default {4_000}
   */
  heartbeat?: number;
  /**
   * How large the body of a request may be, in bytes: a positive integer.
   *
   * @default {1_048_576}
   */
  maxBodyBytes?: number;
  /**
   * How much may wait in a WebSocket whose peer is slow, in bytes, before no more
   * is read for it; one event may come on top. A non-negative integer.
   *
   * @default {65_536}
   */
  maxBufferedBytes?: number;
  /**
   * Whether a WebSocket closes when its run has `Errored`. That of cognee does
   * not, and stays until the client closes it.
   *
   * @default {true}
   */
  closeAfterErrored?: boolean;
  /**
   * Makes the WebSockets, where the platform is not Deno. A `TypeError` of it says
   * that the request is no good.
   *
   * @default {Deno.upgradeWebSocket}
   */
  upgradeWebSocket?: UpgradeWebSocket;
  /**
   * Told of what clients are only told that it failed: what `authorize` and the
   * pipelines throw, and what the repository does.
   *
   * @default {console.error}
   */
  onError?: (error: unknown, request: Request) => void;
}

/** {@linkcode RunHandlerOptions} with their defaults. */
export interface RunHandlerSettings
  extends Required<Omit<RunHandlerOptions, "pipelines" | "upgradeWebSocket">> {
  readonly pipelines: ReadonlyMap<string, RequestedPipeline>;
  readonly upgradeWebSocket: UpgradeWebSocket | undefined;
}

/**
 * The options with their defaults.
 *
 * @throws {RangeError} If a number is out of range.
 * @throws {TypeError} If an option has the wrong shape.
 */
export function resolveRunHandlerOptions(
  options: RunHandlerOptions,
): RunHandlerSettings {
  const {
    pipelines = {},
    authorize = () => true,
    prefix = "",
    heartbeat = 4_000,
    maxBodyBytes = 1_048_576,
    maxBufferedBytes = 65_536,
    closeAfterErrored = true,
    upgradeWebSocket = globalThis.Deno?.upgradeWebSocket,
    onError = (error) => console.error(error),
  } = options;
  if (prefix !== "" && !isPath(prefix)) {
    throw new TypeError(
      `Cannot create handler: prefix must be "" or a path as URLs have it, without a "/" at its end, received "${prefix}"`,
    );
  }
  checkDelay("Cannot create handler: heartbeat", heartbeat, 1);
  checkInteger("maxBodyBytes", maxBodyBytes, 1);
  checkInteger("maxBufferedBytes", maxBufferedBytes, 0);
  checkFunction("authorize", authorize);
  checkFunction("onError", onError);
  if (upgradeWebSocket !== undefined) {
    checkFunction("upgradeWebSocket", upgradeWebSocket);
  }
  if (typeof closeAfterErrored !== "boolean") {
    throw new TypeError(
      `Cannot create handler: closeAfterErrored must be a boolean, received ${typeof closeAfterErrored}`,
    );
  }
  for (const [name, pipeline] of Object.entries(pipelines)) {
    checkFunction(`pipeline ${name}`, pipeline);
  }
  return {
    pipelines: new Map(Object.entries(pipelines)),
    authorize,
    prefix,
    heartbeat,
    maxBodyBytes,
    maxBufferedBytes,
    closeAfterErrored,
    upgradeWebSocket,
    onError: contain(onError),
  };
}

function isPath(prefix: string): boolean {
  return /^\/.*[^/]$/.test(prefix) &&
    URL.canParse(prefix, "http://localhost") &&
    new URL(prefix, "http://localhost").pathname === prefix;
}

function checkInteger(name: string, value: number, least: number): void {
  if (Number.isSafeInteger(value) && value >= least) return;
  throw new RangeError(
    `Cannot create handler: ${name} must be an integer of at least ${least}, received ${value}`,
  );
}

function checkFunction(name: string, value: unknown): void {
  if (typeof value === "function") return;
  throw new TypeError(
    `Cannot create handler: ${name} must be a function, received ${typeof value}`,
  );
}
