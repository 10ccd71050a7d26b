import { RegistryFullError, RunAlreadyActiveError } from "./errors.ts";
import type { Run } from "./run.ts";

/** A run and its place among the finished ones. */
interface Entry {
  readonly run: Run<unknown>;
  /** When it may be forgotten; `undefined` while it is live. */
  expiresAt: number | undefined;
  older: Entry | undefined;
  newer: Entry | undefined;
}

/**
 * The runs in memory, live and finished, never more than the bound.
 *
 * Finished runs form a list in the order in which they finished, which is the
 * order in which they expire and in which they make room. Every operation takes
 * constant time for each run that it removes, however many are held.
 */
export class RunTable {
  readonly #maxRuns: number;
  readonly #retention: number;
  readonly #clock: () => number;
  readonly #entries = new Map<string, Entry>();
  #oldest: Entry | undefined;
  #newest: Entry | undefined;

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
  get(runId: string): Run<unknown> | undefined {
    return this.#entries.get(runId)?.run;
  }

  /** The runs that have not finished. */
  live(): Run<unknown>[] {
    return [...this.#entries.values()]
      .filter((entry) => entry.expiresAt === undefined)
      .map((entry) => entry.run);
  }

  /**
   * Makes room for a run.
   *
   * @returns The finished attempt that it replaces, if any.
   * @throws {RunAlreadyActiveError} If the id is that of a live run.
   * @throws {RegistryFullError} If no finished run can be forgotten.
   */
  makeRoom(runId: string): Run<unknown> | undefined {
    const former = this.#entries.get(runId);
    this.expire();
    if (former !== undefined) {
      if (former.expiresAt === undefined) {
        throw new RunAlreadyActiveError(runId);
      }
      if (this.#entries.has(runId)) this.#remove(former);
      return former.run;
    }
    if (this.#entries.size < this.#maxRuns) return undefined;
    if (this.#oldest === undefined) {
      throw new RegistryFullError(
        runId,
        `Cannot register run ${runId}: ${this.#maxRuns} runs are held and none has finished`,
      );
    }
    this.#remove(this.#oldest);
  }

  /** Adds a live run, for which {@linkcode RunTable.makeRoom} was called. */
  add(run: Run<unknown>): void {
    this.#entries.set(run.id, {
      run,
      expiresAt: undefined,
      older: undefined,
      newer: undefined,
    });
  }

  /** Forgets a live run that could not begin. */
  delete(run: Run<unknown>): void {
    this.#entries.delete(run.id);
  }

  /** Puts a run behind the others that have finished. */
  finish(run: Run<unknown>): void {
    const entry = this.#entries.get(run.id);
    if (entry?.run !== run || entry.expiresAt !== undefined) return;
    entry.expiresAt = this.#clock() + this.#retention;
    entry.older = this.#newest;
    if (this.#newest === undefined) this.#oldest = entry;
    else this.#newest.newer = entry;
    this.#newest = entry;
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

  #remove(entry: Entry): void {
    this.#entries.delete(entry.run.id);
    if (entry.older === undefined) this.#oldest = entry.newer;
    else entry.older.newer = entry.newer;
    if (entry.newer === undefined) this.#newest = entry.older;
    else entry.newer.older = entry.older;
  }
}
