import type { RunErrorCode } from "../../model/failure.ts";
import { hasEnded, type RunPhase } from "../../model/phase.ts";
import { phaseOfStatus, type PipelineRunRow } from "../../model/row.ts";

/** The state of a run as the page tells it: how it ended, or that it is live. */
export type ListedStatus = "pending" | "running" | "completed" | RunErrorCode;

/** What people read for each status. */
export const STATUS_WORDS: Readonly<Record<ListedStatus, string>> = {
  pending: "Pending",
  running: "Running",
  completed: "Completed",
  work: "Failed",
  aborted: "Aborted",
  timeout: "Timed out",
  shutdown: "Shut down",
  lease_expired: "Lease expired",
  orphan: "Orphaned",
};

/** A run as its rows tell it. */
export interface ListedRun {
  readonly runId: string;
  /** The newest row. */
  readonly row: PipelineRunRow;
  readonly phase: RunPhase;
  readonly status: ListedStatus;
  readonly isLive: boolean;
  /** When its attempt began, if its first row is among the rows. */
  began: Date | undefined;
}

/** The status of a phase. */
export function statusOfPhase(phase: RunPhase): ListedStatus {
  switch (phase.name) {
    case "Pending":
      return "pending";
    case "Running":
      return "running";
    case "Completed":
      return "completed";
    case "Errored":
      return phase.code;
  }
}

/** The runs of rows, both newest first. */
export function listedRuns(rows: readonly PipelineRunRow[]): ListedRun[] {
  const runs = new Map<string, ListedRun>();
  /** The runs whose next row is one of an earlier attempt. */
  const whole = new Set<string>();
  for (const row of rows) {
    const { pipelineRunId: runId, status, runInfo, createdAt } = row;
    const phase = phaseOfStatus(status, runInfo);
    const isLive = !hasEnded(phase);
    const run = runs.get(runId);
    if (run === undefined) {
      const status = statusOfPhase(phase);
      const began = isLive ? createdAt : undefined;
      runs.set(runId, { runId, row, phase, status, isLive, began });
    } else if (!isLive) whole.add(runId);
    else if (!whole.has(runId)) run.began = createdAt;
    if (phase.name === "Pending") whole.add(runId);
  }
  return [...runs.values()];
}
