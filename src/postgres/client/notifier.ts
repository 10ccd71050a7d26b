import { deadline } from "@std/async/deadline";
import { delay } from "@std/async/delay";
import type { RegistryWarning } from "../../model/warning.ts";
import { NOTIFY } from "../sql/events.ts";
import { arrayOf } from "../sql/statement.ts";
import type { Database } from "./database.ts";

/** How many run ids a notification lists: it has at most 8,000 bytes. */
const MAX_NOTIFIED = 200;

/** How many times as long as a statement takes the next one waits. */
const REST = 3;

/** How long it waits at most, in milliseconds. */
const MAX_REST = 1_000;

/** How long closing waits for the last notifications, in milliseconds. */
const CLOSE_TIMEOUT = 1_000;

/** Options of {@linkcode Notifier}. */
export interface NotifierOptions {
  readonly database: Database;
  readonly warn: (warning: RegistryWarning) => void;
}

/**
 * Notifies followers in other instances, one statement at a time. Runs that are given
 * meanwhile go into the next one. The busier the server is, the less it notifies. What
 * fails is not repeated. Followers poll.
 */
export class Notifier {
  readonly #options: NotifierOptions;
  readonly #runIds = new Set<string>();
  readonly #closing = new AbortController();
  #notifying: Promise<void> | undefined;
  #inTrouble = false;

  constructor(options: NotifierOptions) {
    this.#options = options;
  }

  /** Notifies of new events of runs. */
  notify(runIds: readonly string[]): void {
    for (const runId of runIds) this.#runIds.add(runId);
    if (this.#runIds.size > 0) this.#notifying ??= this.#notifyAll();
  }

  /** Waits for the last notifications. */
  async close(): Promise<void> {
    this.#closing.abort();
    await deadline(Promise.resolve(this.#notifying), CLOSE_TIMEOUT)
      .catch(() => {});
  }

  async #notifyAll(): Promise<void> {
    const { database, warn } = this.#options;
    try {
      while (this.#runIds.size > 0) {
        const ids = [...this.#runIds];
        this.#runIds.clear();
        const payloads: string[] = [];
        for (let i = 0; i < ids.length; i += MAX_NOTIFIED) {
          payloads.push(ids.slice(i, i + MAX_NOTIFIED).join(","));
        }
        const from = performance.now();
        await database.execute(NOTIFY, { payloads: arrayOf(payloads) });
        this.#inTrouble = false;
        const rest = REST * (performance.now() - from);
        await this.#rest(Math.min(rest, MAX_REST));
      }
    } catch (cause) {
      const message = "NOTIFY failed: followers learn of events by polling";
      if (!this.#inTrouble) warn({ kind: "notifications", message, cause });
      this.#inTrouble = true;
    }
    this.#notifying = undefined;
  }

  /** Waits, but not while it is being closed. */
  async #rest(duration: number): Promise<void> {
    const { signal } = this.#closing;
    await delay(duration, { signal, persistent: false }).catch(() => {});
  }
}
