import {
  type Attempt,
  ends,
  type Evidence,
  type Finding,
  groupBy,
  isExpiry,
  isTerminal,
  registrations,
  untilSettled,
} from "./evidence.ts";
import { entriesOf, type Entry, type EntryOf } from "./journal.ts";
import { Reach } from "./reach.ts";
import type { EventRow, RunRow, Tables } from "./tables.ts";

/** Compares what instances acknowledged of their runs with the tables. */
export class RunAudit {
  readonly findings: Finding[] = [];
  readonly #journal: readonly Entry[];
  readonly #evidence: Evidence;
  readonly #reach: Reach;
  readonly #ends: ReadonlyMap<string, number>;
  readonly #registered: ReadonlyMap<string, EntryOf<"registered">>;
  readonly #attempts = new Map<string, Attempt>();

  constructor(evidence: Evidence) {
    this.#evidence = evidence;
    this.#journal = untilSettled(evidence.journal);
    this.#reach = new Reach(evidence.journal, evidence.bounds);
    this.#ends = ends(this.#journal);
    this.#registered = registrations(this.#journal);
  }

  /** Finds all that is wrong. */
  audit(): Finding[] {
    const { tables } = this.#evidence;
    const rows = groupBy(tables.rows, ({ runId }) => runId);
    const events = groupBy(tables.events, ({ runId }) => runId);
    const live = new Set(
      tables.leases.filter(({ isEnded }) => !isEnded).map(({ runId }) => runId),
    );
    for (const runId of live) {
      this.#find("unfinished", runId, "its lease has not ended");
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
    this.#auditRegistrations();
    this.#auditAborts();
    this.#auditFields(tables);
    return this.findings;
  }

  #find(
    kind: Finding["kind"],
    runId: string,
    saw: string,
    ...lines: (Entry | undefined)[]
  ): void {
    const shown = lines.filter((line) => line !== undefined);
    this.findings.push({ kind, runId, saw, lines: shown });
  }

