/**
 * An instance of a chaos run, in a process of its own: it reads commands from its
 * input, a line of JSON each, and writes its journal to its output.
 *
 * @module
 */
import { delay } from "@std/async/delay";
import {
  PipelineRunRegistry,
  type RegistryWarning,
  type RunContext,
  type RunOutcome,
} from "../../mod.ts";
import {
  connect,
  type PostgresPipelineRunRepository,
} from "../../src/postgres/mod.ts";
import { jsonLinesOf } from "../json_lines.ts";
import type { Told } from "./journal.ts";
import type { Command } from "./plan.ts";

/** How an instance is set up. */
export interface InstanceOptions {
  readonly url: string;
  readonly leaseDuration: number;
  readonly renewInterval: number;
  readonly orphanReset: boolean;
}

const SWEEP_INTERVAL = 1_000;
const ALIVE_INTERVAL = 500;

type Of<D extends Command["do"]> = Extract<Command, { do: D }>;

const encoder = new TextEncoder();

function tell(told: Told): void {
  // Written at once: a killed process has told all that it acknowledged.
  let line = encoder.encode(`${JSON.stringify({ ...told, at: Date.now() })}\n`);
  while (line.length > 0) line = line.subarray(Deno.stdout.writeSync(line));
}

/** The runs whose payload fields could not be written. */
const refusedFields = new Set<string>();

function onWarning({ kind, message, runId }: RegistryWarning): void {
  if (kind === "payload" && runId !== undefined) refusedFields.add(runId);
  tell({ told: "warning", kind, message });
}

async function* work(
  { run, yields, pause, throws, field }: Of<"register">,
  { runId, setPayload, signal }: RunContext<number>,
): AsyncGenerator<number> {
  for (let n = 0; n < yields; n++) {
    yield n;
    if (pause > 0) await delay(pause, { signal });
    else if (n % 50 === 49) await new Promise((go) => setImmediate(go));
  }
  if (field) {
    const key = `field of ${run}`;
    await setPayload(key, { run });
    if (!signal.aborted && !refusedFields.has(runId)) {
      tell({ told: "field", runId, key, value: { run } });
    }
  }
  if (throws) throw new Error(`Work of ${run} failed as planned`);
}

async function register(
  registry: PipelineRunRegistry,
  command: Of<"register">,
): Promise<void> {
  const { run, runId: ownId, timeout, yields } = command;
  tell({ told: "registering", run, runId: ownId, yields });
  let outcome: Promise<RunOutcome>;
  let taskRunId: string;
  try {
    const handle = await registry.registerBackground<number>(
      { pipelineName: "chaos", runId: ownId, timeout },
      (context) => work(command, context),
    );
    ({ outcome, taskRunId } = handle);
    tell({ told: "registered", run, runId: handle.runId, taskRunId });
  } catch (error) {
    return tell({ told: "refused", run, error: String(error) });
  }
  const { runId, phase, durable } = await outcome;
  const { name } = phase;
  const message = phase.name === "Errored" ? phase.message : undefined;
  const told = "outcome" as const;
  tell({ told, run, runId, taskRunId, phase: name, message, durable });
}

async function follow(
  registry: PipelineRunRegistry,
  { follower, runId, after, durable, cancelAfter = Infinity }: Of<"follow">,
): Promise<void> {
  tell({ told: "following", follower, runId, after, durable });
  let seen = 0;
  try {
    const events = registry.subscribe(runId, { after, durable, lag: "skip" });
    for await (const event of events) {
      const { seq, kind } = event;
      tell({
        told: "saw",
        follower,
        seq,
        kind,
        missed: event.kind === "Lagged" ? event.missed : undefined,
        n: event.kind === "Yield" ? event.payload ?? undefined : undefined,
      });
      if (++seen >= cancelAfter) break;
    }
    const how = seen >= cancelAfter ? "cancelled" : "closed";
    tell({ told: "followed", follower, how });
  } catch (error) {
    const how = "errored" as const;
    tell({ told: "followed", follower, how, error: String(error) });
  }
}

async function abort(
  registry: PipelineRunRegistry,
  { runId, reason }: Of<"abort">,
): Promise<void> {
  let answer: string;
  try {
    answer = await registry.abort(runId, reason);
  } catch (error) {
    answer = String(error);
  }
  tell({ told: "aborted", runId, answer });
}

async function open(
  { url, orphanReset, ...leases }: InstanceOptions,
  stopping: AbortSignal,
): Promise<[PostgresPipelineRunRepository, PipelineRunRegistry]> {
  while (true) {
    let repository: PostgresPipelineRunRepository | undefined;
    try {
      repository = await connect(url, { ...leases, onWarning });
      const options = { repository, onWarning };
      const registry = orphanReset
        ? await PipelineRunRegistry.withOrphanReset(options)
        : new PipelineRunRegistry(options);
      return [repository, registry];
    } catch (error) {
      tell({ told: "warning", kind: "connect", message: String(error) });
      await repository?.close({ timeout: 0 });
      await delay(250, { signal: stopping });
    }
  }
}

async function sweep(
  registry: PipelineRunRegistry,
  stopping: AbortSignal,
): Promise<void> {
  while (!stopping.aborted) {
    try {
      await registry.sweep();
    } catch (error) {
      tell({ told: "warning", kind: "sweep", message: String(error) });
    }
    await delay(SWEEP_INTERVAL, { signal: stopping }).catch(() => {});
  }
}

async function main(options: InstanceOptions): Promise<void> {
  const stopping = new AbortController();
  const { signal } = stopping;
  const alive = setInterval(() => tell({ told: "alive" }), ALIVE_INTERVAL);
  const opening = open(options, signal);
  opening.then(
    ([_, registry]) => {
      tell({ told: "ready", orphanReset: options.orphanReset });
      sweep(registry, signal);
    },
    () => {}, // It was told to stop before it could connect.
  );
  for await (const command of jsonLinesOf<Command>(Deno.stdin.readable)) {
    if (command.do === "stop") break;
    // Each on its own: one that waits for the database holds up no other.
    opening.then(([_, registry]) => {
      if (command.do === "register") register(registry, command);
      else if (command.do === "follow") follow(registry, command);
      else abort(registry, command);
    }, () => {});
  }
  tell({ told: "stopping" });
  stopping.abort();
  const opened = await opening.catch(() => undefined);
  if (opened !== undefined) {
    const [repository, registry] = opened;
    await registry.shutdown({ timeout: 3_000 });
    await repository.close({ timeout: 1_000 });
  }
  clearInterval(alive);
  tell({ told: "stopped" });
  // Nothing ends the process here: what keeps it alive is a leak.
}

if (import.meta.main) await main(JSON.parse(Deno.args[0]));
