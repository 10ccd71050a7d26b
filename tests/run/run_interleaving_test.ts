import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { PipelineRunTransition, RunPhase } from "../../mod.ts";
import { isLast } from "../../src/model/event.ts";
import { registryPipelineId } from "../../src/model/ids.ts";
import { SPEC } from "../known_run.ts";
import {
  DecidedRepository,
  type Decision,
} from "../repository/decided_repository.ts";
import {
  type Action,
  ACTIONS,
  Interleaving,
  isPatient,
  isRefused,
  type SeenAttempt,
} from "./interleaving.ts";
import {
  EXPIRED,
  LoggedRepository,
  type ScheduledLease,
  ScheduledRunLog,
} from "./scheduled_run_log.ts";
import { erroredPhase } from "../../src/model/phase.ts";
import type { RunFailure } from "../../mod.ts";

const actions: fc.Arbitrary<Action[]> = fc.array(fc.constantFrom(...ACTIONS), {
  maxLength: 8,
  size: "max",
});

const decisions: fc.Arbitrary<Decision[]> = fc.array(
  fc.constantFrom("write", "refuse", "lose", "forbid"),
  { maxLength: 4 },
);

/** What other instances do to the run, and what this one learns of it. */
const REMOTE = ["reap", "renew", "remote abort", "run elsewhere"] as const;

/** Writes rows in the order of the calls, and answers in any order. */
class ScheduledRepository extends DecidedRepository {
  readonly #scheduler: fc.Scheduler;
  readonly #decisions: Decision[];
  #last: Promise<void> = Promise.resolve();
  #pending = 0;

  /** Whether every row is written or given up. */
  get isIdle(): boolean {
    return this.#pending === 0 && this.rows.at(-1)?.settled !== false;
  }

  constructor(scheduler: fc.Scheduler, decisions: readonly Decision[]) {
    super();
    this.#scheduler = scheduler;
    this.#decisions = [...decisions];
  }

  override async logPipelineRun(row: PipelineRunTransition): Promise<string> {
    this.#pending++;
    const former = this.#last;
    const last = Promise.withResolvers<void>();
    this.#last = last.promise;
    await former;
    await this.#scheduler.schedule(Promise.resolve(), `${row.status} is sent`);
    last.resolve();
    this.decision = this.#decisions.shift() ?? "write";
    const answer = super.logPipelineRun(row);
    answer.catch(() => {});
    await this.#scheduler.schedule(Promise.resolve(), `it is answered`);
    this.#pending--;
    return await answer;
  }
}

/** The phase that an attempt's last event tells of. */
function toldBy({ readers: [events] }: SeenAttempt): RunPhase {
  const last = events.at(-1)!;
  return last.kind === "Errored"
    ? erroredPhase(last)
    : { name: last.kind as "Completed" };
}

/** One ending, and nothing behind it: for callers and subscribers alike. */
function checkAttempt(attempt: SeenAttempt): void {
  const { closed, outcome, readers } = attempt;
  assertEquals(closed, readers.length, "a stream is open");
  if (isRefused(attempt)) {
    assertEquals(readers.flat(), [], "a refused run has events");
    return;
  }
  assert(outcome !== undefined, `the run was refused: ${attempt.refusal}`);
  const [events] = readers;
  for (const others of readers) assertEquals(others, events);
  assertEquals(events[0].kind, "Started");
  assertEquals(events.filter(isLast), [events.at(-1)!]);
  assertEquals({ ...outcome.phase }, toldBy(attempt));
  if (outcome.durable) {
    assert(attempt.wasRecorded, "the last event came before its row");
  }
}

/** The numbers of all attempts together rise by one. */
function checkNumbers(attempts: readonly SeenAttempt[]): void {
  const numbers = attempts.flatMap(({ readers: [events] }) =>
    events.map(({ seq }) => seq)
  );
  assertEquals(numbers, numbers.map((_, place) => place + 1));
}

/** The rows of a repository, in groups that begin with a STARTED row. */
function rowsByAttempt({ rows }: DecidedRepository): PipelineRunTransition[][] {
  const groups: PipelineRunTransition[][] = [];
  for (const { transition } of rows) {
    if (transition.status.endsWith("STARTED")) groups.push([]);
    groups.at(-1)!.push(transition);
  }
  return groups;
}

