import { RegistryFullError } from "../model/errors.ts";
import type { RunEvent } from "../model/event.ts";
import type { FollowOptions } from "../repository/run_log.ts";
import { RunEvents } from "../run/run_events.ts";

/**
 * The runs that have subscribers and that nobody has registered yet. Each costs a
 * broadcast without events, and goes with its last subscription.
 */
export class AwaitedRuns {
  readonly #capacity: number;
  readonly #maxSubscriptions: number;
  readonly #runs = new Map<string, RunEvents>();
  #subscriptions = 0;

  /**
   * @param capacity How many events each run will hold.
   * @param maxSubscriptions How many subscriptions may wait.
   */
  constructor(capacity: number, maxSubscriptions: number) {
    this.#capacity = capacity;
    this.#maxSubscriptions = maxSubscriptions;
  }

  /** How many subscriptions wait. */
  get subscriptions(): number {
    return this.#subscriptions;
  }

  /**
   * Subscribes to a run that is not registered yet.
   *
   * @throws {RegistryFullError} If too many subscriptions wait already.
   */
  subscribe(
    runId: string,
    options: FollowOptions,
  ): ReadableStream<RunEvent> {
    if (this.#subscriptions >= this.#maxSubscriptions) {
      throw tooManyAwaited(runId, this.#maxSubscriptions);
    }
    const events = this.#runs.get(runId) ?? this.#await(runId);
    this.#subscriptions++;
    return events.subscribe(options);
  }

  /** Hands over the events of a run that is being registered, if it is awaited. */
  take(runId: string): RunEvents | undefined {
    const events = this.#runs.get(runId);
    if (events === undefined) return undefined;
    this.#runs.delete(runId);
    this.#subscriptions -= events.subscriptions;
    events.onUnsubscribe = undefined;
    return events;
  }

  /** Closes every subscription. */
  close(): void {
    for (const runId of [...this.#runs.keys()]) this.take(runId)!.close();
  }

  #await(runId: string): RunEvents {
    const events = new RunEvents(runId, this.#capacity);
    events.onUnsubscribe = () => {
      this.#subscriptions--;
      if (events.subscriptions === 0) this.#runs.delete(runId);
    };
    this.#runs.set(runId, events);
    return events;
  }
}

/** The error of a subscription for which too many wait already. */
export function tooManyAwaited(runId: string, max: number): RegistryFullError {
  return new RegistryFullError(
    runId,
    `Cannot subscribe to run ${runId}: ${max} subscriptions wait for unknown runs already`,
  );
}
