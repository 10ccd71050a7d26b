import type { PipelineRunRegistry } from "../../registry/registry.ts";
import type { RunHandle, RunOutcome } from "../../run/run.ts";
import { readJson } from "./json_body.ts";
import { jsonResponse } from "./json_response.ts";
import { ProblemError } from "../wire/problem_error.ts";
import type { RunHandlerSettings } from "./run_handler_options.ts";

/** `wait` or `wait=10` (RFC 7240), among other preferences. */
const WAIT = /(?:^|[,;\s])wait(?:\s*=\s*"?(\d+)"?)?\s*(?=[,;]|$)/i;

/** Timers keep no longer delay, in seconds. */
const MAX_WAIT = 2_147_483;

/**
 * Starts a run of a pipeline: answers with 202 when it has begun or, where the
 * client prefers to wait, with 200 when it has ended.
 *
 * @throws {ProblemError} If there is no such pipeline, or the body is no good.
 */
export async function startRun(
  registry: PipelineRunRegistry,
  { pipelines, maxBodyBytes, onError }: RunHandlerSettings,
  pipelineName: string,
  request: Request,
): Promise<Response> {
  const pipeline = pipelines.get(pipelineName);
  if (pipeline === undefined) {
    throw new ProblemError(404, "There is no pipeline of this name");
  }
  const input = await readJson(request, maxBodyBytes);
  const { work, ...spec } = await pipeline(input, request);
  const run = await registry.registerBackground({
    ...spec,
    pipelineName,
    // A given id is claimed before the run begins. So any instance knows the run
    // when the answer arrives.
    runId: spec.runId ?? crypto.randomUUID(),
  }, work);
  const wait = waitOf(request);
  const outcome = wait === undefined ? undefined : await outcomeOf(run, wait);
  const headers = new Headers();
  headers.set("Location", `../runs/${run.runId}`); // wherever it is mounted
  if (wait !== undefined) headers.set("Preference-Applied", "wait");
  const started = {
    pipeline_run_id: run.runId,
    pipeline_name: pipelineName,
    dataset_id: run.datasetId ?? null,
  };
  if (outcome === undefined) {
    const body = { ...started, status: "PipelineRunStarted" };
    return jsonResponse(body, { status: 202, headers });
  }
  const { phase, durable } = outcome;
  const body = {
    ...started,
    status: `PipelineRun${phase.name}`,
    message: phase.name === "Errored" ? phase.message : undefined,
    durable,
    payload: await payloadOf(
      registry,
      run.runId,
      (error) => onError(error, request),
    ),
  };
  return jsonResponse(body, { status: 200, headers });
}

/** The payload fields; none where they cannot be read, since the run has ended. */
async function payloadOf(
  registry: PipelineRunRegistry,
  runId: string,
  onError: (error: unknown) => void,
): Promise<Record<string, unknown> | undefined> {
  try {
    return await registry.getPayload(runId);
  } catch (error) {
    onError(error);
    return undefined;
  }
}

/** For how long the client prefers to wait, in milliseconds. */
function waitOf({ headers }: Request): number | undefined {
  const [preferred, seconds] = WAIT.exec(headers.get("Prefer") ?? "") ?? [];
  if (preferred === undefined) return undefined;
  if (seconds === undefined) return Infinity;
  return Math.min(Number(seconds), MAX_WAIT) * 1_000;
}

/** How a run ends; `undefined` when that takes longer. */
async function outcomeOf(
  { outcome }: RunHandle,
  wait: number,
): Promise<RunOutcome | undefined> {
  if (wait === Infinity) return await outcome;
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), wait);
  try {
    return await Promise.race([outcome, late]);
  } finally {
    clearTimeout(timer);
  }
}
