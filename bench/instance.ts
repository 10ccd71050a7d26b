/**
 * Another instance in its own process. It performs the task in its argument,
 * reports in lines of JSON, and ends when its input closes.
 *
 * @module
 */
import process from "node:process";
import postgres from "postgres";
import { PipelineRunRegistry } from "../mod.ts";
import {
  connect,
  type ConnectOptions,
  type PostgresClient,
  PostgresPipelineRunRepository,
} from "../src/postgres/mod.ts";

/** A task of another instance. */
export type Task =
  | { do: "follow"; url: string; runIds: string[] }
  | { do: "write"; url: string; runId: string; events: number }
  | { do: "hold"; url: string; runIds: string[] }
  | { do: "follow bare"; url: string; events: number }
  | {
    do: "join fleet";
    url: string;
    way: Way;
    /** How many runs each member has. */
    runs: number;
    seconds: number;
    /** The instances in this process: the id of a run of each, and of one it follows. */
    members: { runId: string; followed?: string }[];
  };

/** How the instances of a fleet learn of events. */
export type Way = "ours" | "every commit" | "polling";

/** The channel of the package's notifications. */
export const CHANNEL = "pipeline_run_registry";

/** What the instances of one process in a fleet report. */
export interface FleetReport {
  /** From publishing to arrival, in milliseconds. */
  latencies: number[];
  /** How many events they published. */
  published: number;
  /** The processor time they took, in seconds. */
  cpu: number;
}

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
): Promise<OpenedRegistry> {
  return registryOn(await connect(url, options));
}

type OpenedRegistry = AsyncDisposable & { registry: PipelineRunRegistry };

function registryOn(repository: PostgresPipelineRunRepository): OpenedRegistry {
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
  if (task.do === "join fleet") return await joinFleet(task);
  await using opened = await openRegistry(task.url);
  const { registry } = opened;
  switch (task.do) {
    case "follow": {
      const latencies: number[] = [];
      let events = 0;
      report("ready");
      await Promise.all(task.runIds.map(async (runId) => {
        for await (const event of registry.subscribe<number>(runId)) {
          const payload = event.kind === "Yield" ? event.payload : null;
          if (payload !== null) events++;
          // Payloads are small numbers or the time of publishing.
          if (payload! > 1e12) latencies.push(now() - payload!);
        }
      }));
      return report({ latencies, events, at: now() });
    }
    case "write": {
      const { runId, events } = task;
      report("ready");
      await mayGo.promise;
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

/** How often a run of a fleet publishes, in milliseconds. */
const PUBLISH_INTERVAL = 20;

/** How long a fleet works before it is measured, in milliseconds. */
export const WARM_UP = 5_000;

async function joinFleet(
  { url, way, runs, seconds, members }: Task & { do: "join fleet" },
): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const registries: PipelineRunRegistry[] = [];
  for (const _ of members) {
    const { registry } = stack.use(await openMember(url, way));
    registries.push(registry);
  }
  report("ready");
  await mayGo.promise;
  const from = now() + WARM_UP;
  const until = from + seconds * 1_000;
  const latencies: number[] = [];
  let published = 0;
  async function* publish() {
    for (let time = now(); time < until; time = now()) {
      if (time >= from) published++;
      yield time;
      await new Promise((resolve) => setTimeout(resolve, PUBLISH_INTERVAL));
    }
  }
  let start = process.cpuUsage();
  setTimeout(() => start = process.cpuUsage(), WARM_UP);
  await Promise.all(members.map(async ({ runId, followed }, i) => {
    const registry = registries[i];
    const outcomes: Promise<unknown>[] = [];
    for (let run = 0; run < runs; run++) {
      const { outcome } = await registry.registerBackground({
        pipelineName: "fleet",
        runId: run === 0 ? runId : undefined,
      }, publish);
      outcomes.push(outcome);
    }
    if (followed === undefined) return void await Promise.all(outcomes);
    const stream = registry.subscribe<number>(followed, { durable: true });
    for await (const event of stream) {
      if (event.kind !== "Yield" || event.payload < from) continue;
      latencies.push(now() - event.payload);
    }
  }));
  const { user, system } = process.cpuUsage(start);
  report({ latencies, published, cpu: (user + system) / 1e6 });
}

/** Opens a registry that learns of events in one way. */
async function openMember(url: string, way: Way): Promise<OpenedRegistry> {
  if (way !== "every commit") {
    const listener = way === "polling" ? false : undefined;
    return await openRegistry(url, { migrate: false, listener });
  }
  const sql = postgres(url, { max: 4, fetch_types: false });
  return registryOn(
    new PostgresPipelineRunRepository(notifyingClient(sql), {
      onClose: () => sql.end(),
    }),
  );
}

/** A client that notifies of every group of steps in the statement that writes them. */
function notifyingClient(sql: postgres.Sql): PostgresClient {
  return {
    unsafe(query, parameters, options) {
      if (query.startsWith("/* write steps")) {
        query = query.replace(
          "'statementId'",
          `'notified', (
            select pg_notify('${CHANNEL}', string_agg(id::text, ','))
            from run
          ) is null, 'statementId'`,
        );
      } else if (
        query.startsWith("/* notify") && !`${parameters}`.includes("echo")
      ) return Promise.resolve([] as never);
      return sql.unsafe(query, parameters, options);
    },
    listen: (...args) => sql.listen(...args),
  };
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
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
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
    this.#input = this.#child.stdin.getWriter();
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

  /** Lets it go on. */
  async go(): Promise<void> {
    await this.#input.write(new Uint8Array([10]));
  }

  /** Reads its next report. */
  async report<T>(): Promise<T> {
    const { done, value } = await this.#lines.read();
    if (done) throw new Error("The other instance ended");
    return JSON.parse(value);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lines.cancel();
    await this.#input.close();
    await this.#child.status;
  }
}

/** Settles when the parent process lets this one go on. */
const mayGo = Promise.withResolvers<void>();

/** Exits when the parent process ends, even if that is killed. */
async function endWithInput(): Promise<void> {
  await Deno.stdin.readable.pipeTo(
    new WritableStream({ write: () => mayGo.resolve() }),
  );
  Deno.exit();
}

if (import.meta.main) {
  endWithInput();
  await perform(JSON.parse(Deno.args[0]));
  Deno.exit();
}
