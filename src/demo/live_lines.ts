import type { Terminal } from "./terminal.ts";

const REDRAW_INTERVAL = 80;
const PRINT_INTERVAL = 1_000;

const ENCODER = new TextEncoder();

/**
 * Lines that change: on a terminal each is redrawn in its place, elsewhere each
 * is printed again, once a second at most and when it is final.
 */
export class LiveLines {
  readonly #terminal: Terminal;
  readonly #lines: string[];
  readonly #printedAt: number[];
  #drawn = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * Makes empty lines. Nothing is shown yet.
   *
   * @param terminal Where they are printed.
   * @param count How many there are. More than fit are not redrawn.
   */
  constructor(terminal: Terminal, count: number) {
    const interactive = terminal.interactive && count < terminal.rows;
    this.#terminal = { ...terminal, interactive };
    this.#lines = Array.from({ length: count }, () => "");
    this.#printedAt = this.#lines.map(() => -Infinity);
  }

  /** How many characters a line may have. */
  get width(): number {
    return this.#terminal.columns;
  }

  /**
   * Sets a line.
   *
   * @param index Which one.
   * @param line Its new text.
   * @param final Whether that is its last.
   */
  set(index: number, line: string, final: boolean): void {
    this.#lines[index] = line;
    if (this.#terminal.interactive) {
      this.#timer ??= setTimeout(() => this.#redraw(), REDRAW_INTERVAL);
      return;
    }
    const now = performance.now();
    if (!final && now - this.#printedAt[index] < PRINT_INTERVAL) return;
    this.#printedAt[index] = now;
    console.log(line);
  }

  /**
   * Prints something to standard error without garbling the lines.
   *
   * @param text What to print.
   */
  warn(text: string): void {
    if (this.#drawn > 0) write(this.#takeBack());
    console.error(text);
    if (this.#terminal.interactive) this.#redraw();
  }

  /** Shows the lines as they are and lets go of the terminal. */
  close(): void {
    if (this.#terminal.interactive) this.#redraw();
    this.#drawn = 0;
  }

  #redraw(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    // Without wrapping, so that a line of wide characters stays one line.
    const lines = this.#lines.map((line) => `${line}\n`).join("");
    write(`${this.#takeBack()}\x1b[?7l${lines}\x1b[?7h`);
    this.#drawn = this.#lines.length;
  }

  /** What erases the lines that are drawn. */
  #takeBack(): string {
    const drawn = this.#drawn;
    this.#drawn = 0;
    return drawn === 0 ? "" : `\x1b[${drawn}A\x1b[J`;
  }
}

function write(text: string): void {
  const bytes = ENCODER.encode(text);
  for (let start = 0; start < bytes.length;) {
    start += Deno.stdout.writeSync(bytes.subarray(start));
  }
}
