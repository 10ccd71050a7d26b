import { jsonLinesOf } from "../json_lines.ts";
import type { Command, InstanceOptions, Report } from "./instance.ts";

type Told<T extends Report["told"]> = Extract<Report, { told: T }>;

/** An instance in a process of its own, and its reports so far. */
export class InstanceProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reports: Report[] = [];
  readonly #read: Promise<void>;
  #onReport = Promise.withResolvers<void>();
  #ended = false;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#writer = child.stdin.getWriter();
    this.#read = this.#readReports();
  }

  /** Starts an instance; it is ready when this resolves. */
  static async start(options: InstanceOptions): Promise<InstanceProcess> {
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--no-check",
        new URL("./instance.ts", import.meta.url).pathname,
        JSON.stringify(options),
      ],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const instance = new InstanceProcess(child);
    await instance.told("ready");
    return instance;
  }

  /** Tells it to do something. */
  async tell(command: Command): Promise<void> {
    const line = `${JSON.stringify(command)}\n`;
    await this.#writer.write(new TextEncoder().encode(line));
  }

  /** Waits for a report, `count` times. */
  async toldTimes<T extends Report["told"]>(
    told: T,
    count: number,
    isIt: (report: Told<T>) => boolean = () => true,
  ): Promise<Told<T>[]> {
    while (true) {
      const found = this.#reports.filter((report): report is Told<T> =>
        report.told === told && isIt(report as Told<T>)
      );
      if (found.length >= count) return found;
      if (this.#ended) {
        throw new Error(`The instance ended before it told "${told}"`);
      }
      await this.#onReport.promise;
    }
  }

  /** Waits for a report. */
  async told<T extends Report["told"]>(
    told: T,
    isIt?: (report: Told<T>) => boolean,
  ): Promise<Told<T>> {
    return (await this.toldTimes(told, 1, isIt))[0];
  }

  /** Sends it a signal. */
  kill(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  /** Ends it: in order, unless it is gone already. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.close().catch(() => {});
    await this.#child.status;
    await this.#read;
  }

  async #readReports(): Promise<void> {
    for await (const report of jsonLinesOf<Report>(this.#child.stdout)) {
      this.#reports.push(report);
      this.#wake();
    }
    this.#ended = true;
    this.#wake();
  }

  #wake(): void {
    this.#onReport.resolve();
    this.#onReport = Promise.withResolvers();
  }
}
