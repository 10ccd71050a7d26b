import { AcknowledgementAudit } from "./audit_acknowledgements.ts";
import { AuditCase } from "./audit_case.ts";
import { FollowerAudit } from "./audit_followers.ts";
import { LogAudit } from "./audit_log.ts";
import { auditProcesses } from "./audit_processes.ts";
import type { Evidence, Finding } from "./evidence.ts";

/**
 * Finds the promises that a chaos run broke, from its journal and tables alone.
 *
 * @returns The findings; none if every promise was kept.
 */
export function audit(evidence: Evidence): Finding[] {
  const auditCase = new AuditCase(evidence);
  const logged = new LogAudit(auditCase).audit();
  new AcknowledgementAudit(auditCase, logged).audit();
  new FollowerAudit(auditCase).audit();
  return [...auditCase.findings, ...auditProcesses(evidence)];
}
