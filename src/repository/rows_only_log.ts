import { retry } from "@std/async/retry";
import { checkJson } from "../json/storable.ts";
import { RepositoryError } from "../model/errors.ts";
import type { RunEvent } from "../model/event.ts";
import { hasEnded } from "../model/phase.ts";
import { phaseOfStatus, type PipelineRunTransition } from "../model/row.ts";
import type { RegistryWarning } from "../model/warning.ts";
import type {
  LogPipelineRunOptions,
  PipelineRunRepository,
} from "./repository.ts";
import type {
  LocalRun,
  LoggedRun,
  RunLease,
  RunLog,
  RunStatus,
  RunStep,
  SubscribeOptions,
} from "./run_log.ts";

/** Options of {@linkcode RowsOnlyLog}. */
export interface RowsOnlyLogOptions {
  readonly repository: PipelineRunRepository;
  /** Whether payloads must be JSON, although none is stored. */
  readonly payloads: "json" | "any";
  readonly warn: (warning: RegistryWarning) => void;
}

/**
 * The log of a repository that keeps rows only. Its runs belong to one instance,
 * which has their events in memory.
 */
export class RowsOnlyLog implements RunLog {
  readonly keepsEvents = false;
  readonly #options: RowsOnlyLogOptions;

  constructor(options: RowsOnlyLogOptions) {
    this.#options = options;
  }

  newId(): string {
    return crypto.randomUUID();
  }

  open({ runId }: LoggedRun): RunLease {
    return new RowsOnlyLease(runId, this.#options);
  }

  follow(
    _runId: string,
    _options: SubscribeOptions,
    local: LocalRun,
  ): ReadableStream<RunEvent> {
    return local.subscribe();
  }

  requestAbort(): Promise<"unknown"> {
    return Promise.resolve("unknown");
  }

  async status(runId: string): Promise<RunStatus | undefined> {
    const row = await this.#options.repository.getPipelineRun(runId);
    if (row === undefined) return undefined;
    const phase = phaseOfStatus(row.status, row.runInfo);
    const ended = hasEnded(phase);
    return { runId, phase, ended, row, firstSeq: 1, lastSeq: 0 };
  }

  reap(): Promise<number> {
    return Promise.resolve(0);
  }
}

/** The arguments that write a row. */
type RowToWrite = [PipelineRunTransition, LogPipelineRunOptions];

/** A row to write again, and its promise. */
interface RefusedRow extends PromiseWithResolvers<void> {
  readonly row: RowToWrite;
}

/**
 * Writes the rows of one run in order.
 *
 * A row is sent at once, without waiting for the one before: a repository writes
 * rows in the order in which it gets them. Only a refusal disturbs that order. Then
 * the refused row is retried, and later rows wait behind it. A row that is refused
 * after a later one was sent is given up, since the later one may be written.
 */
class RowsOnlyLease implements RunLease {
  readonly #runId: string;
  readonly #options: RowsOnlyLogOptions;
  /** How many rows were sent without waiting. */
  #sent = 0;
  /** The rows to write one after another, from the refused one on. */
  readonly #refused: RefusedRow[] = [];
  #retrying: AbortController | undefined;
  #abandoned = false;

  constructor(runId: string, options: RowsOnlyLogOptions) {
    this.#runId = runId;
    this.#options = options;
  }

  claim(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async write({ transition, result }: RunStep): Promise<void> {
    if (transition === undefined) return;
    const row: RowToWrite = [transition, { timeout: Infinity, result }];
    if (this.#refused.length > 0) return await this.#writeAgain(row);
    const place = ++this.#sent;
    const { repository, warn } = this.#options;
    try {
      await repository.logPipelineRun(...row);
    } catch (cause) {
      if (isFinal(cause) || this.#abandoned || place < this.#sent) throw cause;
      const { status } = transition;
      const message = `Row ${status} of run ${this.#runId} was not written yet`;
      warn({ kind: "row", runId: this.#runId, message, cause });
      await this.#writeAgain(row);
    }
  }

  serialize(payload: unknown): undefined {
    if (this.#options.payloads === "any") return;
    checkJson(payload, "Cannot publish: payload");
  }

  append(): void {}

  abandon(): boolean {
    this.#abandoned = true;
    this.#retrying?.abort();
    return false;
  }

  recordedEnding(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  #writeAgain(row: RowToWrite): Promise<void> {
    const refused = { row, ...Promise.withResolvers<void>() };
    this.#refused.push(refused);
    if (this.#refused.length === 1) this.#retry();
    return refused.promise;
  }

  async #retry(): Promise<void> {
    this.#retrying = new AbortController();
    try {
      await retry(() => this.#writeRefused(), {
        minTimeout: 100,
        maxTimeout: 5_000,
        maxAttempts: Number.MAX_SAFE_INTEGER,
        signal: this.#retrying.signal,
      });
    } catch (error) { // It was abandoned.
      for (const { reject } of this.#refused.splice(0)) reject(error);
    }
  }

  async #writeRefused(): Promise<void> {
    while (this.#refused.length > 0) {
      const [{ row, resolve, reject }] = this.#refused;
      try {
        await this.#options.repository.logPipelineRun(...row);
        resolve();
      } catch (error) {
        if (!isFinal(error)) throw error;
        reject(error);
      }
      this.#refused.shift();
    }
  }
}

/**
 * Whether retrying is pointless. Errors other than `RepositoryError` count as
 * retryable: `fetch` reports a lost connection as a `TypeError`.
 */
function isFinal(error: unknown): boolean {
  return error instanceof RepositoryError && !error.transient;
}
