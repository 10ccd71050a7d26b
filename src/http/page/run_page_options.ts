import { checkType } from "../../arguments/checks.ts";
import {
  resolveRunHandlerOptions,
  type RunHandlerOptions,
} from "../server/run_handler_options.ts";

/** Options of {@linkcode createRunPage}. */
export interface RunPageOptions extends
  Pick<
    RunHandlerOptions,
    "authorize" | "prefix" | "heartbeat" | "onError"
  > {
  /**
   * Where the API of {@linkcode createRunHandler} is mounted, as a URL path: absolute,
   * such as `"/api"`, or relative to the page, such as `"../api"`.
   *
   * @default {""}
   */
  api?: string;
  /**
   * The heading of the page.
   *
   * @default {"Pipeline runs"}
   */
  title?: string;
  /**
   * The pipelines that the page offers to start, by name, with an example of the input
   * of each. The API must know them.
   *
   * @default {none}
   */
  pipelines?: Readonly<Record<string, unknown>>;
}

/** {@linkcode RunPageOptions} with their defaults. */
export type RunPageSettings = Required<RunPageOptions>;

/**
 * Checks the options and applies their defaults.
 *
 * @throws {RangeError} If a number is out of range.
 * @throws {TypeError} If an option has the wrong type.
 */
export function resolveRunPageOptions(
  options: RunPageOptions,
): RunPageSettings {
  const { api = "", title = "Pipeline runs", pipelines = {} } = options;
  const { authorize, prefix, heartbeat, onError } = resolveRunHandlerOptions({
    authorize: options.authorize,
    prefix: options.prefix,
    heartbeat: options.heartbeat,
    onError: options.onError,
  });
  const here = "Cannot create page:";
  checkType(`${here} api`, api, "string");
  checkType(`${here} title`, title, "string");
  // The page may connect to its own origin only.
  if (URL.parse(api, "http://page")?.origin !== "http://page") {
    throw new TypeError(`${here} api must be a URL path, received "${api}"`);
  }
  for (const [name, example] of Object.entries(pipelines)) {
    if (JSON.stringify(example) !== undefined) continue;
    throw new TypeError(
      `${here} the example of pipeline ${name} must be JSON, received ${typeof example}`,
    );
  }
  return { authorize, prefix, heartbeat, onError, api, title, pipelines };
}
