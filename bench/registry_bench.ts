import {
  MemoryPipelineRunRepository,
  PipelineRunRegistry,
  type PipelineRunTransition,
} from "../mod.ts";
import type { Contest, MeasureOptions } from "./contest.ts";
import { importPeer } from "./peers.ts";

const HELD = [10, 4_096, 100_000, 1_000_000] as const;
const AT_ONCE = 1_000;

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

async function measureRuns(
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
    figures[`runs ${held}`] = await perSecond(quick ? 300 : 1_000, register);
    await registry.shutdown();
  }
  return figures;
}

async function measureQueue({ quick }: MeasureOptions) {
  const { default: PQueue } = await importPeer("p-queue");
  const queue = new PQueue();
  const add = () => queue.add(noop);
  await perSecond(quick ? 200 : 500, add);
  const runs = await perSecond(quick ? 300 : 1_000, add);
  return Object.fromEntries(HELD.map((held) => [`runs ${held}`, runs]));
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

const columns = (figure: string) =>
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
          "registration, two events, two rows for a repository that stores none, the outcome",
        measure: measureRuns,
      },
      {
        name: "p-queue",
        includes: "add() of a function; it keeps none that has ended",
        measure: measureQueue,
      },
    ],
    tables: [{
      title: "no-op runs/s in memory, 1,000 at once",
      better: "more",
      columns: columns("runs"),
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
      columns: columns("sweep"),
    }],
  },
];
