import { BroadcastController } from "../broadcast/broadcast_controller.ts";
import { currentDate } from "../async/current_date.ts";
import type { RunEvent } from "../model/event.ts";
import type { SubscribeOptions } from "../repository/run_log.ts";

/** What a run can say: the kinds of event that are not about a subscriber. */
export type RunAnnouncement =
  | { kind: "Started" | "Yield" | "AlreadyCompleted" | "Completed" }
  | { kind: "Errored"; message: string };

/**
 * The events of one attempt of a run, numbered and broadcast.
 *
 * It can exist before its run does, for subscribers who came first.
 */
export class RunBroadcast<P> {
  readonly #runId: string;
  #firstSeq: number;
  readonly #broadcast: BroadcastController<RunEvent<P>>;
  /** Told of each subscription that ends. */
  onUnsubscribe: (() => void) | undefined;
  #subscriptions = 0;

  /**
   * @param runId The run.
   * @param capacity How many events are held.
   * @param lastSeq The number of the last event of the run's former attempts.
   */
  constructor(runId: string, capacity: number, lastSeq: number = 0) {
    this.#runId = runId;
    this.#firstSeq = lastSeq + 1;
    this.#broadcast = new BroadcastController({ capacity });
  }

  /** The number of the attempt's first event. */
  get firstSeq(): number {
    return this.#firstSeq;
  }

  /** The number of the last event published. */
  get lastSeq(): number {
    return this.#firstSeq + this.#broadcast.enqueued - 1;
  }

  /** How many subscriptions have not ended. */
  get subscriptions(): number {
    return this.#subscriptions;
  }

  /** Numbers the events from behind `lastSeq`; before the first one only. */
  continueAfter(lastSeq: number): void {
    this.#firstSeq = lastSeq + 1;
  }

  /** Makes the event that would be next. */
  next(announcement: RunAnnouncement, payload: P | null = null): RunEvent<P> {
    return {
      runId: this.#runId,
      seq: this.lastSeq + 1,
      at: currentDate(),
      payload,
      ...announcement,
    };
  }

  /** Publishes an event. */
  enqueue(event: RunEvent<P>): void {
    this.#broadcast.enqueue(event);
  }

  /** Makes the next event and publishes it. */
  publish(
    announcement: RunAnnouncement,
    payload: P | null = null,
  ): RunEvent<P> {
    const event = this.next(announcement, payload);
    this.#broadcast.enqueue(event);
    return event;
  }

  /** Closes every subscription behind the last event. */
  close(): void {
    this.#broadcast.close();
  }

  /**
   * Makes a subscription.
   *
   * @throws {RangeError} If `after` is not a non-negative integer.
   * @throws {TypeError} If `lag` is unknown.
   */
  subscribe(options: SubscribeOptions): ReadableStream<RunEvent<P>> {
    const { after, signal, lag = "close" } = options;
    const position = after === undefined
      ? undefined
      : after - this.#firstSeq + 1;
    this.#subscriptions++;
    return this.#broadcast.tee({
      position,
      signal,
      lag,
      lagged: (missed, position) => ({
        runId: this.#runId,
        seq: this.#firstSeq + position - 1,
        at: new Date(),
        payload: null,
        kind: "Lagged",
        missed,
      }),
      onRelease: () => {
        this.#subscriptions--;
        this.onUnsubscribe?.();
      },
    });
  }
}
