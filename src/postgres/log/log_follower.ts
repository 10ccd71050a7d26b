import type { RunEvent } from "../../model/event.ts";
import { closedError } from "../write/closed_error.ts";

/** For how many runs and positions one query asks at most. */
const MAX_WAITING = 100;

/** Somebody who has read a run up to an event and waits for more. */
export interface WaitingReader {
  readonly runId: string;
  /** The number of the last event known; `undefined` is the newest attempt. */
  readonly after: number | undefined;
}

/** What is new for a reader; nothing at all says that the run is over. */
export interface News extends WaitingReader {
  readonly events: RunEvent[];
}

/** Options of {@linkcode LogFollower}. */
export interface LogFollowerOptions {
  /** Asks for all that is new to some readers. */
  read: (readers: readonly WaitingReader[]) => Promise<News[]>;
  /** How often to ask when nothing wakes it, in milliseconds. */
  pollInterval: number;
  /** Told of the first failure after a success. */
  onTrouble: (error: unknown) => void;
}

/**
 * Brings the news of the log to all who wait for some, with one query at a time
 * for all of them: at once when somebody begins to wait, when it is woken, and
 * in any case as often as it polls.
 */
export class LogFollower {
  readonly #options: LogFollowerOptions;
  readonly #waiting = new Map<
    WaitingReader,
    PromiseWithResolvers<RunEvent[]>
  >();
  readonly #due = new Set<WaitingReader>();
  #reading = false;
  #inTrouble = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(options: LogFollowerOptions) {
    this.#options = options;
  }

  /**
   * What follows the event that a reader knows, as soon as there is something.
   *
   * @returns Events, or none when none will come.
   */
  next(reader: WaitingReader): Promise<RunEvent[]> {
    if (this.#closed) return Promise.reject(closedError());
    const news = Promise.withResolvers<RunEvent[]>();
    this.#waiting.set(reader, news);
    this.#due.add(reader);
    this.#schedule();
    return news.promise;
  }

  /** Ends the wait of a reader. */
  forget(reader: WaitingReader): void {
    this.#deliver(reader, []);
    if (this.#waiting.size === 0) clearTimeout(this.#timer);
  }

  /** Asks at once for the news of some runs, or of all. */
  wake(runIds?: ReadonlySet<string>): void {
    for (const reader of this.#waiting.keys()) {
      if (runIds === undefined || runIds.has(reader.runId)) {
        this.#due.add(reader);
      }
    }
    this.#schedule();
  }

  /** Ends every wait with an error: that nothing comes is not the run's end. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const news of this.#waiting.values()) news.reject(closedError());
    this.#waiting.clear();
    this.#due.clear();
  }

  #schedule(): void {
    if (this.#reading || this.#due.size === 0) return;
    this.#reading = true;
    clearTimeout(this.#timer);
    setImmediate(() => this.#readDue());
  }

  async #readDue(): Promise<void> {
    while (this.#due.size > 0) {
      const readers = this.#takeDue();
      try {
        const news = await this.#options.read(
          Array.from(readers.values(), ([reader]) => reader),
        );
        this.#inTrouble = false;
        for (const each of news) {
          for (const reader of readers.get(keyOf(each)) ?? []) {
            this.#deliver(reader, [...each.events]);
          }
        }
      } catch (error) {
        if (!this.#inTrouble) this.#options.onTrouble(error);
        this.#inTrouble = true;
        break;
      }
    }
    this.#reading = false;
    if (this.#waiting.size === 0 || this.#closed) return;
    this.#timer = setTimeout(() => this.wake(), this.#options.pollInterval);
  }

  /** The readers to ask for, by what they wait for: many wait for the same. */
  #takeDue(): Map<string, WaitingReader[]> {
    const taken = new Map<string, WaitingReader[]>();
    for (const reader of this.#due) {
      const key = keyOf(reader);
      const alike = taken.get(key);
      if (alike !== undefined) alike.push(reader);
      else if (taken.size < MAX_WAITING) taken.set(key, [reader]);
      else continue;
      this.#due.delete(reader);
    }
    return taken;
  }

  #deliver(reader: WaitingReader, events: RunEvent[]): void {
    this.#waiting.get(reader)?.resolve(events);
    this.#waiting.delete(reader);
    this.#due.delete(reader);
  }
}

function keyOf({ runId, after }: WaitingReader): string {
  return `${runId} ${after}`;
}
