import type { Terminal } from "./terminal.ts";

const REDRAW_INTERVAL = 80;
const PRINT_INTERVAL = 1_000;

const ENCODER = new TextEncoder();

/**
 * Lines that change. On a terminal they are redrawn in place; elsewhere a changed
 * line is printed again, at most once a second and when it is final.
 */
export class LiveLines {
  readonly #terminal: Terminal;
  readonly #lines: string[];
  readonly #printedAt: number[];
  #drawn = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Makes empty lines; if they do not fit on the screen, they are not redrawn. */
  constructor(terminal: Terminal, count: number) {
    const interactive = terminal.interactive && count < terminal.rows;
    this.#terminal = { ...terminal, interactive };
    this.#lines = Array.from({ length: count }, () => "");
    this.#printedAt = this.#lines.map(() => -Infinity);
  }

  /** The maximum length of a line, in characters. */
  get width(): number {
    return this.#terminal.columns;
  }

  /** Changes a line; `final` marks its last text. */
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

  /** Prints a text to standard error without garbling the lines. */
  warn(text: string): void {
    if (this.#drawn > 0) write(this.#erase());
    console.error(text);
    if (this.#terminal.interactive) this.#redraw();
  }

  /** Draws the lines for the last time. */
  close(): void {
    if (this.#terminal.interactive) this.#redraw();
    this.#drawn = 0;
  }

  #redraw(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    // Wrapping is off, so that a line with wide characters stays one line.
    const lines = this.#lines.map((line) => `${line}\n`).join("");
    write(`${this.#erase()}\x1b[?7l${lines}\x1b[?7h`);
    this.#drawn = this.#lines.length;
  }

  /** Returns the escape sequence that erases the drawn lines. */
  #erase(): string {
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
