/** For how long the runs' last rows may take, in milliseconds. */
const GRACE = 4_000;

/**
 * One Ctrl-C comes twice under `deno task`: from the terminal and from the task
 * runner. The second is late when the database in the process is at work.
 */
const ECHO = 600;

/**
 * Listens for Ctrl-C, and for SIGTERM where there is one.
 *
 * The first time its signal fires, and the process has some seconds to end by
 * itself. After that, or the second time, the process exits.
 */
export class Interruption implements Disposable {
  readonly #controller = new AbortController();
  readonly #stack = new DisposableStack();
  #exitCode: number | undefined;
  #interruptedAt = 0;

  /** Begins to listen. */
  constructor() {
    this.#listen("SIGINT", 130);
    if (Deno.build.os !== "windows") this.#listen("SIGTERM", 143);
  }

  /** Fires when the process was asked to end. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** What to exit with; `undefined` as long as nobody interrupted. */
  get exitCode(): number | undefined {
    return this.#exitCode;
  }

  /** Listens no more. */
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
