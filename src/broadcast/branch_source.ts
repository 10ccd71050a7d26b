import { onAbort } from "../async/on_abort.ts";
import { Cursor, type CursorOptions, OVER, WAIT } from "./cursor.ts";
import type { Member, Ring } from "./ring.ts";

/** How a {@linkcode BranchSource} reads. */
export interface BranchSourceOptions<T> extends CursorOptions<T> {
  /** Errors the stream with its reason when it fires. */
  signal?: AbortSignal;
  /** Called once, when the stream needs no more chunks. */
  onRelease?: () => void;
}

/**
 * Moves one chunk per pull from a cursor to the stream. Only reads by the
 * platform come this way: `pipeTo()`, `pipeThrough()`, `tee()`, a `Response`
 * body.
 */
export class BranchSource<T> implements UnderlyingDefaultSource<T>, Member {
  readonly cursor: Cursor<T>;
  readonly #ring: Ring<T>;
  readonly #signal: AbortSignal | undefined;
  /** Why the stream errored, if it did. */
  failure: { error: unknown } | undefined;
  #controller!: ReadableStreamDefaultController<T>;
  #closed = false;
  #resolvePull: (() => void) | undefined;

  constructor(ring: Ring<T>, options: BranchSourceOptions<T>) {
    this.#ring = ring;
    this.cursor = new Cursor(ring, options);
    this.cursor.onRelease = options.onRelease;
    this.#signal = options.signal;
  }

  /** Whether the stream holds a chunk that a reader left unread. */
  get holdsChunk(): boolean {
    return this.#controller.desiredSize! < 0;
  }

  start(controller: ReadableStreamDefaultController<T>): void {
    this.#controller = controller;
    this.#listen();
    if (!this.#closed) this.#ring.join(this);
  }

  pull(): Promise<void> | undefined {
    if (this.#deliver()) return;
    this.cursor.wait(this);
    return new Promise((resolve) => this.#resolvePull = resolve);
  }

  cancel(): void {
    this.#closed = true;
    this.#ring.leave(this);
    this.settlePull();
    this.cursor.release();
  }

  /** Called by the ring: a branch that is behind closes with its last chunk. */
  end(): void {
    if (this.cursor.over) this.close();
  }

  /** Called by the cursor while a pull is pending. */
  wake(): void {
    if (this.#deliver()) this.settlePull();
    else this.cursor.wait(this);
  }

  /** Settles the pending pull, whose reader may be gone. */
  settlePull(): void {
    if (this.#resolvePull === undefined) return;
    this.cursor.stopWaiting();
    this.#resolvePull();
    this.#resolvePull = undefined;
  }

  /** Closes the stream, once. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#ring.leave(this);
    this.#controller.close();
    this.cursor.release();
  }

  /** Errors the stream and settles its pending reads at once. */
  fail(error: unknown): void {
    this.failure = { error };
    this.#controller.error(error);
    this.cancel();
  }

  #listen(): void {
    if (this.#signal === undefined) return;
    const { onRelease } = this.cursor;
    // If the signal has fired, this releases the cursor before it returns.
    const stopListening = onAbort(this.#signal, (reason) => this.fail(reason));
    this.cursor.onRelease = () => {
      stopListening();
      onRelease?.();
    };
  }

  #deliver(): boolean {
    try {
      const chunk = this.cursor.take();
      if (chunk === WAIT) return false;
      if (chunk !== OVER) this.#controller.enqueue(chunk);
      if (this.cursor.over) this.close();
    } catch (error) {
      this.fail(error);
    }
    return true;
  }
}
