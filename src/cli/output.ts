import process from "node:process";
import { printable } from "./printable.ts";

const COLOURS = { dim: [2, 22], green: [32, 39], red: [31, 39] } as const;

/** Standard output, for people or as a line of JSON for each value. */
export class Output {
  /** Whether to write JSON. */
  readonly isJson: boolean;
  readonly #isColoured: boolean;

  constructor({ json = false }: { json?: boolean }) {
    this.isJson = json;
    this.#isColoured = !json && process.stdout.isTTY === true &&
      !process.env.NO_COLOR;
  }

  /**
   * Writes a line. What it consists of must have been made printable.
   *
   * @returns When it is written: a slow reader slows the writer. A failure of standard
   * output ends the program.
   */
  async line(text: string): Promise<void> {
    await new Promise<void>((resolve) => {
      process.stdout.write(`${text}\n`, (error) => {
        if (!error) resolve();
      });
    });
  }

  /** Writes a value as a line of JSON. */
  async json(value: unknown): Promise<void> {
    await this.line(printable(JSON.stringify(value)));
  }

  /** A printable text, coloured if standard output is a terminal. */
  paint(colour: keyof typeof COLOURS, text: string): string {
    if (!this.#isColoured) return printable(text);
    const [on, off] = COLOURS[colour];
    return `\x1b[${on}m${printable(text)}\x1b[${off}m`;
  }

  /** A phase, a status or the kind of an event, coloured if a run ends with it. */
  paintState(state: string): string {
    if (/errored/i.test(state)) return this.paint("red", state);
    if (/completed/i.test(state)) return this.paint("green", state);
    return printable(state);
  }

  /** A time in UTC, to the millisecond. */
  time(at: Date): string {
    const text = at.toISOString().replace("T", " ").replace("Z", "");
    return this.paint("dim", text);
  }
}
