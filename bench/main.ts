/**
 * The benchmarks compare this package with its peers. Each measurement has its
 * own process, and the contenders take turns in rounds, so that changes of the
 * machine's speed affect all of them.
 *
 * `deno task bench [--quick] [--json] [CONTEST…]`
 *
 * @module
 */
import { contests as bounds } from "./bounds_bench.ts";
import { contests as broadcast } from "./broadcast_bench.ts";
import {
  type Contender,
  type Contest,
  type Figures,
  markdown,
  type Result,
} from "./contest.ts";
import { serverVersion } from "./database.ts";
import { contests as fleet } from "./fleet_bench.ts";
import { contests as instances } from "./instances_bench.ts";
import { contests as postgres } from "./postgres_bench.ts";
import { contests as retention } from "./retention_bench.ts";
import { contests as registry } from "./registry_bench.ts";
import { contests as telemetry } from "./telemetry_bench.ts";

const CONTESTS: readonly Contest[] = [
  ...broadcast,
  ...registry,
  ...postgres,
  ...instances,
  ...fleet,
  ...retention,
  ...bounds,
  ...telemetry,
];

const ROUNDS = 7;
const QUICK_ROUNDS = 3;

/** Marks the line with the figures, since libraries may print lines too. */
const MARK = "figures: ";

async function measureInChild(
  contest: Contest,
  { name, env }: Contender,
  quick: boolean,
): Promise<Figures> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-all",
      "--no-check",
      "--no-lock", // Peers are not dependencies of the package.
      "--quiet",
      "--v8-flags=--expose-gc",
      new URL(import.meta.url).pathname,
      ...quick ? ["--quick"] : [],
      "--measure",
      contest.name,
      name,
    ],
    env: { NO_COLOR: "1", ...env?.() },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const { timeout = 120 } = contest;
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill("SIGKILL");
  }, timeout * 1_000);
  const output = await child.output();
  clearTimeout(timer);
  if (timedOut) throw new Error(`it took more than ${timeout} s`);
  const decoder = new TextDecoder();
  const figures = decoder.decode(output.stdout).split("\n")
    .find((line) => line.startsWith(MARK));
  if (!output.success || figures === undefined) {
    const lines = decoder.decode(output.stderr).split("\n");
    throw new Error(
      lines.find((line) => /error/i.test(line)) ??
        `it exited with ${output.code}`,
    );
  }
  return JSON.parse(figures.slice(MARK.length));
}

async function hold(contest: Contest, quick: boolean): Promise<Result[]> {
  const results: Result[] = contest.contenders.map(({ name, includes }) => ({
    contender: name,
    includes,
    samples: [],
  }));
  const usual = quick ? QUICK_ROUNDS : ROUNDS;
  const rounds = Math.min(usual, contest.rounds ?? usual);
  for (let round = 0; round < rounds; round++) {
    // They take turns at being first, since the first may find a cooler machine.
    for (let turn = 0; turn < results.length; turn++) {
      const place = (round + turn) % results.length;
      const result = results[place];
      try {
        result.samples.push(
          await measureInChild(contest, contest.contenders[place], quick),
        );
      } catch (error) {
        result.samples.push(undefined);
        result.failure = (error as Error).message;
      }
    }
    console.error(`${contest.name}: round ${round + 1} is done`);
  }
  return results;
}

async function machine(): Promise<Record<string, string | number>> {
  const cpuinfo = await Deno.readTextFile("/proc/cpuinfo").catch(() => "");
  return {
    date: new Date().toISOString().slice(0, 10),
    deno: Deno.version.deno,
    v8: Deno.version.v8,
    system: `${Deno.build.os} ${Deno.osRelease()}`,
    processor: /^model name\s*:\s*(.*)$/m.exec(cpuinfo)?.[1] ?? Deno.build.arch,
    cores: navigator.hardwareConcurrency,
  };
}

async function main(args: readonly string[]): Promise<void> {
  const quick = args.includes("--quick");
  const names = args.filter((arg) => !arg.startsWith("--"));
  if (args.includes("--measure")) {
    const contender = CONTESTS.find(({ name }) => name === names[0])!.contenders
      .find(({ name }) => name === names[1])!;
    const figures = await contender.measure({ quick });
    console.log(MARK + JSON.stringify(figures));
    Deno.exit(0);
  }
  const unknown = names.find((name) =>
    CONTESTS.every((contest) => contest.name !== name)
  );
  if (unknown !== undefined) {
    console.error(
      `Unknown contest: ${unknown}; there are ${
        CONTESTS.map(({ name }) => name).join(", ")
      }`,
    );
    Deno.exit(2);
  }
  const chosen = CONTESTS.filter(({ name, isLong }) =>
    names.length === 0 ? !isLong : names.includes(name)
  );
  const about = await machine();
  if (chosen.some(({ needsPostgres }) => needsPostgres)) {
    about.postgres = await serverVersion();
  }
  const isJson = args.includes("--json");
  if (!isJson) {
    const facts = Object.entries(about).map(([name, fact]) =>
      `${name} ${fact}`
    );
    console.log(`${facts.join(", ")}\n`);
  }
  const all: Record<string, Result[]> = {};
  for (const contest of chosen) {
    const results = await hold(contest, quick);
    all[contest.name] = results;
    if (!isJson) console.log(`${markdown(contest, results)}\n`);
  }
  if (isJson) console.log(JSON.stringify({ ...about, contests: all }, null, 2));
  Deno.exit(0); // The server ends with this process.
}

if (import.meta.main) await main(Deno.args);
