/** What a {@linkcode Ring} wakes when a chunk arrives or the ring closes. */
export interface Waiter {
  /** The waiter's place among the parked ones, -1 when it is not parked. */
  parkedAt: number;
  /** Called at most once per parking, one microtask after the ring moved. */
  wake(): void;
}

/**
 * The last `capacity` chunks of one broadcast, numbered from 0.
 *
 * Writing costs the same however many read: it stores the chunk and, where
 * readers are parked, asks for one microtask that hands off to all of them. The
 * memory is taken as chunks arrive, never before.
 */
export class Ring<T> {
  /** How many chunks are held at most. */
  readonly capacity: number;
  #chunks: T[] = [];
  #end = 0;
  #closed = false;
  #parked: Waiter[] | undefined;
  #handingOff = false;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  /** The position that the next chunk will have. */
  get end(): number {
    return this.#end;
  }

  /** The position of the oldest chunk still held; `end` when none is. */
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

  /** Adds a chunk, in place of the oldest one when the ring is full. */
  push(chunk: T): void {
    if (this.#chunks.length < this.capacity) this.#chunks.push(chunk);
    else this.#chunks[this.#end % this.capacity] = chunk;
    this.#end++;
    this.#wakeAll();
  }

  /** Says that no chunk will follow. */
  close(): void {
    this.#closed = true;
    // An array that grows takes room for 16 more: closed rings are held by the thousand.
    this.#chunks = this.#chunks.slice();
    this.#wakeAll();
  }

  /** Keeps a waiter until the ring moves or {@linkcode Ring.unpark} takes it back. */
  park(waiter: Waiter): void {
    this.#parked ??= [];
    waiter.parkedAt = this.#parked.push(waiter) - 1;
  }

  /** Takes a parked waiter back, in constant time. */
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
