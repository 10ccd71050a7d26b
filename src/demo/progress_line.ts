import type { RunEvent } from "../../mod.ts";
import { type IndexProgress, NO_PROGRESS } from "./index_files.ts";
import { cut, cutPath, printable } from "./terminal.ts";

const PATH_WIDTH = 22;

/** The progress of one run as a line of text. */
export class ProgressLine {
  readonly #path: string;
  #progress = NO_PROGRESS;
  #state = "waiting";

  constructor(path: string) {
    this.#path = printable(path);
  }

  /** Updates the line with the next event of the run. */
  update(event: RunEvent<IndexProgress>): void {
    switch (event.kind) {
      case "Started":
        this.#state = "started";
        break;
      case "Yield": {
        this.#progress = event.payload;
        const { file, files, done } = this.#progress;
        this.#state = file === ""
          ? "listing"
          : `${Math.floor(100 * done / files)}%`;
        break;
      }
      case "Completed":
        this.#state = "done";
        break;
      case "Errored":
        this.#state = "failed";
    }
  }

  /** Whether the run has ended. */
  get isFinal(): boolean {
    return this.#state === "done" || this.#state === "failed";
  }

  /** Formats the line, with at most `width` characters and no line break. */
  toString(width: number): string {
    const { file, files, done, skipped, terms } = this.#progress;
    const parts = [
      cutPath(this.#path, PATH_WIDTH).padEnd(PATH_WIDTH),
      this.#state.padStart(7),
      `${done}/${files} files`,
      `${terms.toLocaleString("en-US")} terms`,
    ];
    if (skipped > 0) parts.push(`${skipped} skipped`);
    const line = parts.join("  ");
    const room = width - line.length - 2;
    if (this.isFinal || room < 8) return cut(line, width);
    return `${line}  ${cutPath(printable(file), room)}`.trimEnd();
  }
}
