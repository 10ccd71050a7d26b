import { storableJson } from "../../json/storable.ts";
import { LeaseLostError } from "../../model/errors.ts";
import type { RunEvent } from "../../model/event.ts";
import type { LoggedRun, RunLease, RunStep } from "../../repository/run_log.ts";
import type { GroupCommit, GroupCommitItem } from "../write/group_commit.ts";
import {
  type Claim,
  rowValues,
  stepBytes,
  type StepWrite,
  type Write,
} from "../write/write.ts";

/** How long the beginning of a run can wait for its ending, in milliseconds. */
const PATIENCE = 10;

/** Who holds the leases of an instance. */
export interface LeaseHolder {
  /** Claims a run that another instance may hold. */
  claim(lease: Lease): Promise<{ generation: number; lastSeq: number }>;
  /** Renews the lease from now on. */
  hold(lease: Lease): void;
  /** Stops renewing the lease. */
  release(lease: Lease): void;
  /** Announces that a step of the run is in the log. */
  onLogged(runId: string): void;
  /** Reads the first ending from an event on. */
  readEnding(runId: string, from: number): Promise<RunEvent | undefined>;
}

/**
 * The claim of this instance on one run.
 *
 * A run with an id of the caller's is claimed before it begins. A run with a random
 * id is claimed by the statement that writes its first row: no other instance can
 * know the id.
 */
export class Lease implements RunLease {
  /** Whether the ending is pending or written. */
  isEnding = false;
  /** Whether the run was given up. */
  isAbandoned = false;
  readonly #run: LoggedRun;
  readonly #holder: LeaseHolder;
  readonly #writes: GroupCommit<Write>;
  #claim: Claim;
  /** Whether there is what begins the lease: a claim, or the first step. */
  #hasBeginning = false;
  /** Whether the lease is in the database. */
  #isWritten = false;
  #firstSeq = 1;
  #lost: LeaseLostError | undefined;
  #abortRequested = false;

  constructor(
    run: LoggedRun,
    holder: LeaseHolder,
    writes: GroupCommit<Write>,
  ) {
    const { runId } = run;
    this.#run = run;
    this.#holder = holder;
    this.#writes = writes;
    this.#claim = { runId, claimId: crypto.randomUUID(), generation: 1 };
  }

  /** The run's UUID. */
  get runId(): string {
    return this.#run.runId;
  }

  /** Tells this claim from others on the same run. */
  get claimId(): string {
    return this.#claim.claimId;
  }

  async claim(): Promise<number> {
    if (!this.#run.given) return 0;
    const { generation, lastSeq } = await this.#holder.claim(this);
    this.#claim = { ...this.#claim, generation };
    this.#hasBeginning = true;
    this.#isWritten = true;
    this.#firstSeq = lastSeq + 1;
    return lastSeq;
  }

  serialize(payload: unknown): string {
    const { maxPayloadBytes } = this.#run;
    return storableJson(payload, "Cannot publish: payload", maxPayloadBytes);
  }

  async write(given: RunStep): Promise<void> {
    const { transition, event, result, ends = false } = given;
    if (this.#lost !== undefined) throw this.#lost;
    if (ends) this.isEnding = true;
    const step: StepWrite = {
      kind: "step",
      claim: this.#claim,
      row: transition && rowValues(transition, result),
      event,
      begins: !this.#hasBeginning && (event?.kind ?? "Started") === "Started",
      endingId: ends ? transition?.id ?? crypto.randomUUID() : undefined,
    };
    this.#hasBeginning ||= step.begins;
    try {
      await this.#writes.add(step, this.#itemOf(step, false));
      this.#onWritten();
    } catch (error) {
      this.#onRefused(error);
      throw error instanceof LeaseLostError ? this.#lost : error;
    } finally {
      if (ends) this.#holder.release(this);
    }
  }

  append(event: RunEvent, payload: string | undefined): void {
    if (this.#lost !== undefined) return;
    const claim = this.#claim;
    const step = {
      kind: "step",
      claim,
      event,
      payload,
      begins: false,
    } as const;
    // A dropped event leaves a gap in the numbers, which readers get as lag.
    this.#writes.add(step, this.#itemOf(step, true))
      .then(this.#onWritten, this.#onRefused);
  }

  abandon(): boolean {
    this.isAbandoned = true;
    this.#holder.release(this);
    return true;
  }

  async recordedEnding(): Promise<RunEvent | undefined> {
    return await this.#holder.readEnding(this.runId, this.#firstSeq);
  }

  /** Passes a request to abort on to the run, once. */
  requestAbort(reason: string | undefined): void {
    if (this.#abortRequested) return;
    this.#abortRequested = true;
    this.#run.onAbortRequest(reason);
  }

  /** Tells the run that another instance has ended it. */
  lose(): void {
    if (this.#lost !== undefined) return;
    this.#lost = new LeaseLostError(this.runId);
    this.#holder.release(this);
    this.#run.onLost(this.#lost);
  }

  #itemOf(step: StepWrite, droppable: boolean): GroupCommitItem {
    return {
      key: this.runId,
      bytes: stepBytes(step),
      timeout: Infinity,
      droppable,
      // Until it is written, nobody else can know the run.
      patience: this.#isWritten || this.isEnding ? 0 : PATIENCE,
    };
  }

  readonly #onWritten = (): void => {
    if (!this.#isWritten) {
      this.#isWritten = true;
      if (!this.isEnding && !this.isAbandoned) this.#holder.hold(this);
    }
    this.#holder.onLogged(this.runId);
  };

  readonly #onRefused = (error: unknown): void => {
    if (error instanceof LeaseLostError) this.lose();
  };
}
