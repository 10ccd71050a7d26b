import { deadline } from "@std/async/deadline";
import { retry } from "@std/async/retry";
import { RepositoryError } from "../../model/errors.ts";
import { closedError } from "./closed_error.ts";

/** One thing to write, and who waits for it. */
interface Entry<T> {
  readonly key: string;
  readonly item: T;
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  settled: boolean;
}

/** Options of {@linkcode GroupCommit}. */
export interface GroupCommitOptions<T> {
  /**
   * Writes a group in one statement, and tells what was not written on its own
   * account, with the reason. When it failed, or seemed to, it is called again with
   * the same items, or some of them; `again` says so.
   */
  write: (
    items: readonly T[],
    again: boolean,
  ) => Promise<ReadonlyMap<T, Error>>;
  /** How many items one group has at most. */
  maxItems: number;
  /** How many bytes one group has at most, unless one item alone has more. */
  maxBytes: number;
  /** How many bytes may wait, not counting what must not be refused. */
  maxQueuedBytes: number;
  /** Told of the first failure after a success. */
  onTrouble: (error: unknown) => void;
}

/** What {@linkcode GroupCommit.add} is told of an item. */
export interface GroupCommitItem {
  /** Items of one key are written in the order in which they were added. */
  key: string;
  /** The item's size. */
  bytes: number;
  /** For how long to try, in milliseconds. */
  timeout: number;
  /**
   * Whether the item is refused for want of room.
   *
   * @default {it is tried for a limited time only}
   */
  droppable?: boolean;
}

/** How many groups are written at once. */
const MAX_WRITING = 2;

/** From how many keys on what waits is shared between two groups. */
const MIN_SHARED_KEYS = 32;

/**
 * Writes what gathers while other groups are being written as the next group, two
 * at a time. Items of one key are in one of them, so that their order stays.
 *
 * When nothing is under way, the first item waits for the end of the event
 * loop's turn: work that ends within the turn has all its items in one group. When
 * much waits then it is halved, so that the database is at one half while this
 * process is at the other.
 *
 * A group that failed for a passing reason is written again until it succeeds.
 * One that can never succeed is halved until the item at fault stands alone;
 * only that item is refused.
 */
export class GroupCommit<T> {
  readonly #options: GroupCommitOptions<T>;
  /** What waits, by key; the key that has waited longest comes first. */
  readonly #queue = new Map<string, Entry<T>[]>();
  /** The keys of what is being written. */
  readonly #busy = new Set<string>();
  readonly #closed = new AbortController();
  #queuedBytes = 0;
  #writing = 0;
  #scheduled = false;
  #inTrouble = false;
  #onIdle: (() => void) | undefined;

  constructor(options: GroupCommitOptions<T>) {
    this.#options = options;
  }

  /**
   * Adds an item.
   *
   * @returns When the item is durable.
   * @throws {RepositoryError} If it can never be written, or not in time (it may
   * be written all the same when a group with it was under way), or there is no
   * room, or the group commit is closed.
   */
  async add(item: T, options: GroupCommitItem): Promise<void> {
    const { key, bytes, timeout, droppable = timeout !== Infinity } = options;
    if (this.#closed.signal.aborted) throw closedError();
    const { maxQueuedBytes } = this.#options;
    if (droppable && this.#queuedBytes + bytes > maxQueuedBytes) {
      throw new RepositoryError(
        `Too much waits to be written: ${this.#queuedBytes} bytes`,
      );
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const entry = { key, item, bytes, resolve, reject, settled: false };
    const waiting = this.#queue.get(key);
    if (waiting === undefined) this.#queue.set(key, [entry]);
    else waiting.push(entry);
    this.#queuedBytes += bytes;
    if (!this.#scheduled && this.#writing < MAX_WRITING) {
      this.#scheduled = true;
      setImmediate(() => {
        this.#scheduled = false;
        this.#writeWaiting();
      });
    }
    if (timeout === Infinity) return await promise;
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
   * Takes no more items, and waits until those it has are written, for
   * `timeout` milliseconds at most. What is not written by then is refused.
   */
  async close(timeout: number): Promise<void> {
    if (this.#writing > 0 || this.#queue.size > 0) {
      const idle = new Promise<void>((resolve) => this.#onIdle = resolve);
      await deadline(idle, timeout).catch(() => {});
    }
    this.#closed.abort(closedError());
    for (const entry of [...this.#queue.values()].flat()) {
      this.#settle(entry, () => entry.reject(closedError()));
    }
    this.#queue.clear();
  }

  #writeWaiting(): void {
    while (this.#writing < MAX_WRITING) {
      const group = this.#nextGroup();
      if (group.length === 0) break;
      this.#writeGroup(group);
    }
    if (this.#writing === 0 && this.#queue.size === 0) this.#onIdle?.();
  }

  async #writeGroup(group: readonly Entry<T>[]): Promise<void> {
    this.#writing++;
    for (const { key } of group) this.#busy.add(key);
    let again = false;
    const write = async () => {
      const isRepeated = again;
      again = true;
      await this.#write(group, isRepeated);
    };
    try {
      await retry(write, {
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
    this.#writeWaiting();
  }

  #nextGroup(): Entry<T>[] {
    const { maxItems, maxBytes } = this.#options;
    const { size } = this.#queue;
    const isShared = this.#writing === 0 && size >= MIN_SHARED_KEYS;
    let keysLeft = isShared ? Math.ceil(size / 2) : size;
    const group: Entry<T>[] = [];
    let bytes = 0;
    for (const [key, waiting] of this.#queue) {
      if (keysLeft-- === 0) break;
      if (this.#busy.has(key)) continue;
      let taken = 0;
      for (const entry of waiting) {
        bytes += entry.bytes;
        if (group.length === maxItems) break;
        if (group.length > 0 && bytes > maxBytes) break;
        if (!entry.settled) group.push(entry);
        taken++;
      }
      if (taken < waiting.length) {
        waiting.splice(0, taken);
        break;
      }
      this.#queue.delete(key);
    }
    return group;
  }

  /** Writes what is left of a group; throws only what may pass. */
  async #write(group: readonly Entry<T>[], again: boolean): Promise<void> {
    const entries = group.filter((entry) => !entry.settled);
    if (entries.length === 0) return;
    let refused: ReadonlyMap<T, Error>;
    try {
      refused = await this.#options.write(
        entries.map((entry) => entry.item),
        again,
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
      await this.#write(entries.slice(0, half), again);
      await this.#write(entries.slice(half), again);
      return;
    }
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
    this.#queuedBytes -= entry.bytes;
    tell();
  }
}
