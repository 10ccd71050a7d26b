import { jsonLinesOf } from "../json_lines.ts";
import type { InstanceOptions } from "./instance.ts";
import type { Entry, Told } from "./journal.ts";
import type { Command } from "./plan.ts";

/** How long a process may take to end in order before it is killed, in milliseconds. */
const LONGEST_STOP = 20_000;

/** The process of an instance, which writes into the journal. */
export class ChaosProcess {
  readonly name: string;
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #record: (entry: Entry) => void;
  readonly #read: Promise<void>;
  #frozenSince: number | undefined;
  #stopping: number | undefined;
  #ended = false;

  /**
   * Starts a process.
   *
   * @param name The instance's name in the journal.
   * @param options How the instance is set up.
   * @param pooled Whether it connects through a pooler.
   * @param record Adds to the journal.
   */
  constructor(
    name: string,
    options: InstanceOptions,
    pooled: boolean,
    record: (entry: Entry) => void,
  ) {
    this.name = name;
    this.#record = record;
    this.#child = new Deno.Command(Deno.execPath(), {
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
    this.#writer = this.#child.stdin.getWriter();
    this.#tell({ told: "started", pooled });
    this.#read = this.#readJournal();
  }

  get isFrozen(): boolean {
    return this.#frozenSince !== undefined;
  }

  /** Sends a command; one that has ended gets none. */
  send(command: Command): void {
    const line = new TextEncoder().encode(`${JSON.stringify(command)}\n`);
    this.#writer.write(line).catch(() => {});
  }

  freeze(): void {
    this.#frozenSince = Date.now();
    this.#signal("SIGSTOP");
  }

  thaw(): void {
    if (this.#frozenSince === undefined) return;
    this.#signal("SIGCONT");
    this.#tell({ told: "frozen", from: this.#frozenSince });
    this.#frozenSince = undefined;
  }

  async kill(): Promise<void> {
    this.#tell({ told: "killed" });
    this.#signal("SIGKILL");
    await this.#read;
  }

  /** Ends it in order. */
  async stop(): Promise<void> {
    this.#stopping = Date.now();
    this.send({ do: "stop" });
    const timer = setTimeout(() => this.#signal("SIGKILL"), LONGEST_STOP);
    await this.#read;
    clearTimeout(timer);
  }

  #signal(signal: Deno.Signal): void {
    if (!this.#ended) this.#child.kill(signal);
  }

  #tell(told: Told): void {
    this.#record({ ...told, at: Date.now(), instance: this.name });
  }

  async #readJournal(): Promise<void> {
    for await (const entry of jsonLinesOf<Entry>(this.#child.stdout)) {
      this.#record({ ...entry, instance: this.name });
    }
    const { code } = await this.#child.status;
    this.#ended = true;
    const afterStopping = this.#stopping && Date.now() - this.#stopping;
    this.#tell({ told: "exited", code, afterStopping });
    await this.#writer.close().catch(() => {});
  }
}
