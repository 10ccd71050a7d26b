import {
  RegistryFullError,
  RegistryShutdownError,
  RunAlreadyActiveError,
} from "../../mod.ts";
import { AttemptModel, type EndingModel } from "./attempt_model.ts";
import type { RunErrorCode } from "../../mod.ts";

/** The options under which a registry is tried. */
export interface TrialOptions {
  readonly maxInMemoryRuns: number;
  readonly maxAwaitedSubscriptions: number;
  readonly channelCapacity: number;
  readonly finishedRetention: number;
  readonly yieldThrottle: number;
  readonly abortWritesErroredRow: boolean;
}

/** Why a run is refused. */
export type Refusal =
  | typeof RegistryShutdownError
  | typeof RunAlreadyActiveError
  | typeof RegistryFullError;

/** How the registry must answer a registration. */
export interface Admission {
  readonly refusal?: Refusal;
  /** The runs of which exactly one makes room, if any must. */
  readonly evictable: AttemptModel[];
  readonly firstSeq: number;
}

/** How long an ending waits for its row, in milliseconds: the default. */
const ENDING_TIMEOUT = 5_000;
/** An ending may give up this much earlier, since deadlines are grouped. */
const EARLY = ENDING_TIMEOUT * 0.02;
/** How often registries sweep by themselves. */
const MINUTE = 60_000;

/**
 * What a registry must do by its contract. When an ending is published and when a run
 * is finished depends on the repository, so these two are told from outside, and
 * checked there against what the rows allow.
 */
export class RegistryModel {
  readonly options: TrialOptions;
  /** Faked time, in milliseconds. */
  now = 0;
  /** The time of the registry's `clock`. */
  clock = 0;
  /** The same when a run last finished, or at the last sweep. */
  lastRead = 0;
  /** How many commands were run. */
  step = 0;
  /** The runs in memory by id: their newest attempts. */
  readonly held = new Map<string, AttemptModel>();
  /** Every attempt that ever began. */
  readonly attempts: AttemptModel[] = [];
  /** When the shutdown gives up, in faked time. */
  shutdownAt: number | undefined;
  /** Whether the shutdown is over. */
  down = false;
  /** The attempts that the shutdown waits for. */
  awaited: AttemptModel[] = [];
  readonly #finished: {
    attempt: AttemptModel;
    step: number;
    expiresAt: number;
  }[] = [];

  constructor(options: TrialOptions) {
    this.options = options;
  }

  /** Decides on a registration, and drops what has expired or is replaced. */
  admit(runId: string | undefined): Admission {
    const none = { evictable: [], firstSeq: 1 };
    if (this.shutdownAt !== undefined) {
      return { ...none, refusal: RegistryShutdownError };
    }
    const former = runId === undefined ? undefined : this.held.get(runId);
    this.#forgetExpired();
    if (former !== undefined) {
      if (!former.finished) return { ...none, refusal: RunAlreadyActiveError };
      this.forget(former);
      return { ...none, firstSeq: former.lastSeq + 1 };
    }
    if (this.held.size < this.options.maxInMemoryRuns) return none;
    // Of runs that finished within one command, any may have been the first.
    const evictable = this.#finished
      .filter(({ step }) => step === this.#finished[0].step)
      .map(({ attempt }) => attempt);
    return evictable.length === 0
      ? { ...none, refusal: RegistryFullError }
      : { ...none, evictable };
  }

  /** Begins an attempt. */
  begin(runId: string, firstSeq: number, firstRow: number): AttemptModel {
    const { channelCapacity, yieldThrottle } = this.options;
    const attempt = new AttemptModel({
      runId,
      firstSeq,
      firstRow,
      channelCapacity,
      yieldThrottle,
    });
    const former = this.attempts.findLast((each) => each.runId === runId);
    if (former !== undefined) former.endRow = firstRow;
    this.attempts.push(attempt);
    this.held.set(runId, attempt);
    attempt.publish("Started");
    return attempt;
  }

  /** Ends an attempt as aborted. */
  abort(
    attempt: AttemptModel,
    text?: string,
    code: RunErrorCode = "aborted",
  ): void {
    const message = text === undefined ? "aborted" : `aborted: ${text}`;
    attempt.end({
      failure: { code, message },
      error: text ?? "abort",
      writesRow: this.options.abortWritesErroredRow,
      stops: true,
      at: this.now,
    });
  }

  /** Ends an attempt as its work does. */
  settle(attempt: AttemptModel, error?: string): void {
    attempt.work = undefined;
    attempt.end({
      failure: error === undefined
        ? undefined
        : { code: "work", message: error },
      error,
      writesRow: true,
      stops: false,
      at: this.now,
    });
  }

  /** When an ending may be published without its row, and when it must. */
  patience({ at }: EndingModel): { from: number; until: number } {
    const until = at + ENDING_TIMEOUT;
    return { from: until - EARLY, until };
  }

  /** Queues an attempt that is finished. */
  finish(attempt: AttemptModel): void {
    attempt.finished = true;
    this.lastRead = this.clock;
    const { step, clock, options } = this;
    const expiresAt = clock + options.finishedRetention;
    this.#finished.push({ attempt, step, expiresAt });
  }

  /** Drops the finished runs that have expired, and returns how many. */
  expire(): number {
    this.lastRead = this.clock;
    return this.#forgetExpired();
  }

  #forgetExpired(): number {
    const expired = this.#finished.filter(({ expiresAt }) =>
      expiresAt <= this.lastRead
    );
    for (const { attempt } of expired) this.forget(attempt);
    return expired.length;
  }

  /** Drops a finished run. */
  forget(attempt: AttemptModel): void {
    const place = this.#finished.findIndex((run) => run.attempt === attempt);
    if (place < 0) return;
    this.#finished.splice(place, 1);
    this.held.delete(attempt.runId);
  }

  /** Lets faked time pass, less than a minute. */
  pass(ms: number): void {
    const before = this.now;
    this.now += ms;
    const minute = Math.floor(this.now / MINUTE);
    if (this.shutdownAt === undefined && minute > before / MINUTE) {
      this.expire();
    }
    for (const attempt of this.attempts) {
      attempt.pass(this.now);
      const { timeout } = attempt;
      if (timeout === undefined || timeout.at > this.now) continue;
      const message = `timed out after ${timeout.ms} ms`;
      attempt.end({
        failure: { code: "timeout", message },
        error: message,
        writesRow: true,
        stops: true,
        at: timeout.at,
      });
    }
  }

  /** Shuts down. */
  shutDown(timeout: number): void {
    if (this.shutdownAt !== undefined) return;
    this.shutdownAt = this.now + timeout;
    this.awaited = [...this.held.values()].filter(({ finished }) => !finished);
    for (const attempt of this.awaited) {
      this.abort(attempt, undefined, "shutdown");
    }
  }
}
