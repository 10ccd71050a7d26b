import type { AuditCase } from "./audit_case.ts";
import { type Finding, isTerminal } from "./evidence.ts";
import { entriesOf, type Entry, type EntryOf } from "./journal.ts";
import type { EventRow } from "./tables.ts";

/** Compares what followers saw with the log. */
export class FollowerAudit {
  readonly #case: AuditCase;
  readonly #settledAt: number;
  readonly #logs: ReadonlyMap<string, EventRow[]>;
  /** Which instance has runs of which ids. */
  readonly #own: ReadonlySet<string>;

  constructor(auditCase: AuditCase) {
    const { evidence, journal } = auditCase;
    this.#case = auditCase;
    this.#settledAt = entriesOf(evidence.journal, "settled")[0]?.at ?? Infinity;
    this.#logs = Map.groupBy(evidence.tables.events, ({ runId }) => runId);
    this.#own = new Set(
      [
        ...entriesOf(journal, "registered"),
        ...entriesOf(journal, "registering"),
      ].map(({ instance, runId }) => `${instance} ${runId}`),
    );
  }

  /** Finds all that is wrong. */
  audit(): void {
    const seen = Map.groupBy(
      entriesOf(this.#case.journal, "saw"),
      ({ follower }) => follower,
    );
    const ended = new Map(
      entriesOf(this.#case.journal, "followed")
        .map((entry) => [entry.follower, entry]),
    );
    for (const following of entriesOf(this.#case.journal, "following")) {
      const { follower } = following;
      const saw = seen.get(follower) ?? [];
      this.#auditOrder(following, saw);
      this.#auditAgainstLog(following, saw);
      this.#auditEnd(following, saw, ended.get(follower));
    }
  }

  #find(
    kind: Finding["kind"],
    following: EntryOf<"following">,
    saw: string,
    ...lines: (Entry | undefined)[]
  ): void {
    const { runId, follower } = following;
    const text = `follower ${follower}: ${saw}`;
    this.#case.find(kind, runId, text, following, ...lines);
  }

  /** Each event has the number after the last; only `Lagged` skips, and says how many. */
  #auditOrder(
    following: EntryOf<"following">,
    saw: readonly EntryOf<"saw">[],
  ): void {
    let position = following.after;
    let previous: EntryOf<"saw"> | undefined;
    const known = new Map<number, string>();
    for (const entry of saw) {
      const { seq, kind, missed } = entry;
      const from = position;
      position = seq;
      const former = previous;
      previous = entry;
      if (former !== undefined && isTerminal(former)) {
        const what = `${seq} ${kind} came after the ending`;
        this.#find("doubled", following, what, former, entry);
      } else if (known.get(seq) === contentOf(entry)) {
        const what = `${seq} ${kind} came twice`;
        this.#find("doubled", following, what, former, entry);
      } else if (from !== undefined && seq !== from + (missed ?? 1)) {
        const lag = missed === undefined
          ? ""
          : ` says ${missed} were missed and`;
        const what = `${seq} ${kind}${lag} came after ${from}`;
        this.#find("disordered", following, what, former, entry);
      }
      if (kind !== "Lagged") known.set(seq, contentOf(entry));
    }
  }

  #auditAgainstLog(
    following: EntryOf<"following">,
    saw: readonly EntryOf<"saw">[],
  ): void {
    const { instance, runId, durable, after } = following;
    const log = this.#logs.get(runId) ?? [];
    const [first] = saw;
    if (first !== undefined && after === undefined) {
      const index = log.findIndex(({ seq }) => seq === first.seq);
      const isBeginning = index < 1 || log[index].kind === "Started" ||
        isTerminal(log[index - 1]);
      if (!isBeginning) {
        const what = `it began with ${first.seq} ${first.kind}`;
        this.#find("lost", following, what, first);
      }
    }
    // Of runs of its own instance, a follower may see what is not written yet.
    if (!durable && this.#own.has(`${instance} ${runId}`)) return;
    for (const entry of saw) {
      const { seq, kind, n, missed = 0 } = entry;
      if (kind === "Lagged") {
        const kept = log.filter((event) =>
          event.seq <= seq && event.seq > seq - missed
        );
        if (kept.length === 0) continue;
        const what = `${seq} Lagged by ${missed}, which the log has`;
        this.#find("lost", following, what, entry);
        continue;
      }
      const logged = log.find((event) => event.seq === seq);
      if (logged?.kind === kind && logged.n === n) continue;
      const found = logged && `${logged.kind} ${logged.n ?? ""}`;
      const what = `saw ${seq} ${kind} ${n ?? ""}, the log has ${found}`;
      return this.#find("lost", following, what, entry);
    }
  }

  #auditEnd(
    following: EntryOf<"following">,
    saw: readonly EntryOf<"saw">[],
    followed: EntryOf<"followed"> | undefined,
  ): void {
    const { instance, runId, after = 0 } = following;
    const last = saw[saw.length - 1];
    const position = last?.seq ?? after;
    const left = this.#logs.get(runId)?.find((event) =>
      event.seq > position && isTerminal(event)
    );
    const end = this.#case.ends.get(instance) ?? Infinity;
    const hasEnding = last !== undefined && isTerminal(last);
    if (followed === undefined) {
      const due = hasEnding ? last.at : left?.loggedAt ?? Infinity;
      const waited = this.#settledAt - due;
      if (end < Infinity || waited < this.#case.evidence.bounds.following) {
        return;
      }
      const what = hasEnding
        ? "it saw the ending and never ended"
        : `it never came to the ending, ${left?.seq}`;
      return this.#find("unfinished", following, what, last);
    }
    if (followed.how === "errored") {
      if (followed.at >= end) return;
      const what = `it failed: ${followed.error}`;
      return this.#find("unfinished", following, what, last, followed);
    }
    if (followed.how === "cancelled" || hasEnding || left === undefined) return;
    if (this.#hadEnded(following, position)) return;
    const isExcused = followed.at >= end &&
      !this.#shouldDrain(following, end, followed.at);
    if (isExcused) return;
    const what = `it closed before the ending, ${left.seq}`;
    this.#find("lost", following, what, last, followed);
  }

  /** Whether the run had ended, with no event after a number, when the follower began. */
  #hadEnded({ runId, at }: EntryOf<"following">, position: number): boolean {
    const log = this.#logs.get(runId) ?? [];
    // A statement that waited for a lock is dated before that.
    const begun = at - this.#case.evidence.bounds.statementTimeout;
    return log.some((event, i) =>
      event.seq <= position && isTerminal(event) && log[i + 1]?.loggedAt > begun
    );
  }

  /** Whether a shutdown ended the run, durably, before it closed the stream. */
  #shouldDrain(
    { instance, runId }: EntryOf<"following">,
    stopping: number,
    closed: number,
  ): boolean {
    return this.#case.reach.isClear(instance, stopping, closed) &&
      entriesOf(this.#case.journal, "outcome").some((outcome) =>
        outcome.instance === instance && outcome.runId === runId &&
        outcome.durable && outcome.at >= stopping && outcome.at <= closed
      );
  }
}

/** What an event says, apart from its number. */
function contentOf({ kind, n }: EntryOf<"saw">): string {
  return `${kind} ${n}`;
}
