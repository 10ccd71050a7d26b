import { assert, assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import fc from "fast-check";
import {
  MemoryPipelineRunRepository,
  PipelineRunRegistry,
  type PipelineRunTransition,
  RepositoryError,
  type RunEvent,
  type RunOutcome,
  type RunPhase,
} from "../../mod.ts";
import { runMicrotasks } from "../assert_pending.ts";
import { forever, noop, RUN_ID, SPEC } from "../known_run.ts";
import { erroredPhase } from "../../src/model/phase.ts";

/** How a repository answers a row. */
const ANSWERS = [
  "writes",
  "refuses",
  "refuses for good",
  "writes and loses the answer",
  "never answers",
] as const;
type Answer = typeof ANSWERS[number];

/** Incidents that can happen at any time after the registration. */
const INCIDENTS = [
  "abort",
  "signal",
  "shutdown",
  "subscribe",
  "subscribe and leave",
  "publish",
  "5 s pass",
] as const;

const REFUSED_AND_LOST = new Set<Answer>([
  "refuses",
  "writes and loses the answer",
]);

interface Scenario {
  work: "completes" | "fails" | "never settles" | "cannot be ended";
  /** Whether the caller's signal has fired before the registration. */
  fired: boolean;
  /** Incidents before the run has begun. */
  atOnce: (typeof INCIDENTS)[number][];
  /** Incidents at any time. */
  incidents: (typeof INCIDENTS)[number][];
  /** The answers to the first rows; the repository writes all others. */
  answers: Answer[];
  /** Whether the registry has run this pipeline before. */
  familiar: boolean;
}

const scenarios: fc.Arbitrary<Scenario> = fc.record({
  work: fc.constantFrom(
    "completes",
    "fails",
    "never settles",
    "cannot be ended",
  ),
  fired: fc.integer({ max: 9, min: 0 }).map((n) => n === 0),
  atOnce: fc.array(fc.constantFrom(...INCIDENTS), { maxLength: 2 }),
  incidents: fc.array(fc.constantFrom(...INCIDENTS), { maxLength: 6 }),
  answers: fc.array(fc.constantFrom(...ANSWERS), { maxLength: 6 }),
  familiar: fc.boolean(),
});

/**
 * Writes rows in the order of the calls, as repositories must, and answers in
 * any order.
 */
class ScheduledRepository extends MemoryPipelineRunRepository {
  readonly #asked: { row: PipelineRunTransition; written: boolean }[] = [];
  readonly #scheduler: fc.Scheduler;
  readonly #answers: Answer[];
  readonly #onWritten: (row: PipelineRunTransition) => void;

  constructor(
    scheduler: fc.Scheduler,
    answers: Answer[],
    onWritten: (row: PipelineRunTransition) => void,
  ) {
    super();
    this.#scheduler = scheduler;
    this.#answers = [...answers];
    this.#onWritten = onWritten;
  }

  /** The rows of the run in the order in which they read back. */
  get rows(): string[] {
    const statuses = new Map<string, string>();
    for (const { row: { id, status }, written } of this.#asked) {
      if (written && !statuses.has(id!)) {
        statuses.set(id!, status.replace("DATASET_PROCESSING_", ""));
      }
    }
    return [...statuses.values()];
  }

  override async logPipelineRun(row: PipelineRunTransition): Promise<string> {
    if (row.pipelineRunId !== RUN_ID) return row.id!;
    const asked = { row, written: false };
    this.#asked.push(asked);
    const answer = this.#answers.shift() ?? "writes";
    if (answer === "never answers") return await forever();
    await this.#scheduler.schedule(
      Promise.resolve(),
      `the repository ${answer}: ${row.status}`,
    );
    if (answer === "refuses") throw new RepositoryError("down");
    if (answer === "refuses for good") {
      throw new RepositoryError("bad row", { transient: false });
    }
    asked.written = true;
    if (answer !== "writes") throw new RepositoryError("connection lost");
    this.#onWritten(row);
    return row.id!;
  }
}

/** Never gives a value, and throws when it is asked to return. */
const UNENDING: AsyncIterable<number> = {
  [Symbol.asyncIterator]: () => ({
    next: forever,
    return() {
      throw new Error("from return");
    },
  }),
};

