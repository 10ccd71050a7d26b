import { within } from "../../async/within.ts";
import type { PipelineRunRegistry } from "../../registry/registry.ts";
import { uuidV7 } from "../../model/ids.ts";
import { ProblemError } from "../wire/problem_error.ts";
import { toWireFailure } from "../wire/messages.ts";
import { readJson } from "./json_body.ts";
import { jsonResponse } from "./json_response.ts";
import type { RunHandlerSettings } from "./run_handler_options.ts";

/** `wait` or `wait=10` (RFC 7240), among other preferences. */
const WAIT = /(?:^|[,;\s])wait(?:\s*=\s*"?(\d+)"?)?\s*(?=[,;]|$)/i;

/** The longest delay of a timer, in seconds. */
const MAX_WAIT = 2_147_483;

/**
 * Starts a run of a pipeline. The response is 202 once the run has begun or, if the
 * client prefers to wait and the run ends in time, 200 with the outcome.
 *
 * @throws {ProblemError} If the pipeline does not exist or the body is invalid.
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
    // A given id is claimed before the run begins, so every instance knows the run
    // by the time of the response.
    runId: spec.runId ?? uuidV7(),
  }, work);
  // Relative, so that it is right under any mount.
  const headers = new Headers({ Location: `../runs/${run.runId}` });
  const wait = waitOf(request);
  if (wait !== undefined) headers.set("Preference-Applied", "wait");
  const outcome = wait === undefined
    ? undefined
    : await within(run.outcome, wait);
  const started = {
    pipeline_run_id: run.runId,
    pipeline_name: pipelineName,
    dataset_id: run.datasetId ?? null,
  };
  if (outcome === undefined) {
    const body = { ...started, status: "PipelineRunStarted" };
    return jsonResponse(body, { status: 202, headers });
  }
  const { phase, durable, result, resultError } = outcome;
  const body = {
    ...started,
    status: `PipelineRun${phase.name}`,
    ...toWireFailure(phase),
    durable,
    result: resultError === undefined ? result : undefined,
    result_error: resultError,
    // The run has ended, so a payload that cannot be read is left out.
    payload: await registry.getPayload(run.runId)
      .catch((error) => void onError(error, request)),
  };
  return jsonResponse(body, { status: 200, headers });
}

/** How long the client prefers to wait, in milliseconds. */
function waitOf({ headers }: Request): number | undefined {
  const [preferred, seconds] = WAIT.exec(headers.get("Prefer") ?? "") ?? [];
  if (preferred === undefined) return undefined;
  if (seconds === undefined) return Infinity;
  return Math.min(Number(seconds), MAX_WAIT) * 1_000;
}