Deno.test("Run ends once, with one row that agrees with its event, in any order of what can end it", async () => {
  await registryPipelineId(SPEC.pipelineName);
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      actions,
      decisions,
      async (scheduler, actions, decisions) => {
        const repository = new ScheduledRepository(scheduler, decisions);
        const isRecorded = () => {
          const row = repository.rows.at(-1);
          return row !== undefined && row.acknowledged &&
            !row.transition.status.endsWith("STARTED");
        };
        const isIdle = () => repository.isIdle;
        using trial = new Interleaving({
          scheduler,
          repository,
          isRecorded,
          isIdle,
        });
        trial.register();
        for (const action of actions) {
          trial.plan(action, () => trial.act(action));
        }
        await trial.settle();
        await trial.finish();
        const { attempts } = trial;
        for (const attempt of attempts) checkAttempt(attempt);
        const begun = attempts.filter((attempt) => !isRefused(attempt));
        assertEquals(rowsByAttempt(repository).length, begun.length);
        for (const [place, rows] of rowsByAttempt(repository).entries()) {
          const { name } = toldBy(begun[place]);
          const told = ["STARTED", name.toUpperCase()];
          const isWhole = begun[place].outcome!.durable;
          assertEquals(
            rows.map(({ status }) => status.split("_").at(-1)),
            isWhole ? told : told.slice(0, rows.length),
          );
        }
        checkNumbers(begun);
      },
    ),
    { numRuns: 1_000 },
  );
});

/** Checks runs in a log, in any order of what happens to them here and elsewhere. */
async function alwaysInLog(
  check: (
    attempts: readonly SeenAttempt[],
    log: ScheduledRunLog,
    isDurable: boolean,
  ) => void,
): Promise<void> {
  await registryPipelineId(SPEC.pipelineName);
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      actions,
      fc.array(fc.constantFrom(...REMOTE), { maxLength: 4, size: "max" }),
      fc.array(fc.boolean(), { maxLength: 6 }),
      fc.boolean(),
      async (scheduler, actions, remote, isLost, isReadable) => {
        const log = new ScheduledRunLog(scheduler, isLost, isReadable);
        const isRecorded = () => log.leases.at(-1)!.logged?.ended === true;
        const repository = new LoggedRepository(log);
        const isIdle = () => log.leases.every(({ isIdle }) => isIdle);
        using trial = new Interleaving({
          scheduler,
          repository,
          isRecorded,
          isIdle,
          isReading: () => log.reading > 0,
        });
        trial.register();
        for (const action of actions) {
          trial.plan(action, () => trial.act(action));
        }
        const act = {
          "reap": () => log.expire(),
          "renew": () => log.leases.at(-1)!.renew(),
          "remote abort": () => log.leases.at(-1)!.requestAbort(),
          "run elsewhere": () => log.runElsewhere(),
        };
        for (const action of remote) trial.plan(action, act[action]);
        await trial.settle();
        for (const [place, { isLost }] of log.leases.entries()) {
          const { outcome, refusal } = trial.attempts[place];
          const isOver = outcome !== undefined || refusal !== undefined;
          assert(!isLost || isOver, "a run goes on without its lease");
        }
        await trial.finish();
        check(trial.attempts, log, isReadable && isPatient(actions));
      },
    ),
    { numRuns: 1_000 },
  );
}

Deno.test("Run ends as the log says, in any order of what can end it here and elsewhere", async () => {
  await alwaysInLog((attempts, log, isDurable) => {
    for (const attempt of attempts) checkAttempt(attempt);
    checkLog(log);
    for (const [place, attempt] of attempts.entries()) {
      if (isRefused(attempt)) continue;
      checkAgreement(attempt, log.leases[place]);
      if (isDurable) {
        assert(attempt.outcome!.durable, "an ending is not durable");
      }
    }
  });
});

Deno.test("Run numbers its events without a gap, also when another instance ends it", async () => {
  await alwaysInLog((attempts) => {
    for (const { readers: [events = []] } of attempts) {
      const numbers = events.map(({ seq }) => seq);
      assertEquals(numbers, numbers.map((_, place) => numbers[0] + place));
    }
  });
});

/** One ending an attempt, and numbers that rise by one. */
function checkLog({ attempts, leases }: ScheduledRunLog): void {
  const numbers = attempts.flatMap(({ events }) =>
    events.map(({ seq }) => seq)
  );
  assertEquals(numbers, numbers.map((_, place) => place + 1));
  for (const { claim, events } of attempts) {
    const endings = events.filter(({ kind }) =>
      kind === "Completed" || kind === "Errored"
    );
    assertEquals(endings, events.slice(-1), `the endings of ${claim}`);
  }
  for (const { logged } of leases) {
    const { events = [], rows = [] } = logged ?? {};
    const written = events.filter(({ kind, message }) =>
      kind !== "Yield" && message !== EXPIRED
    );
    assertEquals(
      rows.map(({ status }) => status.replace("DATASET_PROCESSING_", "")),
      written.map(({ kind }) => kind.toUpperCase()),
    );
  }
}

/** What an attempt ended with here is what the log has. */
function checkAgreement(
  attempt: SeenAttempt,
  { logged }: ScheduledLease,
): void {
  if (!attempt.outcome!.durable) return;
  const last = logged!.events.at(-1)!;
  const phase = last.kind === "Errored"
    ? erroredPhase(last as unknown as RunFailure)
    : { name: last.kind };
  assertEquals({ ...toldBy(attempt) }, phase as RunPhase);
}
