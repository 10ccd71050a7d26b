import { RegistryFullError, RunAlreadyActiveError } from "../model/errors.ts";

/**
 * What a run is to the table. Its place among the finished ones is the table's to
 * set: an entry of its own for each run is one more object to reach and collect.
 */
export interface HeldRun {
  /** The run's UUID in canonical spelling. */
  readonly id: string;
  /** When it may be forgotten; `undefined` while it is live. */
  expiresAt: number | undefined;
  /** The run that finished before it. */
  older: HeldRun | undefined;
  /** The run that finished after it. */
  newer: HeldRun | undefined;
}

/**
 * The runs in memory, live and finished, never more than the bound.
 *
 * Finished runs form a list in the order in which they finished, which is the
 * order in which they expire and in which they make room. Every operation takes
 * constant time for each run that it removes, however many are held.
 */
export class RunTable<R extends HeldRun> {
  readonly #maxRuns: number;
  readonly #retention: number;
  readonly #clock: () => number;
  readonly #runs = new Map<string, R>();
  #oldest: HeldRun | undefined;
  #newest: HeldRun | undefined;

  /**
   * @param maxRuns How many runs are held at most.
   * @param retention For how long finished ones are, in milliseconds.
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

  /** The runs that have not finished. */
  live(): R[] {
    return [...this.#runs.values()]
      .filter((run) => run.expiresAt === undefined);
  }

  /**
   * Makes room for a run.
   *
   * @returns The finished attempt that it replaces, if any.
   * @throws {RunAlreadyActiveError} If the id is that of a live run.
   * @throws {RegistryFullError} If no finished run can be forgotten.
   */
  makeRoom(runId: string): R | undefined {
    const former = this.#runs.get(runId);
    this.expire();
    if (former !== undefined) {
      if (former.expiresAt === undefined) {
        throw new RunAlreadyActiveError(runId);
      }
      if (this.#runs.has(runId)) this.#remove(former);
      return former;
    }
    if (this.#runs.size < this.#maxRuns) return undefined;
    if (this.#oldest === undefined) {
      throw new RegistryFullError(
        runId,
        `Cannot register run ${runId}: ${this.#maxRuns} runs are held and none has finished`,
      );
    }
    this.#remove(this.#oldest);
  }

  /** Adds a live run, for which {@linkcode RunTable.makeRoom} was called. */
  add(run: R): void {
    this.#runs.set(run.id, run);
  }

  /** Forgets a live run that could not begin. */
  delete(run: R): void {
    this.#runs.delete(run.id);
  }

  /** Puts a run behind the others that have finished. */
  finish(run: R): void {
    run.expiresAt = this.#clock() + this.#retention;
    run.older = this.#newest;
    if (this.#newest === undefined) this.#oldest = run;
    else this.#newest.newer = run;
    this.#newest = run;
  }

  /** Forgets the finished runs whose time is over, and tells how many. */
  expire(): number {
    if (this.#oldest === undefined) return 0;
    const now = this.#clock();
    let expired = 0;
    while (this.#oldest !== undefined && this.#oldest.expiresAt! <= now) {
      this.#remove(this.#oldest);
      expired++;
    }
    return expired;
  }

  #remove(run: HeldRun): void {
    const { older, newer } = run;
    // Who still has the run must not hold all that finished after it.
    run.older = run.newer = undefined;
    this.#runs.delete(run.id);
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
  }
}
