import { onAbort } from "../../async/on_abort.ts";
import { isLast, type RunEvent } from "../../model/event.ts";
import type {
  FollowedStream,
  FollowOptions,
  LocalRun,
} from "../../repository/run_log.ts";
import type { Replica } from "../client/replica.ts";
import { READ_EVENTS, toEvent } from "../sql/events.ts";
import {
  type LogFollower,
  type LogReader,
  MAX_BYTES,
  MAX_EVENTS,
  type News,
} from "./log_follower.ts";

/** How old an event is that the replica may have, in milliseconds. */
const OLD = 10_000;

/** Options of {@linkcode openLogStream}. */
export interface LogStreamOptions extends FollowOptions {
  readonly runId: string;
  readonly follower: LogFollower;
  /** Reads old events, if there is one. */
  readonly replica?: Replica;
  /** Takes up the stream; see {@linkcode LocalRun.follow}. */
  readonly follow: LocalRun["follow"];
  /** Reads the events that the log may not have yet, if this instance runs the run. */
  readonly unrecorded: LocalRun["unrecorded"];
}

/**
 * The events of one run for one reader: from memory if this instance runs the run,
 * otherwise from the log, which also fills in what memory has lost. A gap in the log
 * itself is what was dropped from it.
 */
class LogSource implements UnderlyingDefaultSource<RunEvent> {
  readonly #options: LogStreamOptions;
  #local: ReadableStreamDefaultReader<RunEvent> | undefined;
  #opened = false;
  /** What was read from the log and not pulled yet. */
  #buffer: RunEvent[] = [];
  /** The number of the last event delivered. */
  #lastSeq: number | undefined;
  /** The last event delivered of the log. */
  #last: RunEvent | undefined;
  /** The number up to which the log is read instead of memory. */
  #refillTo = 0;
  #reader: LogReader | undefined;
  #ended = false;
  #followed: FollowedStream | undefined;
  #stopListening: (() => void) | undefined;

  constructor(options: LogStreamOptions) {
    this.#options = options;
    this.#lastSeq = options.after;
  }

  start(controller: ReadableStreamDefaultController<RunEvent>): void {
    const { follow, signal } = this.#options;
    this.#followed = follow(() => this.#end(controller));
    this.#stopListening = onAbort(signal, (reason) => {
      controller.error(reason);
      this.cancel();
    });
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
    this.#followed?.onEvent();
    const lagged = this.#lagBefore(event);
    if (lagged !== undefined) {
      this.#options.onMissed?.(lagged.missed);
      controller.enqueue(lagged);
      this.#lastSeq = lagged.seq;
      if (this.#options.lag !== "skip") return this.#end(controller);
      this.#buffer.unshift(event);
      return;
    }
    this.#lastSeq = event.seq;
    this.#last = event;
    controller.enqueue(event);
    if (isLast(event)) this.#end(controller);
  }

  cancel(): void {
    this.#ended = true;
    this.#followed?.onEnd();
    this.#stopListening?.();
    this.#local?.cancel().catch(() => {});
    if (this.#reader !== undefined) this.#options.follower.forget(this.#reader);
  }

  #end(controller: ReadableStreamDefaultController<RunEvent>): void {
    this.cancel();
    controller.close();
  }

  /** The next event; `undefined` if there is none and will be none. */
  async #next(): Promise<RunEvent | undefined> {
    if (!this.#opened) await this.#open();
    while (this.#buffer.length === 0) {
      if (this.#ended) return undefined;
      const isRefilling = (this.#lastSeq ?? 0) < this.#refillTo;
      if (this.#local !== undefined && !isRefilling) {
        const { done, value } = await this.#local.read();
        if (done) return undefined;
        if (value.kind !== "Lagged") return value;
        this.#refillTo = value.seq;
        if (this.#ended) return undefined;
      }
      const news = await this.#readOld() ?? await this.#readLog();
      if (news.length === 0) return undefined;
      this.#buffer = this.#local === undefined
        ? news
        : news.filter((event) => event.seq <= this.#refillTo);
      // What was dropped from the log shows as a gap before the next one of memory.
      if (this.#buffer.length === 0) this.#refillTo = 0;
    }
    return this.#buffer.shift();
  }

  #readLog(): Promise<RunEvent[]> {
    const { follower, runId } = this.#options;
    this.#reader ??= follower.open(runId);
    return follower.next(this.#reader, this.#lastSeq);
  }

  /**
   * What follows an old event, if the replica has both. It may have the events of
   * another life of the run's id instead, or may not have the newest yet.
   */
  async #readOld(): Promise<RunEvent[] | undefined> {
    const { replica, runId } = this.#options;
    const last = this.#last;
    if (
      replica === undefined || last === undefined ||
      last.seq !== this.#lastSeq || Date.now() - last.at.getTime() < OLD
    ) return undefined;
    const answer = await replica.query(READ_EVENTS, {
      readers: JSON.stringify([{ runId, after: last.seq - 1 }]),
      maxEvents: MAX_EVENTS,
      maxBytes: MAX_BYTES,
    }) as News[] | undefined;
    const rows = answer?.[0]?.events ?? [];
    const [known, ...events] = rows.map((row) => toEvent(runId, row));
    const isSame = known?.seq === last.seq &&
      known.at.getTime() === last.at.getTime();
    return isSame && events.length > 0 ? events : undefined;
  }

  async #open(): Promise<void> {
    this.#opened = true;
    const local = await this.#options.unrecorded?.();
    if (local === undefined) return;
    this.#lastSeq = local.after;
    this.#local = local.events.getReader();
    if (this.#ended) this.cancel();
  }

  #lagBefore(
    event: RunEvent,
  ): RunEvent & { kind: "Lagged" } | undefined {
    if (this.#lastSeq === undefined || event.seq <= this.#lastSeq + 1) {
      return undefined;
    }
    return {
      runId: event.runId,
      seq: event.seq - 1,
      at: new Date(),
      kind: "Lagged",
      missed: event.seq - 1 - this.#lastSeq,
    };
  }
}

/** Makes the stream of a run's events for one reader. */
export function openLogStream(
  options: LogStreamOptions,
): ReadableStream<RunEvent> {
  return new ReadableStream(new LogSource(options), { highWaterMark: 0 });
}
