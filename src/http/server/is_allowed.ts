import { ProblemError } from "../wire/problem_error.ts";
import type { RunAction } from "./route.ts";
import type { RunHandlerSettings } from "./run_handler_options.ts";

/** Whether a request may do something of its own accord; a problem counts as a refusal. */
export async function isAllowed(
  { authorize }: Pick<RunHandlerSettings, "authorize">,
  request: Request,
  action: RunAction,
): Promise<boolean> {
  try {
    return await authorize(request, action);
  } catch (error) {
    if (error instanceof ProblemError) return false;
    throw error;
  }
}
