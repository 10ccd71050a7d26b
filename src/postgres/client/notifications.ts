import { deadline } from "@std/async/deadline";
import { unref } from "../../async/timers.ts";
import type { RegistryWarning } from "../../model/warning.ts";
import { CHANNEL, NOTIFY } from "../sql/events.ts";
import { arrayOf } from "../sql/statement.ts";
import type { PostgresClient } from "./client.ts";
import type { Database } from "./database.ts";

/** How long a notification to this instance may take, in milliseconds. */
const ECHO_TIMEOUT = 3_000;

/**
 * How often an instance that hears nothing notifies itself to find out whether
 * notifications arrive, in milliseconds; less and less often while they do not.
 */
const PROBE_INTERVAL = 30_000;
const LONGEST_PROBE_INTERVAL = 600_000;

/** How long to wait for UNLISTEN, in milliseconds. */
const UNLISTEN_TIMEOUT = 1_000;

/** For how long to listen on when nobody needs it any more, in milliseconds. */
const LINGER = 20_000;

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

type Unlisten = () => PromiseLike<void>;

/**
 * The notifications of other instances, while somebody needs them.
 *
 * They are hints: whoever relies on them polls too. A pooler can accept LISTEN and
 * lose it, and a client that fails to listen again after a failover may not report it.
 * So this instance notifies itself each time that listening begins, and when it has
 * heard nothing for a while: one notification reaches all that listen, so a fleet
 * needs few. If the echo does not arrive, it warns once and listens anew.
 */
export class Notifications {
  readonly #options: NotificationsOptions;
  readonly #listeners: NotificationListener[] = [];
  /** How many need notifications. */
  #needs = 0;
  /** Whether nobody listens, since nobody needs it. */
  #rests = true;
  #lingering: ReturnType<typeof setTimeout> | undefined;
  readonly #echo = `echo ${crypto.randomUUID()}`;
  #listening: Promise<Unlisten | undefined> | undefined;
  /** Waits for the echo, or for the next probe. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** How long to wait before listening anew, when the echo does not arrive. */
  #patience = 0;
  /** Whether the echo of the last probe has arrived. */
  #echoed = false;
  /** Whether a notification of another instance has arrived since. */
  #heard = false;
  /** Whether notifications arrive, as far as the last probe tells. */
  #arrive = false;
  #warned = false;
  #closed = false;

  constructor(options: NotificationsOptions) {
    this.#options = options;
  }

  /** Passes notifications on to a listener; see {@linkcode Notifications.start}. */
  add(listener: NotificationListener): void {
    this.#listeners.push(listener);
  }

  /** Whether notifications arrive, as far as this instance knows. */
  get arrive(): boolean {
    return this.#arrive;
  }

  /** Listens until {@linkcode Notifications.stop} is called as often, and a while longer. */
  start(): void {
    this.#needs++;
    clearTimeout(this.#lingering);
    if (this.#closed) return;
    this.#rests = false;
    this.#listening ??= this.#listen();
  }

  /** Takes back one {@linkcode Notifications.start}. */
  stop(): void {
    if (--this.#needs > 0 || this.#closed) return;
    this.#lingering = setTimeout(this.#rest, LINGER);
    unref(this.#lingering);
  }

  /** Stops listening. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#lingering);
    await this.#rest();
  }

  async #listen(): Promise<Unlisten | undefined> {
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
      this.#after(PROBE_INTERVAL, this.#listenAnew);
      return undefined;
    }
  }

  readonly #listenAnew = async (): Promise<void> => {
    const former = this.#listening;
    await this.#unlisten();
    if (this.#listening === former) this.#listening = this.#listen();
  };

  /** If it fails or takes long, the connection is gone and nobody listens. */
  async #unlisten(): Promise<void> {
    const listening = this.#listening;
    const unlisten = async () => await (await listening)?.();
    await deadline(unlisten(), UNLISTEN_TIMEOUT).catch(() => {});
  }

  readonly #rest = async (): Promise<void> => {
    this.#rests = true;
    clearTimeout(this.#timer);
    this.#arrive = false;
    const unlistened = this.#unlisten();
    this.#listening = undefined;
    await unlistened;
  };

  readonly #onNotify = (payload: string): void => {
    if (payload === this.#echo) this.#onEcho();
    else this.#heard = true;
    if (payload.startsWith("echo ")) return;
    for (const listener of this.#listeners) listener.onNotify(payload);
  };

  #onListen(): void {
    if (this.#closed) return;
    for (const listener of this.#listeners) listener.onListen();
    this.#heard = false;
    this.#probe();
  }

  readonly #probe = async (): Promise<void> => {
    if (this.#heard) return this.#onEcho();
    this.#echoed = false;
    try {
      await this.#options.database.query(NOTIFY, {
        payloads: arrayOf([this.#echo]),
      });
      // The echo may be faster than the answer.
      if (!this.#echoed) this.#after(ECHO_TIMEOUT, this.#onSilence);
    } catch (cause) {
      // The client connects and listens again by itself once Postgres is back.
      this.#warn("NOTIFY failed: news arrives by polling", cause);
      this.#after(PROBE_INTERVAL, this.#probe);
    }
  };

  #onEcho(): void {
    this.#echoed = true;
    this.#heard = false;
    this.#arrive = true;
    this.#warned = false;
    this.#patience = 0;
    this.#after(PROBE_INTERVAL, this.#probe);
  }

  readonly #onSilence = (): void => {
    this.#warn("NOTIFY does not arrive: news arrives by polling");
    this.#after(this.#patience, this.#listenAnew);
    this.#patience = Math.min(
      Math.max(PROBE_INTERVAL, 2 * this.#patience),
      LONGEST_PROBE_INTERVAL,
    );
  };

  /** Replaces what was to come. */
  #after(wait: number, callback: () => void): void {
    clearTimeout(this.#timer);
    if (this.#rests) return;
    this.#timer = setTimeout(callback, wait);
    unref(this.#timer);
  }

  #warn(message: string, cause?: unknown): void {
    this.#arrive = false;
    if (this.#warned || this.#closed) return;
    this.#warned = true;
    this.#options.warn({ kind: "notifications", message, cause });
  }
}
