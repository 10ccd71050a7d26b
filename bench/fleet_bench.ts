import postgres from "postgres";
import {
  type Contest,
  type Figures,
  type MeasureOptions,
  quantile,
  type Table,
} from "./contest.ts";
import {
  CHANNEL,
  type FleetReport,
  openRegistry,
  OtherInstance,
  WARM_UP,
  type Way,
} from "./instance.ts";
import { type PostgresServer, startPostgresServer } from "./postgres_server.ts";

/** How many instances there are. */
const SIZES = [1, 4, 16, 64, 256];
const QUICK_SIZES = [4, 64];

/** More instances than this share processes: two cores carry no more processes. */
const MAX_PROCESSES = 8;

/** How many runs an instance has. */
const RUNS = 4;

/** How many instances follow a run of another one, if not all do. */
const FEW = 4;

/** Counts the notifications, commits and connections of a database. */
class Meter implements AsyncDisposable {
  readonly #sql: postgres.Sql;
  #notifications = 0;

  constructor(url: string) {
    this.#sql = postgres(url, { max: 1, onnotice: () => {} });
  }

  async start(): Promise<void> {
    await this.#sql.listen(CHANNEL, () => this.#notifications++);
  }

  async read(): Promise<
    { commits: number; connections: number; notifications: number }
  > {
    const [{ commits, connections }] = await this.#sql`
      select
        pg_stat_get_db_xact_commit(oid)::float8 as commits,
        pg_stat_get_db_numbackends(oid)::float8 as connections
      from pg_database
      where datname = current_database()`;
    return { commits, connections, notifications: this.#notifications };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sql.end();
  }
}

/** A server that lets in more connections than the usual hundred. */
async function startLargeServer(): Promise<PostgresServer> {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startPostgresServer());
  const sql = postgres(server.url, { max: 1 });
  await sql`alter system set max_connections = 1500`;
  await sql.end();
  await server.kill("SIGINT");
  await server.start();
  stack.move();
  return server;
}

/** Measures instances that each have some runs and may follow a run of the next one. */
async function measureFleet(
  size: number,
  way: Way,
  following: number,
  seconds: number,
): Promise<Figures> {
  await using server = await startLargeServer();
  const { url } = server;
  await using _migrated = await openRegistry(url);
  await using meter = new Meter(url);
  await using stack = new AsyncDisposableStack();
  const runIds = Array.from({ length: size }, () => crypto.randomUUID());
  const processes = Math.min(size, MAX_PROCESSES);
  const instances: OtherInstance[] = [];
  for (let place = 0; place < processes; place++) {
    const instance = new OtherInstance({
      do: "join fleet",
      url,
      way,
      runs: RUNS,
      seconds,
      members: runIds
        .map((runId, i) => ({
          runId,
          followed: i < following ? runIds[(i + 1) % size] : undefined,
        }))
        .filter((_, i) => i % processes === place),
    });
    instances.push(stack.use(instance));
  }
  for (const instance of instances) await instance.report();
  await meter.start();
  for (const instance of instances) await instance.go();
  const pause = (ms: number) =>
    new Promise((resolve) => setTimeout(resolve, ms));
  await pause(WARM_UP);
  const before = await meter.read();
  await pause(seconds * 1_000);
  const after = await meter.read();
  const reports: FleetReport[] = [];
  for (const instance of instances) reports.push(await instance.report());
  const latencies = reports.flatMap((report) => report.latencies);
  const events = reports.reduce((sum, report) => sum + report.published, 0);
  const figures = {
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
    events: events / seconds,
    commits: (after.commits - before.commits) / seconds,
    notifications: (after.notifications - before.notifications) / seconds,
    connections: after.connections - 2, // without the meter's
    cpu: reports.reduce((sum, report) => sum + report.cpu, 0) / seconds,
  };
  return Object.fromEntries(
    Object.entries(figures).map((
      [name, figure],
    ) => [`${name} ${size}`, figure]),
  );
}

const columns = (name: string) =>
  Object.fromEntries(SIZES.map((size) => [`${name} ${size}`, `${size}`]));

const LATENCIES: readonly Table[] = [
  {
    title: "from publishing to another instance, p50, ms, by instances",
    better: "less",
    columns: columns("p50"),
  },
  { title: "p99, ms", better: "less", columns: columns("p99") },
];

/** The contest between the ways to learn of events, when some instances follow. */
function contest(name: string, following: number): Contest {
  const contender = (way: Way, name: string, includes: string) => ({
    name,
    includes,
    async measure({ quick }: MeasureOptions): Promise<Figures> {
      const figures: Figures[] = [];
      for (const size of quick ? QUICK_SIZES : SIZES) {
        figures.push(await measureFleet(size, way, following, quick ? 4 : 10));
      }
      return Object.assign({}, ...figures);
    },
  });
  const who = following === Infinity ? "all" : `${following || "none"} of them`;
  return {
    name,
    needsPostgres: true,
    isLong: true,
    timeout: 300,
    rounds: 3,
    contenders: [
      contender(
        "ours",
        "ours",
        `instances with ${RUNS} runs of 50 events/s; ${who} follow a run of the next one; more than ${MAX_PROCESSES} share processes`,
      ),
      contender(
        "every commit",
        "NOTIFY in every commit",
        "the same, with a notification in each statement that writes steps",
      ),
      contender("polling", "polling", "the same without notifications"),
    ],
    tables: [
      ...following === 0 ? [] : LATENCIES,
      { title: "events/s", better: "more", columns: columns("events") },
      { title: "commits/s", better: "less", columns: columns("commits") },
      {
        title: "notifications/s",
        better: "less",
        columns: columns("notifications"),
      },
      { title: "connections", better: "less", columns: columns("connections") },
      {
        title: "cores that the instances take",
        better: "less",
        columns: columns("cpu"),
      },
    ],
  };
}

/** Fleets, of which none, few or all instances follow others. */
export const contests: readonly Contest[] = [
  contest("writers", 0),
  contest("fleet", FEW),
  contest("followers", Infinity),
];
