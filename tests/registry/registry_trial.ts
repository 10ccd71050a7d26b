import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  PipelineRunRegistry,
  RegistryShutdownError,
  type RegistryWarning,
  type RunOutcome,
} from "../../mod.ts";
import { runMicrotasks } from "../assert_pending.ts";
import { noop, SPEC } from "../known_run.ts";
import { DecidedRepository } from "../repository/decided_repository.ts";
import { turn } from "../postgres/turn.ts";
import { WatchedSignal } from "../watched_signal.ts";
import {
  checkAttempt,
  checkRows,
  endingOf,
  isWritten,
} from "./attempt_checks.ts";
import type { AttemptModel } from "./attempt_model.ts";
import type { ReaderTrial } from "./reader_trial.ts";
import type { RegistryModel, TrialOptions } from "./registry_model.ts";

/** A call of `abort()` or `shutdown()` and what it must come to. */
interface Call {
  readonly attempt?: AttemptModel;
  readonly expected: unknown;
  answer?: { readonly value: unknown };
}

/** How much faked time passes between two looks at everything, in milliseconds. */
const STEP = 100;

/** A registry in faked time, compared with its model after each command. */
export class RegistryTrial implements Disposable {
  readonly time: FakeTime = new FakeTime(0);
  readonly repository: DecidedRepository = new DecidedRepository();
  readonly warnings: RegistryWarning[] = [];
  readonly registry: PipelineRunRegistry;
  readonly readers: ReaderTrial[] = [];
  /** The run ids that commands choose from. */
  readonly ids: string[] = Array.from({ length: 4 }, () => crypto.randomUUID());
  /** The payload fields that are written, by run id. */
  readonly fields: Map<string, Record<string, unknown>> = new Map();
  payloads = 0;
  readonly #model: RegistryModel;
  readonly #aborts: Call[] = [];
  readonly #shutdowns: Call[] = [];
  readonly #signals: WatchedSignal[] = [];
  readonly #rejections: unknown[] = [];
  readonly #onRejection = (event: PromiseRejectionEvent): void => {
    event.preventDefault();
    this.#rejections.push(event.reason);
  };
  readonly #random = Math.random;

  constructor(model: RegistryModel) {
    this.#model = model;
    // So that retries have no jitter, and a failure can be replayed.
    Math.random = () => 0.5;
    addEventListener("unhandledrejection", this.#onRejection);
    this.registry = new PipelineRunRegistry({
      ...(model.options satisfies TrialOptions),
      repository: this.repository,
      clock: () => model.clock,
      onWarning: (warning) => this.warnings.push(warning),
    });
  }

  /** Whether the row of an ending is known to be written. */
  readonly isRecorded = (attempt: AttemptModel): boolean =>
    endingOf(attempt, this.repository)?.acknowledged === true;

  /** How many subscriptions wait for a run. */
  get awaiting(): number {
    return this.readers.filter(({ isAwaiting }) => isAwaiting).length;
  }

  /** Makes a signal that nobody may listen to in the end. */
  makeSignal(): WatchedSignal {
    const signal = new WatchedSignal();
    this.#signals.push(signal);
    return signal;
  }

  /** Notes the outcome of an attempt when it is there. */
  follow(attempt: AttemptModel, outcome: Promise<RunOutcome>): void {
    outcome.then((outcome) => {
      attempt.outcome = outcome;
      attempt.wasAcknowledged = this.isRecorded(attempt);
    });
  }

  /** Aborts a run, which must come to the given answer once the run has ended. */
  abort(attempt: AttemptModel, reason: unknown): void {
    const expected = attempt.published ? "ended" : "requested";
    const call: Call = { attempt, expected };
    this.#aborts.push(call);
    this.registry.abort(attempt.runId, reason)
      .then((value) => call.answer = { value });
  }

  shutDown(timeout: number): void {
    const call: Call = { expected: undefined };
    this.#shutdowns.push(call);
    this.registry.shutdown({ timeout }).then((value) =>
      call.answer = { value }
    );
  }

  /** Lets faked time pass. */
  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += STEP) {
      const { calls } = this.repository;
      const wasDown = this.#model.down;
      this.#model.pass(STEP);
      this.time.tick(STEP);
      await this.check();
      if (!wasDown) continue;
      assertEquals(this.repository.calls, calls, "shutdown() leaves retries");
    }
  }

  /** Compares everything that can be seen with the model. */
  async check(): Promise<void> {
    await runMicrotasks();
    this.#checkShutdown();
    for (const attempt of this.#model.attempts) {
      checkAttempt(attempt, this.#model, this);
    }
    for (const reader of this.readers) {
      reader.check();
      if (reader.cameEarly) {
        assertEquals(
          reader.attempt!.outcome!.durable,
          false,
          "a last event came before its row, and the outcome says it is durable",
        );
      }
    }
    for (const { attempt, expected, answer } of this.#aborts) {
      assertEquals(answer !== undefined, attempt!.published, "abort() answers");
      if (answer !== undefined) assertEquals(answer.value, expected);
    }
    this.#checkPhases();
  }

  /** Lets the repository recover and shuts down: nothing may be left open. */
  async finish(): Promise<void> {
    const { repository, registry } = this;
    const model = this.#model;
    repository.decision = "write";
    while (repository.hanging > 0) repository.release(0, "write");
    await this.check();
    await this.pass(15_000);
    for (const attempt of model.attempts) {
      if (attempt.ending === undefined || model.down) continue;
      assert(attempt.finished, `run ${attempt.runId} is not finished`);
    }
    if (model.shutdownAt === undefined) {
      model.shutDown(1_000);
      this.shutDown(1_000);
    }
    for (const reader of this.readers) {
      if (reader.attempt === undefined) reader.closed = true;
      reader.read(true);
    }
    await this.pass(1_200);
    assert(model.down, "shutdown() did not return");
    for (const reader of this.readers) {
      reader.read(true);
      await this.check();
      assert(reader.over, "a stream is open after shutdown()");
    }
    for (const attempt of model.attempts) checkRows(attempt, this.repository);
    assertEquals(this.time.next(), false, "a timer is left after shutdown()");
    for (const { signal, listeners } of this.#signals) {
      if (!signal.aborted) {
        assertEquals(listeners.size, 0, "a listener is left");
      }
    }
    await turn();
    assertEquals(this.#rejections, []);
    await assertRejects(
      () => registry.registerInline(SPEC, noop),
      RegistryShutdownError,
    );
    assertThrows(
      () => registry.subscribe(crypto.randomUUID()),
      RegistryShutdownError,
    );
  }

  [Symbol.dispose](): void {
    this.time.restore();
    Math.random = this.#random;
    removeEventListener("unhandledrejection", this.#onRejection);
  }

  #checkShutdown(): void {
    const model = this.#model;
    if (model.shutdownAt === undefined) return;
    const answers = this.#shutdowns.filter(({ answer }) => answer).length;
    assert(
      answers === 0 || answers === this.#shutdowns.length,
      "shutdown() returns to all of its callers or to none",
    );
    const allFinished = model.awaited.every((attempt) =>
      attempt.finished || isWritten(attempt, this.repository)
    );
    if (answers === 0) {
      assert(model.now <= model.shutdownAt, "shutdown() misses its timeout");
      assert(!allFinished, "shutdown() waits for nothing");
      return;
    }
    assert(
      model.down || allFinished || model.now >= model.shutdownAt,
      "shutdown() did not wait for the rows",
    );
    model.down = true;
  }

  #checkPhases(): void {
    const { held, options } = this.#model;
    let count = 0;
    for (const id of this.ids) {
      const phase = this.registry.snapshotStatus(id);
      assertEquals(phase, held.get(id)?.phase, `the phase of ${id}`);
      if (phase !== undefined) count++;
    }
    assert(count <= options.maxInMemoryRuns, "too many runs are held");
  }
}
