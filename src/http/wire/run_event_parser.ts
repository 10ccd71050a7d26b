import type { RunEvent } from "../../model/event.ts";
import { toEvent } from "./messages.ts";

const LINE_END = /\r\n|\n|\r/g;

/** Options of {@linkcode RunEventParser}. */
export interface RunEventParserOptions {
  /**
   * How long one event may be, in UTF-16 code units: a positive integer.
   *
   * @default {16_777_216}
   */
  maxEventLength?: number;
}

/**
 * Takes the events of a run out of server-sent events as the HTML standard
 * defines them: with lines that end in CR, LF or both, fields in any order, data
 * of several lines, comments, cut into chunks anywhere.
 */
export class RunEventParser<P> {
  readonly #maxLength: number;
  // Deno 2.9 takes a BOM for one at the beginning wherever a chunk begins with it.
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #atBeginning = true;
  /** The line that has not ended yet. */
  #line = "";
  /** Whether the last line ended in CR, to which an LF may belong. */
  #endedInCr = false;
  #id: string | undefined;
  #data: string[] = [];
  #dataLength = 0;
  #position: number | undefined;

  constructor(options: RunEventParserOptions = {}) {
    const { maxEventLength = 16 * 1024 * 1024 } = options;
    if (!Number.isSafeInteger(maxEventLength) || maxEventLength < 1) {
      throw new RangeError(
        `Cannot decode events: maxEventLength must be a positive integer, received ${maxEventLength}`,
      );
    }
    this.#maxLength = maxEventLength;
  }

  /** The number of the last event, or of an id without event. */
  get position(): number | undefined {
    return this.#position;
  }

  /**
   * Takes in a chunk, as far as the events that it completes are taken.
   *
   * @returns Those events.
   * @throws {TypeError} If the next of them is no event of a run.
   * @throws {RangeError} If it is too long.
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
    switch (field) {
      case "data":
        this.#data.push(value);
        this.#dataLength += value.length + 1;
        break;
      case "id":
        if (/^\d+$/.test(value)) this.#id = value;
    }
    return undefined;
  }

  #takeEvent(): RunEvent<P> | undefined {
    const data = this.#data.join("\n");
    this.#data = [];
    this.#dataLength = 0;
    const event = data === "" ? undefined : toEvent<P>(data);
    if (this.#id !== undefined) this.#position = Number(this.#id);
    return event;
  }
}
