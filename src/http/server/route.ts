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

/** What the URL of a request names. */
export type Resource =
  | {
    readonly name: "runs";
    /** The UUID of the dataset whose runs are meant; without it, all. */
    readonly datasetId?: string;
  }
  | {
    readonly name: "run" | "events" | "stream";
    /** The run's UUID in canonical spelling. */
    readonly runId: string;
  }
  | {
    readonly name: "pipeline";
    /** The name in the URL; the pipeline may not exist. */
    readonly pipelineName: string;
  };

/** The methods of each resource. */
const METHODS: Readonly<Record<Resource["name"], readonly string[]>> = {
  runs: ["GET", "HEAD"],
  run: ["GET", "HEAD", "DELETE"],
  events: ["GET", "HEAD"],
  stream: ["GET", "HEAD"],
  pipeline: ["POST"],
};

/**
 * Parses the URL of a request.
 *
 * @param prefix The path under which the handler is mounted.
 * @throws {ProblemError} If the path is unknown or a part is malformed.
 */
export function resourceOf(request: Request, prefix: string): Resource {
  if (!URL.canParse(request.url)) {
    throw new ProblemError(400, "The URL or the Host is malformed");
  }
  const { pathname, searchParams } = new URL(request.url);
  const segments = segmentsBehind(prefix, pathname);
  const [first, second, third] = segments;
  if (first === "runs" && segments.length === 1) {
    const datasetId = searchParams.get("dataset_id");
    if (datasetId === null) return { name: "runs" };
    return { name: "runs", datasetId: uuid(datasetId, "dataset_id") };
  }
  if (first === "runs" && segments.length === 2) {
    return { name: "run", runId: uuid(second, "The run id") };
  }
  const isOfRun = third === "events" || third === "stream";
  if (first === "runs" && segments.length === 3 && isOfRun) {
    return { name: third, runId: uuid(second, "The run id") };
  }
  if (first === "pipelines" && segments.length === 2 && second !== "") {
    return { name: "pipeline", pipelineName: second };
  }
  throw new ProblemError(404, "There is nothing here");
}

/** The methods of a resource, as the `Allow` header lists them. */
export function allowedMethods({ name }: Resource): string {
  return [...METHODS[name], "OPTIONS"].join(", ");
}

/** @throws {ProblemError} If a resource does not have the method. */
export function checkMethod(method: string, resource: Resource): void {
  if (METHODS[resource.name].includes(method)) return;
  const Allow = allowedMethods(resource);
  throw new ProblemError(405, `The method must be one of ${Allow}`, {
    headers: { Allow },
  });
}

function segmentsBehind(prefix: string, pathname: string): string[] {
  if (!pathname.startsWith(`${prefix}/`)) return [];
  try {
    return pathname.slice(prefix.length + 1).split("/").map(decodeURIComponent);
  } catch (cause) {
    throw new ProblemError(400, "The path is malformed", { cause });
  }
}

function uuid(text: string, name: string): string {
  try {
    return canonicalUuid(text, name);
  } catch (cause) {
    throw new ProblemError(400, `${name} must be a UUID`, { cause });
  }
}
