import { assert, assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import type fc from "fast-check";
import {
  PipelineRunRegistry,
  type PipelineRunRepository,
  RegistryShutdownError,
  RunAlreadyActiveError,
  type RunContext,
  type RunEvent,
  type RunOutcome,
} from "../../mod.ts";
import { isLast } from "../../src/model/event.ts";
import { hasEnded } from "../../src/model/phase.ts";
import { runMicrotasks } from "../assert_pending.ts";
import { KNOWN, noop, RUN_ID } from "../known_run.ts";
import { turn } from "../postgres/turn.ts";

/** What can happen at any time. */
export const ACTIONS = [
  "publish",
  "settle",
  "throw",
  "abort",
  "signal",
  "time limit",
  "ending timeout",
  "register again",
  "subscribe",
  "shutdown",
] as const;
export type Action = typeof ACTIONS[number];

/** One attempt, and what its callers and subscribers saw. */
export interface SeenAttempt {
  readonly signal: AbortController;
  readonly work: PromiseWithResolvers<void>;
  /** What each of its subscribers got. */
  readonly readers: RunEvent[][];
  /** The subscribers whose stream has closed. */
  closed: number;
  /** Whether its ending was recorded when the first subscriber got it. */
  wasRecorded: boolean | undefined;
  context: RunContext | undefined;
  refusal: unknown;
  outcome: RunOutcome | undefined;
}

/** Options of {@linkcode Interleaving}. */
export interface InterleavingOptions {
  readonly scheduler: fc.Scheduler;
  readonly repository: PipelineRunRepository;
  /** Whether the ending of the newest attempt is recorded. */
  readonly isRecorded: () => boolean;
  /** Whether everything that was sent is written or given up. */
  readonly isIdle: () => boolean;
  /** Whether the recorded ending is being read, which no timeout cuts short. */
  readonly isReading?: () => boolean;
}

const TIME_LIMIT = 1_000;
const ENDING_TIMEOUT = 5_000;

/** Whether endings have the time to become durable, whatever the order. */
export function isPatient(actions: readonly Action[]): boolean {
  const limits = actions.filter((action) => action === "time limit").length;
  return limits * TIME_LIMIT < ENDING_TIMEOUT * 0.9 &&
    !actions.includes("ending timeout") && !actions.includes("shutdown");
}

/** A registry with one run id, on which actions happen in the order of a scheduler. */
export class Interleaving implements Disposable {
  readonly attempts: SeenAttempt[] = [];
  readonly registry: PipelineRunRegistry;
  readonly #options: InterleavingOptions;
  readonly #time = new FakeTime(0);
  readonly #random = Math.random;
  readonly #errors: unknown[] = [];
  readonly #onRejection = (event: PromiseRejectionEvent): void => {
    event.preventDefault();
    this.#errors.push(event.reason);
  };
  #unsettled = 0;
  /** When the shutdown must be over, and whether it is. */
  #shutdown: { readonly by: number; isOver: boolean } | undefined;

  constructor(options: InterleavingOptions) {
    // So that retries have no jitter, and a failure can be replayed.
    Math.random = () => 0.5;
    addEventListener("unhandledrejection", this.#onRejection);
    this.#options = options;
    this.registry = new PipelineRunRegistry({
      repository: options.repository,
      clock: () => 0,
      onWarning: noop,
    });
  }

  /** Registers an attempt with a subscriber. */
  register(): void {
    const attempt: SeenAttempt = {
      signal: new AbortController(),
      work: Promise.withResolvers(),
      readers: [],
      closed: 0,
      wasRecorded: undefined,
      context: undefined,
      refusal: undefined,
      outcome: undefined,
    };
    attempt.work.promise.catch(() => {});
    const isIdle = this.#options.isIdle();
    const before = this.registry.snapshotStatus(RUN_ID);
    const { signal } = attempt.signal;
    const spec = { ...KNOWN, signal, timeout: TIME_LIMIT };
    const registered = this.registry.registerInline(spec, (context) => {
      if (context.signal.aborted) this.#errors.push("work is called too late");
      attempt.context = context;
      return attempt.work.promise;
    });
    this.#watch(registered.then(
      (outcome) => attempt.outcome = outcome,
      (error) => attempt.refusal = error,
    ));
    const phase = this.registry.snapshotStatus(RUN_ID);
    const isAdmitted = phase?.name === "Pending" && phase !== before;
    if (!isAdmitted) return;
    assert(isIdle, "the former attempt is not written yet");
    this.attempts.push(attempt);
    this.subscribe();
  }

  /** Subscribes to the newest attempt. */
  subscribe(): void {
    const attempt = this.attempts.at(-1)!;
    if (this.registry.snapshotStatus(RUN_ID) === undefined) return;
    const events: RunEvent[] = [];
    attempt.readers.push(events);
    this.#watch(this.#read(attempt, events));
  }

  /** Lets something happen when the scheduler says so. */
  plan(label: string, action: () => void): void {
    const { scheduler } = this.#options;
    scheduler.schedule(Promise.resolve(), label).then(action)
      .catch((error) => this.#errors.push(error));
  }

  /** Does one of the actions to the newest attempt. */
  act(action: Action): void {
    const { registry } = this;
    const attempt = this.attempts.at(-1)!;
    switch (action) {
      case "publish":
        return attempt.context?.publish(action);
      case "settle":
        return attempt.work.resolve();
      case "throw":
        return attempt.work.reject(new Error(action));
      case "abort":
        // It is unknown once its claim was refused.
        registry.abort(RUN_ID, action).catch(noop);
        return;
      case "signal":
        return attempt.signal.abort(action);
      case "time limit":
        return this.#time.tick(TIME_LIMIT);
      case "ending timeout":
        return this.#time.tick(ENDING_TIMEOUT);
      case "register again":
        return this.register();
      case "subscribe":
        return this.subscribe();
      case "shutdown":
        return this.#shutDown();
    }
  }

  /** Lets everything happen that was planned, and what follows without any time. */
  async settle(): Promise<void> {
    const { scheduler } = this.#options;
    await runMicrotasks();
    while (scheduler.count() > 0) {
      await scheduler.waitNext(1);
      await runMicrotasks();
      this.#checkShutdown();
    }
  }

  /** Lets time pass and shuts down: every promise settles. */
  async finish(): Promise<void> {
    // Retries wait for up to 5 s, endings for 5 s.
    for (let i = 0; i < 4; i++) {
      await this.settle();
      this.#time.tick(ENDING_TIMEOUT);
    }
    await this.settle();
    this.act("shutdown");
    await this.settle();
    this.#time.tick(TIME_LIMIT);
    await this.settle();
    await turn();
    assertEquals(this.#errors, []);
    const phase = this.registry.snapshotStatus(RUN_ID);
    assert(phase === undefined || hasEnded(phase), "a run has not ended");
    assertEquals(this.#unsettled, 0, "something never came to an end");
  }

  [Symbol.dispose](): void {
    this.#time.restore();
    Math.random = this.#random;
    removeEventListener("unhandledrejection", this.#onRejection);
  }

  #shutDown(): void {
    const shutdown = { by: this.#time.now + TIME_LIMIT, isOver: false };
    this.#shutdown ??= shutdown;
    this.#watch(
      this.registry.shutdown({ timeout: TIME_LIMIT })
        .then(() => shutdown.isOver = true),
    );
  }

  #checkShutdown(): void {
    const { isReading } = this.#options;
    if (this.#shutdown === undefined || isReading?.()) return;
    const { by, isOver } = this.#shutdown;
    assert(isOver || this.#time.now < by, "shutdown() misses its timeout");
  }

  async #read(attempt: SeenAttempt, events: RunEvent[]): Promise<void> {
    for await (const event of this.registry.subscribe(RUN_ID)) {
      events.push(event);
      if (isLast(event)) attempt.wasRecorded ??= this.#options.isRecorded();
    }
    attempt.closed++;
  }

  #watch(promise: Promise<unknown>): void {
    this.#unsettled++;
    promise.then(() => this.#unsettled--);
  }
}

/** Whether an attempt was refused as it may be: by another one or by a shutdown. */
export function isRefused({ refusal }: SeenAttempt): boolean {
  return refusal instanceof RunAlreadyActiveError ||
    refusal instanceof RegistryShutdownError;
}
