import type fc from "fast-check";
import {
  LeaseLostError,
  type LoggedRun,
  MemoryPipelineRunRepository,
  type PipelineRunTransition,
  RunAlreadyActiveError,
  type RunEvent,
  type RunLease,
  type RunLog,
  type RunStep,
} from "../../mod.ts";
import { LocalRunLog } from "./local_run_log.ts";
import { LEASE_EXPIRED, type RunFailure } from "../../src/model/failure.ts";

/** The reason of endings by other instances. */
export const EXPIRED = "lease_expired";

/** One attempt as the log has it. */
export interface LoggedAttempt {
  readonly claim: string;
  readonly events: ({ seq: number; kind: string } & Partial<RunFailure>)[];
  readonly rows: PipelineRunTransition[];
  ended: boolean;
}

/**
 * The log of one run, as instances share it. Statements are executed and answered when
 * the scheduler says so; an answer may get lost, then the statement is repeated.
 */
export class ScheduledRunLog extends LocalRunLog {
  readonly attempts: LoggedAttempt[] = [];
  readonly leases: ScheduledLease[] = [];
  readonly isReadable: boolean;
  /** How many recorded endings are being read. */
  reading = 0;
  readonly #scheduler: fc.Scheduler;
  readonly #isLost: boolean[];

  /**
   * @param isLost Of each answer, whether it gets lost.
   * @param isReadable Whether recorded endings can be read.
   */
  constructor(
    scheduler: fc.Scheduler,
    isLost: readonly boolean[],
    isReadable: boolean,
  ) {
    super();
    this.#scheduler = scheduler;
    this.#isLost = [...isLost];
    this.isReadable = isReadable;
  }

  /** The number of the last event. */
  get lastSeq(): number {
    return this.attempts.flatMap(({ events }) => events).at(-1)?.seq ?? 0;
  }

  /** Executes a statement now and then, until its answer arrives. */
  async query<T>(name: string, statement: () => T): Promise<T> {
    let answer: T;
    do {
      await this.#scheduler.schedule(Promise.resolve(), `${name} is sent`);
      answer = statement();
      await this.#scheduler.schedule(Promise.resolve(), `${name} is answered`);
    } while (this.#isLost.shift());
    return answer;
  }

  /** Claims the run, again for the same claim. */
  claim(claim: string): number | undefined {
    const last = this.attempts.at(-1);
    if (last?.claim !== claim) {
      if (last !== undefined && !last.ended) return undefined;
      this.attempts.push({ claim, events: [], rows: [], ended: false });
    }
    return this.lastSeq;
  }

  /** Writes a step under a claim; repeats change nothing. */
  write(claim: string, { event, transition, ends = false }: RunStep): boolean {
    const attempt = this.attempts.find((each) => each.claim === claim)!;
    if (attempt.events.some((each) => each === event)) return true;
    if (attempt.ended) return false;
    if (event !== undefined) attempt.events.push(event);
    if (transition !== undefined) attempt.rows.push(transition);
    attempt.ended = ends;
    return true;
  }

  /** Ends the run as if its lease had expired. */
  expire(): void {
    const attempt = this.attempts.at(-1);
    if (attempt === undefined || attempt.ended) return;
    const seq = this.lastSeq + 1;
    attempt.events.push({ seq, kind: "Errored", ...LEASE_EXPIRED });
    attempt.ended = true;
  }

  /** Runs the run on another instance, from its beginning to its end. */
  runElsewhere(): void {
    const claim = crypto.randomUUID();
    if (this.claim(claim) === undefined) return;
    const { events } = this.attempts.at(-1)!;
    events.push({ seq: this.lastSeq + 1, kind: "Started" });
    events.push({ seq: this.lastSeq + 1, kind: "Completed" });
    this.attempts.at(-1)!.ended = true;
  }

  open(run: LoggedRun): RunLease {
    const lease = new ScheduledLease(run, this);
    this.leases.push(lease);
    return lease;
  }
}

/** The claim of the tried instance on one attempt. */
export class ScheduledLease implements RunLease {
  readonly claimId: string = crypto.randomUUID();
  readonly #run: LoggedRun;
  readonly #log: ScheduledRunLog;
  #steps: Promise<unknown> = Promise.resolve();
  #pending = 0;
  #claimed = false;
  #isAbandoned = false;
  #isEnding = false;
  #lost: LeaseLostError | undefined;

  constructor(run: LoggedRun, log: ScheduledRunLog) {
    this.#run = run;
    this.#log = log;
  }

  /** Whether the run was told that its lease is lost. */
  get isLost(): boolean {
    return this.#lost !== undefined;
  }

  /** Whether every step is written or refused. */
  get isIdle(): boolean {
    return this.#pending === 0;
  }

  /** What the log has of the attempt. */
  get logged(): LoggedAttempt | undefined {
    return this.#log.attempts.find(({ claim }) => claim === this.claimId);
  }

  async claim(): Promise<number> {
    const lastSeq = await this.#log.query(
      "claim",
      () => this.#log.claim(this.claimId),
    );
    if (lastSeq === undefined) throw new RunAlreadyActiveError(this.#run.runId);
    if (this.#isAbandoned) this.logged!.ended = true;
    this.#claimed = true;
    return lastSeq;
  }

  async write(step: RunStep): Promise<void> {
    if (this.#lost !== undefined) throw this.#lost;
    if (step.ends) this.#isEnding = true;
    const written = this.#steps.then(() => this.#write(step));
    this.#steps = written.catch(() => {});
    this.#pending++;
    await written.finally(() => this.#pending--);
  }

  serialize(payload: unknown): string {
    return JSON.stringify(payload);
  }

  append(event: RunEvent): void {
    this.write({ event }).catch(() => {});
  }

  abandon(): boolean {
    this.#isAbandoned = true;
    return true;
  }

  async recordedEnding(): Promise<RunEvent | undefined> {
    this.#log.reading++;
    const ending = await this.#log.query(
      "read ending",
      () => this.logged!.events.at(-1)!,
    );
    this.#log.reading--;
    if (!this.#log.isReadable) return undefined;
    return { ...ending, at: new Date() } as RunEvent;
  }

  /** Learns whether the lease is lost. */
  async renew(): Promise<void> {
    if (!this.#claimed || this.#isEnding) return;
    const ended = await this.#log.query("renew", () => this.logged!.ended);
    if (ended && !this.#isEnding) this.#lose();
  }

  /** Learns that another instance asks to abort the run. */
  requestAbort(): void {
    if (this.#claimed && !this.#isEnding) this.#run.onAbortRequest("remote");
  }

  async #write(step: RunStep): Promise<void> {
    if (this.#lost !== undefined) throw this.#lost;
    const name = step.event?.kind ?? "row";
    const isWritten = await this.#log.query(
      name,
      () => this.#log.write(this.claimId, step),
    );
    if (isWritten) return;
    this.#lose();
    throw this.#lost!;
  }

  #lose(): void {
    if (this.#lost !== undefined) return;
    this.#lost = new LeaseLostError(this.#run.runId);
    this.#run.onLost(this.#lost);
  }
}

/** A repository in memory whose runs are in the log. */
export class LoggedRepository extends MemoryPipelineRunRepository {
  readonly runLog: RunLog;

  constructor(runLog: RunLog) {
    super();
    this.runLog = runLog;
  }
}
