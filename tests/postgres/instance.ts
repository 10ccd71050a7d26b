/**
 * An instance in a process of its own, for tests of what happens between
 * instances: it reads commands from its input, a line of JSON each, and writes reports
 * to its output.
 *
 * @module
 */
import { delay } from "@std/async/delay";
import { PipelineRunRegistry, type RunHandle } from "../../mod.ts";
import { allowAll, createRunHandler } from "../../src/http/mod.ts";
import { connect, type ConnectOptions } from "../../src/postgres/mod.ts";
import { jsonLinesOf } from "../json_lines.ts";

/** A command to an instance. */
export type Command =
  | { do: "run"; runId?: string; yields: number; pace?: number }
  | { do: "hold"; runId?: string; dataIds?: string[] }
  | { do: "follow"; runId: string; after?: number }
  | { do: "abort"; runId: string; reason?: string }
  | { do: "sweep" };

/** A report of an instance. */
export type Report =
  | { told: "ready"; port?: number }
  | { told: "began"; runId: string }
  | {
    told: "ended";
    runId: string;
    phase: string;
    message?: string;
    durable: boolean;
  }
  | { told: "stopped"; runId: string; reason: string; at: number }
  | { told: "followed"; runId: string; events: string[] }
  | { told: "aborted"; runId: string }
  | { told: "swept"; reaped: number; pruned: number }
  | { told: "refused"; error: string };

/** How an instance is set up. */
export interface InstanceOptions extends ConnectOptions {
  url: string;
  /** How far its clock is off, in milliseconds. */
  clockOffset?: number;
  /** Whether it listens to notifications. */
  listens?: boolean;
  /** Where it serves the runs over HTTP, if it does; 0 is any port. */
  port?: number;
}

function tell(report: Report): void {
  console.log(JSON.stringify(report));
}

function shiftClock(offset: number): void {
  const RealDate = Date;
  globalThis.Date = class extends RealDate {
    constructor(...args: []) {
      super(...(args.length === 0 ? [RealDate.now() + offset] : args) as []);
    }
    static override now(): number {
      return RealDate.now() + offset;
    }
  } as DateConstructor;
}

async function tellOf({ runId, outcome }: RunHandle): Promise<void> {
  tell({ told: "began", runId });
  const { phase, durable } = await outcome;
  const message = phase.name === "Errored" ? phase.message : undefined;
  tell({ told: "ended", runId, phase: phase.name, message, durable });
}

async function obey(
  registry: PipelineRunRegistry,
  command: Command,
): Promise<void> {
  switch (command.do) {
    case "run": {
      const { runId, yields, pace } = command;
      const handle = await registry.registerBackground(
        { pipelineName: "work", runId },
        async function* ({ signal }) {
          for (let i = 0; i < yields; i++) {
            signal.throwIfAborted();
            yield i;
            if (pace !== undefined) await delay(pace, { signal });
            // Lets the others of this process have their turn.
            else if (i % 10 === 9) await new Promise((go) => setImmediate(go));
          }
        },
      );
      return await tellOf(handle);
    }
    case "hold": {
      const handle = await registry.registerBackground(
        {
          pipelineName: "hold",
          runId: command.runId,
          dataIds: command.dataIds,
        },
        ({ runId, signal }) =>
          new Promise((_, reject) => {
            signal.addEventListener("abort", () => {
              const reason = String(signal.reason);
              tell({ told: "stopped", runId, reason, at: Date.now() });
              reject(signal.reason);
            });
          }),
      );
      return await tellOf(handle);
    }
    case "follow": {
      const { runId, after } = command;
      const events: string[] = [];
      for await (const event of registry.subscribe(runId, { after })) {
        events.push(`${event.seq} ${event.kind}`);
      }
      return tell({ told: "followed", runId, events });
    }
    case "abort":
      await registry.abort(command.runId, command.reason);
      return tell({ told: "aborted", runId: command.runId });
    case "sweep": {
      const { reaped, pruned } = await registry.sweep();
      return tell({ told: "swept", reaped, pruned });
    }
  }
}

async function main(): Promise<void> {
  const { url, clockOffset = 0, listens = true, port, ...options } = JSON
    .parse(Deno.args[0]) as InstanceOptions;
  if (clockOffset !== 0) shiftClock(clockOffset);
  const onWarning = () => {};
  await using repository = await connect(url, {
    ...options,
    ...listens ? {} : { listener: false },
    onWarning,
  });
  await using registry = new PipelineRunRegistry({
    repository,
    onWarning,
    endingTimeout: 30_000,
  });
  await using server = port === undefined ? undefined : Deno.serve(
    { port, hostname: "127.0.0.1", onListen: () => {} },
    createRunHandler(registry, { authorize: allowAll, heartbeat: 500 }),
  );
  tell({ told: "ready", port: server?.addr.port });
  for await (const command of jsonLinesOf<Command>(Deno.stdin.readable)) {
    obey(registry, command).catch((error) =>
      tell({ told: "refused", error: String(error) })
    );
  }
}

if (import.meta.main) await main();
