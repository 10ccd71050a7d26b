import type { PipelineRunRow } from "../../mod.ts";
import { toWireRow } from "../http/wire/messages.ts";
import { complain } from "./complain.ts";
import type { Output } from "./output.ts";
import { printable } from "./printable.ts";
import type { RunSource } from "./run_source.ts";
import { UsageError } from "./usage_error.ts";

const STATUS_PREFIX = "DATASET_PROCESSING_";
/** How much of an error message is shown, in characters. */
const MAX_ERROR = 80;

/** Options of {@linkcode listRuns}. */
export interface ListRunsOptions {
  /** The UUID of the dataset; by default all. */
  dataset?: string;
  /** The name of the pipeline; by default all. */
  pipeline?: string;
  /** The status without its prefix, in lower case; by default all. */
  status?: string;
  /** How many runs to list at most. */
  limit: number;
}

/** Prints the newest runs, newest first. */
export async function listRuns(
  source: RunSource,
  options: ListRunsOptions,
  output: Output,
): Promise<void> {
  const { dataset: datasetId, pipeline, status, limit } = options;
  const { maxListed } = source;
  if (limit > maxListed) {
    throw new UsageError(`The --limit must be at most ${maxListed} here`);
  }
  const isFiltered = pipeline !== undefined || status !== undefined;
  const newest = await source.list({
    datasetId,
    limit: isFiltered ? maxListed : limit,
  });
  const runs = newest.filter((row) =>
    (pipeline === undefined || row.pipelineName === pipeline) &&
    (status === undefined || statusOf(row) === status.toUpperCase())
  ).slice(0, limit);
  if (output.isJson) {
    for (const run of runs) await output.json(toWireRow(run));
  } else {
    for (const line of linesOf(runs, output)) await output.line(line);
  }
  if (newest.length === maxListed && runs.length < limit) {
    complain(`Only the newest ${maxListed} runs were searched`);
  }
}

function linesOf(runs: readonly PipelineRunRow[], output: Output): string[] {
  const names = runs.map(({ pipelineName }) => printable(pipelineName));
  const width = Math.max(...names.map(({ length }) => length), 8);
  const head = `RUN       CHANGED (UTC)            STATUS     ${
    "PIPELINE".padEnd(width)
  }`;
  const lines = runs.map((run, index) => {
    const { pipelineRunId, createdAt, runInfo } = run;
    const status = statusOf(run).padEnd(9);
    return [
      pipelineRunId.slice(0, 8),
      output.time(createdAt),
      output.paintState(status),
      names[index].padEnd(width),
      cut(printable(runInfo?.error ?? "")),
    ].join("  ").trimEnd();
  });
  return [`${head}  ERROR`, ...lines];
}

function statusOf({ status }: PipelineRunRow): string {
  return status.replace(STATUS_PREFIX, "");
}

function cut(text: string): string {
  return text.length > MAX_ERROR ? `${text.slice(0, MAX_ERROR - 1)}…` : text;
}
