import {
  MemoryPipelineRunRepository,
  PipelineRunRegistry,
  type PipelineRunTransition,
} from "../mod.ts";
import type { Contest, MeasureOptions } from "./contest.ts";
import { importPeer } from "./peers.ts";

const HELD = [10, 4_096, 100_000, 1_000_000] as const;
const AT_ONCE = 1_000;
const TOGETHER = [1, 64, 1_000] as const;

/** Accepts rows and stores none. */
export class NoRepository extends MemoryPipelineRunRepository {
  override logPipelineRun(row: PipelineRunTransition): Promise<string> {
    return Promise.resolve(row.id!);
  }
}

/** Measures calls per second, with a batch of calls at a time. */
export async function perSecond(
  time: number,
  start: () => Promise<unknown>,
  atOnce: number = AT_ONCE,
): Promise<number> {
  const begun = performance.now();
  for (let done = atOnce;; done += atOnce) {
    const batch = new Array<Promise<unknown>>(atOnce);
    for (let i = 0; i < atOnce; i++) batch[i] = start();
    await Promise.all(batch);
    const total = performance.now() - begun;
    if (total >= time) return done / total * 1_000;
  }
}

function noop(): void {}

const SPEC = { pipelineName: "noop" };

/** Measures a call one after the other, and many at once. */
async function measureCalls(
  call: () => Promise<unknown>,
  { quick }: MeasureOptions,
): Promise<Record<string, number>> {
  const figures: Record<string, number> = {};
  for (const atOnce of TOGETHER) {
    await perSecond(quick ? 200 : 500, call, atOnce); // to warm up
    figures[`runs ${atOnce}`] = await perSecond(
      quick ? 300 : 1_000,
      call,
      atOnce,
    );
  }
  return figures;
}

/** Measures no-op runs of a registry that holds as many as it may. */
async function measureRuns(
  registry: PipelineRunRegistry,
  options: MeasureOptions,
): Promise<Record<string, number>> {
  const figures = await measureCalls(
    () => registry.registerInline(SPEC, noop),
    options,
  );
  await registry.shutdown();
  return figures;
}

async function measureQueue(
  options: MeasureOptions,
): Promise<Record<string, number>> {
  const { default: PQueue } = await importPeer("p-queue");
  const queue = new PQueue();
  return await measureCalls(() => queue.add(noop), options);
}

/** A `Map` of so many values under random ids, in which each takes the oldest's place. */
class HeldValues<T> {
  readonly #values = new Map<string, T>();
  /** The ids, the oldest one at `#oldest`. */
  readonly #ids: string[];
  #oldest = 0;

  constructor(held: number) {
    this.#ids = new Array<string>(held).fill("");
  }

  add(value: T): void {
    const id = crypto.randomUUID();
    this.#values.delete(this.#ids[this.#oldest]);
    this.#values.set(id, value);
    this.#ids[this.#oldest] = id;
    this.#oldest = (this.#oldest + 1) % this.#ids.length;
  }
}

/** Calls a function and holds its promise, as many as the registry holds runs. */
async function measureFloor(
  options: MeasureOptions,
): Promise<Record<string, number>> {
  const held = new HeldValues<Promise<void>>(4_096);
  return await measureCalls(() => {
    const promise = Promise.resolve().then(noop);
    held.add(promise);
    return promise;
  }, options);
}

async function measureHeld(
  { quick }: MeasureOptions,
): Promise<Record<string, number>> {
  const figures: Record<string, number> = {};
  for (const held of HELD) {
    // At its bound the registry forgets a run for each new one.
    const maxInMemoryRuns = Math.max(held, AT_ONCE);
    const registry = new PipelineRunRegistry({
      repository: new NoRepository(),
      maxInMemoryRuns,
    });
    const register = () => registry.registerInline(SPEC, noop);
    for (let i = 0; i < maxInMemoryRuns; i += AT_ONCE) {
      await Promise.all(Array.from({ length: AT_ONCE }, register));
    }
    await perSecond(quick ? 200 : 500, register); // to warm up
    figures[`held ${held}`] = await perSecond(quick ? 300 : 1_000, register);
    await registry.shutdown();
  }
  return figures;
}

