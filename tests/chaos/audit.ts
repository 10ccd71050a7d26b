import { FollowerAudit } from "./audit_followers.ts";
import { auditProcesses } from "./audit_processes.ts";
import { RunAudit } from "./audit_runs.ts";
import type { Evidence, Finding } from "./evidence.ts";

/**
 * Finds the promises that a chaos run broke, from its journal and tables alone.
 *
 * @returns The findings; none if every promise was kept.
 */
export function audit(evidence: Evidence): Finding[] {
  return [
    ...new RunAudit(evidence).audit(),
    ...new FollowerAudit(evidence).audit(),
    ...auditProcesses(evidence),
  ];
}
