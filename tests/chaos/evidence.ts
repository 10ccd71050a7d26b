import { entriesOf, type Entry, type EntryOf } from "./journal.ts";
import type { EventRow, RunRow, Tables } from "./tables.ts";

/** What instances promise to keep to, in milliseconds unless said. */
export interface Bounds {
  readonly leaseDuration: number;
  readonly renewInterval: number;
  /** How long an instance waits for the answer to a statement. */
  readonly statementTimeout: number;
  /** How many connections an instance holds at most, the listening one included. */
  readonly connections: number;
  /** How long an instance takes to exit after it was told to stop. */
  readonly exit: number;
  /** How long an event takes to every follower. */
  readonly following: number;
}

/** What a chaos run leaves behind. */
export interface Evidence {
  readonly journal: readonly Entry[];
  /** Read when the journal says `settled`. */
  readonly tables: Tables;
  readonly bounds: Bounds;
}

/** A promise that was not kept. */
export interface Finding {
  readonly kind:
    | "lost"
    | "doubled"
    | "disordered"
    | "unfinished"
    | "wrongly ended"
    | "leaked";
  readonly runId?: string;
  readonly saw: string;
  /** The lines of the journal that show it. */
  readonly lines: readonly Entry[];
}

/** Why a run ends whose instance is thought to be dead. */
const EXPIRY = ["lease_expired", "server_restart_orphan"];

/** Whether an event or an outcome says that the run's lease had expired. */
export function isExpiry(message: string | undefined): boolean {
  return message !== undefined &&
    (EXPIRY.includes(message) ||
      /^The lease on run \S+ was lost$/.test(message));
}

/** Whether an event is the last of its attempt. */
export function isTerminal({ kind }: { kind: string }): boolean {
  return kind === "Completed" || kind === "Errored";
}

/** One attempt of a run as the tables have it. */
export interface Attempt {
  readonly runId: string;
  /** Its rows, the STARTED one first; none if it never began. */
  readonly rows: readonly RunRow[];
  /** Its events, `Started` first if it began, the terminal one last if it ended. */
  readonly events: readonly EventRow[];
}

/** What the log says of runs. */
export interface Logged {
  /** The attempts that began, by the id of their STARTED row. */
  readonly attempts: ReadonlyMap<string, Attempt>;
  /** The events that ended a claim before its run began. */
  readonly bare: readonly EventRow[];
}

/** The lines until the tables were read. */
export function untilSettled(journal: readonly Entry[]): readonly Entry[] {
  const end = journal.findIndex(({ told }) => told === "settled");
  return end === -1 ? journal : journal.slice(0, end);
}

/** When each instance that stopped or was killed did so. */
export function ends(journal: readonly Entry[]): Map<string, number> {
  const gone = [
    ...entriesOf(journal, "killed"),
    ...entriesOf(journal, "stopping"),
    ...entriesOf(journal, "exited"),
  ].sort((a, b) => b.at - a.at);
  return new Map(gone.map(({ instance, at }) => [instance, at]));
}

/** The registrations by the id of their STARTED row. */
export function registrations(
  journal: readonly Entry[],
): Map<string, EntryOf<"registered">> {
  return new Map(
    entriesOf(journal, "registered").map((entry) => [entry.taskRunId, entry]),
  );
}

/** The registrations on living instances whose outcomes are not there. */
export function unsettled(
  journal: readonly Entry[],
): EntryOf<"registered">[] {
  const gone = ends(journal);
  const settled = new Set(
    entriesOf(journal, "outcome").map(({ taskRunId }) => taskRunId),
  );
  return entriesOf(journal, "registered").filter(({ instance, taskRunId }) =>
    !gone.has(instance) && !settled.has(taskRunId)
  );
}
