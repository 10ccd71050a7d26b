import { delay } from "@std/async/delay";
import postgres from "postgres";
import type { ConnectOptions } from "../src/postgres/mod.ts";
import {
  type Contender,
  type Contest,
  type Figures,
  type MeasureOptions,
  quantile,
} from "./contest.ts";
import { openDatabase } from "./database.ts";
import { openRegistry } from "./instance.ts";
import { importPeer } from "./peers.ts";

/** What a run does; peers without events publish nothing. */
type Work = (publish: (value: unknown) => void) => Promise<void> | void;

/** A way to make runs durable. */
interface Durable extends AsyncDisposable {
  /** Makes one run; resolves when its end is committed. */
  run(): Promise<unknown>;
}

type Open = (url: string, atOnce: number, work: Work) => Promise<Durable>;

/** Runs that are measured. */
interface Shape {
  readonly work: Work;
  readonly atOnce: readonly number[];
}

const NOOP: Shape = { work: ignore, atOnce: [1, 16, 64] };

/** Work that lives for 2 ms, with an event in the middle. */
const LIVE: Shape = {
  async work(publish) {
    await delay(1);
    publish({ done: 1 });
    await delay(1);
  },
  atOnce: [1, 64, 256],
};

async function measureRuns(
  open: Open,
  shape: Shape,
  { quick }: MeasureOptions,
): Promise<Figures> {
  const figures: Record<string, number> = {};
  const time = quick ? 1_000 : 3_000;
  for (const atOnce of shape.atOnce) {
    await using database = await openDatabase();
    await using durable = await open(database.url, atOnce, shape.work);
    await repeat(atOnce, time / 3, () => durable.run()); // to warm up
    const { latencies, took } = await repeat(atOnce, time, () => durable.run());
    figures[`runs ${atOnce}`] = latencies.length / took * 1_000;
    figures[`p50 ${atOnce}`] = quantile(latencies, 0.5);
    figures[`p99 ${atOnce}`] = quantile(latencies, 0.99);
  }
  return figures;
}

/** Repeats a call for some milliseconds, with `atOnce` calls at a time. */
async function repeat(
  atOnce: number,
  time: number,
  run: () => Promise<unknown>,
): Promise<{ latencies: number[]; took: number }> {
  const latencies: number[] = [];
  const start = performance.now();
  await Promise.all(Array.from({ length: atOnce }, async () => {
    while (performance.now() - start < time) {
      const begun = performance.now();
      await run();
      latencies.push(performance.now() - begun);
    }
  }));
  return { latencies, took: performance.now() - start };
}

