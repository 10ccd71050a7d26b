import {
  ends,
  type Evidence,
  type Finding,
  registrations,
  untilSettled,
} from "./evidence.ts";
import type { Entry, EntryOf } from "./journal.ts";
import { Reach } from "./reach.ts";

/** The evidence of a chaos run in the form that audits need, and their findings. */
export class AuditCase {
  readonly evidence: Evidence;
  /** The lines until the tables were read. */
  readonly journal: readonly Entry[];
  readonly reach: Reach;
  /** When each instance that stopped or was killed did so. */
  readonly ends: ReadonlyMap<string, number>;
  /** The registrations by the id of their STARTED row. */
  readonly registered: ReadonlyMap<string, EntryOf<"registered">>;
  readonly findings: Finding[] = [];

  constructor(evidence: Evidence) {
    this.evidence = evidence;
    this.journal = untilSettled(evidence.journal);
    this.reach = new Reach(evidence.journal, evidence.bounds);
    this.ends = ends(this.journal);
    this.registered = registrations(this.journal);
  }

  /** Adds a finding about a run. */
  find(
    kind: Finding["kind"],
    runId: string,
    saw: string,
    ...lines: (Entry | undefined)[]
  ): void {
    const shown = lines.filter((line) => line !== undefined);
    this.findings.push({ kind, runId, saw, lines: shown });
  }

  /** Looks whether a run's instance lived when the run was ended as expired. */
  auditExpiry(
    registered: EntryOf<"registered">,
    at: number,
    what: string,
  ): void {
    const { instance, runId } = registered;
    if ((this.ends.get(instance) ?? Infinity) <= at) return;
    if (this.reach.mayExpire(instance, at)) return;
    const saw = `${what} ends it as expired at ${at}, though ${instance} lived`;
    this.find("wrongly ended", runId, saw, registered);
  }
}
