import { isLast, type RunEvent } from "../../model/event.ts";
import type {
  LocalEvents,
  SubscribeOptions,
} from "../../repository/run_log.ts";
import type { LogFollower, WaitingReader } from "./log_follower.ts";

/** Options of {@linkcode openLogStream}. */
export interface LogStreamOptions extends SubscribeOptions {
  runId: string;
  follower: LogFollower;
  /** Closes the stream when it fires. */
  closing: AbortSignal;
  /** Gives the events from memory, where the run is of this instance. */
  local?: () => Promise<LocalEvents | undefined>;
}

/**
 * The events of one run for one reader, from memory where the run is of this
 * instance, and from the log otherwise and for what the memory has lost. A gap
 * in the log itself is what was dropped from it.
 */
class LogSource implements UnderlyingDefaultSource<RunEvent> {
  readonly #options: LogStreamOptions;
  #local: ReadableStreamDefaultReader<RunEvent> | undefined;
  #opened = false;
  /** What was read from the log and not asked for yet. */
  #buffer: RunEvent[] = [];
  /** The number of the last event given. */
  #position: number | undefined;
  /** The number up to which the log is read instead of the memory. */
  #refillTo = 0;
  #waiting: WaitingReader | undefined;
  #ended = false;
  #removeListeners: (() => void) | undefined;

  constructor(options: LogStreamOptions) {
    this.#options = options;
    this.#position = options.after;
  }

  start(controller: ReadableStreamDefaultController<RunEvent>): void {
    const { signal, closing } = this.#options;
    const onAbort = () => {
      controller.error(signal!.reason);
      this.cancel();
    };
    const onClosing = () => this.#end(controller);
    if (signal?.aborted) return onAbort();
    if (closing.aborted) return onClosing();
    signal?.addEventListener("abort", onAbort);
    closing.addEventListener("abort", onClosing);
    this.#removeListeners = () => {
      signal?.removeEventListener("abort", onAbort);
      closing.removeEventListener("abort", onClosing);
    };
  }

  async pull(
    controller: ReadableStreamDefaultController<RunEvent>,
  ): Promise<void> {
    let event: RunEvent | undefined;
    try {
      event = await this.#next();
    } catch (error) {
      this.cancel();
      throw error; // The stream errors with it.
    }
    if (this.#ended) return;
    if (event === undefined) return this.#end(controller);
    const lagged = this.#lagBefore(event);
    if (lagged !== undefined) {
      controller.enqueue(lagged);
      this.#position = lagged.seq;
      if (this.#options.lag !== "skip") return this.#end(controller);
      this.#buffer.unshift(event);
      return;
    }
    this.#position = event.seq;
    controller.enqueue(event);
    if (isLast(event)) this.#end(controller);
  }

  cancel(): void {
    this.#ended = true;
    this.#removeListeners?.();
    this.#local?.cancel().catch(() => {});
    if (this.#waiting !== undefined) {
      this.#options.follower.forget(this.#waiting);
    }
  }

  #end(controller: ReadableStreamDefaultController<RunEvent>): void {
    this.cancel();
    controller.close();
  }

  async #next(): Promise<RunEvent | undefined> {
    if (!this.#opened) await this.#open();
    while (this.#buffer.length === 0) {
      if (this.#ended) return undefined;
      const isRefilling = (this.#position ?? 0) < this.#refillTo;
      if (this.#local !== undefined && !isRefilling) {
        const { done, value } = await this.#local.read();
        if (done) return undefined;
        if (value.kind !== "Lagged") return value;
        this.#refillTo = value.seq;
        if (this.#ended) return undefined;
      }
      const news = await this.#read();
      if (news.length === 0) return undefined;
      this.#buffer = this.#local === undefined
        ? news
        : news.filter((event) => event.seq <= this.#refillTo);
      // What was dropped from the log shows as a gap before the memory's next.
      if (this.#buffer.length === 0) this.#refillTo = 0;
    }
    return this.#buffer.shift();
  }

  async #open(): Promise<void> {
    this.#opened = true;
    const local = await this.#options.local?.();
    if (local === undefined) return;
    this.#position = local.after;
    this.#local = local.events.getReader();
    if (this.#ended) this.cancel();
  }

  async #read(): Promise<RunEvent[]> {
    const { runId, follower } = this.#options;
    this.#waiting = { runId, after: this.#position };
    const news = await follower.next(this.#waiting);
    this.#waiting = undefined;
    return news;
  }

  #lagBefore(event: RunEvent): RunEvent | undefined {
    if (this.#position === undefined || event.seq <= this.#position + 1) {
      return undefined;
    }
    return {
      runId: event.runId,
      seq: event.seq - 1,
      at: new Date(),
      payload: null,
      kind: "Lagged",
      missed: event.seq - 1 - this.#position,
    };
  }
}

/** Makes the stream of a run's events for one reader. */
export function openLogStream(
  options: LogStreamOptions,
): ReadableStream<RunEvent> {
  return new ReadableStream(new LogSource(options), { highWaterMark: 0 });
}