/** The observations of one scenario. */
interface Observed {
  outcome: RunOutcome;
  /** The run's phase after everything has settled. */
  phase: RunPhase | undefined;
  subscribers: RunEvent[][];
  /** The rows in the order in which they read back. */
  rows: string[];
  /** Acknowledged rows and the outcome, in the order in which they were seen. */
  seen: string[];
  /** How often the work was called. */
  calls: number;
  /** What was thrown or rejected, handled or not. */
  thrown: unknown[];
}

/** Runs a scenario in the order that the scheduler chooses. */
async function observe(
  scheduler: fc.Scheduler,
  { work, fired, atOnce, incidents, answers, familiar }: Scenario,
): Promise<Observed> {
  const seen: string[] = [];
  const thrown: unknown[] = [];
  const onUnhandled = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    thrown.push(event.reason);
  };
  globalThis.addEventListener("unhandledrejection", onUnhandled);
  using time = new FakeTime();
  const repository = new ScheduledRepository(
    scheduler,
    answers,
    ({ status }) => seen.push(status),
  );
  const registry = new PipelineRunRegistry({
    repository,
    clock: () => Date.now(),
    onWarning: noop,
  });
  const pipelineName = familiar ? SPEC.pipelineName : "unheard of";
  await registry.registerInline(SPEC, noop);

  let unsettled = 0;
  /** Counts a promise that must settle. */
  const watch = <T>(promise: Promise<T>): Promise<T | undefined> => {
    unsettled++;
    return promise.catch((error) => {
      thrown.push(error);
      return undefined;
    }).finally(() => unsettled--);
  };
  const subscribers: Promise<RunEvent[] | undefined>[] = [];
  const subscribe = () => {
    subscribers.push(watch(Array.fromAsync(registry.subscribe(RUN_ID))));
  };
  const leave = async () => {
    const reader = registry.subscribe(RUN_ID).getReader();
    await reader.read();
    await reader.cancel();
  };

  const controller = new AbortController();
  const { signal } = controller;
  const settled = Promise.withResolvers<void>();
  let calls = 0;
  let publish: (() => void) | undefined;
  subscribe();
  const begun = leave();
  if (fired) controller.abort("enough");
  const run = watch(
    registry.registerInline<number>(
      { pipelineName, runId: RUN_ID, signal },
      (context) => {
        calls++;
        publish = () => context.publish(calls);
        if (work === "cannot be ended") return UNENDING;
        return settled.promise.then(() => {
          if (work === "fails") throw new Error("boom");
        });
      },
    ).finally(() => seen.push("outcome")),
  );
  subscribe();

  const act = {
    "abort": () => watch(registry.abort(RUN_ID, "enough")),
    "signal": () => controller.abort(),
    "shutdown": () => watch(registry.shutdown({ timeout: 1_000 })),
    "subscribe": subscribe,
    "subscribe and leave": () => watch(leave()),
    "publish": () => publish?.(),
    "5 s pass": () => time.tick(5_000),
  };
  for (const incident of atOnce) act[incident]();
  const happen = async (label: string, action: () => unknown) => {
    await scheduler.schedule(Promise.resolve(), label);
    action();
  };
  for (const incident of incidents) watch(happen(incident, act[incident]));
  watch(happen(work, work === "never settles" ? noop : settled.resolve));

  /** Settles everything that needs no time to pass. */
  const settle = async () => {
    while (scheduler.count() > 0) {
      await scheduler.waitOne();
      await runMicrotasks();
    }
    await runMicrotasks();
  };
  await settle();
  await begun;
  await settle();
  for (let i = 0; i < 4; i++) {
    time.tick(5_000);
    await settle();
  }
  const wasLive = registry.snapshotStatus(RUN_ID)?.name === "Running";
  if (wasLive) watch(registry.abort(RUN_ID));
  subscribe();
  watch(registry.shutdown({ timeout: 1_000 }));
  for (let i = 0; i < 4; i++) {
    await settle();
    time.tick(5_000);
  }
  await settle();
  // Rejections are reported between two turns of the event loop.
  await time.runMicrotasks();
  globalThis.removeEventListener("unhandledrejection", onUnhandled);
  assertEquals(unsettled, 0, "something never came to an end");
  return {
    outcome: (await run)!,
    phase: registry.snapshotStatus(RUN_ID),
    subscribers: (await Promise.all(subscribers)).map((events) => events!),
    rows: repository.rows,
    seen,
    calls,
    thrown,
  };
}

