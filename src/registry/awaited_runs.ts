import { RegistryFullError } from "../model/errors.ts";
import type { RunEvent } from "../model/event.ts";
import type { SubscribeOptions } from "../repository/run_log.ts";
import { RunBroadcast } from "../run/run_events.ts";

/**
 * The runs that somebody waits for and nobody has registered.
 *
 * They are no runs yet: they cost a broadcast without events, and they go with
 * their last subscription.
 */
export class AwaitedRuns {
  readonly #capacity: number;
  readonly #maxSubscriptions: number;
  readonly #broadcasts = new Map<string, RunBroadcast<unknown>>();
  #subscriptions = 0;

  /**
   * @param capacity How many events the broadcasts hold once they have any.
   * @param maxSubscriptions How many subscriptions may wait.
   */
  constructor(capacity: number, maxSubscriptions: number) {
    this.#capacity = capacity;
    this.#maxSubscriptions = maxSubscriptions;
  }

  /**
   * Subscribes to a run that is to come.
   *
   * @throws {RegistryFullError} If as many subscriptions wait as may.
   */
  subscribe(
    runId: string,
    options: SubscribeOptions,
  ): ReadableStream<RunEvent<unknown>> {
    if (this.#subscriptions >= this.#maxSubscriptions) {
      throw new RegistryFullError(
        runId,
        `Cannot subscribe to run ${runId}: ${this.#maxSubscriptions} subscriptions wait for unknown runs already`,
      );
    }
    let broadcast = this.#broadcasts.get(runId);
    if (broadcast === undefined) {
      broadcast = this.#await(runId);
      this.#broadcasts.set(runId, broadcast);
    }
    this.#subscriptions++;
    return broadcast.subscribe(options);
  }

  /** Hands over the broadcast of a run that is being registered, if any waits for it. */
  take(runId: string): RunBroadcast<unknown> | undefined {
    const broadcast = this.#broadcasts.get(runId);
    if (broadcast === undefined) return undefined;
    this.#broadcasts.delete(runId);
    this.#subscriptions -= broadcast.subscriptions;
    broadcast.onUnsubscribe = undefined;
    return broadcast;
  }

  /** Closes every subscription. */
  close(): void {
    for (const runId of [...this.#broadcasts.keys()]) this.take(runId)!.close();
  }

  #await(runId: string): RunBroadcast<unknown> {
    const broadcast = new RunBroadcast<unknown>(runId, this.#capacity);
    broadcast.onUnsubscribe = () => {
      this.#subscriptions--;
      if (broadcast.subscriptions === 0) this.#broadcasts.delete(runId);
    };
    return broadcast;
  }
}
