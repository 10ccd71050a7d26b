import { jsonLinesOf } from "../json_lines.ts";
import type { Input, InstanceOptions } from "./instance.ts";
import type { OtlpReceiver } from "./otlp_receiver.ts";

/** An instance with telemetry in a process of its own. */
export class TracedInstance implements AsyncDisposable {
  readonly url: URL;
  readonly #child: Deno.ChildProcess;
  #isStopped = false;

  private constructor(child: Deno.ChildProcess, port: number) {
    this.#child = child;
    this.url = new URL(`http://127.0.0.1:${port}`);
  }

  /** Starts an instance that exports to a receiver under a name. */
  static async start(
    service: string,
    receiver: OtlpReceiver,
    options: InstanceOptions = {},
  ): Promise<TracedInstance> {
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--no-check",
        new URL("./instance.ts", import.meta.url).pathname,
        JSON.stringify(options),
      ],
      env: { NO_COLOR: "1", ...receiver.envOf(service) },
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    for await (const { port } of jsonLinesOf<Deno.NetAddr>(child.stdout)) {
      return new TracedInstance(child, port);
    }
    throw new Error("The instance ended before it served");
  }

  /** Sends it a request and returns the JSON of the response. */
  async request<T>(
    method: string,
    path: string,
    { body, prefer }: { body?: unknown; prefer?: string } = {},
  ): Promise<T> {
    const response = await fetch(new URL(path, this.url), {
      method,
      body: body === undefined ? undefined : JSON.stringify(body),
      headers: {
        ...body !== undefined && { "Content-Type": "application/json" },
        ...prefer !== undefined && { Prefer: prefer },
      },
    });
    const json = await response.json();
    if (!response.ok) throw new Error(`${response.status} ${json.detail}`);
    return json;
  }

  /** Starts a run, and returns its id once it has begun or, to wait, ended. */
  async run(
    pipeline: string,
    body: Input = {},
    prefer?: "wait",
  ): Promise<string> {
    const started = await this.request<{ pipeline_run_id: string }>(
      "POST",
      `/pipelines/${pipeline}`,
      { body, prefer },
    );
    return started.pipeline_run_id;
  }

  /** Waits until it can read the first event of a run. */
  async seesBeginning(runId: string): Promise<void> {
    const response = await fetch(new URL(`/runs/${runId}/events`, this.url));
    for await (
      const text of response.body!.pipeThrough(new TextDecoderStream())
    ) {
      if (text.includes("data:")) return;
    }
  }

  /** Sends it a signal. */
  kill(signal: Deno.Signal): void {
    this.#isStopped = signal === "SIGSTOP";
    this.#child.kill(signal);
  }

  /** Ends it: in order, unless it is gone already. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isStopped) this.kill("SIGCONT");
    await this.#child.stdin.close().catch(() => {});
    await this.#child.status;
  }
}
