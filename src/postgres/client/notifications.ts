import { deadline } from "@std/async/deadline";
import type { RegistryWarning } from "../../model/warning.ts";
import { CHANNEL, NOTIFY } from "../sql/events.ts";
import type { PostgresClient } from "./client.ts";
import type { Database } from "./database.ts";

/** How long a notification to this instance may take, in milliseconds. */
const ECHO_TIMEOUT = 3_000;

/** How long to wait for UNLISTEN, in milliseconds. */
const UNLISTEN_TIMEOUT = 1_000;

/** Receives notifications. */
export interface NotificationListener {
  /** Called with each payload. */
  onNotify(payload: string): void;
  /** Called each time that listening has begun: notifications may have been missed. */
  onListen(): void;
}

/** Options of {@linkcode Notifications}. */
export interface NotificationsOptions {
  /** Listens; without it, and without `listen()`, no notification arrives. */
  readonly client: PostgresClient | undefined;
  /** Notifies. */
  readonly database: Database;
  readonly warn: (warning: RegistryWarning) => void;
}

/**
 * The notifications of other instances, from the first time that somebody wants them.
 *
 * They are hints: whoever relies on them polls too. A pooler can accept LISTEN and
 * lose it, so each time that listening begins this instance notifies itself, and it
 * warns once if the echo does not arrive.
 */
export class Notifications {
  readonly #options: NotificationsOptions;
  readonly #listeners: NotificationListener[] = [];
  readonly #echo = `echo ${crypto.randomUUID()}`;
  #listening: Promise<(() => PromiseLike<void>) | undefined> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #warned = false;
  #closed = false;

  constructor(options: NotificationsOptions) {
    this.#options = options;
  }

  /** Passes notifications on to a listener; see {@linkcode Notifications.start}. */
  add(listener: NotificationListener): void {
    this.#listeners.push(listener);
  }

  /** Begins to listen, unless it has begun. */
  start(): void {
    if (!this.#closed) this.#listening ??= this.#listen();
  }

  /** Stops listening. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    const unlisten = async () => await (await this.#listening)?.();
    // If it fails or takes long, the connection is gone and nobody listens.
    await deadline(unlisten(), UNLISTEN_TIMEOUT).catch(() => {});
  }

  async #listen(): Promise<(() => PromiseLike<void>) | undefined> {
    const { client } = this.#options;
    if (client?.listen === undefined) return undefined;
    try {
      const { unlisten } = await client.listen(
        CHANNEL,
        this.#onNotify,
        () => this.#onListen(),
      );
      return unlisten;
    } catch (cause) {
      this.#warn("LISTEN failed: news arrives by polling", cause);
      return undefined;
    }
  }

  readonly #onNotify = (payload: string): void => {
    if (payload === this.#echo) clearTimeout(this.#timer);
    if (payload.startsWith("echo ")) return;
    for (const listener of this.#listeners) listener.onNotify(payload);
  };

  async #onListen(): Promise<void> {
    if (this.#closed) return;
    for (const listener of this.#listeners) listener.onListen();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => this.#warn("NOTIFY does not arrive: news arrives by polling"),
      ECHO_TIMEOUT,
    );
    try {
      await this.#options.database.query(NOTIFY, { payload: this.#echo });
    } catch (cause) {
      clearTimeout(this.#timer);
      this.#warn("NOTIFY failed: news arrives by polling", cause);
    }
  }

  #warn(message: string, cause?: unknown): void {
    if (this.#warned || this.#closed) return;
    this.#warned = true;
    this.#options.warn({ kind: "notifications", message, cause });
  }
}
