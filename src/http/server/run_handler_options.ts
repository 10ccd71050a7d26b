import { checkDelay, checkInteger, checkType } from "../../arguments/checks.ts";
import { contain } from "../../model/warning.ts";
import type { PipelineWork } from "../../run/run_context.ts";
import type { Pipeline, PipelineRunSpec } from "../../run/pipeline.ts";
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

/** Upgrades a request to a WebSocket, as `Deno.upgradeWebSocket` does. */
export type UpgradeWebSocket = (
  request: Request,
  options: {
    /** Seconds a peer may leave a ping unanswered; pings are sent at half of it. */
    idleTimeout: number;
  },
) => { socket: WebSocket; response: Response };

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
   * @default {everything is allowed}
   */
  authorize?: (
    request: Request,
    action: RunAction,
  ) => boolean | Promise<boolean>;
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
   * Upgrades requests on platforms other than Deno. A `TypeError` that it throws is
   * answered with 400.
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

/** {@linkcode RunHandlerOptions} with their defaults. */
export interface RunHandlerSettings
  extends Required<Omit<RunHandlerOptions, "pipelines" | "upgradeWebSocket">> {
  readonly pipelines: ReadonlyMap<string, RequestedPipeline>;
  readonly upgradeWebSocket: UpgradeWebSocket | undefined;
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
    authorize = () => true,
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
