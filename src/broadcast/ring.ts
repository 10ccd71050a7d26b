/** A {@linkcode Ring} wakes it when a chunk arrives. */
export interface Waiter {
  /** The index among the parked waiters; -1 if it is not parked. */
  parkedAt: number;
  /** Called at most once per parking, one microtask after a chunk. */
  wake(): void;
}

/** A {@linkcode Ring} tells it of the end, whether it waits or not. */
export interface Member {
  /** Called at most once, when the ring closes. */
  end(): void;
}

/**
 * The last `capacity` chunks of one broadcast, numbered from 0.
 *
 * Writing costs the same for any number of readers: it stores the chunk and, if
 * readers are parked, queues one microtask that wakes them all. Memory is taken
 * only as chunks arrive.
 */
export class Ring<T> {
  /** The most chunks to hold. */
  readonly capacity: number;
  #chunks: T[] = [];
  #end = 0;
  #closed = false;
  #members: Set<Member> | undefined;
  #parked: Waiter[] | undefined;
  #handingOff = false;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  /** The position of the next chunk. */
  get end(): number {
    return this.#end;
  }

  /** The position of the oldest chunk held; `end` if there is none. */
  get oldest(): number {
    return this.#end - this.#chunks.length;
  }

  /** Whether no chunk will follow. */
  get closed(): boolean {
    return this.#closed;
  }

  /** The chunk at a position between `oldest` and `end`. */
  at(position: number): T {
    return this.#chunks[position % this.capacity];
  }

  /**
   * Adds a chunk; a full ring drops its oldest one.
   *
   * Short runs have two events, and `Array.push()` reserves room for 16 more: with 1,000
   * no-op runs at once, that would take 13 % of the throughput.
   */
  push(chunk: T): void {
    const { length } = this.#chunks;
    if (length === this.capacity) {
      this.#chunks[this.#end % this.capacity] = chunk;
    } else if (length > 1) this.#chunks.push(chunk);
    else this.#chunks = length === 0 ? [chunk] : [this.#chunks[0], chunk];
    this.#end++;
    this.#wakeAll();
  }

  /** Ends the ring and its members: no chunk will follow. */
  close(): void {
    this.#closed = true;
    // Thousands of closed rings are held.
    if (this.#chunks.length > 2) this.#chunks = this.#chunks.slice();
    const members = this.#members ?? [];
    this.#members = undefined;
    for (const member of members) member.end();
  }

  /** Ends the member when the ring closes, which it may have done. */
  join(member: Member): void {
    if (this.#closed) return member.end();
    this.#members ??= new Set();
    this.#members.add(member);
  }

  /** Removes a member. */
  leave(member: Member): void {
    this.#members?.delete(member);
  }

  /** Parks a waiter until the next chunk or {@linkcode Ring.unpark}. */
  park(waiter: Waiter): void {
    this.#parked ??= [];
    waiter.parkedAt = this.#parked.push(waiter) - 1;
  }

  /** Removes a parked waiter in constant time. */
  unpark(waiter: Waiter): void {
    if (waiter.parkedAt < 0) return;
    const parked = this.#parked!;
    const last = parked.pop()!;
    if (last !== waiter) {
      parked[waiter.parkedAt] = last;
      last.parkedAt = waiter.parkedAt;
    }
    waiter.parkedAt = -1;
  }

  #wakeAll(): void {
    if (this.#handingOff || this.#parked === undefined) return;
    this.#handingOff = true;
    queueMicrotask(() => this.#handOff());
  }

  #handOff(): void {
    this.#handingOff = false;
    const parked = this.#parked!;
    this.#parked = undefined;
    for (const waiter of parked) waiter.parkedAt = -1;
    for (const waiter of parked) waiter.wake();
  }
}
