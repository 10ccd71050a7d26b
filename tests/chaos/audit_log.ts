import type { AuditCase } from "./audit_case.ts";
import { type Attempt, isExpiry, isTerminal, type Logged } from "./evidence.ts";
import { entriesOf, type Entry, type EntryOf } from "./journal.ts";
import type { EventRow, RunRow } from "./tables.ts";

/** Looks whether the rows and events of each run are those of whole attempts. */
export class LogAudit {
  readonly #case: AuditCase;
  readonly #attempts = new Map<string, Attempt>();
  readonly #bare: EventRow[] = [];

  constructor(auditCase: AuditCase) {
    this.#case = auditCase;
  }

  /** Finds all that is wrong. */
  audit(): Logged {
    const { tables } = this.#case.evidence;
    const rows = Map.groupBy(tables.rows, ({ runId }) => runId);
    const events = Map.groupBy(tables.events, ({ runId }) => runId);
    const live = new Set(
      tables.leases.filter(({ isEnded }) => !isEnded).map(({ runId }) => runId),
    );
    for (const runId of live) {
      this.#case.find("unfinished", runId, "its lease has not ended");
    }
    for (const runId of new Set([...rows.keys(), ...events.keys()])) {
      this.#auditNumbers(runId, events.get(runId) ?? []);
      const attempts = this.#pair(
        runId,
        rows.get(runId) ?? [],
        events.get(runId) ?? [],
      );
      for (const [i, attempt] of attempts.entries()) {
        const isLive = i === attempts.length - 1 && live.has(runId);
        this.#auditAttempt(attempt, isLive);
      }
    }
    return { attempts: this.#attempts, bare: this.#bare };
  }

  #auditNumbers(runId: string, events: readonly EventRow[]): void {
    for (const [i, { seq }] of events.entries()) {
      if (seq === i + 1) continue;
      const saw = `event ${seq} of its log follows ${i}`;
      return this.#case.find("disordered", runId, saw);
    }
  }

  /** The attempts of a run: each has its rows and events, or only one event. */
  #pair(
    runId: string,
    rows: readonly RunRow[],
    events: readonly EventRow[],
  ): Attempt[] {
    const rowGroups = split(rows, ({ status }) => status === "STARTED");
    const eventGroups = split(
      events,
      ({ kind }, previous) =>
        kind === "Started" || previous === undefined || isTerminal(previous),
    );
    const begun = eventGroups.filter(([{ kind }]) => kind === "Started");
    const bare = eventGroups.filter(([{ kind }]) => kind !== "Started");
    this.#auditBare(runId, begun.length, bare);
    if (rowGroups.length !== begun.length) {
      const saw =
        `it has ${rowGroups.length} STARTED rows and ${begun.length} Started events`;
      this.#case.find("lost", runId, saw);
      return [];
    }
    return rowGroups.map((rows, i) => {
      const attempt = { runId, rows, events: begun[i] };
      this.#attempts.set(rows[0].id, attempt);
      return attempt;
    });
  }

  /**
   * A claim whose instance dies before the run begins ends with an event alone.
   * Anything else that follows an ending is a second ending.
   */
  #auditBare(runId: string, begun: number, bare: EventRow[][]): void {
    const claims = this.#mayHaveClaimed(runId);
    for (const [i, events] of bare.entries()) {
      const [{ seq, kind, message }] = events;
      const isAllowed = events.length === 1 && isExpiry(message) &&
        begun + i < claims;
      if (isAllowed) {
        this.#bare.push(events[0]);
        continue;
      }
      const saw = `event ${seq} ${kind} (${message}) is behind an ending`;
      this.#case.find("doubled", runId, saw, ...this.#linesOf(runId));
    }
  }

  /** How many registrations may have claimed a run, whatever they were told. */
  #mayHaveClaimed(runId: string): number {
    const { statementTimeout } = this.#case.evidence.bounds;
    const refused = new Map(
      entriesOf(this.#case.journal, "refused").map((
        entry,
      ) => [entry.run, entry]),
    );
    const claims = this.#case.claims.get(runId) ?? [];
    return claims.filter((entry) => {
      const { at, error } = refused.get(entry.run) ?? { at: 0, error: "" };
      // A claim that is answered late may have succeeded and expired.
      return !error.startsWith("RunAlreadyActive") ||
        at - entry.at >= statementTimeout;
    }).length;
  }

  #auditAttempt({ runId, rows, events }: Attempt, isLive: boolean): void {
    const [{ id }, ...finals] = rows;
    const registered = this.#case.registered.get(id);
    const last = events[events.length - 1];
    if (finals.length > 1) {
      const statuses = finals.map(({ status }) => status).join(", ");
      this.#case.find(
        "doubled",
        runId,
        `rows ${statuses} end an attempt`,
        registered,
      );
    }
    if (!isTerminal(last)) {
      const kind = isLive ? "unfinished" : "lost";
      const saw = `its last event is ${last.seq} ${last.kind}`;
      this.#case.find(kind, runId, saw, registered);
    } else if (finals.length === 0) {
      const saw = `event ${last.seq} ${last.kind} has no row`;
      this.#case.find("lost", runId, saw, registered);
    } else if (!agree(last, finals[0])) {
      const { status, error } = finals[0];
      const saw =
        `the row is ${status} (${error}), the event ${last.kind} (${last.message})`;
      this.#case.find("lost", runId, saw, registered);
    }
    this.#auditYields(runId, events, registered);
    if (registered !== undefined && isExpiry(last.message)) {
      this.#case.auditExpiry(registered, last.loggedAt, `event ${last.seq}`);
    }
  }

  #auditYields(
    runId: string,
    events: readonly EventRow[],
    registered: EntryOf<"registered"> | undefined,
  ): void {
    const yields = events.filter(({ kind }) => kind === "Yield");
    const wrong = yields.findIndex(({ n }, i) => n !== i);
    if (wrong !== -1) {
      const { seq, n } = yields[wrong];
      const saw = `event ${seq} is Yield ${n}, but ${wrong} was due`;
      this.#case.find("disordered", runId, saw, registered);
    }
    const planned = registered &&
      this.#case.registering.get(registered.run);
    const isComplete = events.at(-1)?.kind === "Completed";
    if (planned === undefined || !isComplete) return;
    if (yields.length < planned.yields) {
      const saw = `it has ${yields.length} Yields of ${planned.yields}`;
      this.#case.find("lost", runId, saw, planned);
    }
  }

  #linesOf(runId: string): Entry[] {
    return this.#case.journal.filter((entry) =>
      ["registered", "outcome", "aborted"].includes(entry.told) &&
      "runId" in entry && entry.runId === runId
    );
  }
}

/** Splits values before each that begins a group. */
function split<T>(
  values: readonly T[],
  begins: (value: T, previous: T | undefined) => boolean,
): T[][] {
  const groups: T[][] = [];
  for (const [i, value] of values.entries()) {
    if (groups.length === 0 || begins(value, values[i - 1])) groups.push([]);
    groups[groups.length - 1].push(value);
  }
  return groups;
}

/** Whether a row and an event say the same ending. */
function agree(
  { kind, message }: EventRow,
  { status, error }: RunRow,
): boolean {
  if (kind === "Completed") return status === "COMPLETED";
  return status === "ERRORED" &&
    (message === error || message === `aborted: ${error}` ||
      message === "aborted" && error === "abort");
}
