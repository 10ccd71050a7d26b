import postgres from "postgres";
import type { PipelineRunRegistry } from "../mod.ts";
import {
  connect,
  type PostgresPipelineRunRepository,
} from "../src/postgres/mod.ts";
import { type Contest, type Figures, quantile } from "./contest.ts";
import { openRegistry } from "./instance.ts";
import { startPostgresServer } from "./postgres_server.ts";

/** How many old runs there are, and how many events each has. */
const OLD_RUNS = 1_000_000;
const QUICK_OLD_RUNS = 100_000;
const EVENTS = 10;

/** How often a run begins, in milliseconds. */
const RUN_INTERVAL = 5;

/** How long to write before the sweep, in milliseconds. */
const USUAL_TIME = 20_000;

/** Adds runs that ended two days ago. */
async function addOldRuns(sql: postgres.Sql, runs: number): Promise<void> {
  await sql.unsafe(`
    insert into pipeline_run_events (
      pipeline_run_id, seq, kind, at, payload, payload_length, logged_at
    )
    select
      run.id, seq,
      case seq when 1 then 'Started' when ${EVENTS} then 'Completed' else 'Yield' end,
      run.at, '{"document":"a.txt"}', 20, run.at
    from (
      select
        gen_random_uuid() as id,
        now() - interval '2 days' + i * interval '1 millisecond' as at
      from generate_series(1, ${runs}) i
    ) run
    cross join generate_series(1, ${EVENTS}) seq`);
  await sql`vacuum analyze pipeline_run_events`;
  await sql`checkpoint`;
}

/** How large the table of events is, with its indexes, in MB. */
async function megabytes(sql: postgres.Sql): Promise<number> {
  const [{ bytes }] = await sql`
    select pg_total_relation_size('pipeline_run_events')::float8 as bytes`;
  return bytes / 1e6;
}

/** Begins runs steadily; returns how long each took until its end was durable. */
async function write(
  registry: PipelineRunRegistry,
  until: Promise<unknown>,
): Promise<number[]> {
  const latencies: number[] = [];
  const runs: Promise<void>[] = [];
  let isOver = false;
  until.finally(() => isOver = true);
  for (let next = performance.now(); !isOver; next += RUN_INTERVAL) {
    const rest = next - performance.now();
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, rest)));
    const from = performance.now();
    const run = registry.registerInline(
      { pipelineName: "new" },
      async (run) => {
        run.publish("first");
        await new Promise((resolve) => setTimeout(resolve, 2));
        run.publish("second");
      },
    );
    runs.push(run.then(() => void latencies.push(performance.now() - from)));
  }
  await Promise.all(runs);
  return latencies;
}

/** Sweeps until nothing is left, also if the registry's own sweep takes turns. */
async function sweepAll(
  sweeper: PostgresPipelineRunRepository,
  sql: postgres.Sql,
): Promise<void> {
  while (true) {
    await sweeper.prune();
    const [old] = await sql`
      select from pipeline_run_events
      where kind = 'Completed' and logged_at < now() - interval '1 day'
      order by logged_at
      limit 1`;
    if (old === undefined) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function measure(runs: number): Promise<Figures> {
  await using server = await startPostgresServer();
  await using opened = await openRegistry(server.url);
  await using sweeper = await connect(server.url);
  const sql = postgres(server.url, { max: 1, onnotice: () => {} });
  await addOldRuns(sql, runs);
  const before = await megabytes(sql);
  const { registry } = opened;
  const usual = await write(
    registry,
    new Promise((resolve) => setTimeout(resolve, USUAL_TIME)),
  );
  const from = performance.now();
  const meanwhile = await write(registry, sweepAll(sweeper, sql));
  const seconds = (performance.now() - from) / 1_000;
  const after = await megabytes(sql);
  await sql`vacuum pipeline_run_events`;
  const vacuumed = await megabytes(sql);
  await addOldRuns(sql, runs);
  const again = await megabytes(sql);
  await sql.end();
  return {
    "usual p50": quantile(usual, 0.5),
    "usual p99": quantile(usual, 0.99),
    "sweep p50": quantile(meanwhile, 0.5),
    "sweep p99": quantile(meanwhile, 0.99),
    seconds,
    pruned: runs * EVENTS / seconds,
    before,
    after,
    vacuumed,
    again,
  };
}

/** What a sweep of many old events costs those who write meanwhile. */
export const contests: readonly Contest[] = [{
  name: "retention",
  isLong: true,
  timeout: 1_200,
  rounds: 1,
  contenders: [{
    name: "ours",
    includes: `200 runs/s begin while a sweep deletes ${
      OLD_RUNS * EVENTS / 1e6
    } million old events (${QUICK_OLD_RUNS * EVENTS / 1e6} with --quick)`,
    measure: ({ quick }) => measure(quick ? QUICK_OLD_RUNS : OLD_RUNS),
  }],
  tables: [
    {
      title: "until a run's end is durable, ms",
      better: "less",
      columns: {
        "usual p50": "p50",
        "usual p99": "p99",
        "sweep p50": "p50 while sweeping",
        "sweep p99": "p99 while sweeping",
      },
    },
    {
      title: "the sweep",
      better: "more",
      columns: { seconds: "s", pruned: "events/s" },
    },
    {
      title: "MB of the table of events, with its indexes",
      better: "less",
      columns: {
        before: "before",
        after: "after the sweep",
        vacuumed: "after VACUUM",
        again: "with as many old events again",
      },
    },
  ],
}];
