import { InvalidArgumentError } from "commander";
import { canonicalUuid } from "../model/ids.ts";
import type { RunSource } from "./run_source.ts";

const BEGINNING = /^[0-9a-f]{4,8}$/;

/**
 * Parses a UUID in any spelling.
 *
 * @throws {InvalidArgumentError} If it is none.
 */
export function parseUuid(text: string): string {
  const uuid = canonical(text);
  if (uuid !== undefined) return uuid;
  throw new InvalidArgumentError("It must be a UUID.");
}

/**
 * Parses what names a run: a UUID, or the beginning of one.
 *
 * @throws {InvalidArgumentError} If it is neither.
 */
export function parseRun(text: string): string {
  const beginning = text.toLowerCase();
  const run = BEGINNING.test(beginning) ? beginning : canonical(text);
  if (run !== undefined) return run;
  throw new InvalidArgumentError(
    "It must be a UUID, or its first 4 to 8 digits.",
  );
}

/**
 * Finds the run that is meant.
 *
 * @param run The UUID of the run, which need not exist, or the beginning of the UUID of
 * one of the newest runs.
 * @returns The UUID.
 * @throws {Error} If not exactly one of the newest runs has the beginning.
 */
export async function findRun(source: RunSource, run: string): Promise<string> {
  if (!BEGINNING.test(run)) return run;
  const newest = await source.list({ limit: source.maxListed });
  const [found, ...others] = newest
    .map(({ pipelineRunId }) => pipelineRunId)
    .filter((runId) => runId.startsWith(run));
  if (found === undefined) {
    throw new Error(
      `Unknown run: none of the newest ${newest.length} begins with ${run}`,
    );
  }
  if (others.length === 0) return found;
  throw new Error(`Several runs begin with ${run}: ${found} and ${others[0]}`);
}

function canonical(text: string): string | undefined {
  try {
    return canonicalUuid(text, "It");
  } catch {
    return undefined;
  }
}
