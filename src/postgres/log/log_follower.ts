import type { RunEvent } from "../../model/event.ts";
import type { RegistryWarning } from "../../model/warning.ts";
import { closedError, type Database } from "../client/database.ts";
import type {
  NotificationListener,
  Notifications,
} from "../client/notifications.ts";
import { type EventRow, POLL, READ_EVENTS, toEvent } from "../sql/events.ts";

/** How many runs and positions one query reads at most. */
const MAX_READ = 100;
/** How many events of a run one query returns at most. */
export const MAX_EVENTS = 200;
/** How long their payloads are in all at most, not counting the last one, in bytes. */
export const MAX_BYTES = 64 * 1024;
/** How many runs one poll asks for at most. */
const MAX_POLLED = 1_000;
/** How soon a run is polled after it had news, in milliseconds. */
const FIRST_WAIT = 5;
/** The same if its writer notifies of it. */
const FIRST_NOTIFIED_WAIT = 50;
/** For how long a writer notifies of a run that is followed, at least, in milliseconds. */
const MIN_INTEREST = 60_000;

/** A reader of one run's log, and what it waits for. */
export interface LogReader {
  readonly run: FollowedRun;
  after: number | undefined;
  waiting: PromiseWithResolvers<RunEvent[]> | undefined;
}

/** A run that has readers. */
export interface FollowedRun {
  readonly runId: string;
  readonly readers: Set<LogReader>;
  /** How long it waits for the next poll, in milliseconds; 0 if it just had news. */
  wait: number;
  timer: ReturnType<typeof setTimeout> | undefined;
  /** Whether it needs notifications: somebody has waited for it. */
  needsNotifications: boolean;
  /** Whether its writer notifies of it, as the last poll found. */
  isNotified: boolean;
}

/** What one query returned for the readers that wait for the same. */
export interface News {
  readonly runId: string;
  readonly after: number | null;
  /** The new events; none if the run has ended. */
  readonly events: EventRow[];
}

/** Options of {@linkcode LogFollower}. */
export interface LogFollowerOptions {
  readonly database: Database;
  readonly notifications: Pick<Notifications, "arrive" | "start" | "stop">;
  /** How often to query at least when nothing wakes the follower, in milliseconds. */
  readonly pollInterval: number;
  readonly warn: (warning: RegistryWarning) => void;
}

/**
 * Delivers new events to waiting readers, with one query at a time for all.
 *
 * It reads a run as soon as a reader begins to wait, and when a notification names the
 * run. When there is nothing new, it polls which runs have moved, and thereby asks
 * their writers for notifications. It polls a run a few milliseconds after its last
 * event, and then less and less often, until the poll interval; a run whose writer
 * notifies somewhat later, since a busy writer takes its time.
 */
export class LogFollower implements NotificationListener {
  readonly #options: LogFollowerOptions;
  readonly #runs = new Map<string, FollowedRun>();
  /** The waiting readers whose runs the next query reads. */
  readonly #due = new Set<LogReader>();
  /** The runs that the next poll asks for. */
  readonly #polled = new Set<FollowedRun>();
  #querying = false;
  #inTrouble = false;
  #closed = false;

  constructor(options: LogFollowerOptions) {
    this.#options = options;
  }

  /** Makes a reader of a run's log. */
  open(runId: string): LogReader {
    let run = this.#runs.get(runId);
    if (run === undefined) {
      run = {
        runId,
        readers: new Set(),
        wait: 0,
        timer: undefined,
        needsNotifications: false,
        isNotified: false,
      };
      this.#runs.set(runId, run);
    }
    const reader: LogReader = { run, after: undefined, waiting: undefined };
    run.readers.add(reader);
    return reader;
  }

