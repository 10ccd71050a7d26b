import { assert } from "@std/assert";

const MAIN = new URL("../../src/demo/main.ts", import.meta.url).href;

/** The exit status and the output of a demo. */
export interface Ending {
  code: number;
  stdout: string;
  stderr: string;
}

/** The demo in its own process. */
export class Demo {
  readonly #process: Deno.ChildProcess;
  readonly #output: ReadableStreamDefaultReader<string>;
  readonly #stderr: Promise<string>;
  #stdout = "";

  constructor(...args: string[]) {
    this.#process = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", MAIN, ...args],
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
