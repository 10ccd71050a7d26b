import type { PipelineRunRow, RunEvent } from "../../mod.ts";
import type { ClientRun } from "../http/client/mod.ts";
import type { WireEvent, WireRow, WireRun } from "../http/mod.ts";

/** A row as a server sends it. */
export function toWireRow(row: PipelineRunRow): WireRow {
  return {
    id: row.id,
    created_at: row.createdAt.toISOString(),
    status: row.status,
    pipeline_run_id: row.pipelineRunId,
    pipeline_name: row.pipelineName,
    pipeline_id: row.pipelineId,
    dataset_id: row.datasetId ?? null,
    run_info: row.runInfo ?? null,
  };
}

/** A run as a server sends it. */
export function toWireRun(run: ClientRun): WireRun {
  const { runId, phase, lastSeq, rows, payload, result, resultError } = run;
  return {
    pipeline_run_id: runId,
    phase: phase.name,
    ...phase.name === "Errored" &&
      { code: phase.code, message: phase.message, name: phase.errorName },
    last_seq: lastSeq,
    rows: rows.map(toWireRow),
    payload,
    result,
    result_error: resultError,
  };
}

/** An event as a server sends it. */
export function toWireEvent(event: RunEvent): WireEvent {
  const { runId, kind, seq, at } = event;
  return {
    pipeline_run_id: runId,
    status: `PipelineRun${kind}`,
    payload: kind === "Yield" ? event.payload : null,
    seq,
    at: at.toISOString(),
    ...kind === "Errored" &&
      { code: event.code, message: event.message, name: event.name },
    ...kind === "Lagged" && { missed: event.missed },
  };
}
