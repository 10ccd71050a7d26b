import { type ProblemDetail, ProblemError } from "../wire/problem_error.ts";
import { readBytes } from "../wire/read_bytes.ts";

/** More than any readable problem takes, in bytes. */
const MAX_PROBLEM_BYTES = 64 * 1024;

/**
 * Reads the problem from an error response. Of the headers it keeps only
 * `Retry-After`: a server that rethrows the problem must not send on the others.
 *
 * @param signal Stops reading when it fires.
 */
export async function readProblem(
  response: Response,
  signal?: AbortSignal,
): Promise<ProblemError> {
  const { status, headers } = response;
  const members = await readMembers(response, signal);
  const detail = members.detail ?? `The server answered with ${status}`;
  return new ProblemError(status, detail, {
    title: members.title,
    code: members.code,
    runId: members.pipeline_run_id,
    errors: members.errors,
    headers: [...headers].filter(([name]) => name === "retry-after"),
  });
}

/** The members of a problem that are read. */
interface Members {
  title?: string;
  code?: string;
  detail?: string;
  pipeline_run_id?: string;
  errors?: ProblemDetail[];
}

/** The members of a problem; none if a proxy answers with its own page. */
async function readMembers(
  { body, headers }: Response,
  signal: AbortSignal | undefined,
): Promise<Members> {
  const type = headers.get("Content-Type") ?? "";
  if (!/^application\/problem\+json\b/i.test(type)) {
    await body?.cancel();
    return {};
  }
  try {
    const bytes = await readBytes(body, MAX_PROBLEM_BYTES, signal);
    const problem = JSON.parse(new TextDecoder().decode(bytes));
    const members = Object.entries(problem).filter(([name, value]) =>
      name === "errors" ? Array.isArray(value) : typeof value === "string"
    );
    return Object.fromEntries(members);
  } catch {
    return {};
  }
}
