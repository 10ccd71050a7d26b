import type { RunEvent } from "../../mod.ts";
import { type IndexProgress, NO_PROGRESS } from "./index_pipeline.ts";
import { cut, cutPath, printable } from "./terminal.ts";

const PATH_WIDTH = 22;

/** Tells how far one run is, in one line. */
export class ProgressLine {
  readonly #path: string;
  #progress = NO_PROGRESS;
  #state = "waiting";

  /**
   * Makes the line of a run that has told nothing yet.
   *
   * @param path What the run indexes.
   */
  constructor(path: string) {
    this.#path = printable(path);
  }

  /**
   * Takes in what the run tells.
   *
   * @param event The next event of the run.
   */
  update(event: RunEvent<IndexProgress>): void {
    switch (event.kind) {
      case "Started":
        this.#state = "started";
        break;
      case "Yield": {
        this.#progress = event.payload ?? this.#progress;
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

  /**
   * The line.
   *
   * @param width How many characters it may have.
   * @returns The line, without a line break.
   */
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
    const isOver = this.#state === "done" || this.#state === "failed";
    if (isOver || room < 8) return cut(line, width);
    return `${line}  ${cutPath(printable(file), room)}`.trimEnd();
  }
}
