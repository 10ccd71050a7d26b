import postgres from "postgres";
import { PipelineRunRegistry } from "../mod.ts";
import { allowAll, createRunHandler } from "../src/http/mod.ts";
import { connect, PostgresPipelineRunRepository } from "../src/postgres/mod.ts";
import type { Contest } from "./contest.ts";
import { openDatabase } from "./database.ts";

const SPEC = { pipelineName: "flood" };
const onWarning = (): void => {};
const noop = (): void => {};
const turn = (): Promise<void> => new Promise((go) => setTimeout(go));

/** Measures by how many bytes something makes the heap grow for good. */
async function growth(flood: () => unknown): Promise<number> {
  const { gc } = globalThis as unknown as { gc: () => void };
  const used = () => {
    gc();
    const { heapUsed, external } = Deno.memoryUsage();
    return heapUsed + external;
  };
  const before = used();
  const kept = await flood();
  await turn();
  const after = used();
  // Whatever was made must be reachable until here.
  return kept === undefined ? NaN : after - before;
}

/** 200,000 runs one after the other, of which the default registry holds 4,096. */
function floodOfRuns(): Promise<number> {
  const registry = new PipelineRunRegistry();
  return growth(async () => {
    for (let i = 0; i < 200_000; i++) await registry.registerInline(SPEC, noop);
    return registry;
  });
}

/** 200,000 subscriptions to unknown runs, of which 100,000 are admitted. */
function floodOfIds(): Promise<number> {
  const registry = new PipelineRunRegistry();
  return growth(() => {
    const streams: unknown[] = [registry];
    for (let i = 0; i < 200_000; i++) {
      try {
        streams.push(registry.subscribe(crypto.randomUUID()));
      } catch {
        // It is full, as it should be.
      }
    }
    return streams;
  });
}

/** 10,000 subscribers of one run who do not read its 100,000 events. */
async function floodOfSubscribers(): Promise<number> {
  const registry = new PipelineRunRegistry();
  const begun = Promise.withResolvers<(payload: string) => void>();
  const { runId } = await registry.registerBackground<string>(
    SPEC,
    ({ publish }) => {
      begun.resolve(publish);
      return new Promise(() => {});
    },
  );
  const publish = await begun.promise;
  return growth(() => {
    const streams: unknown[] = [registry];
    for (let i = 0; i < 10_000; i++) streams.push(registry.subscribe(runId));
    for (let i = 0; i < 100_000; i++) publish(`payload ${i}`);
    return streams;
  });
}

/** 1 GB of Yields of 100 kB in one run, with a database that does not answer. */
function floodOfPayloads(): Promise<number> {
  const repository = new PostgresPipelineRunRepository(
    { unsafe: () => new Promise<never>(noop) },
    { onWarning },
  );
  const registry = new PipelineRunRegistry({ repository, onWarning });
  return growth(async () => {
    await registry.registerBackground(SPEC, async function* () {
      for (let i = 0; i < 10_000; i++) yield `${i}`.padEnd(100_000, "x");
      await new Promise(noop);
    });
    await turn();
    return registry;
  });
}

/** 1,000 viewers who do not read the 10,000 events of 1 kB of a run. */
async function slowViewers(): Promise<number> {
  const registry = new PipelineRunRegistry();
  const handler = createRunHandler(registry, { authorize: allowAll });
  const begun = Promise.withResolvers<(payload: string) => void>();
  const { runId } = await registry.registerBackground<string>(
    SPEC,
    ({ publish }) => {
      begun.resolve(publish);
      return new Promise(noop);
    },
  );
  const publish = await begun.promise;
  return growth(async () => {
    const viewers: unknown[] = [registry];
    for (let i = 0; i < 1_000; i++) {
      const request = new Request(`http://localhost/runs/${runId}/events`);
      viewers.push(await handler(request));
    }
    for (let i = 0; i < 10_000; i++) {
      publish(`${i}`.padEnd(1_000, "x"));
      if (i % 100 === 0) await turn();
    }
    return viewers;
  });
}

/** The most connections of an instance at the server while something is done. */
async function connections(
  url: string,
  during: (registry: PipelineRunRegistry) => Promise<void>,
): Promise<number> {
  const name = `bounds ${crypto.randomUUID()}`;
  const watched = new URL(url);
  watched.searchParams.set("application_name", name);
  const sql = postgres(url, { max: 1 });
  const repository = await connect(watched.href, { onWarning });
  const registry = new PipelineRunRegistry({ repository, onWarning });
  let most = 0;
  let isOver = false;
  const over = during(registry).finally(() => isOver = true);
  while (!isOver) {
    const [{ count }] = await sql`
      select count(*)::integer from pg_stat_activity
      where application_name = ${name}`;
    most = Math.max(most, count);
  }
  await over;
  await registry.shutdown();
  await repository.close();
  await sql.end();
  return most;
}

/** Registers runs, 200 at once, for some seconds. */
async function register(
  registry: PipelineRunRegistry,
  seconds: number,
): Promise<void> {
  const until = performance.now() + seconds * 1_000;
  const running = Array.from({ length: 200 }, async () => {
    while (performance.now() < until) {
      await registry.registerInline(SPEC, async function* () {
        yield 1;
        await turn();
      });
    }
  });
  await Promise.all(running);
}

async function connectionFigures(): Promise<Record<string, number>> {
  await using database = await openDatabase();
  const { url } = database;
  const busy = await connections(url, (registry) => register(registry, 3));
  const locked = await connections(url, async (registry) => {
    const locker = postgres(url, { max: 1 });
    await locker`begin`.simple();
    await locker`lock table pipeline_runs in access exclusive mode`.simple();
    const registered = register(registry, 10);
    await registry.status(crypto.randomUUID()).catch(noop);
    await registered;
    await locker.end({ timeout: 0 });
  });
  return { busy, locked };
}

/** What an instance holds at most while it is flooded. */
export const contests: readonly Contest[] = [
  {
    name: "bounds",
    contenders: [{
      name: "ours",
      includes: "default options; what the heap has grown by after the flood",
      measure: async () => ({
        runs: await floodOfRuns(),
        ids: await floodOfIds(),
        subscribers: await floodOfSubscribers(),
        payloads: await floodOfPayloads(),
        viewers: await slowViewers(),
      }),
    }],
    tables: [{
      title: "memory held after a flood, MB",
      better: "less",
      scale: 1e-6,
      columns: {
        runs: "200,000 runs",
        ids: "200,000 unknown ids",
        subscribers: "10,000 idle subscribers",
        payloads: "1 GB of Yields, database silent",
        viewers: "1,000 viewers that do not read",
      },
    }],
  },
  {
    name: "connections",
    needsPostgres: true,
    contenders: [{
      name: "ours",
      includes: "default options, 200 runs at once",
      measure: connectionFigures,
    }],
    tables: [{
      title: "connections at the server, at most",
      better: "less",
      columns: { busy: "busy", locked: "a table locked for 10 s" },
    }],
  },
];
