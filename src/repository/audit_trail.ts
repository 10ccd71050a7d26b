import { deadline } from "@std/async/deadline";
import { retry } from "@std/async/retry";
import { Deadlines } from "../async/deadlines.ts";
import { LeaseLostError, RepositoryError } from "../model/errors.ts";
import type { PipelineRunTransition } from "../model/row.ts";
import type {
  LogPipelineRunOptions,
  PipelineRunRepository,
} from "./repository.ts";
import type { RegistryWarning } from "../model/warning.ts";

/** One row on its way to the repository. */
interface Row {
  readonly transition: PipelineRunTransition;
  /** Writes it, where that is not the repository's to do. */
  readonly write: (() => Promise<void>) | undefined;
  /** Its place among the rows of its run. */
  readonly index: number;
  /** Told whether the row is written, once that will not change any more. */
  readonly onSettled?: (written: boolean) => void;
  /** Whether the repository refused it and has not been asked again. */
  refused: boolean;
  /** Resolves when the repository has answered. */
  answered: Promise<void>;
}

/** The rows of one run that are neither written nor given up, oldest first. */
export class RunTrail {
  readonly rows: Row[] = [];
  /** How many rows the run has had. */
  length = 0;
  /** The index of the newest row that was ever sent. */
  newestSent = -1;
  /** Called when no row is on its way any more. */
  onIdle: (() => void) | undefined;
  /** Whether no row is on its way. */
  get idle(): boolean {
    return this.rows.length === 0;
  }
}

/** Options of {@linkcode AuditTrail}. */
export interface AuditTrailOptions {
  repository: PipelineRunRepository;
  /** For how long an ending is waited for, in milliseconds. */
  endingTimeout: number;
  warn: (warning: RegistryWarning) => void;
}

/**
 * Brings the rows of runs to the repository, in order for each run, and goes on
 * until each is written or can never be.
 *
 * A row is sent at once, not after the one before, since a repository writes in
 * the order in which it is asked. Only a refusal can disturb that order, so after
 * one the rows are sent one by one; and a refused row is given up when a later
 * one was sent already. That may be written, whatever the repository answered,
 * and the trail must not go back.
 */
export class AuditTrail {
  readonly #repository: PipelineRunRepository;
  readonly #endings: Deadlines;
  readonly #warn: (warning: RegistryWarning) => void;
  /** The trails with a row on its way. */
  readonly #busy = new Set<RunTrail>();
  /** Those of them that are sent again. */
  readonly #refused = new Set<RunTrail>();
  readonly #closed = new AbortController();
  #onIdle: (() => void) | undefined;

  constructor(options: AuditTrailOptions) {
    this.#repository = options.repository;
    this.#endings = new Deadlines(options.endingTimeout);
    this.#warn = options.warn;
  }

  /** Sends a row that nobody waits for. */
  send(
    trail: RunTrail,
    transition: PipelineRunTransition,
    write?: () => Promise<void>,
    onSettled?: (written: boolean) => void,
  ): void {
    const row = {
      transition,
      write,
      index: trail.length++,
      onSettled,
      refused: false,
      answered: ANSWERED,
    };
    trail.rows.push(row);
    this.#busy.add(trail);
    if (this.#refused.has(trail)) row.refused = true;
    else this.#log(trail, row);
  }

  /**
   * Sends the row of an ending.
   *
   * @returns Whether it was written in time. If not it may be written later.
   */
  sendEnding(
    trail: RunTrail,
    transition: PipelineRunTransition,
    write?: () => Promise<void>,
  ): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const forget = this.#endings.add(() => {
      const { pipelineRunId: runId } = transition;
      const message = `Run ${runId} ended before its ending was durable`;
      this.#warn({ kind: "ending", runId, message });
      resolve(false);
    });
    this.send(trail, transition, write, (written) => {
      forget();
      resolve(written);
    });
    return promise;
  }

  /**
   * Waits until `endings` have settled and every row is written or given up, for
   * `timeout` milliseconds at most. After that no ending is waited for and no
   * row is sent again, and the runs with rows that are not written are told.
   */
  async close(
    timeout: number,
    endings: Promise<unknown> = Promise.resolve(),
  ): Promise<void> {
    const settled = endings.then(() => this.#idle());
    await deadline(settled, timeout).catch(() => {});
    this.#closed.abort();
    this.#endings.close();
    for (const { rows } of this.#busy) {
      const { pipelineRunId: runId } = rows[0].transition;
      const message = `Run ${runId} has rows that were not written at shutdown`;
      this.#warn({ kind: "row", runId, message });
    }
  }

  async #idle(): Promise<void> {
    if (this.#busy.size === 0) return;
    await new Promise<void>((resolve) => this.#onIdle = resolve);
  }

  #log(trail: RunTrail, row: Row): void {
    row.refused = false;
    trail.newestSent = row.index;
    row.answered = this.#write(row).then(
      () => this.#settle(trail, row, true),
      (error) => this.#onRefusal(trail, row, error),
    );
  }

  /** A repository that throws has rejected. */
  #write({ transition, write }: Row): Promise<unknown> {
    try {
      return write === undefined
        ? Promise.resolve(
          this.#repository.logPipelineRun(transition, UNTIL_WRITTEN),
        )
        : write();
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #onRefusal(trail: RunTrail, row: Row, error: unknown): void {
    if (
      isFinal(error) || this.#closed.signal.aborted ||
      row.index < trail.newestSent
    ) {
      this.#tell(row, "was not written", error);
      return this.#settle(trail, row, false);
    }
    row.refused = true;
    // Told the first time only: it goes on until the row is written.
    if (this.#refused.has(trail)) return;
    this.#tell(row, "was not written yet", error);
    this.#refused.add(trail);
    this.#retry(trail);
  }

  #settle(trail: RunTrail, row: Row, written: boolean): void {
    const { rows } = trail;
    rows.splice(rows.indexOf(row), 1);
    row.onSettled?.(written);
    if (rows.length > 0) return;
    this.#busy.delete(trail);
    trail.onIdle?.();
    if (this.#busy.size === 0) this.#onIdle?.();
  }

  #tell({ transition }: Row, what: string, cause?: unknown): void {
    const { status, pipelineRunId: runId } = transition;
    const message = `Row ${status} of run ${runId} ${what}`;
    this.#warn({ kind: "row", runId, message, cause });
  }

  async #retry(trail: RunTrail): Promise<void> {
    const { signal } = this.#closed;
    try {
      await retry(() => this.#logRefused(trail), {
        minTimeout: 100,
        maxTimeout: 5_000,
        maxAttempts: Number.MAX_SAFE_INTEGER,
        signal,
      });
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** Sends what was refused, and what has come since, one row after another. */
  async #logRefused(trail: RunTrail): Promise<void> {
    while (trail.rows.length > 0) {
      const [row] = trail.rows;
      if (row.refused) this.#log(trail, row);
      await row.answered;
      if (row.refused) throw new Error("A row was refused again");
    }
    this.#refused.delete(trail);
  }
}

const ANSWERED: Promise<void> = Promise.resolve();
const UNTIL_WRITTEN: LogPipelineRunOptions = { timeout: Infinity };

/**
 * Whether asking again cannot help. Of what is no `RepositoryError` nothing is
 * known: `fetch` reports a lost connection as a `TypeError`.
 */
function isFinal(error: unknown): boolean {
  return error instanceof LeaseLostError ||
    (error instanceof RepositoryError && !error.transient);
}
