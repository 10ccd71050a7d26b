/**
 * Another instance in its own process. It performs the task in its argument,
 * reports in lines of JSON, and ends when its input closes.
 *
 * @module
 */
import postgres from "postgres";
import { PipelineRunRegistry } from "../mod.ts";
import { connect, type ConnectOptions } from "../src/postgres/mod.ts";

/** A task of another instance. */
export type Task =
  | { do: "follow"; url: string; runIds: string[] }
  | { do: "write"; url: string; runId: string; events: number }
  | { do: "hold"; url: string; runIds: string[] }
  | { do: "follow bare"; url: string; events: number };

/** The time of a clock that all processes of a machine share, in milliseconds. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}

function report(value: unknown): void {
  console.log(JSON.stringify(value));
}

/** Opens a registry on a database. */
export async function openRegistry(
  url: string,
  options: ConnectOptions = {},
): Promise<AsyncDisposable & { registry: PipelineRunRegistry }> {
  const repository = await connect(url, options);
  const registry = new PipelineRunRegistry({ repository });
  return {
    registry,
    async [Symbol.asyncDispose]() {
      await registry.shutdown();
      await repository.close();
    },
  };
}

/** Work that publishes as fast as it can, but lets other tasks run. */
export async function* publishMany(events: number): AsyncGenerator<number> {
  for (let i = 0; i < events; i++) {
    yield i;
    if (i % 100 === 99) await new Promise((resolve) => setImmediate(resolve));
  }
}

async function perform(task: Task): Promise<void> {
  if (task.do === "follow bare") return await followBare(task);
  await using opened = await openRegistry(task.url);
  const { registry } = opened;
  switch (task.do) {
    case "follow": {
      const latencies: number[] = [];
      let events = 0;
      report("ready");
      await Promise.all(task.runIds.map(async (runId) => {
        for await (const { payload } of registry.subscribe<number>(runId)) {
          if (payload !== null) events++;
          // Payloads are small numbers or the time of publishing.
          if (payload! > 1e12) latencies.push(now() - payload!);
        }
      }));
      return report({ latencies, events, at: now() });
    }
    case "write": {
      const { runId, events } = task;
      const outcome = await registry.registerInline(
        { pipelineName: "write", runId },
        () => publishMany(events),
      );
      return report(outcome.phase.name);
    }
    case "hold": {
      const fired = await Promise.all(task.runIds.map(async (runId) => {
        const { promise, resolve } = Promise.withResolvers<number>();
        await registry.registerBackground(
          { pipelineName: "hold", runId },
          ({ signal }) =>
            new Promise((_, reject) =>
              signal.addEventListener("abort", () => {
                resolve(now());
                reject(signal.reason);
              })
            ),
        );
        return { promise };
      }));
      report("ready");
      for (const { promise } of fired) report(await promise);
    }
  }
}

/** The lower bound: a notification, then a query for the rows after the last. */
async function followBare({ url, events }: { url: string; events: number }) {
  const sql = postgres(url, { max: 2 });
  const latencies: number[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  let last = 0;
  await sql.listen("bare", async () => {
    const rows = await sql`
      select seq, at from bare_events where seq > ${last} order by seq`;
    for (const { seq, at } of rows) {
      last = seq;
      latencies.push(now() - at);
    }
    if (latencies.length >= events) resolve();
  });
  report("ready");
  await promise;
  report({ latencies, events, at: now() });
  await sql.end();
}

/** Another instance and its reports. */
export class OtherInstance implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;

  constructor(task: Task) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--allow-all",
        "--no-check",
        "--no-lock",
        "--quiet",
        new URL(import.meta.url).pathname,
        JSON.stringify(task),
      ],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    let rest = "";
    this.#lines = this.#child.stdout
      .pipeThrough(new TextDecoderStream())
      .pipeThrough(
        new TransformStream<string, string>({
          transform(chunk, controller) {
            const lines = (rest + chunk).split("\n");
            rest = lines.pop()!;
            for (const line of lines) controller.enqueue(line);
          },
        }),
      ).getReader();
  }

  /** Reads its next report. */
  async report<T>(): Promise<T> {
    const { done, value } = await this.#lines.read();
    if (done) throw new Error("The other instance ended");
    return JSON.parse(value);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lines.cancel();
    await this.#child.stdin.close();
    await this.#child.status;
  }
}

/** Exits when the parent process ends, even if that is killed. */
async function endWithInput(): Promise<void> {
  await Deno.stdin.readable.pipeTo(new WritableStream());
  Deno.exit();
}

if (import.meta.main) {
  endWithInput();
  await perform(JSON.parse(Deno.args[0]));
  Deno.exit();
}
