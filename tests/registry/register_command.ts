import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type {
  RunContext,
  RunHandle,
  RunOutcome,
  WorkOutput,
} from "../../mod.ts";
import { runMicrotasks } from "../assert_pending.ts";
import { SPEC } from "../known_run.ts";
import type { AttemptModel } from "./attempt_model.ts";
import { commandsOf, pick, type RegistryCommand } from "./registry_command.ts";
import type { RegistryModel } from "./registry_model.ts";
import type { RegistryTrial } from "./registry_trial.ts";

interface Registration {
  /** Which of the known ids; `null` is a random one. */
  readonly which: number | null;
  readonly isInline: boolean;
  readonly work: "waits" | "publishes" | "returns" | "throws" | "iterates";
  readonly timeout: number | undefined;
  readonly signal: "none" | "open" | "fired";
  /** What is called before the run has begun, if its id is known. */
  readonly early: "nothing" | "abort" | "publishAlreadyCompleted";
}

const registration: fc.Arbitrary<Registration> = fc.record({
  which: fc.option(fc.nat(7), { freq: 8 }),
  isInline: fc.boolean(),
  work: fc.constantFrom(
    ...["waits", "waits", "waits"] as const,
    ...["publishes", "returns", "throws", "iterates"] as const,
  ),
  timeout: fc.constantFrom(
    ...[undefined, undefined, undefined, undefined] as const,
    ...[100, 700, 1_000_000] as const,
  ),
  signal: fc.constantFrom("none", "none", "none", "open", "open", "fired"),
  early: fc.constantFrom(
    ...["nothing", "nothing", "nothing", "nothing", "nothing"] as const,
    ...["abort", "publishAlreadyCompleted"] as const,
  ),
});

/** Registers a run, or is refused. */
export const register: fc.Arbitrary<RegistryCommand> = commandsOf(
  "register",
  registration,
  async (registration, model, trial) => {
    const { registry, repository } = trial;
    const { which, signal, timeout, work } = registration;
    const known = which === null ? undefined : pick(trial.ids, which);
    const admission = model.admit(known);
    const controller = trial.makeSignal();
    if (signal === "fired") controller.abort("gone");
    const spec = {
      ...SPEC,
      runId: known,
      timeout,
      signal: signal === "none" ? undefined : controller.signal,
    };
    const payloads = Array.from({ length: 3 }, () => trial.payloads++);
    const waiting = Promise.withResolvers<void>();
    waiting.promise.catch(() => {});
    let context: RunContext | undefined;
    const execute = (run: RunContext) => {
      context = run;
      return perform(work, run, payloads, waiting.promise);
    };
    const firstRow = repository.rows.length;
    // Only a handle tells a random id.
    const registered: Promise<RunHandle | RunOutcome> =
      registration.isInline && known !== undefined
        ? registry.registerInline(spec, execute)
        : registry.registerBackground(spec, execute);
    if (admission.refusal !== undefined) {
      let error: unknown;
      registered.catch((reason) => error = reason);
      await runMicrotasks();
      assert(error instanceof admission.refusal, `not refused: ${error}`);
      assertEquals(context, undefined, "the work of a refused run is called");
      return;
    }
    const early = known === undefined
      ? "nothing"
      : meddle(registration, known, trial);
    makeRoom(admission.evictable, model, trial);
    const runId = known ?? (await registered).runId;
    const attempt = model.begin(runId, admission.firstSeq, firstRow);
    attempt.firstWarning = trial.warnings.length;
    if (known === undefined) trial.ids.push(runId);
    for (const reader of trial.readers) {
      if (reader.isAwaiting && reader.runId === runId) reader.attempt = attempt;
    }
    trial.follow(attempt, outcomeOf(registered));
    if (timeout !== undefined) {
      attempt.timeout = { ms: timeout, at: model.now + timeout };
    }
    if (signal === "open") attempt.signal = controller;
    if (signal === "fired") model.abort(attempt, "gone");
    if (early === "abort") model.abort(attempt);
    if (early === "publishAlreadyCompleted") {
      attempt.publish("AlreadyCompleted");
    }
    const isCalled = attempt.ending === undefined;
    if (isCalled) attempt.work = waiting;
    if (isCalled) predict(work, attempt, payloads, model);
    await runMicrotasks();
    assertEquals(context !== undefined, isCalled, "the work is called");
    attempt.context = context;
  },
);

async function outcomeOf(
  registered: Promise<RunHandle | RunOutcome>,
): Promise<RunOutcome> {
  const result = await registered;
  return "outcome" in result ? await result.outcome : result;
}

function perform(
  work: Registration["work"],
  run: RunContext,
  payloads: readonly number[],
  waiting: Promise<void>,
): WorkOutput<number> {
  if (work === "publishes") payloads.forEach((payload) => run.publish(payload));
  if (work === "waits" || work === "publishes") return waiting;
  if (work === "throws") throw new Error("broken");
  if (work === "iterates") return iterate(payloads);
}

async function* iterate(payloads: readonly number[]): AsyncIterable<number> {
  yield* payloads;
}

function predict(
  work: Registration["work"],
  attempt: AttemptModel,
  payloads: readonly number[],
  model: RegistryModel,
): void {
  if (work === "publishes" || work === "iterates") {
    payloads.forEach((payload) => attempt.yield(payload, model.now));
  }
  if (work === "waits" || work === "publishes") return;
  model.settle(attempt, work === "throws" ? "broken" : undefined);
}

/** Calls the registry before the run has begun, and tells what that changes. */
function meddle(
  { early, signal, work }: Registration,
  runId: string,
  { registry }: RegistryTrial,
): Registration["early"] {
  assertEquals(registry.snapshotStatus(runId), { name: "Pending" });
  if (early === "abort") registry.abort(runId);
  // Work that publishes at once may come first.
  if (early !== "publishAlreadyCompleted" || work !== "waits") {
    return early === "abort" ? early : "nothing";
  }
  const isOpen = signal !== "fired";
  assertEquals(registry.publishAlreadyCompleted(runId), isOpen);
  return isOpen ? early : "nothing";
}

/** One of the candidates is gone. */
function makeRoom(
  candidates: readonly AttemptModel[],
  model: RegistryModel,
  { registry }: RegistryTrial,
): void {
  const evicted = candidates.filter(({ runId }) =>
    registry.snapshotStatus(runId) === undefined
  );
  assertEquals(
    evicted.length,
    Math.min(candidates.length, 1),
    "the run that finished first makes room",
  );
  evicted.forEach((attempt) => model.forget(attempt));
}
