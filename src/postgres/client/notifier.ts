import { deadline } from "@std/async/deadline";
import type { RegistryWarning } from "../../model/warning.ts";
import { NOTIFY } from "../sql/events.ts";
import { arrayOf } from "../sql/statement.ts";
import type { Database } from "./database.ts";

/** How many run ids a notification lists: it has at most 8,000 bytes. */
const MAX_NOTIFIED = 200;

/** How long closing waits for the last notifications, in milliseconds. */
const CLOSE_TIMEOUT = 1_000;

/** Options of {@linkcode Notifier}. */
export interface NotifierOptions {
  readonly database: Database;
  readonly warn: (warning: RegistryWarning) => void;
}

/**
 * Notifies followers in other instances, one statement at a time. Runs that are given
 * meanwhile go into the next one. What fails is not repeated: followers poll.
 */
export class Notifier {
  readonly #options: NotifierOptions;
  readonly #runIds = new Set<string>();
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
        await database.execute(NOTIFY, { payloads: arrayOf(payloads) });
        this.#inTrouble = false;
      }
    } catch (cause) {
      const message = "NOTIFY failed: followers learn of events by polling";
      if (!this.#inTrouble) warn({ kind: "notifications", message, cause });
      this.#inTrouble = true;
    }
    this.#notifying = undefined;
  }
}