/** As {@linkcode measureHeld}, with a `Map` of ids alone. */
async function measureHeldIds(
  { quick }: MeasureOptions,
): Promise<Record<string, number>> {
  const figures: Record<string, number> = {};
  for (const held of HELD) {
    const values = new HeldValues<number>(held);
    const add = () => Promise.resolve(values.add(0));
    for (let i = 0; i < held; i++) add();
    await perSecond(quick ? 200 : 500, add);
    figures[`held ${held}`] = await perSecond(quick ? 300 : 1_000, add);
  }
  return figures;
}

/** Measures nanoseconds per run that a sweep forgets while others are held. */
async function measureSweep() {
  const figures: Record<string, number> = {};
  const swept = 10_000;
  for (const held of HELD) {
    let now = 0;
    const registry = new PipelineRunRegistry({
      repository: new NoRepository(),
      maxInMemoryRuns: Infinity,
      finishedRetention: 1_000,
      clock: () => now,
    });
    const register = async (count: number) => {
      for (let i = 0; i < count; i += AT_ONCE) {
        const length = Math.min(AT_ONCE, count - i);
        await Promise.all(
          Array.from({ length }, () => registry.registerInline(SPEC, noop)),
        );
      }
    };
    await register(swept);
    now = 500;
    await register(held);
    now = 1_200;
    const start = performance.now();
    const { evicted } = await registry.sweep();
    figures[`sweep ${held}`] = (performance.now() - start) / evicted * 1e6;
    await registry.shutdown();
  }
  return figures;
}

const heldColumns = (figure: string) =>
  Object.fromEntries(
    HELD.map((each) => [
      `${figure} ${each}`,
      `${each.toLocaleString("en-US")} held`,
    ]),
  );

/** The contests of the registry in memory. */
export const contests: readonly Contest[] = [
  {
    name: "runs",
    contenders: [
      {
        name: "ours",
        includes:
          "a registry with the default options: registration, two events, two rows in memory, the outcome; 4,096 runs are held",
        measure: (options) => measureRuns(new PipelineRunRegistry(), options),
      },
      {
        name: "ours, a repository that stores nothing",
        includes: "the same without the rows",
        measure: (options) =>
          measureRuns(
            new PipelineRunRegistry({ repository: new NoRepository() }),
            options,
          ),
      },
      {
        name: "p-queue",
        includes: "add() of a function; it keeps none that has ended",
        measure: measureQueue,
      },
      {
        name: "a call and a Map",
        includes:
          "a random id, a promise, a call, and a Map of the last 4,096 promises",
        measure: measureFloor,
      },
    ],
    tables: [{
      title: "no-op runs/s in memory",
      better: "more",
      columns: {
        "runs 1": "1 at once",
        "runs 64": "64 at once",
        "runs 1000": "1,000 at once",
      },
    }],
  },
  {
    name: "held",
    contenders: [
      {
        name: "ours, a repository that stores nothing",
        includes: "registration, two events, the outcome; 1,000 at once",
        measure: measureHeld,
      },
      {
        name: "a Map of ids",
        includes: "a random id takes the place of the oldest one",
        measure: measureHeldIds,
      },
    ],
    tables: [{
      title: "no-op runs/s while finished ones are held",
      better: "more",
      columns: heldColumns("held"),
    }],
  },
  {
    name: "sweep",
    contenders: [{
      name: "ours",
      includes: "10,000 runs that expire among others that do not",
      measure: measureSweep,
    }],
    tables: [{
      title: "sweep, ns per run that it forgets",
      better: "less",
      columns: heldColumns("sweep"),
    }],
  },
];