  /**
   * The events that follow event number `after`, once there are any; `undefined` reads
   * the newest attempt.
   *
   * @returns The events; none if the run has ended.
   * @throws {RepositoryError} If the follower is closed.
   */
  next(reader: LogReader, after: number | undefined): Promise<RunEvent[]> {
    if (this.#closed) return Promise.reject(closedError());
    reader.after = after;
    reader.waiting = Promise.withResolvers();
    this.#due.add(reader);
    this.#schedule();
    return reader.waiting.promise;
  }

  /** Ends a reader. If it waits for events, it gets none. */
  forget(reader: LogReader): void {
    const { run } = reader;
    if (!run.readers.delete(reader)) return; // It was forgotten before.
    this.#deliver(reader, []);
    if (run.readers.size > 0) return;
    if (run.needsNotifications) this.#options.notifications.stop();
    clearTimeout(run.timer);
    this.#polled.delete(run);
    this.#runs.delete(run.runId);
  }

  /** Reads a run at once, or polls all. */
  wake(runId?: string): void {
    if (runId === undefined) {
      for (const run of this.#runs.values()) this.#polled.add(run);
    } else {
      const run = this.#runs.get(runId);
      if (run === undefined) return; // The usual case: each written event wakes.
      this.#read(run);
    }
    this.#schedule();
  }

  onNotify(payload: string): void {
    for (const runId of payload.split(",")) this.wake(runId);
  }

  onListen(): void {
    this.wake();
  }

  /** Rejects every wait: resolving with no events would say that the run ended. */
  close(): void {
    this.#closed = true;
    for (const { timer, readers } of this.#runs.values()) {
      clearTimeout(timer);
      for (const reader of readers) {
        reader.waiting?.reject(closedError());
        reader.waiting = undefined;
      }
    }
    this.#runs.clear();
    this.#due.clear();
    this.#polled.clear();
  }

  #read(run: FollowedRun): void {
    for (const reader of run.readers) {
      if (reader.waiting !== undefined) this.#due.add(reader);
    }
  }

  #schedule(): void {
    if (this.#querying || this.#due.size + this.#polled.size === 0) return;
    this.#querying = true;
    setImmediate(this.#query);
  }

  readonly #query = async (): Promise<void> => {
    try {
      while (this.#due.size + this.#polled.size > 0) {
        // By turns: neither must hold up the other.
        if (this.#due.size > 0) await this.#readDue();
        if (this.#polled.size > 0) await this.#poll();
        this.#inTrouble = false;
      }
    } catch (cause) {
      if (!this.#inTrouble && !this.#closed) {
        const message = "Reading the log failed and is tried again";
        this.#options.warn({ kind: "log", message, cause });
      }
      this.#inTrouble = true;
      this.#due.clear();
      this.#polled.clear();
      for (const run of this.#runs.values()) {
        this.#pollLater(run, this.#options.pollInterval);
      }
    }
    this.#querying = false;
  };

  async #readDue(): Promise<void> {
    const readers = this.#takeDue();
    const news = await this.#options.database.query(READ_EVENTS, {
      readers: JSON.stringify(
        Array.from(
          readers.values(),
          ([{ run: { runId }, after }]) => ({ runId, after }),
        ),
      ),
      maxEvents: MAX_EVENTS,
      maxBytes: MAX_BYTES,
    }) as News[];
    for (const { runId, after, events } of news) {
      for (const reader of readers.get(keyOf(runId, after)) ?? []) {
        this.#deliver(reader, events.map((row) => toEvent(runId, row)));
      }
    }
    const runs = [...readers.values()].flat().map(({ run }) => run);
    for (const run of new Set(runs)) this.#pollLater(run);
  }

  /** The readers to ask for, by what they wait for: many wait for the same. */
  #takeDue(): Map<string, LogReader[]> {
    const taken = new Map<string, LogReader[]>();
    for (const reader of this.#due) {
      const key = keyOf(reader.run.runId, reader.after ?? null);
      const alike = taken.get(key);
      if (alike !== undefined) alike.push(reader);
      else if (taken.size < MAX_READ) taken.set(key, [reader]);
      else continue;
      this.#due.delete(reader);
    }
    return taken;
  }

  #deliver(reader: LogReader, events: RunEvent[]): void {
    reader.waiting?.resolve(events);
    reader.waiting = undefined;
    reader.run.wait = 0;
    this.#due.delete(reader);
  }

  async #poll(): Promise<void> {
    const { database, notifications, pollInterval } = this.#options;
    const runs = this.#takePolled();
    if (runs.length === 0) return;
    const interest = Math.max(MIN_INTEREST, 4 * pollInterval);
    const [answer] = await database.query(POLL, {
      runs: JSON.stringify(
        runs.map((run) => ({ runId: run.runId, after: positionOf(run) })),
      ),
      interest: notifications.arrive ? interest : undefined,
    }) as [{ moved: string[]; unfollowed: string[] }];
    const moved = new Set(answer.moved);
    const unfollowed = new Set(answer.unfollowed);
    for (const run of runs) {
      run.isNotified = !unfollowed.has(run.runId);
      if (moved.has(run.runId)) this.#read(run);
      else this.#pollLater(run);
    }
  }

  #takePolled(): FollowedRun[] {
    const taken: FollowedRun[] = [];
    for (const run of this.#polled) {
      if (taken.length === MAX_POLLED) break;
      this.#polled.delete(run);
      if (isAwaited(run)) taken.push(run);
    }
    return taken;
  }

  /** Polls a run after some time, if somebody waits for it. */
  #pollLater(run: FollowedRun, wait: number = this.#waitOf(run)): void {
    clearTimeout(run.timer);
    if (!isAwaited(run)) return;
    if (!run.needsNotifications) this.#options.notifications.start();
    run.needsNotifications = true;
    // At multiples of the wait, so that one poll asks for all who wait as long. But
    // after news of a notification there will be others: they come before the poll.
    const isSoon = run.wait === 0 && this.#isNotified(run);
    run.wait = wait;
    run.timer = setTimeout(() => {
      this.#polled.add(run);
      this.#schedule();
    }, isSoon ? wait : wait - Date.now() % wait);
  }

  #waitOf(run: FollowedRun): number {
    const first = this.#isNotified(run) ? FIRST_NOTIFIED_WAIT : FIRST_WAIT;
    return Math.min(Math.max(first, 2 * run.wait), this.#options.pollInterval);
  }

  #isNotified({ isNotified }: FollowedRun): boolean {
    return this.#options.notifications.arrive && isNotified;
  }
}

function keyOf(runId: string, after: number | null): string {
  return `${runId} ${after}`;
}

function isAwaited({ readers }: FollowedRun): boolean {
  return readers.values().some(({ waiting }) => waiting !== undefined);
}

/** The lowest number of the events that its waiting readers know; they know the rest. */
function positionOf({ readers }: FollowedRun): number | undefined {
  const positions = [...readers]
    .filter(({ waiting, after }) =>
      waiting !== undefined && after !== undefined
    )
    .map(({ after }) => after!);
  return positions.length === 0 ? undefined : Math.min(...positions);
}
