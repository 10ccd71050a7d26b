import { UnknownRunError } from "../../mod.ts";
import type { ClientRun } from "../http/client/mod.ts";
import { toWireRun, type WireRun } from "../http/wire/messages.ts";
import { describeFailure } from "./describe_failure.ts";
import type { Output } from "./output.ts";
import { printable } from "./printable.ts";
import type { RunSource } from "./run_source.ts";

/**
 * Prints all that is known of a run.
 *
 * @throws {Error} If the run is unknown.
 */
export async function showRun(
  source: RunSource,
  runId: string,
  output: Output,
): Promise<void> {
  const run = await source.get(runId);
  if (run === undefined) throw new UnknownRunError(runId);
  if (output.isJson) return await output.json(wireOf(run));
  const { phase, rows: [newest], resultError } = run;
  const print = async (name: string, text: string | undefined) => {
    if (text !== undefined) await output.line(name.padEnd(10) + text);
  };
  const printText = (name: string, text: string | undefined) =>
    print(name, text === undefined ? undefined : printable(text));
  await printText("Run", run.runId);
  await print("Phase", output.paintState(phase.name));
  if (phase.name === "Errored") {
    const { code, message, errorName: name } = phase;
    await printText("Error", describeFailure({ code, message, name }));
  }
  await printText("Pipeline", newest?.pipelineName);
  await printText("Dataset", newest?.datasetId);
  await printText("Events", String(run.lastSeq));
  for (const [key, value] of Object.entries(run.payload)) {
    await printText("Payload", `${key} = ${JSON.stringify(value)}`);
  }
  await printText("Result", JSON.stringify(run.result));
  if (resultError !== undefined) {
    await printText("Result", `not stored: ${resultError}`);
  }
  for (const row of run.rows) {
    const time = output.time(row.createdAt);
    await print("Row", `${time}  ${output.paintState(row.status)}`);
  }
}

function wireOf(run: ClientRun): WireRun {
  const { rows, payload, result, resultError } = run;
  const stored = resultError !== undefined
    ? { error: resultError }
    : "result" in run
    ? { value: result }
    : undefined;
  return toWireRun(run, rows, payload, stored);
}
