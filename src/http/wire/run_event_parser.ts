import { checkInteger } from "../../arguments/checks.ts";
import type { RunEvent } from "../../model/event.ts";
import { toEvent } from "./to_event.ts";

const LINE_END = /\r\n|\n|\r/g;

/**
 * Parses the events of a run from server-sent events as the HTML standard defines
 * them: lines end in CR, LF or both, fields come in any order, data may span
 * lines, comments are skipped, and chunks may end anywhere.
 */
export class RunEventParser<P> {
  readonly #maxLength: number;
  // Deno 2.9 strips a BOM at the start of every chunk, not only of the first.
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #atBeginning = true;
  /** The line that has not ended yet. */
  #line = "";
  /** Whether the last chunk ended in a CR, so that a leading LF belongs to it. */
  #endedInCr = false;
  #id: string | undefined;
  #data: string[] = [];
  #dataLength = 0;
  #lastEventId: number | undefined;

  /** @param maxEventLength The length of the longest event, in UTF-16 code units. */
  constructor(maxEventLength: number = 16 * 1024 * 1024) {
    checkInteger("Cannot decode events: maxEventLength", maxEventLength, 1);
    this.#maxLength = maxEventLength;
  }

  /** The number of the last event, or of an id without event. */
  get lastEventId(): number | undefined {
    return this.#lastEventId;
  }

  /**
   * Parses a chunk lazily, one event at a time.
   *
   * @returns The events that the chunk completes.
   * @throws {TypeError} If the next of them is not an event of a run.
   * @throws {RangeError} If an event is too long.
   */
  *push(chunk: Uint8Array<ArrayBuffer>): Generator<RunEvent<P>, undefined> {
    let text = this.#decoder.decode(chunk, { stream: true });
    if (text === "") return undefined;
    if (this.#atBeginning) {
      text = text.replace(/^\ufeff/, "");
      this.#atBeginning = false;
    }
    if (this.#endedInCr && text.startsWith("\n")) text = text.slice(1);
    let start = 0;
    for (const { 0: end, index } of text.matchAll(LINE_END)) {
      const event = this.#takeLine(this.#line + text.slice(start, index));
      this.#line = "";
      start = index + end.length;
      if (event !== undefined) yield event;
    }
    this.#endedInCr = text.endsWith("\r");
    this.#line += text.slice(start);
    if (this.#line.length + this.#dataLength > this.#maxLength) {
      throw new RangeError(
        `Cannot decode events: an event has more than ${this.#maxLength} characters`,
      );
    }
  }

  #takeLine(line: string): RunEvent<P> | undefined {
    if (line === "") return this.#takeEvent();
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") {
      this.#data.push(value);
      this.#dataLength += value.length + 1;
    } else if (field === "id" && /^\d+$/.test(value)) this.#id = value;
    return undefined;
  }

  #takeEvent(): RunEvent<P> | undefined {
    const data = this.#data.join("\n");
    this.#data = [];
    this.#dataLength = 0;
    const event = data === "" ? undefined : toEvent<P>(data);
    if (this.#id !== undefined) this.#lastEventId = Number(this.#id);
    return event;
  }
}
