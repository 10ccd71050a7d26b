import type { ProblemError } from "../wire/problem_error.ts";

/** A JSON response that no cache stores; `type` overrides `application/json`. */
export function jsonResponse(
  body: unknown,
  init: ResponseInit & { type?: string },
): Response {
  const { status, type = "application/json" } = init;
  const headers = new Headers(init.headers);
  headers.set("Content-Type", type);
  headers.set("Cache-Control", "no-store");
  return new Response(JSON.stringify(body), { status, headers });
}

/** The response that reports a problem. */
export function problemResponse(problem: ProblemError): Response {
  const { status, title, code, message: detail, runId, headers } = problem;
  const errors = problem.errors.length === 0 ? undefined : problem.errors;
  const body = { status, title, code, detail, pipeline_run_id: runId, errors };
  const type = "application/problem+json";
  return jsonResponse(body, { status, headers, type });
}
