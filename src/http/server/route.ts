import { canonicalUuid } from "../../model/ids.ts";
import { ProblemError } from "../wire/problem_error.ts";

/**
 * The action that a request asks for, which `authorize` allows or refuses.
 *
 * - `list`: list the newest runs, of one dataset or of all
 * - `read`: read a run
 * - `follow`: follow the events of a run
 * - `abort`: abort a run
 * - `start`: start a run of a pipeline
 */
export type RunAction =
  | {
    readonly kind: "list";
    /** The UUID of the dataset whose runs to list; without it, all runs. */
    readonly datasetId?: string;
  }
  | {
    readonly kind: "read" | "follow" | "abort";
    /** The run's UUID in canonical spelling. */
    readonly runId: string;
  }
  | {
    readonly kind: "start";
    /** The name in the request; the pipeline may not exist. */
    readonly pipelineName: string;
  };

/**
 * Parses the method and URL of a request.
 *
 * @param prefix The path under which the handler is mounted.
 * @throws {ProblemError} If the path or method is unknown or a part is malformed.
 */
export function routeOf(request: Request, prefix: string): RunAction {
  if (!URL.canParse(request.url)) {
    throw new ProblemError(400, "The URL or the Host is malformed");
  }
  const { pathname, searchParams } = new URL(request.url);
  const [first, name, ...rest] = segmentsBehind(prefix, pathname);
  const method = request.method === "HEAD" ? "GET" : request.method;
  if (first === "runs" && name === undefined) {
    allow(method, "GET");
    const datasetId = searchParams.get("dataset_id");
    if (datasetId === null) return { kind: "list" };
    return { kind: "list", datasetId: uuid(datasetId, "dataset_id") };
  }
  if (first === "runs" && rest.length === 0) {
    allow(method, "GET", "DELETE");
    const runId = uuid(name, "The run id");
    return { kind: method === "GET" ? "read" : "abort", runId };
  }
  if (first === "runs" && rest.length === 1 && rest[0] === "events") {
    allow(method, "GET");
    return { kind: "follow", runId: uuid(name, "The run id") };
  }
  if (first === "pipelines" && name && rest.length === 0) {
    allow(method, "POST");
    return { kind: "start", pipelineName: name };
  }
  throw new ProblemError(404, "There is nothing here");
}

function segmentsBehind(prefix: string, pathname: string): string[] {
  if (!pathname.startsWith(`${prefix}/`)) return [];
  try {
    return pathname.slice(prefix.length + 1).split("/").map(decodeURIComponent);
  } catch (cause) {
    throw new ProblemError(400, "The path is malformed", { cause });
  }
}

function allow(method: string, ...allowed: string[]): void {
  if (allowed.includes(method)) return;
  const Allow = allowed.join(", ").replace("GET", "GET, HEAD");
  throw new ProblemError(405, `The method must be one of ${Allow}`, {
    headers: { Allow },
  });
}

function uuid(text: string, name: string): string {
  try {
    return canonicalUuid(text, name);
  } catch (cause) {
    throw new ProblemError(400, `${name} must be a UUID`, { cause });
  }
}
