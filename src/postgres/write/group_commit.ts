import { deadline } from "@std/async/deadline";
import { retry } from "@std/async/retry";
import { RepositoryError } from "../../model/errors.ts";
import { closedError } from "../client/database.ts";
import { Pace } from "./pace.ts";

/** A pending write and its promise. */
interface Entry<T> {
  readonly key: string;
  readonly item: T;
  readonly bytes: number;
  /** From when on it is urgent, by a monotonic clock. */
  readonly urgentFrom: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  settled: boolean;
}

/** What {@linkcode GroupCommit} writes with. */
export interface Writer<T> {
  /**
   * Writes a group in one statement. After a failure it is called again with the
   * same items, or some of them, which may have been written.
   *
   * @returns The items that were refused, each with its error.
   */
  write(items: readonly T[]): Promise<ReadonlyMap<T, Error>>;
}

/** Options of {@linkcode GroupCommit}. */
export interface GroupCommitOptions<T> {
  readonly writer: Writer<T>;
  /** How many items one group has at most. */
  maxItems: number;
  /** How many bytes one group has at most; a larger item is a group of its own. */
  maxBytes: number;
  /** How many bytes may be pending before droppable items are refused. */
  maxQueuedBytes: number;
  /** Called on the first failure after a success. */
  onTrouble: (error: unknown) => void;
  /** Called when a group was written. */
  onCommit?: (items: number, milliseconds: number) => void;
}

/** Options of {@linkcode GroupCommit.add}. */
export interface GroupCommitItem {
  /** Items of one key are written in the order in which they were added. */
  key: string;
  /** The item's size. */
  bytes: number;
  /** How long to retry, in milliseconds. */
  timeout: number;
  /**
   * Whether the item is refused when too much is pending.
   *
   * @default {true if the timeout is finite}
   */
  droppable?: boolean;
  /**
   * How long it can wait for later items of its key, in milliseconds: so long it is in
   * no group without one that cannot wait, but for the first half of a large backlog.
   *
   * @default {0}
   */
  patience?: number;
}

/** How many groups are written at once. */
const MAX_WRITING = 2;

/** The least number of keys of a large backlog. */
const LARGE_BACKLOG = 32;

/**
 * Writes the items that gather while other groups are being written as the next
 * group, two groups at a time. Items of one key are never in two groups at a time, so
 * they are written in order.
 *
 * When nothing is being written, the first item waits for the end of the event loop's
 * turn, so that work that ends within the turn has all its items in one group. A
 * large backlog is split in two, so the database writes one half while the other is
 * prepared. When the database is busy, small groups gather longer; see {@linkcode Pace}.
 *
 * Patient items wait for later ones of their keys, so most short runs begin and end in
 * one statement. A run of 2 ms that is one of few takes the server a third of the time,
 * and eight instances with eight such runs each make 1.6 times as many. The first half
 * of a large backlog waits for nothing: one instance with 64 such runs makes 1.25 times
 * as many if it writes their beginnings while they work.
 *
 * A group that failed for a transient reason is retried until it succeeds. A group
 * that can never succeed is halved until the item at fault stands alone; only that
 * item is refused.
 */
export class GroupCommit<T> {
  readonly #options: GroupCommitOptions<T>;
  /** The pending items by key; the key that has waited longest comes first. */
  readonly #pending = new Map<string, Entry<T>[]>();
  /** The keys of the items that are being written. */
  readonly #busy = new Set<string>();
  readonly #closed = new AbortController();
  readonly #pace = new Pace();
  #pendingItems = 0;
  #pendingBytes = 0;
  #writing = 0;
  #scheduled = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #inTrouble = false;
  #onIdle: (() => void) | undefined;

  constructor(options: GroupCommitOptions<T>) {
    this.#options = options;
  }

