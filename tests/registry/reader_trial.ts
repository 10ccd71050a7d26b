import { assert, assertEquals } from "@std/assert";
import { isLast } from "../../src/model/event.ts";
import type { RunEvent } from "../../mod.ts";
import type { WatchedSignal } from "../watched_signal.ts";
import type { AttemptModel } from "./attempt_model.ts";

/** Options of {@linkcode ReaderTrial}. */
export interface ReaderTrialOptions {
  readonly stream: ReadableStream<RunEvent>;
  /** The subscriber's signal. */
  readonly signal: WatchedSignal;
  readonly runId: string;
  /** The attempt; `undefined` while the run is awaited. */
  readonly attempt: AttemptModel | undefined;
  readonly after: number | undefined;
  readonly lag: "close" | "skip";
  /** Whether the row of the attempt's ending is known to be written. */
  readonly isRecorded: (attempt: AttemptModel) => boolean;
}

type Result =
  & { readonly isRecorded: boolean }
  & ({ readonly event: RunEvent } | { readonly error: unknown } | {
    readonly done: true;
  });

/** Reads one subscription, and accounts for every event of its attempt. */
export class ReaderTrial {
  attempt: AttemptModel | undefined;
  readonly runId: string;
  /** Whether the stream gave its end, or was left. */
  over = false;
  /** The reason with which the stream must error. */
  failure: { readonly error: unknown } | undefined;
  /** Whether the stream must close without an attempt. */
  closed = false;
  /** Whether some ending came before its row. */
  cameEarly = false;
  readonly #options: ReaderTrialOptions;
  readonly #reader: ReadableStreamDefaultReader<RunEvent>;
  readonly #results: Result[] = [];
  /** The number of the next event, after those received or missed. */
  #next: number | undefined;
  /** The oldest event held when the pending read may have been answered. */
  #oldest = 0;
  #isPending = false;
  /** Whether events were lost before it began, which it is only told of. */
  #isLate: boolean;
  #lagged = false;
  #ended = false;

  constructor(options: ReaderTrialOptions) {
    this.#options = options;
    this.#reader = options.stream.getReader();
    this.runId = options.runId;
    this.attempt = options.attempt;
    this.#next = options.after === undefined
      ? options.attempt?.firstSeq
      : options.after + 1;
    this.#isLate = options.after === undefined && this.#isBehind();
    this.#oldest = options.attempt?.oldest ?? 0;
    this.#reader.closed.catch(() => {});
  }

  /** Whether it waits for a run that nobody has registered. */
  get isAwaiting(): boolean {
    return this.attempt === undefined && !this.over && !this.closed &&
      this.failure === undefined;
  }

  /** Reads one event, or all. */
  async read(isAll: boolean): Promise<void> {
    if (this.over || this.#isPending) return;
    this.#isPending = true;
    let result: Result;
    do {
      result = await this.#readOne();
      this.#results.push(result);
    } while (isAll && "event" in result);
    this.#isPending = false;
  }

  /** Leaves the stream. */
  async cancel(): Promise<void> {
    if (this.over || this.failure !== undefined) return;
    this.over = true;
    await this.#reader.cancel();
  }

  /** Fires its signal. */
  abort(error: unknown): void {
    if (!this.over && !this.#isAtEnd) this.failure ??= { error };
    this.#options.signal.abort(error);
  }

  /** Compares what came since the last check with the attempt. */
  check(): void {
    for (const result of this.#results.splice(0)) {
      if (this.over) return;
      if ("error" in result) this.#checkError(result.error);
      else if ("done" in result) this.#checkEnd();
      else this.#checkEvent(result.event, result.isRecorded);
    }
    const { attempt } = this;
    this.#oldest = attempt?.oldest ?? 0;
    if (this.over || !this.#isPending) return;
    assert(this.failure === undefined, "the error was not given");
    assert(!this.closed, "the end was not given");
    if (attempt === undefined) return;
    const next = this.#next ?? attempt.firstSeq;
    assert(next > attempt.lastSeq, "an event that is there was not given");
    assert(!attempt.published, "the end of an ended run was not given");
    assert(!this.#lagged, "the end behind a lag was not given");
  }

  /** Whether nothing is left to read: the stream is closed. */
  get #isAtEnd(): boolean {
    const { attempt } = this;
    return this.closed || this.#lagged ||
      attempt !== undefined && attempt.published &&
        (this.#next ?? attempt.firstSeq) > attempt.lastSeq;
  }

  async #readOne(): Promise<Result> {
    try {
      const { done, value } = await this.#reader.read();
      const { attempt } = this;
      const isRecorded = attempt !== undefined &&
        this.#options.isRecorded(attempt);
      return done ? { done, isRecorded } : { event: value, isRecorded };
    } catch (error) {
      return { error, isRecorded: false };
    }
  }

  #isBehind(): boolean {
    const { attempt } = this;
    return attempt !== undefined && attempt.oldest > attempt.firstSeq;
  }

  #checkEvent(event: RunEvent, isRecorded: boolean): void {
    const { attempt } = this;
    assert(attempt !== undefined, "an event came before its run");
    assert(!this.#lagged, "an event came behind the end of a lag");
    assert(!this.#ended, "an event came behind the last one");
    assertEquals(event.runId, this.runId);
    this.#next ??= attempt.firstSeq;
    if (event.kind === "Lagged") {
      const { missed } = event;
      this.#next += missed;
      assert(missed > 0);
      assertEquals(event.seq, this.#next - 1);
      assert(
        this.#next >= this.#oldest && this.#next <= attempt.oldest,
        `the oldest event is said to be ${this.#next}, it is ${attempt.oldest}`,
      );
      this.#lagged = this.#options.lag === "close" && !this.#isLate;
      this.#isLate = false;
      return;
    }
    const { runId: _runId, at: _at, ...rest } = event;
    assertEquals(rest.seq, this.#next, "a number is missing, or comes again");
    assertEquals(
      { ...rest },
      attempt.events[this.#next - attempt.firstSeq] as unknown,
    );
    this.#next++;
    if (!isLast(event)) return;
    this.#ended = true;
    this.cameEarly = !isRecorded;
  }

  #checkEnd(): void {
    assert(this.failure === undefined, "the stream closed, it should error");
    assert(this.#isAtEnd, "the stream closed before the last event");
    this.over = true;
  }

  #checkError(error: unknown): void {
    assertEquals({ error }, this.failure);
    this.over = true;
  }
}
