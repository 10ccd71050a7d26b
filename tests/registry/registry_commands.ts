import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  RegistryFullError,
  RegistryShutdownError,
  UnknownRunError,
} from "../../mod.ts";
import { hasEnded } from "../../src/model/phase.ts";
import { phaseOfStatus } from "../../src/model/row.ts";
import type { Decision } from "../repository/decided_repository.ts";
import type { AttemptModel } from "./attempt_model.ts";
import { ReaderTrial } from "./reader_trial.ts";
import { register } from "./register_command.ts";
import { commandsOf, pick, type RegistryCommand } from "./registry_command.ts";
import type { RegistryModel } from "./registry_model.ts";

const which = fc.nat(7);
const decision: fc.Arbitrary<Decision> = fc.constantFrom(
  "write",
  "hang",
  "refuse",
  "lose",
  "forbid",
);
const reason = fc.constantFrom(undefined, "left", "broke");

/** The attempts whose work was called. */
function worked({ attempts }: RegistryModel): AttemptModel[] {
  return attempts.filter(({ context }) => context !== undefined);
}

const publish = commandsOf(
  "publish",
  fc.record({ which, count: fc.integer({ min: 1, max: 5 }) }),
  ({ which, count }, model, trial) => {
    const attempt = pick(worked(model), which);
    if (attempt === undefined) return;
    for (let i = 0; i < count; i++) {
      const payload = trial.payloads++;
      attempt.context!.publish(payload);
      attempt.yield(payload, model.now);
    }
  },
);

const settle = commandsOf(
  "settle",
  fc.record({ which, error: reason }),
  ({ which, error }, model) => {
    const working = model.attempts.filter(({ work }) => work !== undefined);
    const attempt = pick(working, which);
    if (attempt === undefined) return;
    const { resolve, reject } = attempt.work!;
    model.settle(attempt, error);
    if (error === undefined) resolve();
    else reject(new Error(error));
  },
);

const abort = commandsOf(
  "abort",
  fc.record({ which, reason }),
  async ({ which, reason }, model, trial) => {
    const runId = pick(trial.ids, which)!;
    const attempt = model.held.get(runId);
    if (attempt === undefined) {
      const { registry } = trial;
      await assertRejects(() => registry.abort(runId, reason), UnknownRunError);
      return;
    }
    trial.abort(attempt, reason);
    model.abort(attempt, reason);
  },
);

const fire = commandsOf(
  "fire the signal",
  fc.record({ which, reason }),
  ({ which, reason }, model) => {
    const attempts = model.attempts.filter(({ signal }) => signal);
    const attempt = pick(attempts, which);
    if (attempt === undefined) return;
    attempt.signal!.abort(reason);
    attempt.signal = undefined;
    model.abort(attempt, reason);
  },
);

const publishAlreadyCompleted = commandsOf(
  "publishAlreadyCompleted",
  which,
  (which, model, { ids, registry }) => {
    const runId = pick(ids, which)!;
    const attempt = model.held.get(runId);
    const isOpen = attempt !== undefined && attempt.ending === undefined;
    assertEquals(registry.publishAlreadyCompleted(runId), isOpen);
    if (isOpen) attempt.publish("AlreadyCompleted");
  },
);

const subscribe = commandsOf(
  "subscribe",
  fc.record({
    which,
    after: fc.option(fc.nat(12), { nil: undefined, freq: 2 }),
    lag: fc.constantFrom("close" as const, "skip" as const),
    reads: fc.constantFrom("nothing", "one", "all"),
  }),
  ({ which, after, lag, reads }, model, trial) => {
    const { isRecorded, registry } = trial;
    const runId = pick(trial.ids, which)!;
    const attempt = model.held.get(runId);
    const signal = trial.makeSignal();
    const open = () =>
      registry.subscribe(runId, { after, lag, signal: signal.signal });
    if (attempt === undefined && model.shutdownAt !== undefined) {
      assertThrows(open, RegistryShutdownError);
      return;
    }
    const { maxAwaitedSubscriptions } = model.options;
    if (attempt === undefined && trial.awaiting >= maxAwaitedSubscriptions) {
      assertThrows(open, RegistryFullError);
      return;
    }
    const reader = new ReaderTrial({
      stream: open(),
      signal,
      runId,
      attempt,
      after,
      lag,
      isRecorded,
    });
    trial.readers.push(reader);
    if (reads !== "nothing") reader.read(reads === "all");
  },
);

