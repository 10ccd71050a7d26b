import { LEASE_EXPIRED } from "../../model/failure.ts";
import { erroredPhase, hasEnded, type RunPhase } from "../../model/phase.ts";
import { phaseOfStatus, type PipelineRunRow } from "../../model/row.ts";
import type { RunStatus } from "../../repository/run_log.ts";
import { beginningOf, eventOf, type EventRow, failureOfRow } from "./events.ts";
import { newestRowOf, toRow } from "./rows.ts";
import { statement } from "./statement.ts";

/** Reads the {@linkcode RunState} of a run. */
export const STATUS = statement("status", { runId: "uuid" }, ({ runId }) => `
  select json_build_object(${stateOf(runId)})::text`);

/** What the tables say of a run. */
export interface RunState {
  /** Its newest row, as JSON. */
  readonly row: Omit<PipelineRunRow, "createdAt"> | null;
  /** The number before the first event of its newest attempt. */
  readonly beginning: number | null;
  /** Its last event, without the payload. */
  readonly event: EventRow | null;
  readonly lease: "live" | "expired" | "ended" | null;
}

/** The members of a {@linkcode RunState}, for a JSON object. */
export function stateOf(runId: string): string {
  return `
    'row', (${newestRowOf(runId)}),
    'beginning', ${beginningOf(runId)},
    'event', (
      select ${eventOf("e", "null")}
      from pipeline_run_events e
      where e.pipeline_run_id = ${runId}
      order by e.seq desc
      limit 1
    ),
    'lease', (
      select case
        when l.ended_at is not null then 'ended'
        when l.expires_at < now() then 'expired'
        else 'live'
      end
      from pipeline_run_leases l
      where l.pipeline_run_id = ${runId}
    )`;
}

/** The status that a state amounts to; `undefined` for an unknown run. */
export function toStatus(
  runId: string,
  state: RunState,
): RunStatus | undefined {
  const { row, beginning, event, lease } = state;
  // A lease that has ended and left nothing is a claim that was given up.
  const isClaimed = lease === "live" || lease === "expired";
  if (row === null && event === null && !isClaimed) return undefined;
  const lastSeq = event?.[0] ?? 0;
  const phase = phaseOf(state);
  return {
    runId,
    phase,
    ended: hasEnded(phase) && lease !== "expired",
    row: row === null ? undefined : toRow(row),
    firstSeq: (beginning ?? lastSeq) + 1,
    lastSeq,
  };
}

function phaseOf({ row, event, lease }: RunState): RunPhase {
  if (lease === "expired") return erroredPhase(LEASE_EXPIRED);
  if (lease === "live") {
    return { name: event === null ? "Pending" : "Running" };
  }
  if (event !== null) {
    const [, kind] = event;
    if (kind === "Completed") return { name: "Completed" };
    if (kind === "Errored") return erroredPhase(failureOfRow(event));
  }
  return phaseOfStatus(row?.status, row?.runInfo);
}