  #auditNumbers(runId: string, events: readonly EventRow[]): void {
    for (const [i, { seq }] of events.entries()) {
      if (seq === i + 1) continue;
      const saw = `event ${seq} of its log follows ${i}`;
      return this.#find("disordered", runId, saw);
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
      this.#find("lost", runId, saw);
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
      if (isAllowed) continue;
      const saw = `event ${seq} ${kind} (${message}) follows an ending`;
      this.#find("doubled", runId, saw, ...this.#linesOf(runId));
    }
  }

  #mayHaveClaimed(runId: string): number {
    const refused = new Set(
      entriesOf(this.#journal, "refused")
        .filter(({ error }) => /^Run(AlreadyActive)|^RegistryFull/.test(error))
        .map(({ run }) => run),
    );
    return entriesOf(this.#journal, "registering")
      .filter((entry) => entry.runId === runId && !refused.has(entry.run))
      .length;
  }

  #auditAttempt({ runId, rows, events }: Attempt, isLive: boolean): void {
    const [{ id }, ...finals] = rows;
    const registered = this.#registered.get(id);
    const last = events[events.length - 1];
    if (finals.length > 1) {
      const statuses = finals.map(({ status }) => status).join(", ");
      this.#find(
        "doubled",
        runId,
        `rows ${statuses} end an attempt`,
        registered,
      );
    }
    if (!isTerminal(last)) {
      const kind = isLive ? "unfinished" : "lost";
      const saw = `its last event is ${last.seq} ${last.kind}`;
      this.#find(kind, runId, saw, registered);
    } else if (finals.length === 0) {
      const saw = `event ${last.seq} ${last.kind} has no row`;
      this.#find("lost", runId, saw, registered);
    } else if (!agree(last, finals[0])) {
      const { status, error } = finals[0];
      const saw =
        `the row is ${status} (${error}), the event ${last.kind} (${last.message})`;
      this.#find("lost", runId, saw, registered);
    }
    this.#auditYields(runId, events, registered);
    if (registered !== undefined && isExpiry(last.message)) {
      this.#auditExpiry(registered, last.loggedAt, `event ${last.seq}`);
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
      this.#find("disordered", runId, saw, registered);
    }
    const planned = entriesOf(this.#journal, "registering")
      .find(({ run }) => run === registered?.run);
    const isComplete = events.at(-1)?.kind === "Completed";
    if (planned === undefined || !isComplete) return;
    if (yields.length < planned.yields) {
      const saw = `it has ${yields.length} Yields of ${planned.yields}`;
      this.#find("lost", runId, saw, planned);
    }
  }

  #auditExpiry(
    registered: EntryOf<"registered">,
    at: number,
    what: string,
  ): void {
    const { instance, runId } = registered;
    if ((this.#ends.get(instance) ?? Infinity) <= at) return;
    if (this.#reach.mayExpire(instance, at)) return;
    const saw = `${what} ends it as expired at ${at}, though ${instance} lived`;
    this.#find("wrongly ended", runId, saw, registered);
  }

  #auditRegistrations(): void {
    const outcomes = new Map(
      entriesOf(this.#journal, "outcome")
        .map((entry) => [entry.taskRunId, entry]),
    );
    for (const [taskRunId, registered] of this.#registered) {
      const { instance, runId } = registered;
      const outcome = outcomes.get(taskRunId);
      const attempt = this.#attempts.get(taskRunId);
      if (outcome !== undefined) {
        this.#auditOutcome(registered, outcome, attempt);
      } else if (!this.#ends.has(instance)) {
        this.#find(
          "unfinished",
          runId,
          "its outcome never settled",
          registered,
        );
      }
      const isExcused = attempt !== undefined || this.#ends.has(instance) ||
        isExpiry(outcome?.message) || outcome?.durable;
      if (!isExcused) {
        this.#find("lost", runId, "it has no STARTED row", registered, outcome);
      }
    }
  }

  #auditOutcome(
    registered: EntryOf<"registered">,
    outcome: EntryOf<"outcome">,
    attempt: Attempt | undefined,
  ): void {
    const { runId, phase, message, durable, at } = outcome;
    const said = `${phase} (${message})`;
    if (!durable && message !== undefined && /^The lease on/.test(message)) {
      this.#auditExpiry(registered, at, "its outcome");
    }
    const last = attempt?.events.at(-1);
    if (last === undefined) {
      if (!durable || isExpiry(message)) return;
      const saw = `it ended ${said}, durable, and is not in the tables`;
      return this.#find("lost", runId, saw, registered, outcome);
    }
    const isSame = last.kind === phase && last.message === message;
    // What was not durable, another instance may have ended otherwise.
    if (isSame || !durable && (isExpiry(last.message) || isExpiry(message))) {
      return;
    }
    if (!durable && this.#ends.has(outcome.instance)) return;
    const saw =
      `it ended ${said}, durable: ${durable}, but event ${last.seq} is ` +
      `${last.kind} (${last.message})`;
    this.#find("lost", runId, saw, registered, outcome);
  }

  /** A request that was acknowledged must end a run that goes on. */
  #auditAborts(): void {
    const { leaseDuration, renewInterval } = this.#evidence.bounds;
    const bound = leaseDuration + 2 * renewInterval;
    const requests = entriesOf(this.#journal, "aborted")
      .filter(({ answer }) => answer === "requested");
    for (const request of requests) {
      const { runId, at } = request;
      for (const [taskRunId, { events }] of this.#attempts) {
        const [first] = events;
        const last = events[events.length - 1];
        const owner = this.#registered.get(taskRunId);
        if (
          first.runId !== runId || owner === undefined ||
          first.loggedAt > at || last.loggedAt < at + bound ||
          last.message?.startsWith("aborted") ||
          !this.#reach.isClear(owner.instance, at, at + bound)
        ) continue;
        const saw = `abort was acknowledged, but it ended ${last.kind} ` +
          `(${last.message}) ${last.loggedAt - at} ms later`;
        this.#find("lost", runId, saw, owner, request);
      }
    }
  }

  #auditFields({ fields }: Tables): void {
    const found = new Map(
      fields.map(({ runId, key, value }) => [`${runId} ${key}`, value]),
    );
    for (const told of entriesOf(this.#journal, "field")) {
      const { runId, key, value } = told;
      const stored = JSON.stringify(found.get(`${runId} ${key}`));
      if (stored === JSON.stringify(value)) continue;
      this.#find("lost", runId, `payload field "${key}" is ${stored}`, told);
    }
  }

  #linesOf(runId: string): Entry[] {
    return this.#journal.filter((entry) =>
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
