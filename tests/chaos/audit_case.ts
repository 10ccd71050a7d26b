import {
  ends,
  type Evidence,
  type Finding,
  registrations,
  untilSettled,
} from "./evidence.ts";
import { entriesOf, type Entry, type EntryOf } from "./journal.ts";
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
  /** What was asked for each run of the plan. */
  readonly registering: ReadonlyMap<number, EntryOf<"registering">>;
  /** What was asked under each id that the caller gave. */
  readonly claims: ReadonlyMap<string | undefined, EntryOf<"registering">[]>;
  readonly findings: Finding[] = [];

  constructor(evidence: Evidence) {
    this.evidence = evidence;
    this.journal = untilSettled(evidence.journal);
    this.reach = new Reach(evidence.journal, evidence.bounds);
    this.ends = ends(this.journal);
    this.registered = registrations(this.journal);
    const registering = entriesOf(this.journal, "registering");
    this.registering = new Map(registering.map((entry) => [entry.run, entry]));
    this.claims = Map.groupBy(registering, ({ runId }) => runId);
  }

  /** Adds a finding about a run. */
  find(
    kind: Finding["kind"],
    runId: string | undefined,
    saw: string,
    ...lines: (Entry | undefined)[]
  ): void {
    const shown = lines.filter((line) => line !== undefined);
    this.findings.push({ kind, runId, saw, lines: shown });
  }

  /** Looks whether a run's instance lived when the run was ended as expired. */
  auditExpiry(
    registered: EntryOf<"registered" | "registering">,
    at: number,
    what: string,
    ...lines: Entry[]
  ): void {
    const { instance, runId } = registered;
    if ((this.ends.get(instance) ?? Infinity) <= at) return;
    if (this.reach.mayExpire(instance, at)) return;
    const saw = `${what} ends it as expired at ${at}, though ${instance} lived`;
    const faults = this.#faultsFor(instance, at);
    this.find(
      "wrongly ended",
      runId,
      saw,
      registered,
      ...lines,
      ...this.#abortsOf(runId, at),
      ...faults,
    );
  }

  /** A request to abort a run whose lease has expired ends it as expired. */
  #abortsOf(runId: string | undefined, at: number): Entry[] {
    return entriesOf(this.journal, "aborted").filter((entry) =>
      entry.runId === runId && Math.abs(entry.at - at) < 1_000
    );
  }

  /** What kept an instance from the server in the time of a lease before. */
  #faultsFor(instance: string, at: number): Entry[] {
    const { leaseDuration, renewInterval } = this.evidence.bounds;
    const since = at - 2 * (leaseDuration + renewInterval);
    return this.evidence.journal.filter((entry) =>
      "from" in entry && entry.from <= at && entry.at >= since &&
      (entry.told === "outage" || entry.instance === instance)
    );
  }
}
