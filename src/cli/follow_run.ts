import { type RunEvent, UnknownRunError } from "../../mod.ts";
import { eventJson } from "../http/wire/messages.ts";
import { describeFailure } from "./describe_failure.ts";
import type { Output } from "./output.ts";
import { printable } from "./printable.ts";
import type { RunSource } from "./run_source.ts";

/**
 * Prints the events of a run until its end.
 *
 * @param after The number of the last event that is known already.
 * @returns Whether the run completed.
 * @throws {Error} If the run is unknown, or its events end before it does.
 */
export async function followRun(
  source: RunSource,
  runId: string,
  after: number | undefined,
  output: Output,
): Promise<boolean> {
  // Whoever subscribes to an unknown run waits for it.
  if (await source.get(runId) === undefined) throw new UnknownRunError(runId);
  let last: string | undefined;
  for await (const event of source.follow(runId, { after })) {
    if (output.isJson) await output.line(printable(eventJson(event)));
    else await output.line(lineOf(event, output));
    last = event.kind;
  }
  // There are no events after the last one of a run that has ended.
  if (last === undefined) last = (await source.get(runId))?.phase.name;
  if (last === "Completed") return true;
  if (last === "Errored") return false;
  throw new Error(`The events ended before run ${runId} did`);
}

function lineOf(event: RunEvent, output: Output): string {
  const { at, seq, kind } = event;
  const start = `${output.time(at)}  ${seq}  ${output.paintState(kind)}`;
  const detail = detailOf(event);
  return detail === undefined ? start : `${start}  ${printable(detail)}`;
}

function detailOf(event: RunEvent): string | undefined {
  switch (event.kind) {
    case "Yield":
      return JSON.stringify(event.payload);
    case "Errored":
      return describeFailure(event);
    case "Lagged":
      return `${event.missed} events are no longer held`;
  }
}
