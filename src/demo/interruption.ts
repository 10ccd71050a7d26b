/** How long the runs may take to write their last rows, in milliseconds. */
const GRACE = 4_000;

/**
 * How long to ignore a second signal, in milliseconds. Under `deno task` one
 * Ctrl-C arrives twice: from the terminal and from the task runner. The second is
 * late while the database in this process is busy.
 */
const ECHO = 600;

/**
 * Listens for Ctrl-C and, except on Windows, SIGTERM.
 *
 * The first one fires `signal`, and the process has a few seconds to end by
 * itself. After that, or at the second one, the process exits.
 */
export class Interruption implements Disposable {
  readonly #controller = new AbortController();
  readonly #stack = new DisposableStack();
  #exitCode: number | undefined;
  #interruptedAt = 0;

  constructor() {
    this.#listen("SIGINT", 130);
    if (Deno.build.os !== "windows") this.#listen("SIGTERM", 143);
  }

  /** Fires when the process is asked to end. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The exit status; `undefined` until an interruption. */
  get exitCode(): number | undefined {
    return this.#exitCode;
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }

  #listen(name: "SIGINT" | "SIGTERM", exitCode: number): void {
    const listener = () => this.#interrupt(name, exitCode);
    Deno.addSignalListener(name, listener);
    this.#stack.defer(() => Deno.removeSignalListener(name, listener));
  }

  #interrupt(name: string, exitCode: number): void {
    if (this.#exitCode !== undefined) {
      if (performance.now() - this.#interruptedAt < ECHO) return;
      Deno.exit(this.#exitCode);
    }
    this.#exitCode = exitCode;
    this.#interruptedAt = performance.now();
    const timer = setTimeout(() => {
      console.error("The database did not answer: ERRORED rows may be missing");
      Deno.exit(exitCode);
    }, GRACE);
    this.#stack.defer(() => clearTimeout(timer));
    this.#controller.abort(new Error(`interrupted by ${name}`));
  }
}
