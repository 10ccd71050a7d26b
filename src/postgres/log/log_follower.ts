import type { RunEvent } from "../../model/event.ts";
import type { RegistryWarning } from "../../model/warning.ts";
import { closedError, type Database } from "../client/database.ts";
import type { NotificationListener } from "../client/notifications.ts";
import { type EventRow, READ_EVENTS, toEvent } from "../sql/events.ts";

/** How many runs and positions one query asks for at most. */
const MAX_READERS = 100;
/** How many events of a run one query returns at most. */
const MAX_EVENTS = 200;
/** How long their payloads are in all at most, not counting the last one, in bytes. */
const MAX_BYTES = 64 * 1024;

/** A reader that has read a run up to an event and waits for more. */
export interface WaitingReader {
  readonly runId: string;
  /** The number of the last event it knows; `undefined` reads the newest attempt. */
  readonly after: number | undefined;
}

/** What one query returned for the readers that wait for the same. */
interface News {
  readonly runId: string;
  readonly after: number | null;
  /** The new events; none if the run has ended. */
  readonly events: EventRow[];
}

/** Options of {@linkcode LogFollower}. */
export interface LogFollowerOptions {
  readonly database: Database;
  /** How often to query when nothing wakes the follower, in milliseconds. */
  readonly pollInterval: number;
  readonly warn: (warning: RegistryWarning) => void;
}

/**
 * Delivers new events to waiting readers, one query at a time for all: as soon as
 * a reader begins to wait, when woken, and at every poll interval.
 */
export class LogFollower implements NotificationListener {
  readonly #options: LogFollowerOptions;
  readonly #waiting = new Map<
    WaitingReader,
    PromiseWithResolvers<RunEvent[]>
  >();
  readonly #byRun = new Map<string, Set<WaitingReader>>();
  /** The waiting readers that the next query asks for. */
  readonly #due = new Set<WaitingReader>();
  #reading = false;
  #inTrouble = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(options: LogFollowerOptions) {
    this.#options = options;
  }

  /**
   * The events that follow the last one a reader knows, once there are any.
   *
   * @returns The events; none if the run has ended.
   * @throws {RepositoryError} If the follower is closed.
   */
  next(reader: WaitingReader): Promise<RunEvent[]> {
    if (this.#closed) return Promise.reject(closedError());
    const news = Promise.withResolvers<RunEvent[]>();
    this.#waiting.set(reader, news);
    const readers = this.#byRun.get(reader.runId);
    if (readers === undefined) this.#byRun.set(reader.runId, new Set([reader]));
    else readers.add(reader);
    this.#due.add(reader);
    this.#schedule();
    return news.promise;
  }

  /** Ends the wait of a reader. */
  forget(reader: WaitingReader): void {
    this.#deliver(reader, []);
    if (this.#waiting.size === 0) clearTimeout(this.#timer);
  }

  /** Queries at once for the readers of a run, or of all runs. */
  wake(runId?: string): void {
    const readers = runId === undefined
      ? this.#waiting.keys()
      : this.#byRun.get(runId);
    if (readers === undefined) return; // The usual case: each written event wakes.
    for (const reader of readers) this.#due.add(reader);
    this.#schedule();
  }

  onNotify(payload: string): void {
    if (payload === "*") this.wake();
    else for (const runId of payload.split(",")) this.wake(runId);
  }

  onListen(): void {
    this.wake();
  }

  /** Rejects every wait: resolving with no events would say that the run ended. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const news of this.#waiting.values()) news.reject(closedError());
    this.#waiting.clear();
    this.#byRun.clear();
    this.#due.clear();
  }

  #schedule(): void {
    if (this.#reading || this.#due.size === 0) return;
    this.#reading = true;
    clearTimeout(this.#timer);
    setImmediate(this.#readDue);
  }

  readonly #readDue = async (): Promise<void> => {
    while (this.#due.size > 0) {
      const readers = this.#takeDue();
      try {
        const news = await this.#options.database.query(READ_EVENTS, {
          readers: JSON.stringify(
            Array.from(readers.values(), ([reader]) => reader),
          ),
          maxEvents: MAX_EVENTS,
          maxBytes: MAX_BYTES,
        }) as News[];
        this.#inTrouble = false;
        for (const { runId, after, events } of news) {
          for (const reader of readers.get(keyOf(runId, after)) ?? []) {
            this.#deliver(reader, events.map((row) => toEvent(runId, row)));
          }
        }
      } catch (cause) {
        if (!this.#inTrouble && !this.#closed) {
          const message = "Reading the log failed and is tried again";
          this.#options.warn({ kind: "log", message, cause });
        }
        this.#inTrouble = true;
        break;
      }
    }
    this.#reading = false;
    if (this.#waiting.size === 0) return;
    this.#timer = setTimeout(() => this.wake(), this.#options.pollInterval);
  };

  /** The readers to ask for, by what they wait for: many wait for the same. */
  #takeDue(): Map<string, WaitingReader[]> {
    const taken = new Map<string, WaitingReader[]>();
    for (const reader of this.#due) {
      const key = keyOf(reader.runId, reader.after ?? null);
      const alike = taken.get(key);
      if (alike !== undefined) alike.push(reader);
      else if (taken.size < MAX_READERS) taken.set(key, [reader]);
      else continue;
      this.#due.delete(reader);
    }
    return taken;
  }

  #deliver(reader: WaitingReader, events: RunEvent[]): void {
    this.#waiting.get(reader)?.resolve(events);
    this.#waiting.delete(reader);
    this.#due.delete(reader);
    const readers = this.#byRun.get(reader.runId);
    readers?.delete(reader);
    if (readers?.size === 0) this.#byRun.delete(reader.runId);
  }
}

function keyOf(runId: string, after: number | null): string {
  return `${runId} ${after}`;
}
