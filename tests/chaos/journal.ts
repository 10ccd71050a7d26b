import type { RunEvent } from "../../mod.ts";

/** What an instance was told or acknowledged, or the main process did to it. */
export type Told =
  /** It is connected; `orphanReset` says whether it reset orphans first. */
  | { told: "ready"; orphanReset: boolean }
  /** Its event loop turns: told twice a second. */
  | { told: "alive" }
  | { told: "registering"; run: number; runId?: string; yields: number }
  | { told: "registered"; run: number; runId: string; taskRunId: string }
  | { told: "refused"; run: number; error: string }
  | {
    told: "outcome";
    run: number;
    runId: string;
    taskRunId: string;
    phase: string;
    message?: string;
    durable: boolean;
  }
  | { told: "field"; runId: string; key: string; value: unknown }
  | { told: "aborted"; runId: string; answer: string }
  | {
    told: "following";
    follower: number;
    runId: string;
    after?: number;
    durable: boolean;
  }
  /** A follower saw an event; `n` is the payload of a Yield. */
  | {
    told: "saw";
    follower: number;
    seq: number;
    kind: RunEvent["kind"];
    missed?: number;
    n?: unknown;
  }
  | { told: "followed"; follower: number; how: "closed" | "cancelled" }
  | { told: "followed"; follower: number; how: "errored"; error: string }
  | { told: "warning"; kind: string; message: string }
  /** It shuts down in order. */
  | { told: "stopping" }
  | { told: "stopped" }
  | Deed;

/** What the main process did to an instance, or saw of it. */
export type Deed =
  | { told: "started"; pooled: boolean }
  | { told: "killed" }
  | { told: "exited"; code: number; afterStopping?: number }
  /** It was stopped with SIGSTOP since `from`. */
  | { told: "frozen"; from: number }
  /** The way from it to the server was closed since `from`, by a fault of that name. */
  | { told: "cut"; from: number; fault: string }
  /** Postgres was away from everybody since `from`, by a fault of that name. */
  | { told: "outage"; from: number; fault: string }
  /**
   * The server's connections of an instance; `excused` are those that it cannot know of,
   * since a fault of the network or the server keeps them.
   */
  | { told: "connections"; count: number; excused: number }
  /** Faults are healed, runs had their time, and the tables were read. */
  | { told: "settled" }
  /** Something was still there after all had ended. */
  | { told: "leftover"; what: string };

/** The name under which the main process journals what concerns everybody. */
export const MAIN = "main";

/** A line of the journal. */
export type Entry<T extends Told = Told> = T & {
  /** When, in milliseconds since 1970. */
  readonly at: number;
  /** The instance that it is about. */
  readonly instance: string;
};

/** A line of the journal of one kind. */
export type EntryOf<T extends Told["told"]> = Entry<Extract<Told, { told: T }>>;

/** The lines of a kind. */
export function entriesOf<T extends Told["told"]>(
  journal: readonly Entry[],
  told: T,
): EntryOf<T>[] {
  return journal.filter((entry) => entry.told === told) as EntryOf<T>[];
}
