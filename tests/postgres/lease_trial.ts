import { assert, assertEquals } from "@std/assert";
import { deadline } from "@std/async/deadline";
import { delay } from "@std/async/delay";
import type postgres from "postgres";
import { PipelineRunRegistry, RunAlreadyActiveError } from "../../mod.ts";
import { PostgresPipelineRunRepository } from "../../src/postgres/mod.ts";
import { noop, SPEC } from "../known_run.ts";
import { FaultyClient } from "./faulty_client.ts";
import { LeaseTables } from "./lease_tables.ts";
import {
  checkOutcome,
  isOpen,
  type LeasedAttempt,
  type LeasingInstance,
  textOf,
} from "./leased_attempt.ts";
import { checkLog, checkRows } from "./logged_attempts.ts";
import { turn } from "./turn.ts";

/** How long a command waits for what it began, in milliseconds. */
const PATIENCE = 250;
/** How long everything may take to come to an end, in milliseconds. */
const END = 15_000;

/** Two instances over one database, each with a client that fails as planned. */
export class LeaseTrial implements AsyncDisposable {
  readonly instances: readonly LeasingInstance[];
  readonly ids: readonly string[] = [crypto.randomUUID(), crypto.randomUUID()];
  readonly attempts: LeasedAttempt[] = [];
  /** The claims whose lease the test let expire, by run id. */
  readonly expired: Map<string, Set<string>> = new Map();
  /** The runs that somebody asked to abort. */
  readonly aborted: Set<string> = new Set();
  /** The runs of which a claim was given up. */
  readonly givenUp: Set<string> = new Set();
  readonly #tables: LeaseTables;
  readonly #pending = new Set<Promise<unknown>>();
  readonly #random = Math.random;
  /** How many calls of the registries are under way. */
  #operations = 0;

