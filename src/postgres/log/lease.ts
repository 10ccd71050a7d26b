import { LeaseLostError } from "../../model/errors.ts";
import type { RunEvent } from "../../model/event.ts";
import type { LoggedRun, LogStep, RunLease } from "../../repository/run_log.ts";
import { storableJson } from "../../json/storable.ts";
import { rowValues } from "../write/row_values.ts";
import type { Step } from "../write/write.ts";

/** How long an event is without its payload, about. */
const EVENT_LENGTH = 100;

/** What a {@linkcode Lease} needs of its log. */
export interface LeaseDependencies {
  /** Claims a run that somebody else may hold. */
  claim: (lease: Lease) => Promise<{ generation: number; lastSeq: number }>;
  /** Writes a step, in order. */
  write: (step: Step, bytes: number, droppable: boolean) => Promise<void>;
  /** Told when the run has ended, or the lease is lost. */
  onEnded: (lease: Lease) => void;
  /** Reads the first ending at or behind an event. */
  ending: (runId: string, from: number) => Promise<RunEvent | undefined>;
}

/**
 * The claim of this instance on one run.
 *
 * A run with an id of the caller's is claimed before it begins. One with a
 * random id is claimed by the statement that writes its first row: nobody else
 * can know it.
 */
export class Lease implements RunLease {
  /** What tells this claim from others on the same run. */
  readonly token: string = crypto.randomUUID();
  /** The fencing number of the claim. */
  generation = 1;
  /** Whether the lease is in the database. */
  written = false;
  /** Whether the ending is on its way. */
  ending = false;
  /** Whether the run is not to be. */
  abandoned = false;
  readonly #run: LoggedRun;
  readonly #dependencies: LeaseDependencies;
  #firstSeq = 1;
  #lost: LeaseLostError | undefined;
  #abortRequested = false;

  constructor(run: LoggedRun, dependencies: LeaseDependencies) {
    this.#run = run;
    this.#dependencies = dependencies;
  }

  /** The run's UUID. */
  get runId(): string {
    return this.#run.runId;
  }

  async claim(): Promise<number> {
    if (!this.#run.given) return 0;
    const { generation, lastSeq } = await this.#dependencies.claim(this);
    this.generation = generation;
    this.written = true;
    this.#firstSeq = lastSeq + 1;
    return lastSeq;
  }

  serialize(payload: unknown): string {
    return storableJson(
      payload,
      "Cannot publish: payload",
      this.#run.maxPayloadBytes,
    );
  }

  async write({ transition, event, ends = false }: LogStep): Promise<void> {
    if (this.#lost !== undefined) throw this.#lost;
    if (ends) this.ending = true;
    const row = transition && rowValues(transition);
    const step: Step = {
      kind: "step",
      lease: this,
      row,
      event,
      begins: !this.written && (event?.kind ?? "Started") === "Started",
      ending: ends ? transition?.id ?? crypto.randomUUID() : undefined,
    };
    const length = (row?.length ?? 0) + EVENT_LENGTH;
    try {
      await this.#dependencies.write(step, length, false);
    } finally {
      if (ends) this.#dependencies.onEnded(this);
    }
  }

  abandon(): void {
    this.abandoned = true;
    this.#dependencies.onEnded(this);
  }

  append(event: RunEvent, payload: string | undefined): void {
    if (this.#lost !== undefined) return;
    const step: Step = { kind: "step", lease: this, event, payload };
    const length = EVENT_LENGTH + (payload?.length ?? 0);
    // What is dropped for want of room shows as a gap: readers are told of it.
    this.#dependencies.write(step, length, true).catch(() => {});
  }

  async recordedEnding(): Promise<RunEvent | undefined> {
    return await this.#dependencies.ending(this.runId, this.#firstSeq);
  }

  /** Says that somebody asked for the run to be aborted. */
  requestAbort(reason: string | undefined): void {
    if (this.#abortRequested) return;
    this.#abortRequested = true;
    this.#run.onAbortRequest(reason);
  }

  /** Says that another instance has ended the run. */
  lose(): LeaseLostError {
    if (this.#lost === undefined) {
      this.#lost = new LeaseLostError(this.runId);
      this.#dependencies.onEnded(this);
      this.#run.onLost(this.#lost);
    }
    return this.#lost;
  }
}
