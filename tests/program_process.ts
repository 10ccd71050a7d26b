import { assert } from "@std/assert";

const SOURCES = new URL("../src/", import.meta.url);

/** The exit status and the output of a program. */
export interface Ending {
  code: number;
  stdout: string;
  stderr: string;
}

/** A program of this package in its own process. */
export class ProgramProcess {
  readonly #process: Deno.ChildProcess;
  readonly #output: ReadableStreamDefaultReader<string>;
  readonly #stderr: Promise<string>;
  #stdout = "";

  /**
   * @param main The file of the program, in `src`.
   * @param args Its arguments.
   * @param options Its environment, and its permissions: by default all.
   */
  constructor(
    main: string,
    args: readonly string[],
    options: { env?: Record<string, string>; flags?: readonly string[] } = {},
  ) {
    const { env, flags = ["-A"] } = options;
    this.#process = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", ...flags, new URL(main, SOURCES).href, ...args],
      env,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#output = this.#process.stdout
      .pipeThrough(new TextDecoderStream())
      .getReader();
    this.#stderr = new Response(this.#process.stderr).text();
  }

  /** Waits until its output matches, and returns the match. */
  async printed(pattern: RegExp): Promise<RegExpExecArray> {
    while (true) {
      const match = pattern.exec(this.#stdout);
      if (match !== null) return match;
      assert(await this.#read(), `${pattern} is not in ${this.#stdout}`);
    }
  }

  /** Sends a signal. */
  kill(signal: Deno.Signal): void {
    this.#process.kill(signal);
  }

  /** Reads no more of its output, as `head` does when it has enough. */
  async stopReading(): Promise<void> {
    await this.#output.cancel();
  }

  /** Waits until it has ended. */
  async ended(): Promise<Ending> {
    while (await this.#read());
    const [{ code }, stderr] = await Promise.all([
      this.#process.status,
      this.#stderr,
    ]);
    return { code, stdout: this.#stdout, stderr };
  }

  async #read(): Promise<boolean> {
    const { done, value = "" } = await this.#output.read();
    this.#stdout += value;
    return !done;
  }
}
