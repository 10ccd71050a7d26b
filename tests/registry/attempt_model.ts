import type {
  RunContext,
  RunFailure,
  RunOutcome,
  RunPhase,
} from "../../mod.ts";
import { erroredPhase } from "../../src/model/phase.ts";
import type { DecidedRow } from "../repository/decided_repository.ts";
import type { WatchedSignal } from "../watched_signal.ts";

/** An event that subscribers must get. */
export interface EventModel {
  readonly seq: number;
  readonly kind: string;
  /** What else the event says. */
  readonly [member: string]: unknown;
}

/** How an attempt ends: what came first of all that can end it. */
export interface EndingModel {
  /** What the event says; `undefined` is completion. */
  readonly failure?: RunFailure;
  /** What the row says went wrong. */
  readonly error?: string;
  readonly writesRow: boolean;
  /** Whether the work is asked to stop. */
  readonly stops: boolean;
  /** When it came, in faked time. */
  readonly at: number;
}

/** Options of {@linkcode AttemptModel}. */
export interface AttemptModelOptions {
  readonly runId: string;
  readonly firstSeq: number;
  readonly channelCapacity: number;
  readonly yieldThrottle: number;
  /** How many rows the repository was asked for before. */
  readonly firstRow: number;
}

/** One attempt of a run by the contract, and what the test holds of the real one. */
export class AttemptModel {
  readonly runId: string;
  readonly firstSeq: number;
  readonly firstRow: number;
  /** How many rows the repository was asked for before the next attempt. */
  endRow = Infinity;
  readonly events: EventModel[] = [];
  /** How many warnings there were before. */
  firstWarning = 0;
  ending: EndingModel | undefined;
  /** Whether its last event is published. */
  published = false;
  /** Whether it may make room: it ended, and every row is written or given up. */
  finished = false;
  /** Its time limit, and when that is over, in faked time. */
  timeout: { readonly ms: number; readonly at: number } | undefined;
  /** The real run's context, once its work was called. */
  context: RunContext | undefined;
  /** Ends the real run's work, until it has ended. */
  work: PromiseWithResolvers<void> | undefined;
  /** The caller's signal. */
  signal: WatchedSignal | undefined;
  /** The real run's outcome, once it is there. */
  outcome: RunOutcome | undefined;
  /** The row of its ending, as of when its outcome was there. */
  wasAcknowledged = false;
  readonly #capacity: number;
  readonly #throttle: number;
  #throttledUntil = -1;
  #held: { payload: unknown } | undefined;

  constructor(options: AttemptModelOptions) {
    this.runId = options.runId;
    this.firstSeq = options.firstSeq;
    this.firstRow = options.firstRow;
    this.#capacity = options.channelCapacity;
    this.#throttle = options.yieldThrottle;
  }

  /** The number of its last event. */
  get lastSeq(): number {
    return this.firstSeq + this.events.length - 1;
  }

  /** The number of the oldest event held. */
  get oldest(): number {
    return Math.max(this.firstSeq, this.lastSeq - this.#capacity + 1);
  }

  get phase(): RunPhase {
    if (!this.published) return { name: "Running" };
    const { failure } = this.ending!;
    return failure === undefined
      ? { name: "Completed" }
      : erroredPhase(failure);
  }

  /** Publishes an event at once. */
  publish(kind: string, members: Record<string, unknown> = {}): void {
    this.events.push({ seq: this.lastSeq + 1, kind, ...members });
  }

  /** Publishes a Yield: at once, when its interval is over, or never. */
  yield(payload: unknown, now: number): void {
    if (this.ending !== undefined) return;
    if (now < this.#throttledUntil) {
      this.#held = { payload };
      return;
    }
    this.publish("Yield", { payload });
    this.#throttledUntil = now + this.#throttle;
  }

  /** Publishes the Yields whose interval is over. */
  pass(now: number): void {
    while (this.#held !== undefined && this.#throttledUntil <= now) {
      const { payload } = this.#held;
      this.#held = undefined;
      this.yield(payload, this.#throttledUntil);
    }
  }

  /** Ends it, unless something else did. */
  end(ending: EndingModel): void {
    if (this.ending !== undefined) return;
    if (this.#held !== undefined) this.publish("Yield", { ...this.#held });
    this.#held = undefined;
    this.ending = ending;
  }

  /** Publishes its last event. */
  conclude(): void {
    const { failure } = this.ending!;
    this.published = true;
    if (failure === undefined) this.publish("Completed");
    else this.publish("Errored", { ...failure });
  }

  /** Its rows among those that the repository was asked for. */
  rowsOf(rows: readonly DecidedRow[]): DecidedRow[] {
    return rows.slice(this.firstRow, this.endRow).filter(({ transition }) =>
      transition.pipelineRunId === this.runId
    );
  }
}