/** Checks an invariant over random scenarios and orders. */
async function always(
  seed: number,
  check: (observed: Observed, scenario: Scenario) => void,
): Promise<void> {
  const property = fc.asyncProperty(
    fc.scheduler(),
    scenarios,
    async (scheduler, scenario) => {
      check(await observe(scheduler, scenario), scenario);
    },
  );
  await fc.assert(property, { seed, numRuns: 250 });
}

const isTerminal = ({ kind }: RunEvent) =>
  kind === "Completed" || kind === "Errored";

Deno.test("Run gives each subscriber exactly one terminal event, and nothing after it (fault 12)", async () => {
  await always(1, ({ subscribers }) => {
    for (const events of subscribers) {
      assertEquals(events.filter(isTerminal), [events.at(-1)!]);
    }
  });
});

Deno.test("Run gives every subscriber the same events, numbered without a gap (fault 4)", async () => {
  await always(2, ({ subscribers: [first, ...others] }) => {
    assertEquals(first.map(({ seq }) => seq), first.map((_, i) => i + 1));
    assertEquals(first[0].kind, "Started");
    for (const events of others) assertEquals(events, first);
  });
});

Deno.test("Run has one outcome, which agrees with its phase and its last event (fault 12)", async () => {
  await always(3, ({ outcome, phase, seen, subscribers }) => {
    assertEquals(seen.filter((event) => event === "outcome").length, 1);
    assertEquals(phase, outcome.phase);
    const last = subscribers[0].at(-1)!;
    const told = last.kind === "Errored"
      ? erroredPhase(last)
      : { name: last.kind as "Completed" };
    assertEquals(told, { ...outcome.phase });
  });
});

Deno.test("Run writes its rows in order and at most one terminal row, which agrees with the outcome (fault 12)", async () => {
  await always(4, ({ outcome, rows }, { answers }) => {
    // A refusal and a lost answer look the same: after one of each the registry
    // cannot know whether the later row is written before the earlier one.
    if (new Set(answers).isSupersetOf(REFUSED_AND_LOST)) return;
    const ending = outcome.phase.name.toUpperCase();
    const all = ["STARTED", ending];
    assertEquals(rows, all.filter((status) => rows.includes(status)));
  });
});

Deno.test("Run is durable only if its terminal row was acknowledged before the outcome", async () => {
  await always(5, ({ outcome, seen }) => {
    if (!outcome.durable) return;
    const ending = outcome.phase.name.toUpperCase();
    const acknowledged = seen.indexOf(`DATASET_PROCESSING_${ending}`);
    assert(acknowledged >= 0 && acknowledged < seen.indexOf("outcome"));
  });
});

Deno.test("Run throws nothing and leaves no rejection unhandled", async () => {
  await always(6, ({ thrown }) => assertEquals(thrown, []));
});

Deno.test("Run calls its work at most once", async () => {
  await always(7, ({ calls }) => assert(calls <= 1));
});

Deno.test("Run ends as its work does when nothing else ends it", async () => {
  await always(8, ({ outcome }, { work, fired, atOnce, incidents }) => {
    const ends = ["abort", "signal", "shutdown"];
    const others = [...atOnce, ...incidents];
    if (fired || others.some((incident) => ends.includes(incident))) return;
    const endings: Record<Scenario["work"], RunPhase> = {
      "completes": { name: "Completed" },
      "fails": { name: "Errored", code: "work", message: "boom" },
      "never settles": {
        name: "Errored",
        code: "aborted",
        message: "aborted",
      },
      "cannot be ended": {
        name: "Errored",
        code: "aborted",
        message: "aborted",
      },
    };
    assertEquals({ ...outcome.phase }, endings[work]);
  });
});

Deno.test("Run calls no work when its caller's signal has fired", async () => {
  await always(9, ({ calls, outcome }, { fired }) => {
    if (!fired) return;
    assertEquals(calls, 0);
    assertEquals({ ...outcome.phase }, {
      name: "Errored",
      code: "aborted",
      message: "aborted: enough",
    });
  });
});
