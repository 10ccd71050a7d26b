import { canonicalUuid } from "../../model/ids.ts";
import { ProblemError } from "../wire/problem_error.ts";

/**
 * What a request wants to do, for `authorize` to decide.
 *
 * - `list`: see the newest runs, of a dataset or of all
 * - `read`: see a run
 * - `follow`: see the events of a run
 * - `abort`: abort a run
 * - `start`: start a run of a pipeline
 */
export type RunAction =
  | {
    /** What to do. */
    readonly kind: "list";
    /** The UUID of the dataset whose runs to list; all without. */
    readonly datasetId?: string;
  }
  | {
    /** What to do. */
    readonly kind: "read" | "follow" | "abort";
    /** The run's UUID in canonical spelling. */
    readonly runId: string;
  }
  | {
    /** What to do. */
    readonly kind: "start";
    /** The pipeline's name as the request has it; there may be none of that name. */
    readonly pipelineName: string;
  };

/**
 * What a request wants to do.
 *
 * @param request The request.
 * @param prefix What its path begins with.
 * @throws {ProblemError} If there is nothing of that path or method, or a part of
 * it is malformed.
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
  const Allow = allowed.flatMap((name) =>
    name === "GET" ? [name, "HEAD"] : name
  )
    .join(", ");
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