  /** How many bytes are pending. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /**
   * Adds an item.
   *
   * @returns When the item is durable.
   * @throws {RepositoryError} If it can never be written, too much is pending, the
   * group commit is closed, or the time is over; in that case a group that is being
   * written may still write it.
   */
  add(item: T, options: GroupCommitItem): Promise<void> {
    const {
      key,
      bytes,
      timeout,
      droppable = timeout !== Infinity,
      patience = 0,
    } = options;
    if (this.#closed.signal.aborted) return Promise.reject(closedError());
    const { maxQueuedBytes } = this.#options;
    if (droppable && this.#pendingBytes + bytes > maxQueuedBytes) {
      const message =
        `Too much waits to be written: ${this.#pendingBytes} bytes`;
      return Promise.reject(new RepositoryError(message));
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const entry: Entry<T> = {
      key,
      item,
      bytes,
      urgentFrom: patience === 0 ? 0 : performance.now() + patience,
      resolve,
      reject,
      settled: false,
    };
    const waiting = this.#pending.get(key);
    if (waiting === undefined) this.#pending.set(key, [entry]);
    else waiting.push(entry);
    this.#pendingItems++;
    this.#pendingBytes += bytes;
    if (!this.#scheduled && this.#writing < MAX_WRITING) {
      this.#scheduled = true;
      setImmediate(this.#writePending);
    }
    return timeout === Infinity
      ? promise
      : this.#within(timeout, entry, promise);
  }

  async #within(
    timeout: number,
    entry: Entry<T>,
    promise: Promise<void>,
  ): Promise<void> {
    try {
      await deadline(promise, timeout);
    } catch (error) {
      if (entry.settled) throw error;
      this.#settle(entry, () => {});
      throw new RepositoryError(`Nothing was written in ${timeout} ms`, {
        cause: error,
      });
    }
  }

  /**
   * Takes no more items, and waits until the pending ones are written, for
   * `timeout` milliseconds at most. Items not written by then are refused.
   */
  async close(timeout: number): Promise<void> {
    if (this.#writing > 0 || this.#pending.size > 0) {
      const idle = new Promise<void>((resolve) => this.#onIdle = resolve);
      await deadline(idle, timeout).catch(() => {});
    }
    this.#closed.abort(closedError());
    clearTimeout(this.#timer);
    for (const entry of [...this.#pending.values()].flat()) {
      this.#settle(entry, () => entry.reject(closedError()));
    }
    this.#pending.clear();
    this.#pendingItems = 0;
  }

  readonly #writePending = (): void => {
    this.#scheduled = false;
    clearTimeout(this.#timer);
    while (this.#writing < MAX_WRITING) {
      const now = performance.now();
      const rest = this.#pace.restWith(this.#pendingItems, now);
      const group = rest > 0 ? [] : this.#nextGroup(now);
      if (group.length === 0) {
        const delay = rest > 0 ? rest : this.#nextUrgency() - now;
        if (delay < Infinity) {
          this.#timer = setTimeout(this.#writePending, delay);
        }
        break;
      }
      this.#writeGroup(group);
    }
    if (this.#writing === 0 && this.#pending.size === 0) this.#onIdle?.();
  };

  /** When the first of the pending items becomes urgent. */
  #nextUrgency(): number {
    for (const [key, [{ urgentFrom }]] of this.#pending) {
      if (!this.#busy.has(key)) return urgentFrom;
    }
    return Infinity;
  }

  async #writeGroup(group: readonly Entry<T>[]): Promise<void> {
    this.#writing++;
    for (const { key } of group) this.#busy.add(key);
    try {
      await retry(() => this.#write(group), {
        minTimeout: 50,
        maxTimeout: 1_000,
        maxAttempts: Number.MAX_SAFE_INTEGER,
        signal: this.#closed.signal,
      });
    } catch (error) {
      for (const entry of group) {
        this.#settle(entry, () => entry.reject(error));
      }
    }
    for (const { key } of group) this.#busy.delete(key);
    this.#writing--;
    this.#writePending();
  }

  #nextGroup(now: number): Entry<T>[] {
    const { maxItems, maxBytes } = this.#options;
    const { size } = this.#pending;
    const isLarge = this.#writing === 0 && size >= LARGE_BACKLOG;
    let keysLeft = isLarge ? Math.ceil(size / 2) : size;
    const group: Entry<T>[] = [];
    let bytes = 0;
    for (const [key, entries] of this.#pending) {
      if (keysLeft === 0) break;
      if (this.#busy.has(key)) continue;
      if (!isLarge && entries.every(({ urgentFrom }) => urgentFrom > now)) {
        continue;
      }
      const { length } = group;
      let taken = 0;
      for (const entry of entries) {
        bytes += entry.bytes;
        if (group.length === maxItems) break;
        if (group.length > 0 && bytes > maxBytes) break;
        if (!entry.settled) group.push(entry);
        taken++;
      }
      this.#pendingItems -= taken;
      if (taken < entries.length) {
        entries.splice(0, taken);
        break;
      }
      this.#pending.delete(key);
      // A key whose items have all missed their time is none of the half.
      if (group.length > length) keysLeft--;
    }
    return group;
  }

  /** Writes the unsettled entries of a group; throws only transient errors. */
  async #write(group: readonly Entry<T>[]): Promise<void> {
    const entries = group.filter((entry) => !entry.settled);
    if (entries.length === 0) return;
    let refused: ReadonlyMap<T, Error>;
    const startedAt = performance.now();
    try {
      refused = await this.#options.writer.write(
        entries.map((entry) => entry.item),
      );
    } catch (error) {
      if (error instanceof RepositoryError && error.transient) {
        if (!this.#inTrouble) this.#options.onTrouble(error);
        this.#inTrouble = true;
        throw error;
      }
      if (entries.length === 1) {
        return this.#settle(entries[0], () => entries[0].reject(error));
      }
      const half = entries.length >> 1;
      await this.#write(entries.slice(0, half));
      await this.#write(entries.slice(half));
      return;
    }
    const now = performance.now();
    this.#pace.onWritten(entries.length, startedAt, now);
    this.#options.onCommit?.(entries.length, now - startedAt);
    this.#inTrouble = false;
    for (const entry of entries) {
      const error = refused.get(entry.item);
      this.#settle(
        entry,
        error === undefined ? entry.resolve : () => entry.reject(error),
      );
    }
  }

  #settle(entry: Entry<T>, tell: () => void): void {
    if (entry.settled) return;
    entry.settled = true;
    this.#pendingBytes -= entry.bytes;
    tell();
  }
}
