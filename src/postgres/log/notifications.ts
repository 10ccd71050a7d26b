import { deadline } from "@std/async/deadline";
import type { RegistryWarning } from "../../model/warning.ts";
import type { PostgresClient } from "../client/client.ts";
import { CHANNEL } from "../sql/log.ts";

/** For how long a notification of our own may take, in milliseconds. */
const ECHO_TIMEOUT = 3_000;

/** For how long to wait for UNLISTEN, in milliseconds. */
const UNLISTEN_TIMEOUT = 1_000;

/** Options of {@linkcode Notifications}. */
export interface NotificationsOptions {
  client: PostgresClient;
  /** Sends a notification. */
  notify: (payload: string) => Promise<void>;
  /** Called with each payload. */
  onNotify: (payload: string) => void;
  /** Called each time that we listen anew: some may have been missed. */
  onListen: () => void;
  warn: (warning: RegistryWarning) => void;
}

/**
 * The notifications of other instances, from the first time they are wanted.
 *
 * They are hints and no more: whoever relies on them polls as well. A pooler can
 * accept LISTEN and lose it, so each time that we listen we notify ourselves; it
 * is told once when nothing comes.
 */
export class Notifications {
  readonly #options: NotificationsOptions;
  readonly #echo = `echo ${crypto.randomUUID()}`;
  #listening: Promise<(() => PromiseLike<void>) | undefined> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #warned = false;
  #closed = false;

  constructor(options: NotificationsOptions) {
    this.#options = options;
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
    // Where it fails or takes long the connection is gone, and nobody listens.
    await deadline(unlisten(), UNLISTEN_TIMEOUT).catch(() => {});
  }

  async #listen(): Promise<(() => PromiseLike<void>) | undefined> {
    const { client } = this.#options;
    if (client.listen === undefined) return undefined;
    try {
      const { unlisten } = await client.listen(
        CHANNEL,
        (payload) => this.#onNotify(payload),
        () => this.#onListen(),
      );
      return unlisten;
    } catch (cause) {
      this.#warn("LISTEN failed: news arrives by polling", cause);
      return undefined;
    }
  }

  #onNotify(payload: string): void {
    if (!payload.startsWith("echo ")) return this.#options.onNotify(payload);
    if (payload === this.#echo) clearTimeout(this.#timer);
  }

  #onListen(): void {
    if (this.#closed) return;
    this.#options.onListen();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => this.#warn("NOTIFY does not arrive: news arrives by polling"),
      ECHO_TIMEOUT,
    );
    this.#options.notify(this.#echo).catch((cause) => {
      clearTimeout(this.#timer);
      this.#warn("NOTIFY failed: news arrives by polling", cause);
    });
  }

  #warn(message: string, cause?: unknown): void {
    if (this.#warned || this.#closed) return;
    this.#warned = true;
    this.#options.warn({ kind: "notifications", message, cause });
  }
}
