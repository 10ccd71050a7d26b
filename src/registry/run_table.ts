import { RegistryFullError, RunAlreadyActiveError } from "../model/errors.ts";

/** What the table knows of a run. */
export interface TableRun {
  /** The run's UUID in canonical spelling. */
  readonly runId: string;
  /** Whether it has ended, so that it may be forgotten. */
  readonly finished: boolean;
}

/**
 * The runs in memory, live and finished, never more than the bound.
 *
 * Finished runs queue in the order in which they finished, in which they expire and
 * make room. Every operation takes constant time for each run that it removes,
 * however many are held; now and then the queue drops what it has passed.
 */
export class RunTable<R extends TableRun> {
  readonly #maxRuns: number;
  readonly #retention: number;
  readonly #clock: () => number;
  readonly #runs = new Map<string, R>();
  /**
   * The finished runs, from `#head` on. With 100,000 held, an object for each place
   * in a linked list would cost a tenth of the throughput.
   */
  readonly #queue: (R | undefined)[] = [];
  /** When each of them expires. */
  readonly #expiresAt: number[] = [];
  #head = 0;
  /**
   * The clock when a run last finished, or at the last sweep. To read it for each new
   * run too would take 8 % of the throughput in memory.
   */
  #now = 0;
  /** How many of them were replaced by a newer attempt. */
  #replaced = 0;

  /**
   * @param maxRuns How many runs to hold at most.
   * @param retention How long to hold finished ones, in milliseconds.
   * @param clock A monotonic clock, in milliseconds.
   */
  constructor(maxRuns: number, retention: number, clock: () => number) {
    this.#maxRuns = maxRuns;
    this.#retention = retention;
    this.#clock = clock;
  }

  /** The run of an id, live or finished. */
  get(runId: string): R | undefined {
    return this.#runs.get(runId);
  }

  /** The runs, live and finished. */
  all(): R[] {
    return [...this.#runs.values()];
  }

  /** The runs that have not finished. */
  live(): R[] {
    return this.all().filter(({ finished }) => !finished);
  }

  /**
   * Makes room for a run, and forgets those that had expired when one last finished.
   *
   * @returns The finished attempt that it replaces, if any.
   * @throws {RunAlreadyActiveError} If the id is that of a live run.
   * @throws {RegistryFullError} If no finished run can be forgotten.
   */
  makeRoom(runId: string): R | undefined {
    const former = this.#runs.get(runId);
    this.#forgetExpired();
    if (former !== undefined) {
      if (!former.finished) throw new RunAlreadyActiveError(runId);
      if (this.#runs.delete(runId)) this.#replaced++;
      this.#compact();
      return former;
    }
    if (this.#runs.size >= this.#maxRuns && !this.#forgetOldest()) {
      throw new RegistryFullError(
        runId,
        `Cannot register run ${runId}: ${this.#maxRuns} runs are held and none has finished`,
      );
    }
  }

  /** Adds a live run, after {@linkcode RunTable.makeRoom}. */
  add(run: R): void {
    this.#runs.set(run.runId, run);
  }

  /** Forgets a live run that could not begin. */
  delete(run: R): void {
    this.#runs.delete(run.runId);
  }

  /** Queues a run that has finished. */
  finish(run: R): void {
    this.#now = this.#clock();
    this.#queue.push(run);
    this.#expiresAt.push(this.#now + this.#retention);
  }

  /** Forgets the finished runs that have expired, and returns how many. */
  expire(): number {
    this.#now = this.#clock();
    return this.#forgetExpired();
  }

  #forgetExpired(): number {
    const now = this.#now;
    let expired = 0;
    while (this.#expiresAt[this.#head] <= now) {
      if (this.#forgetHead()) expired++;
    }
    return expired;
  }

  #forgetOldest(): boolean {
    while (this.#head < this.#queue.length) {
      if (this.#forgetHead()) return true;
    }
    return false;
  }

  /** Forgets the head of the queue, unless a newer attempt has replaced it. */
  #forgetHead(): boolean {
    const run = this.#queue[this.#head]!;
    this.#queue[this.#head++] = undefined; // It frees the memory of the run.
    const isHeld = this.#replaced === 0 || this.#runs.get(run.runId) === run;
    if (isHeld) this.#runs.delete(run.runId);
    else this.#replaced--;
    this.#compact();
    return isHeld;
  }

  /** Drops the places that were passed or replaced, once they are half of the queue. */
  #compact(): void {
    const { length } = this.#queue;
    const dropped = this.#head + this.#replaced;
    if (dropped < MIN_DROPPED || dropped * 2 < length) return;
    let kept = 0;
    for (let place = this.#head; place < length; place++) {
      const run = this.#queue[place]!;
      if (this.#replaced > 0 && this.#runs.get(run.runId) !== run) continue;
      this.#queue[kept] = run;
      this.#expiresAt[kept++] = this.#expiresAt[place];
    }
    this.#queue.length = this.#expiresAt.length = kept;
    this.#head = this.#replaced = 0;
  }
}

/** Compacting less than this is not worth it. */
const MIN_DROPPED = 1_000;