  constructor(sql: postgres.Sql) {
    this.#tables = new LeaseTables(sql, this.ids);
    // The shortest waits between retries.
    Math.random = () => 1 - Number.EPSILON;
    this.instances = [this.#open(sql), this.#open(sql)];
  }

  /** Waits for what a command began, but not for ever: an instance may be frozen. */
  async track(
    { client }: LeasingInstance,
    operation: Promise<unknown>,
  ): Promise<void> {
    const settled = operation.catch(noop);
    this.#note(settled);
    this.#operations++;
    settled.then(() => this.#operations--);
    if (client.isFrozen) await turn();
    else await deadline(settled, PATIENCE).catch(noop);
  }

  /** Registers a run under a given id. */
  async register(instance: LeasingInstance, runId: string): Promise<void> {
    const attempt: LeasedAttempt = {
      runId,
      instance,
      work: Promise.withResolvers(),
      told: "work",
      context: undefined,
      claim: undefined,
      isAnswered: false,
      outcome: undefined,
    };
    attempt.work.promise.catch(noop);
    this.attempts.push(attempt);
    const { claims } = instance.client;
    const former = claims.get(runId);
    const registered = instance.registry.registerBackground(
      { ...SPEC, runId },
      (context) => {
        attempt.context = context;
        return attempt.work.promise;
      },
    );
    await this.track(
      instance,
      registered.then(({ outcome }) => {
        attempt.claim = claims.get(runId);
        this.#note(outcome.then((outcome) => attempt.outcome = outcome));
      }, (error) => {
        const isSent = claims.get(runId) !== former;
        const isRefused = error instanceof RunAlreadyActiveError;
        if (isSent && !isRefused) this.givenUp.add(runId);
      }).finally(() => attempt.isAnswered = true),
    );
  }

  /** Waits for the end of an attempt. */
  async ended(attempt: LeasedAttempt): Promise<void> {
    const by = Date.now() + PATIENCE;
    while (attempt.outcome === undefined && Date.now() < by) {
      await turn();
      if (attempt.instance.client.isFrozen) return;
    }
  }

  /** Publishes twice; the first write is repeated, and once more after the second. */
  async publishTwice(
    { context, instance, runId }: LeasedAttempt,
  ): Promise<void> {
    const { client } = instance;
    client.plan("write steps", "lose");
    client.plan("write steps again", "stray");
    for (let i = 0; i < 2; i++) {
      const before = await this.#countEvents(runId);
      context!.publish(i);
      const by = Date.now() + PATIENCE;
      while (await this.#countEvents(runId) === before) {
        if (client.isFrozen || Date.now() > by) return;
      }
    }
    while (await client.arrive());
  }

  /** Lets the lease of a run expire. */
  async expire(runId: string): Promise<void> {
    const claim = await this.#tables.expire(runId);
    if (claim === undefined) return;
    const expired = this.expired.get(runId) ?? new Set();
    this.expired.set(runId, expired.add(claim));
  }

  /** Sweeps: afterwards the instance knows what it has lost, and has lost no more. */
  async sweep(instance: LeasingInstance): Promise<void> {
    const own = this.attempts.filter((each) =>
      each.instance === instance && isOpen(each)
    );
    const isAlone = this.#operations === 0;
    const before = await this.#live(own);
    let isSwept = false;
    await this.track(
      instance,
      instance.registry.sweep().then(() => isSwept = true),
    );
    if (!isSwept) return;
    const after = await this.#live(own);
    for (const attempt of own) {
      if (after.includes(attempt)) continue;
      await this.ended(attempt);
      assert(attempt.outcome !== undefined, "a run goes on without its lease");
      const { phase } = attempt.outcome;
      assert(
        !isAlone || !before.includes(attempt) ||
          // Who asks to abort it may still be ending it.
          this.aborted.has(attempt.runId) ||
          textOf(phase) !== "Errored: lease_expired",
        "an instance has ended its own run",
      );
    }
  }

  /** Ends a run whose instance hangs. */
  async takeOver(
    instance: LeasingInstance,
    runId: string,
    by: "sweep" | "register",
  ): Promise<void> {
    const [other] = this.instances.filter((each) => each !== instance);
    await instance.client.freeze();
    other.client.heal();
    const held = await this.#live(
      this.attempts.filter((attempt) =>
        attempt.instance === instance && attempt.runId === runId
      ),
    );
    await this.expire(runId);
    if (by === "sweep" || this.#isBehind(other, runId)) {
      await other.registry.sweep();
    } else await this.register(other, runId);
    const end = Date.now() + END;
    while ((await this.#live(held)).length > 0) {
      assert(Date.now() < end, "a run goes on whose instance hangs");
      // On a slow machine the notice was too old, and is given anew.
      await other.registry.sweep();
    }
  }

  /** Compares what was told and what is in the tables with what may be. */
  async check(): Promise<void> {
    // What is told before the tables are read must be in them.
    const ended = this.attempts.filter(({ outcome }) => outcome !== undefined);
    const holders = this.attempts.filter(this.#isHolder);
    const { behind, events, live } = await this.#tables.read();
    assertEquals(behind, 0, "a lease is behind its log");
    for (const holder of holders.filter(this.#isHolder)) {
      assert(live.has(holder.claim!.claimId), "a lease is lost");
    }
    for (const runId of this.ids) {
      const attempts = this.attempts.filter((each) => each.runId === runId);
      const own = events.filter((each) => each.runId === runId);
      checkLog(own, this.expired.get(runId)?.size ?? 0);
      for (const attempt of ended.filter((each) => each.runId === runId)) {
        checkOutcome(attempt, own, {
          isAborted: this.aborted.has(runId),
          isExpired: this.#isExpired(attempt),
        });
      }
      assert(
        attempts.filter(this.#isHolder).length <= 1,
        `two instances hold run ${runId}`,
      );
      await this.#checkStatus(runId, attempts);
    }
  }

  /** Lets everything come to its end, the late statements last. */
  async finish(): Promise<void> {
    for (const { client } of this.instances) client.thaw();
    for (const attempt of this.attempts) {
      if (attempt.told !== "work") continue;
      attempt.told = "complete";
      attempt.work.resolve();
    }
    await deadline(this.#allSettled(), END);
    await this.check();
    for (const { client } of this.instances) {
      while (await client.arrive()) await this.check();
    }
    await this.#allReleased();
    this.givenUp.clear();
    await this.check();
    const { events } = await this.#tables.read();
    for (const runId of this.ids) {
      const own = events.filter((each) => each.runId === runId);
      checkRows(own, await this.#tables.statuses(runId));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { client, registry, repository } of this.instances) {
      client.heal();
      for (const { work } of this.attempts) work.resolve();
      await registry.shutdown({ timeout: 1_000 });
      await repository.close({ timeout: 1_000 });
    }
    Math.random = this.#random;
  }

  #open(sql: postgres.Sql): LeasingInstance {
    const client = new FaultyClient(sql);
    const repository = new PostgresPipelineRunRepository(client, {
      leaseDuration: 60_000,
      renewInterval: 1_000,
      logRetention: Infinity,
      listener: false,
      onWarning: noop,
    });
    const registry = new PipelineRunRegistry({ repository, onWarning: noop });
    return { client, repository, registry };
  }

  #note(settled: Promise<unknown>): void {
    this.#pending.add(settled);
    settled.then(() => this.#pending.delete(settled));
  }

  async #allSettled(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending);
  }

  async #countEvents(runId: string): Promise<number> {
    const { events } = await this.#tables.read();
    return events.filter((each) => each.runId === runId).length;
  }

  /** A claim that was given up is released behind the caller's back. */
  async #allReleased(): Promise<void> {
    const by = Date.now() + END;
    while ((await this.#tables.read()).live.size > 0) {
      assert(Date.now() < by, "a lease is live whose run has ended");
      await delay(10);
    }
  }

  /** Whether an instance may not know yet what became of its own run. */
  #isBehind(instance: LeasingInstance, runId: string): boolean {
    return this.attempts.some((each) =>
      each.instance === instance && each.runId === runId &&
      (!each.isAnswered || isOpen(each))
    );
  }

  /** Those of some attempts that hold their lease. */
  async #live(attempts: readonly LeasedAttempt[]): Promise<LeasedAttempt[]> {
    const { live } = await this.#tables.read();
    return attempts.filter(({ claim }) =>
      claim !== undefined && live.has(claim.claimId)
    );
  }

  /** Whether nothing but a lost lease may end an attempt. */
  readonly #isHolder = (attempt: LeasedAttempt): boolean =>
    isOpen(attempt) && attempt.told === "work" &&
    !this.aborted.has(attempt.runId) && !this.#isExpired(attempt);

  #isExpired({ claim, runId }: LeasedAttempt): boolean {
    if (claim === undefined) return false;
    return this.expired.get(runId)?.has(claim.claimId) ?? false;
  }

  /** Nobody takes back the ending of the newest attempt. */
  async #checkStatus(
    runId: string,
    attempts: readonly LeasedAttempt[],
  ): Promise<void> {
    if (attempts.some(({ isAnswered }) => !isAnswered)) return;
    if (this.givenUp.has(runId)) return;
    const newest = attempts
      .filter(({ claim }) => claim?.firstSeq !== undefined)
      .sort((a, b) => a.claim!.firstSeq! - b.claim!.firstSeq!)
      .at(-1);
    if (newest?.outcome === undefined) return;
    for (const instance of this.instances) {
      if (instance.client.isFrozen || this.#isBehind(instance, runId)) continue;
      const status = await instance.registry.status(runId);
      assertEquals(
        [status?.ended, status && textOf(status.phase)],
        [true, textOf(newest.outcome.phase)],
        "a durable ending is taken back",
      );
    }
  }
}
