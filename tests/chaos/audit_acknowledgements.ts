import type { AuditCase } from "./audit_case.ts";
import { type Attempt, isExpiry, isTerminal, type Logged } from "./evidence.ts";
import { entriesOf, type EntryOf } from "./journal.ts";

/** Compares what instances acknowledged of their runs with the tables. */
export class AcknowledgementAudit {
  readonly #case: AuditCase;
  readonly #attempts: ReadonlyMap<string, Attempt>;
  readonly #bare: Logged["bare"];

  constructor(auditCase: AuditCase, { attempts, bare }: Logged) {
    this.#case = auditCase;
    this.#attempts = attempts;
    this.#bare = bare;
  }

  /** Finds all that is wrong. */
  audit(): void {
    this.#auditRegistrations();
    this.#auditRefusals();
    this.#auditAborts();
    this.#auditFields();
  }

  #auditRegistrations(): void {
    const outcomes = new Map(
      entriesOf(this.#case.journal, "outcome")
        .map((entry) => [entry.taskRunId, entry]),
    );
    for (const [taskRunId, registered] of this.#case.registered) {
      const { instance, runId } = registered;
      const outcome = outcomes.get(taskRunId);
      const attempt = this.#attempts.get(taskRunId);
      if (outcome !== undefined) {
        this.#auditOutcome(registered, outcome, attempt);
      } else if (!this.#case.ends.has(instance)) {
        this.#case.find(
          "unfinished",
          runId,
          "its outcome never settled",
          registered,
        );
      }
      if (attempt === undefined) this.#auditUnwritten(registered, outcome);
    }
  }

  /** Looks why a run that was registered has no rows. */
  #auditUnwritten(
    registered: EntryOf<"registered">,
    outcome: EntryOf<"outcome"> | undefined,
  ): void {
    const { at, instance, runId } = registered;
    if (outcome?.durable || this.#case.ends.has(instance)) return;
    const expiry = this.#bare.find((event) =>
      event.runId === runId && event.loggedAt >= at
    );
    if (expiry !== undefined) {
      const what = `event ${expiry.seq}`;
      return this.#case.auditExpiry(registered, expiry.loggedAt, what);
    }
    const saw = "it has no STARTED row";
    this.#case.find("lost", runId, saw, registered, outcome);
  }

  /** Only another registration of a run is a reason to call it active. */
  #auditRefusals(): void {
    for (const refused of entriesOf(this.#case.journal, "refused")) {
      const { error, run } = refused;
      if (!error.startsWith("RunAlreadyActiveError")) continue;
      const asked = this.#case.registering.get(run);
      const runId = asked?.runId;
      if (asked === undefined || runId === undefined) continue;
      if (this.#case.claims.get(runId)!.length > 1) continue;
      const expiry = this.#bare.find((event) => event.runId === runId);
      if (expiry !== undefined) {
        const what = `event ${expiry.seq}`;
        this.#case.auditExpiry(asked, expiry.loggedAt, what, refused);
        continue;
      }
      const saw = "it was refused as active, though nobody else registered it";
      this.#case.find("wrongly ended", runId, saw, asked, refused);
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
      this.#case.auditExpiry(registered, at, "its outcome");
    }
    const last = attempt?.events.at(-1);
    if (last !== undefined && !isTerminal(last)) return; // This is found already.
    if (last === undefined) {
      if (!durable || isExpiry(message)) return;
      const saw = `it ended ${said}, durable, and is not in the tables`;
      return this.#case.find("lost", runId, saw, registered, outcome);
    }
    const isSame = last.kind === phase && last.message === message;
    // What was not durable, another instance may have ended otherwise.
    if (isSame || !durable && (isExpiry(last.message) || isExpiry(message))) {
      return;
    }
    if (!durable && this.#case.ends.has(outcome.instance)) return;
    const saw =
      `it ended ${said}, durable: ${durable}, but event ${last.seq} is ` +
      `${last.kind} (${last.message})`;
    this.#case.find("lost", runId, saw, registered, outcome);
  }

  /** A request that was acknowledged must end a run that goes on. */
  #auditAborts(): void {
    const { leaseDuration, renewInterval } = this.#case.evidence.bounds;
    const bound = leaseDuration + 2 * renewInterval;
    const requests = entriesOf(this.#case.journal, "aborted")
      .filter(({ answer }) => answer === "requested");
    for (const request of requests) {
      const { runId, at } = request;
      for (const [taskRunId, { events }] of this.#attempts) {
        const [first] = events;
        const last = events[events.length - 1];
        const owner = this.#case.registered.get(taskRunId);
        if (
          first.runId !== runId || owner === undefined ||
          first.loggedAt > at || last.loggedAt < at + bound ||
          last.message?.startsWith("aborted") ||
          !this.#case.reach.isClear(owner.instance, at, at + bound)
        ) continue;
        const saw = `abort was acknowledged, but it ended ${last.kind} ` +
          `(${last.message}) ${last.loggedAt - at} ms later`;
        this.#case.find("lost", runId, saw, owner, request);
      }
    }
  }

  #auditFields(): void {
    const { fields } = this.#case.evidence.tables;
    const found = new Map(
      fields.map(({ runId, key, value }) => [`${runId} ${key}`, value]),
    );
    for (const told of entriesOf(this.#case.journal, "field")) {
      const { runId, key, value } = told;
      const stored = JSON.stringify(found.get(`${runId} ${key}`));
      if (stored === JSON.stringify(value)) continue;
      this.#case.find(
        "lost",
        runId,
        `payload field "${key}" is ${stored}`,
        told,
      );
    }
  }
}
