import postgres from "postgres";
import type { PipelineWork } from "../mod.ts";
import {
  type Contest,
  type Figures,
  type MeasureOptions,
  quantile,
} from "./contest.ts";
import { openDatabase } from "./database.ts";
import { now, openRegistry, OtherInstance, publishMany } from "./instance.ts";

const WRITERS = 8;

/** How many events writers publish together: enough that their code is compiled. */
const PUBLISHED = 800_000;
const PUBLISHED_QUICKLY = 100_000;

/** The final report of a follower. */
interface Followed {
  latencies: number[];
  events: number;
  /** When it had received all events. */
  at: number;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function seen(latencies: readonly number[]): Figures {
  return {
    "seen p50": quantile(latencies, 0.5),
    "seen p99": quantile(latencies, 0.99),
  };
}

/** Starts a run at `start`, and follows it from another process. */
async function follow<P>(
  work: PipelineWork<P>,
): Promise<Followed & { start: number }> {
  await using database = await openDatabase();
  const { url } = database;
  await using opened = await openRegistry(url);
  const runId = crypto.randomUUID();
  await using other = new OtherInstance({ do: "follow", url, runIds: [runId] });
  await other.report();
  const start = now();
  await opened.registry.registerInline(
    { pipelineName: "followed", runId },
    work,
  );
  return { ...await other.report<Followed>(), start };
}

/** Measures the time from publishing an event to its arrival in another process. */
async function measureSeen({ quick }: MeasureOptions): Promise<Figures> {
  const { latencies } = await follow(async function* () {
    for (let i = 0; i < (quick ? 200 : 1_000); i++) {
      yield now();
      await pause(2);
    }
  });
  return seen(latencies);
}

/** Measures events per second, from the start until a follower has the last one. */
async function measureOneWriter({ quick }: MeasureOptions): Promise<Figures> {
  const { events, at, start } = await follow(() =>
    publishMany(quick ? PUBLISHED_QUICKLY : PUBLISHED)
  );
  return { "one writer": events / (at - start) * 1_000 };
}

async function measureManyWriters(
  { quick }: MeasureOptions,
): Promise<Figures> {
  await using database = await openDatabase();
  await using _migrated = await openRegistry(database.url);
  const { url } = database;
  const runIds = Array.from({ length: WRITERS }, () => crypto.randomUUID());
  await using follower = new OtherInstance({ do: "follow", url, runIds });
  await follower.report();
  const events = (quick ? PUBLISHED_QUICKLY : PUBLISHED) / WRITERS;
  await using stack = new AsyncDisposableStack();
  const writers = runIds.map((runId) =>
    stack.use(new OtherInstance({ do: "write", url, runId, events }))
  );
  for (const writer of writers) await writer.report();
  const start = now();
  for (const writer of writers) await writer.go();
  const followed = await follower.report<Followed>();
  if (followed.events !== events * WRITERS) {
    throw new Error(`${followed.events} of ${events * WRITERS} events arrived`);
  }
  return { "eight writers": followed.events / (followed.at - start) * 1_000 };
}

/** Measures the time from abort() to the signal of work in another process. */
async function measureAbort({ quick }: MeasureOptions): Promise<Figures> {
  await using database = await openDatabase();
  await using opened = await openRegistry(database.url);
  const length = quick ? 40 : 200;
  const runIds = Array.from({ length }, () => crypto.randomUUID());
  await using other = new OtherInstance({
    do: "hold",
    url: database.url,
    runIds,
  });
  await other.report();
  const latencies: number[] = [];
  for (const runId of runIds) {
    const start = now();
    await opened.registry.abort(runId);
    latencies.push(await other.report<number>() - start);
  }
  return {
    "abort p50": quantile(latencies, 0.5),
    "abort p95": quantile(latencies, 0.95),
  };
}

async function measureBare({ quick }: MeasureOptions): Promise<Figures> {
  await using database = await openDatabase();
  const sql = postgres(database.url, { max: 1, onnotice: () => {} });
  await sql`create table bare_events (seq integer primary key, at float8)`;
  const events = quick ? 200 : 1_000;
  await using other = new OtherInstance({
    do: "follow bare",
    url: database.url,
    events,
  });
  await other.report();
  for (let seq = 1; seq <= events; seq++) {
    await sql`
      with written as (insert into bare_events values (${seq}, ${now()}))
      select pg_notify('bare', '')`;
    await pause(2);
  }
  const { latencies } = await other.report<Followed>();
  await sql.end();
  return seen(latencies);
}

/** The contest between instances. */
export const contests: readonly Contest[] = [{
  name: "instances",
  needsPostgres: true,
  contenders: [
    {
      name: "ours",
      includes:
        "from publish() or abort() in one process, through the commit, to the event or the signal in another",
      measure: async (options) => ({
        ...await measureSeen(options),
        ...await measureOneWriter(options),
        ...await measureManyWriters(options),
        ...await measureAbort(options),
      }),
    },
    {
      name: "commit, NOTIFY, read",
      includes:
        "a row and a notification in one statement, then a query for the row",
      measure: measureBare,
    },
  ],
  tables: [
    {
      title: "until another process sees it, ms",
      better: "less",
      columns: {
        "seen p50": "event, p50",
        "seen p99": "event, p99",
        "abort p50": "abort, p50",
        "abort p95": "abort, p95",
      },
    },
    {
      title: "events/s to another process",
      better: "more",
      columns: {
        "one writer": "one writer",
        "eight writers": "eight writers",
      },
    },
  ],
}];
