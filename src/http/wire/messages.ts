import { errorMessage } from "../../model/error_message.ts";
import type { RunEvent } from "../../model/event.ts";
import type { RunErrorCode, RunFailure } from "../../model/failure.ts";
import type { RunPhase } from "../../model/phase.ts";
import type { PipelineRunRow, PipelineRunStatus } from "../../model/row.ts";
import type { RunInfo } from "../../model/run_info.ts";
import type { RunResult } from "../../repository/repository.ts";

/** The kind of an event in cognee's spelling; cognee has no `PipelineRunLagged`. */
export type WireEventStatus = `PipelineRun${RunEvent["kind"]}`;

/** An event as JSON, with cognee's names. */
export interface WireEvent {
  /** The run's UUID. */
  pipeline_run_id: string;
  /** The kind of the event. */
  status: WireEventStatus;
  /** The published value, or null. */
  payload: unknown;
  /** The event's number. */
  seq: number;
  /** When it was published, as an ISO 8601 time. */
  at: string;
  /** What ended the run, for a `PipelineRunErrored`. */
  code?: RunErrorCode;
  /** The error message, for a `PipelineRunErrored`. */
  message?: string;
  /** The name of the work's error, for a `PipelineRunErrored`, if it has one of its own. */
  name?: string;
  /** The number of missed events, for a `PipelineRunLagged`. */
  missed?: number;
  /** Why the payload is not JSON; the payload is null then. */
  payload_error?: string;
}

/** A message of cognee's WebSocket; cognee has no `payload_error`. */
export interface WireFrame {
  /** The run's UUID. */
  pipeline_run_id: string;
  /** The kind of the event. */
  status: WireEventStatus;
  /** The published value or null; for a `PipelineRunErrored` its message. */
  payload: unknown;
  /** Why the payload is not JSON; the payload is null then. */
  payload_error?: string;
}

/** A row of the audit trail as JSON, with the table's names. */
export interface WireRow {
  /** The row's own UUID. */
  id: string;
  /** When it was written, as an ISO 8601 time. */
  created_at: string;
  /** The run's status when the row was written. */
  status: PipelineRunStatus;
  /** The run's UUID. */
  pipeline_run_id: string;
  /** The pipeline's name. */
  pipeline_name: string;
  /** The pipeline's UUID. */
  pipeline_id: string;
  /** The dataset's UUID, or null. */
  dataset_id: string | null;
  /** Further facts about the run, or null. */
  run_info: RunInfo | null;
}

/** A run as JSON, as `GET /runs/:id` returns it. */
export interface WireRun {
  /** The run's UUID. */
  pipeline_run_id: string;
  /** The run's phase. */
  phase: RunPhase["name"];
  /** What ended the run, if it is `Errored`. */
  code?: RunErrorCode;
  /** The error message, for an `Errored` run. */
  message?: string;
  /** The name of the work's error, for an `Errored` run, if it has one of its own. */
  name?: string;
  /** The number of the run's last event. */
  last_seq: number;
  /** The run's newest rows, newest first. */
  rows: WireRow[];
  /** The payload fields that the run has set. */
  payload: Record<string, unknown>;
  /** What the work returned, if the run completed and has a result. */
  result?: unknown;
  /** Why the result is not stored. */
  result_error?: string;
}

/** An event as one line of JSON. */
export function eventJson(event: RunEvent): string {
  const { runId, kind, seq, at } = event;
  return withPayload({
    pipeline_run_id: runId,
    status: `PipelineRun${kind}`,
    payload: payloadOf(event),
    seq,
    at: at.toISOString(),
    ...kind === "Errored" ? membersOf(event) : undefined,
    missed: kind === "Lagged" ? event.missed : undefined,
  });
}

/** An event as the message of cognee's WebSocket. */
export function frameJson(event: RunEvent): string {
  const frame: WireFrame = {
    pipeline_run_id: event.runId,
    status: `PipelineRun${event.kind}`,
    payload: event.kind === "Errored" ? event.message : payloadOf(event),
  };
  return withPayload(frame);
}

function payloadOf(event: RunEvent): unknown {
  return event.kind === "Yield" ? event.payload ?? null : null;
}

/** The members of a failure, without the rest of its event. */
function membersOf({ code, message, name }: RunFailure): RunFailure {
  return { code, message, name };
}

/**
 * Without a log the payload is the published value itself, which need not be JSON.
 * It can be large, so it is serialised once and replaces the first `"payload":null`:
 * nothing before that contains the same text.
 */
function withPayload(wire: WireEvent | WireFrame): string {
  let payload: string | undefined;
  let payload_error: string | undefined;
  try {
    payload = JSON.stringify(wire.payload);
    if (payload === undefined) {
      payload_error = `Cannot send payload: it is a ${typeof wire.payload}`;
    }
  } catch (error) {
    payload_error = errorMessage(error);
  }
  return JSON.stringify({ ...wire, payload: null, payload_error })
    .replace('"payload":null', () => `"payload":${payload ?? null}`);
}

/** Converts a row. */
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

/** Converts a run. */
export function toWireRun(
  { runId, phase, lastSeq }: {
    runId: string;
    phase: RunPhase;
    lastSeq: number;
  },
  rows: readonly PipelineRunRow[],
  payload: Record<string, unknown>,
  result: RunResult | undefined,
): WireRun {
  return {
    pipeline_run_id: runId,
    phase: phase.name,
    ...toWireFailure(phase),
    last_seq: lastSeq,
    rows: rows.map(toWireRow),
    payload,
    ...phase.name === "Completed" ? toWireResult(result) : undefined,
  };
}

/** Converts the failure in a phase, if it has one. */
export function toWireFailure(
  phase: RunPhase,
): Pick<WireRun, "code" | "message" | "name"> {
  if (phase.name !== "Errored") return {};
  return { code: phase.code, message: phase.message, name: phase.errorName };
}

/** Converts the result of a run, if it has one. */
function toWireResult(
  result: RunResult | undefined,
): Pick<WireRun, "result" | "result_error"> {
  if (result === undefined) return {};
  return "error" in result
    ? { result_error: result.error }
    : { result: result.value };
}
