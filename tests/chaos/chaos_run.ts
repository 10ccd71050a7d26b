import { delay } from "@std/async/delay";
import { audit } from "./audit.ts";
import { Cluster } from "./cluster.ts";
import { type Evidence, type Finding, unsettled } from "./evidence.ts";
import { Faults } from "./faults.ts";
import { Fleet, LEASES } from "./fleet.ts";
import { type Deed, type Entry, MAIN } from "./journal.ts";
import { LONGEST_RUN, makePlan } from "./plan.ts";
import { StepRunner } from "./step_runner.ts";
import { readTables, type Tables } from "./tables.ts";

const SWEEP_INTERVAL = 1_000;

/** How long runs may take to end once all is healed. */
const SETTLING = LEASES.leaseDuration + SWEEP_INTERVAL +
  2 * LEASES.renewInterval;

/** How long an event may take to all followers. */
const FOLLOWING = 1_500;

/** How often the connections are counted. */
const SAMPLE_INTERVAL = 500;

/** How long the server may take to notice that connections are closed. */
const CLOSING = 3_000;

const BOUNDS: Evidence["bounds"] = {
  ...LEASES,
  connections: 5,
  exit: 10_000,
  following: FOLLOWING,
};

/** Options of {@linkcode runChaos}. */
export interface ChaosOptions {
  readonly seed: number;
  /** How long to make faults, in milliseconds. */
  readonly duration: number;
  /** Whether nothing is to fail. */
  readonly calm: boolean;
  /** Ends it early. */
  readonly signal: AbortSignal;
  /** Called every few seconds with what happened so far. */
  readonly onProgress: (line: string) => void;
}

/** What a chaos run found. */
export interface ChaosReport {
  readonly findings: readonly Finding[];
  readonly journal: readonly Entry[];
  readonly tables: Tables;
}

/** Runs instances while everything fails around them, and audits what is left. */
export async function runChaos(
  { seed, duration, calm, signal, onProgress }: ChaosOptions,
): Promise<ChaosReport> {
  const journal: Entry[] = [];
  const note = (deed: Deed, instance: string = MAIN): void => {
    journal.push({ ...deed, at: Date.now(), instance });
  };
  let tables: Tables;
  await using folder = await openFolder();
  {
    const counts = { begun: 0, ended: 0, followed: 0 };
    const runner = new StepRunner();
    const record = (entry: Entry): void => {
      journal.push(entry);
      runner.learn(entry);
      if (entry.told === "registered") counts.begun++;
      if (entry.told === "outcome") counts.ended++;
      if (entry.told === "followed") counts.followed++;
    };
    await using cluster = await Cluster.start();
    await using fleet = await Fleet.start(cluster, record);
    const over = AbortSignal.any([signal, AbortSignal.timeout(duration)]);
    const plan = makePlan(seed, duration);
    const faults = new Faults({ cluster, fleet, record, over });
    const sampled = new AbortController();
    const sampling = sample(cluster, fleet, faults, note, sampled.signal);
    const progress = setInterval(() => {
      const made = [...faults.counts].map(([name, count]) =>
        `${name} ${count}`
      );
      onProgress(
        `${counts.begun} runs begun, ${counts.ended} ended, ` +
          `${counts.followed} streams ended; ${made.join(", ")}`,
      );
    }, 5_000);
    try {
      await Promise.all([
        runner.run(plan.steps, fleet, over),
        calm || faults.make(plan),
      ]);
      fleet.heal();
      await settle(journal);
      note({ told: "settled" });
      tables = await readTables(cluster);
    } finally {
      clearInterval(progress);
      fleet.heal();
      await fleet.stopAll();
    }
    sampled.abort();
    await sampling;
    await fleet[Symbol.asyncDispose](); // The pooler's connections too.
    await findConnections(cluster, note);
  }
  for await (const { name } of Deno.readDir(folder.path)) {
    note({ told: "leftover", what: `the folder ${name} is left` });
  }
  const findings = audit({ journal, tables, bounds: BOUNDS });
  return { findings, journal, tables };
}

/** Waits until runs have ended, those of dead instances included. */
async function settle(journal: readonly Entry[]): Promise<void> {
  await delay(SETTLING);
  // Runs that began late have their time too.
  for (let waited = 0; waited < LONGEST_RUN; waited += 500) {
    if (unsettled(journal).length === 0) break;
    await delay(500);
  }
  await delay(FOLLOWING);
}

/** Makes a folder for all temporary files of this process and its children. */
async function openFolder(): Promise<AsyncDisposable & { path: string }> {
  const path = await Deno.makeTempDir({ prefix: "chaos_" });
  // The server may run as another user, whose folders lie within.
  await Deno.chmod(path, 0o711);
  Deno.env.set("TMPDIR", path);
  return {
    path,
    async [Symbol.asyncDispose]() {
      Deno.env.delete("TMPDIR");
      await Deno.remove(path, { recursive: true });
    },
  };
}

const COUNT = `
  select application_name, count(*)::int
  from pg_stat_activity
  where application_name like 'chaos\\_%'
  group by application_name`;

async function countConnections(
  cluster: Cluster,
): Promise<Map<string, number>> {
  const rows = await cluster.query(COUNT);
  return new Map(
    rows.map(({ application_name, count }) => [application_name, count]),
  );
}

/** Journals the connections of each instance, while the server answers. */
async function sample(
  cluster: Cluster,
  fleet: Fleet,
  faults: Faults,
  note: (deed: Deed, instance: string) => void,
  over: AbortSignal,
): Promise<void> {
  while (!over.aborted) {
    await delay(SAMPLE_INTERVAL, { signal: over }).catch(() => {});
    const since = faults.outageSince ?? Date.now() - CLOSING;
    const counts = await countConnections(cluster).catch(() => undefined);
    for (const { name, link } of fleet.direct()) {
      const count = counts?.get(`chaos_${name}`);
      if (count === undefined) continue;
      const excused = link.swallowed +
        link.closedSince(Math.min(since, Date.now() - CLOSING));
      note({ told: "connections", count, excused }, name);
    }
  }
}

/** Journals the connections that are left after all instances have ended. */
async function findConnections(
  cluster: Cluster,
  note: (deed: Deed) => void,
): Promise<void> {
  const deadline = performance.now() + CLOSING;
  while (true) {
    const counts = await countConnections(cluster);
    if (counts.size === 0) return;
    if (performance.now() > deadline) {
      for (const [name, count] of counts) {
        note({ told: "leftover", what: `${count} connections of ${name}` });
      }
      return;
    }
    await delay(100);
  }
}
