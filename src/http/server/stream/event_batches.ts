import { within } from "../../../async/within.ts";
import type { RunEvent } from "../../../model/event.ts";
import { eventJson } from "../../wire/messages.ts";

/** Consecutive events of a run. */
export interface EventBatch {
  /** The events as a JSON array. */
  readonly json: string;
  /** The last one. */
  readonly last: RunEvent;
}

/** How long a batch is at most, not counting its last event, in UTF-16 code units. */
const MAX_LENGTH = 65_536;

/** Reads events in batches. */
export class EventBatches {
  readonly #reader: ReadableStreamDefaultReader<RunEvent>;
  /** A read that was not waited for. */
  #reading: Promise<ReadableStreamReadResult<RunEvent>> | undefined;

  constructor(events: ReadableStream<RunEvent>) {
    this.#reader = events.getReader();
  }

  /**
   * The next event, once there is one, with those that follow it at once.
   *
   * @param until An event that is there: those up to it follow.
   * @returns The batch; `undefined` at the end of the events.
   */
  async next(until: number = 0): Promise<EventBatch | undefined> {
    const texts: string[] = [];
    let length = 0;
    let last: RunEvent | undefined;
    do {
      this.#reading ??= this.#reader.read();
      const isThere = last === undefined || last.seq < until;
      const read = await within(this.#reading, isThere ? Infinity : 0);
      if (read === undefined) break;
      this.#reading = undefined;
      if (read.done) break;
      last = read.value;
      const text = eventJson(last);
      length += text.length;
      texts.push(text);
    } while (last.seq !== until && length < MAX_LENGTH);
    if (last === undefined) return undefined;
    return { json: `[${texts.join(",")}]`, last };
  }

  /** Ends the events: a call of `next()` that waits gets `undefined`. */
  cancel(): void {
    this.#reader.cancel().catch(() => {}); // The stream may have failed.
  }
}