const read = commandsOf(
  "read",
  fc.record({ which, isAll: fc.boolean() }),
  ({ which, isAll }, _model, { readers }) => {
    pick(readers, which)?.read(isAll);
  },
);

const leave = commandsOf(
  "leave",
  fc.record({ which, isCancelled: fc.boolean() }),
  async ({ which, isCancelled }, _model, { readers }) => {
    const reader = pick(readers, which);
    if (isCancelled) await reader?.cancel();
    else reader?.abort(new EvalError("left"));
  },
);

const setPayload = commandsOf(
  "setPayload",
  fc.record({ which, key: fc.constantFrom("a", "b") }),
  async ({ which, key }, model, { fields, payloads, repository }) => {
    const attempt = pick(worked(model), which);
    if (attempt === undefined) return;
    const { context, ending, runId } = attempt;
    if (ending === undefined && repository.writesPayload) {
      fields.set(runId, { ...fields.get(runId), [key]: payloads });
    }
    await context!.setPayload(key, payloads);
  },
);

const getPayload = commandsOf(
  "getPayload",
  which,
  async (which, _model, { fields, ids, registry }) => {
    const runId = pick(ids, which)!;
    const payload = await registry.getPayload(runId);
    assertEquals(payload, fields.get(runId) ?? {});
  },
);

const status = commandsOf(
  "status",
  which,
  async (which, model, { ids, registry, repository }) => {
    const runId = pick(ids, which)!;
    const attempt = model.held.get(runId);
    const row = await repository.getPipelineRun(runId);
    const found = await registry.status(runId);
    if (attempt === undefined && row === undefined) {
      assertEquals(found, undefined);
      return;
    }
    const phase = attempt?.phase ??
      phaseOfStatus(row!.status, row!.runInfo);
    const { firstSeq, lastSeq } = attempt ?? { firstSeq: 1, lastSeq: 0 };
    const ended = hasEnded(phase);
    assertEquals(found, { runId, phase, ended, row, firstSeq, lastSeq });
  },
);

const decide = commandsOf("decide", decision, (decision, _model, trial) => {
  trial.repository.decision = decision;
});

const release = commandsOf(
  "release",
  fc.record({ which, decision }),
  ({ which, decision }, _model, { repository }) => {
    const { hanging } = repository;
    if (hanging === 0 || decision === "hang") return;
    repository.release(which % hanging, decision);
  },
);

const pass = commandsOf(
  "pass",
  fc.constantFrom(100, 300, 1_000, 5_000),
  (ms, _model, trial) => trial.pass(ms),
);

const retain = commandsOf(
  "let the clock pass",
  fc.constantFrom(500, 1_000),
  (ms, model) => {
    model.clock += ms;
  },
);

const sweep = commandsOf(
  "sweep",
  fc.constant(undefined),
  async (_nothing, model, { registry }) => {
    // What was given up at shutdown is finished, and the model does not follow it.
    if (model.shutdownAt !== undefined) return;
    const evicted = model.expire();
    assertEquals(await registry.sweep(), { evicted, reaped: 0, pruned: 0 });
  },
);

const shutdown = commandsOf(
  "shutdown",
  fc.constantFrom(0, 300, 1_000),
  (timeout, model, trial) => {
    trial.shutDown(timeout);
    model.shutDown(timeout);
    for (const reader of trial.readers) {
      if (reader.isAwaiting) reader.closed = true;
    }
  },
);

/** All commands, each as often as it is useful. */
export const REGISTRY_COMMANDS: fc.Arbitrary<RegistryCommand>[] = [
  ...[register, register, register, register],
  ...[publish, publish, subscribe, subscribe, read, read, leave],
  ...[settle, settle, abort, fire, publishAlreadyCompleted],
  ...[decide, release, release, pass, retain, sweep],
  ...[setPayload, getPayload, status, shutdown],
];
