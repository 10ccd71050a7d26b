import { errorMessage } from "../../model/error_message.ts";
import type { RunEvent } from "../../model/event.ts";
import type { RunPhase } from "../../model/phase.ts";
import type { PipelineRunRow, PipelineRunStatus } from "../../model/row.ts";
import type { RunInfo } from "../../model/run_info.ts";
import type { RunStatus } from "../../repository/run_log.ts";

/** What an event is, as cognee spells it; it has no `PipelineRunLagged`. */
export type WireEventStatus = `PipelineRun${RunEvent["kind"]}`;

/** An event as JSON, in the names of cognee. */
export interface WireEvent {
  /** The run's UUID. */
  pipeline_run_id: string;
  /** What the event is. */
  status: WireEventStatus;
  /** What was published with it, or null. */
  payload: unknown;
  /** The event's number. */
  seq: number;
  /** When it was published, as an ISO 8601 time. */
  at: string;
  /** What went wrong, of a `PipelineRunErrored`. */
  message?: string;
  /** How many events were missed, of a `PipelineRunLagged`. */
  missed?: number;
  /** Why the payload is null although there was one: it is not JSON. */
  payload_error?: string;
}

/** The message of cognee's WebSocket, which has no `payload_error`. */
export interface WireFrame {
  /** The run's UUID. */
  pipeline_run_id: string;
  /** What the event is. */
  status: WireEventStatus;
  /** What was published with it; of a `PipelineRunErrored` what went wrong. */
  payload: unknown;
  /** Why the payload is null although there was one: it is not JSON. */
  payload_error?: string;
}

/** A row of the audit trail as JSON, in the names of its table. */
export interface WireRow {
  /** The row's own UUID. */
  id: string;
  /** When it was written, as an ISO 8601 time. */
  created_at: string;
  /** What the run had become. */
  status: PipelineRunStatus;
  /** The run's UUID. */
  pipeline_run_id: string;
  /** The name of its pipeline. */
  pipeline_name: string;
  /** The UUID of its pipeline. */
  pipeline_id: string;
  /** The UUID of the dataset it worked on, or null. */
  dataset_id: string | null;
  /** What else is known of it, or null. */
  run_info: RunInfo | null;
}

/** A run as JSON: what `GET /runs/:id` gives. */
export interface WireRun {
  /** The run's UUID. */
  pipeline_run_id: string;
  /** Its phase. */
  phase: RunPhase["name"];
  /** What went wrong, of a run that is `Errored`. */
  message?: string;
  /** The number of its last event. */
  last_seq: number;
  /** Its newest rows, newest first. */
  rows: WireRow[];
  /** The payload fields that it has set. */
  payload: Record<string, unknown>;
}

const KINDS: ReadonlySet<unknown> = new Set<RunEvent["kind"]>([
  "Started",
  "Yield",
  "AlreadyCompleted",
  "Completed",
  "Errored",
  "Lagged",
]);

/** An event as one line of JSON. */
export function eventJson(event: RunEvent): string {
  const { runId, kind, seq, at, payload } = event;
  const wire: WireEvent = {
    pipeline_run_id: runId,
    status: `PipelineRun${kind}`,
    payload: payload ?? null,
    seq,
    at: at.toISOString(),
    message: kind === "Errored" ? event.message : undefined,
    missed: kind === "Lagged" ? event.missed : undefined,
  };
  return withPayload(wire);
}

/** An event as the message of cognee's WebSocket. */
export function frameJson(event: RunEvent): string {
  const frame: WireFrame = {
    pipeline_run_id: event.runId,
    status: `PipelineRun${event.kind}`,
    payload: event.kind === "Errored" ? event.message : event.payload ?? null,
  };
  return withPayload(frame);
}

/**
 * Without a log a payload is what the work published, and need not be JSON. It can
 * be large, so it is serialised once, and put where its null stands: nothing before
 * that can look like it.
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

/**
 * An event from its JSON.
 *
 * @throws {TypeError} If it is none.
 */
export function toEvent<P>(json: string): RunEvent<P> {
  let wire: Partial<WireEvent> | null;
  try {
    wire = JSON.parse(json);
  } catch (cause) {
    throw new TypeError("Cannot decode event: it is not JSON", { cause });
  }
  const { pipeline_run_id, status, seq, at, payload, message, missed } = wire ??
    {};
  const kind = String(status).replace(/^PipelineRun/, "");
  const date = new Date(at ?? NaN);
  if (
    typeof pipeline_run_id !== "string" || !KINDS.has(kind) ||
    !Number.isSafeInteger(seq) || Number.isNaN(date.getTime())
  ) {
    throw new TypeError(
      `Cannot decode event: it is no event of a run: ${json.slice(0, 200)}`,
    );
  }
  const event = {
    runId: pipeline_run_id,
    seq,
    at: date,
    payload: payload ?? null,
    kind,
  };
  if (kind === "Errored") Object.assign(event, { message: message ?? "" });
  if (kind === "Lagged") Object.assign(event, { missed: missed ?? 0 });
  return event as RunEvent<P>;
}

/** A row as JSON has it. */
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

/** A run as JSON has it. */
export function toWireRun(
  { runId, phase, lastSeq }: RunStatus,
  rows: readonly PipelineRunRow[],
  payload: Record<string, unknown>,
): WireRun {
  return {
    pipeline_run_id: runId,
    phase: phase.name,
    message: phase.name === "Errored" ? phase.message : undefined,
    last_seq: lastSeq,
    rows: rows.map(toWireRow),
    payload,
  };
}