function openOurs(options: ConnectOptions): Open {
  return async (url, _atOnce, work) => {
    const opened = await openRegistry(url, options);
    const { registry } = opened;
    const spec = { pipelineName: "bench" };
    return {
      run: () => registry.registerInline(spec, ({ publish }) => work(publish)),
      [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
    };
  };
}

const TABLE = `
  create table runs (
    id uuid primary key,
    run_id uuid not null,
    status text not null,
    created_at timestamptz not null default now()
  )`;

/** Inserts a row at the start and one at the end, and awaits each. */
const openTwoInserts: Open = async (url, atOnce, work) => {
  // The server takes 100 connections.
  const sql = postgres(url, { max: Math.min(atOnce, 64) });
  await sql.unsafe(TABLE);
  const insert = (runId: string, status: string) =>
    sql`insert into runs (id, run_id, status)
      values (${crypto.randomUUID()}, ${runId}, ${status})`;
  return {
    async run() {
      const runId = crypto.randomUUID();
      await insert(runId, "STARTED");
      await work(ignore);
      await insert(runId, "COMPLETED");
    },
    [Symbol.asyncDispose]: () => sql.end(),
  };
};

/** Inserts all rows that gathered during the last statement. */
const openGroupCommit: Open = async (url, _atOnce, work) => {
  const sql = postgres(url, { max: 1 });
  await sql.unsafe(TABLE);
  let waiting: { runId: string; status: string; resolve: () => void }[] = [];
  let isWriting = false;
  async function write(): Promise<void> {
    isWriting = true;
    while (waiting.length > 0) {
      const group = waiting;
      waiting = [];
      const ids = group.map(({ runId }) => runId);
      const statuses = group.map(({ status }) => status);
      await sql`
        insert into runs (id, run_id, status)
        select id, run_id, status
        from unnest(
          ${ids.map(() => crypto.randomUUID())}::uuid[], ${ids}::uuid[],
          ${statuses}::text[]
        ) row (id, run_id, status)`;
      for (const { resolve } of group) resolve();
    }
    isWriting = false;
  }
  const insert = (runId: string, status: string) =>
    new Promise<void>((resolve) => {
      waiting.push({ runId, status, resolve });
      // Both rows of a run that does nothing are in one statement.
      if (!isWriting) queueMicrotask(() => !isWriting && write());
    });
  return {
    async run() {
      const runId = crypto.randomUUID();
      insert(runId, "STARTED");
      const working = work(ignore);
      if (working !== undefined) await working;
      await insert(runId, "COMPLETED");
    },
    [Symbol.asyncDispose]: () => sql.end(),
  };
};

function ignore(): void {}

const openPgBoss: Open = async (url, atOnce, work) => {
  const { PgBoss } = await importPeer("pg-boss");
  const boss = new PgBoss({
    connectionString: url,
    max: Math.min(atOnce, 32),
    supervise: false,
    schedule: false,
  });
  boss.on("error", ignore);
  await boss.start();
  await boss.createQueue("noop");
  return {
    async run() {
      await boss.send("noop", {});
      // Another loop may take the job that this one sent, and leave its own.
      let job: { id: string } | undefined;
      while (job === undefined) [job] = await boss.fetch("noop");
      await work(ignore);
      await boss.complete("noop", job.id);
    },
    [Symbol.asyncDispose]: () => boss.stop({ graceful: false }),
  };
};

const openGraphileWorker: Open = async (url, atOnce, work) => {
  const { Logger, run } = await importPeer("graphile-worker");
  const { default: { Pool } } = await importPeer("pg");
  const noLog = () => () => {};
  const pgPool = new Pool({
    connectionString: url,
    max: Math.min(atOnce, 32) + 2,
  });
  // Connections may still be open after runner.promise resolves; they fail when
  // the database is dropped.
  pgPool.on("error", ignore);
  pgPool.on(
    "connect",
    (client: { on(event: "error", listener: () => void): void }) =>
      client.on("error", ignore),
  );
  const completed = new Map<string, () => void>();
  // A job can complete before addJob() resolves with its id.
  const early = new Set<string>();
  const runner = await run({
    pgPool,
    concurrency: atOnce,
    pollInterval: 1_000,
    noHandleSignals: true,
    logger: new Logger(noLog),
    taskList: { noop: () => work(ignore) },
  });
  runner.events.on("job:complete", ({ job }: { job: { id: string } }) => {
    completed.get(job.id)?.();
    completed.delete(job.id);
    early.add(job.id);
  });
  return {
    async run() {
      const { id } = await runner.addJob("noop", {});
      if (!early.delete(id)) {
        await new Promise<void>((resolve) => completed.set(id, resolve));
        early.delete(id);
      }
    },
    async [Symbol.asyncDispose]() {
      await runner.stop();
      await runner.promise;
      await pgPool.end();
    },
  };
};

/** A workflow can be registered only once in a process. */
let registered: (() => Promise<void>) | undefined;

const openDbos: Open = async (url, atOnce, work) => {
  const { DBOS } = await importPeer("@dbos-inc/dbos-sdk");
  DBOS.setConfig({
    name: "bench",
    systemDatabaseUrl: url,
    systemDatabasePoolSize: Math.min(atOnce, 32) + 2,
    runAdminServer: false,
    logger: { info: ignore, debug: ignore, warn: ignore, error: ignore },
  });
  registered ??= DBOS.registerWorkflow(async () => await work(ignore), {
    name: "noop",
  });
  await DBOS.launch();
  return {
    run: () => registered!(),
    [Symbol.asyncDispose]: () => DBOS.shutdown(),
  };
};

/** Does the work and stores nothing. */
const openNothing: Open = (_url, _atOnce, work) =>
  Promise.resolve({
    run: async () => await work(ignore),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });

const columns = (figure: string, { atOnce }: Shape) =>
  Object.fromEntries(
    atOnce.map((each) => [`${figure} ${each}`, `${each} at once`]),
  );

/** A contender, and what it includes. */
type Way = readonly [name: string, includes: string, open: Open];

/** What each includes is said of a run that does nothing. */
const WAYS: readonly Way[] = [
  [
    "ours",
    "two rows and two events, until the end is committed; a run that begins and ends in one flush needs neither lease nor NOTIFY",
    openOurs({}),
  ],
  [
    "ours, not prepared",
    "as behind a transaction pooler, but without one: each statement is planned every time",
    openOurs({ prepare: false }),
  ],
  [
    "ours, not shared",
    "two rows, until the end is committed",
    openOurs({ shared: false }),
  ],
  [
    "bare group commit",
    "two rows; INSERT … unnest of all that gathered, sent as soon as the last one returns",
    openGroupCommit,
  ],
  [
    "two awaited INSERTs",
    "one row each, a pool of as many connections",
    openTwoInserts,
  ],
  [
    "pg-boss",
    "send(), fetch() and complete() one after the other, so that nothing waits for a poll; unlike ours it retries and schedules",
    openPgBoss,
  ],
  [
    "graphile-worker",
    "addJob() until job:complete; unlike ours it retries and schedules",
    openGraphileWorker,
  ],
  [
    "DBOS",
    "a workflow without steps, until it returns; unlike ours it recovers",
    openDbos,
  ],
];

/** What the timers leave room for: one of 1 ms takes Deno about 2 ms. */
const THE_WORK_ALONE: Way = [
  "the work alone",
  "no storage: nothing can make more runs",
  openNothing,
];

function contest(
  name: string,
  title: string,
  shape: Shape,
  ways: readonly Way[],
): Contest {
  return {
    name,
    needsPostgres: true,
    contenders: ways.map(([name, includes, open]): Contender => ({
      name,
      includes,
      measure: (options) => measureRuns(open, shape, options),
    })),
    tables: [
      { title, better: "more", columns: columns("runs", shape) },
      { title: "p50, ms", better: "less", columns: columns("p50", shape) },
      { title: "p99, ms", better: "less", columns: columns("p99", shape) },
    ],
  };
}

/** The contests of durable runs. */
export const contests: readonly Contest[] = [
  contest(
    "live",
    "runs/s that live for 2 ms, with an event in the middle, until the end is committed",
    LIVE,
    [...WAYS, THE_WORK_ALONE],
  ),
  contest("durable", "no-op runs/s until the end is committed", NOOP, WAYS),
];
