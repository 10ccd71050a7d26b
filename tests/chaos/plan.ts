import { Chance } from "../chance.ts";

/** How many instances there are at any time. */
export const SLOTS = 5;

/** The slots whose instances connect through a pooler, if there is one. */
export const POOLED_SLOTS: readonly number[] = [4];

/** The number that link faults have for the way from the pooler to the server. */
export const POOLER = SLOTS;

/** The longest that a run takes, in milliseconds. */
export const LONGEST_RUN = 15_000;

/** What the work of a run does. */
export interface WorkPlan {
  /** How many values it yields. */
  readonly yields: number;
  /** How long it waits after each, in milliseconds; 0 only lets others have a turn. */
  readonly pause: number;
  readonly throws: boolean;
  /** Its timeout in milliseconds, if it has one. */
  readonly timeout?: number;
  /** Whether it sets a payload field. */
  readonly field: boolean;
}

/** A command to an instance. */
export type Command =
  | ({ do: "register"; run: number; runId?: string } & WorkPlan)
  | {
    do: "follow";
    follower: number;
    runId: string;
    after?: number;
    durable: boolean;
    /** Cancels after so many events. */
    cancelAfter?: number;
  }
  | { do: "abort"; runId: string; reason?: string }
  | { do: "stop" };

/** What one instance is to do at a time, in milliseconds after the beginning. */
export type Step =
  & { readonly at: number; readonly slot: number }
  & (
    | ({ do: "register"; run: number; runId?: string } & WorkPlan)
    | {
      do: "follow";
      follower: number;
      run: number;
      after?: number;
      durable: boolean;
      cancelAfter?: number;
    }
    /** Goes on where another follower is. */
    | { do: "resume"; follower: number; former: number; durable: boolean }
    | { do: "abort"; run: number; reason?: string }
  );

/** A fault of the server: how long to wait before it, what, and for how long. */
export interface ServerFault {
  readonly pause: number;
  readonly fault: "crash" | "restart" | "freeze" | "lock" | "failover";
  readonly duration: number;
  /** The table that is locked. */
  readonly table: string;
}

/** A fault of the way between an instance and the server. */
export interface LinkFault {
  readonly pause: number;
  /** Whose way, or {@linkcode POOLER}. */
  readonly slot: number;
  readonly fault: "drop" | "cut" | "delay" | "half-open" | "lose answers";
  readonly duration: number;
}

/** What happens to the process of an instance. */
export interface ProcessFault {
  readonly pause: number;
  readonly slot: number;
  readonly fault: "kill" | "freeze" | "stop";
  readonly duration: number;
  /** Whether the instance that replaces it resets orphans. */
  readonly orphanReset: boolean;
}

/** All that a chaos run does, in order; it follows from the seed. */
export interface Plan {
  readonly steps: readonly Step[];
  readonly server: readonly ServerFault[];
  readonly links: readonly LinkFault[];
  readonly processes: readonly ProcessFault[];
}

/** Makes the plan of a chaos run of some milliseconds. */
export function makePlan(seed: number, duration: number): Plan {
  const chance = new Chance(seed);
  return {
    steps: planSteps(chance.fork(), duration),
    server: planFaults(chance.fork(), duration, planServerFault),
    links: planFaults(chance.fork(), duration, planLinkFault),
    processes: planFaults(chance.fork(), duration, planProcessFault),
  };
}

function planSteps(chance: Chance, duration: number): Step[] {
  const steps: Step[] = [];
  const reusedIds = Array.from({ length: 12 }, () => chance.uuid());
  let followers = 0;
  const slot = () => chance.integer(0, SLOTS - 1);
  for (let at = 0, run = 0; at < duration - 1_000; run++) {
    const id = chance.weighted({ random: 5, own: 3, reused: 2 });
    const runId = id === "own"
      ? chance.uuid()
      : id === "reused"
      ? chance.pick(reusedIds)
      : undefined;
    const work = planWork(chance, duration - at);
    steps.push({ at, slot: slot(), do: "register", run, runId, ...work });
    for (let count = chance.integer(0, 3); count > 0; count--) {
      const follower = followers++;
      const begins = at + chance.integer(id === "own" ? -300 : 50, 3_000);
      const isCancelled = chance.happens(0.3);
      steps.push({
        at: Math.max(0, begins),
        slot: slot(),
        do: "follow",
        follower,
        run,
        durable: chance.happens(0.6),
        after: chance.happens(0.2) ? chance.integer(0, 3) : undefined,
        cancelAfter: isCancelled ? chance.integer(1, 8) : undefined,
      });
      if (!isCancelled && !chance.happens(0.2)) continue;
      const resumes = begins + chance.integer(500, 5_000);
      steps.push({
        at: Math.max(0, resumes),
        slot: slot(),
        do: "resume",
        follower: followers++,
        former: follower,
        durable: chance.happens(0.6),
      });
    }
    if (chance.happens(0.12)) {
      const reason = chance.happens(0.5) ? `plan ${run}` : undefined;
      const aborts = at + chance.integer(100, 4_000);
      steps.push({ at: aborts, slot: slot(), do: "abort", run, reason });
    }
    at += chance.integer(40, 300);
  }
  return steps.sort((a, b) => a.at - b.at);
}

function planWork(chance: Chance, left: number): WorkPlan {
  const longest = Math.min(LONGEST_RUN, left);
  const base = { throws: chance.happens(0.15), field: chance.happens(0.2) };
  switch (chance.weighted({ paced: 10, short: 4, burst: 2, long: 4 })) {
    case "short":
      return { ...base, yields: 0, pause: 0 };
    case "burst":
      return { ...base, yields: chance.integer(100, 300), pause: 0 };
    case "long": {
      const yields = chance.integer(5, 30);
      const pause = Math.floor(chance.integer(1_000, longest) / yields);
      return { ...base, yields, pause };
    }
    case "paced": {
      const yields = chance.integer(5, 50);
      const pause = Math.min(chance.integer(5, 100), longest / yields);
      const timeout = chance.happens(0.15)
        ? chance.integer(50, 2_000)
        : undefined;
      return { ...base, yields, pause: Math.floor(pause), timeout };
    }
  }
}

function planFaults<F extends { pause: number; duration: number }>(
  chance: Chance,
  duration: number,
  planFault: (chance: Chance) => F,
): F[] {
  const faults: F[] = [];
  // More than fit, since a fault can take less time than planned.
  for (let at = 0; at < 2 * duration;) {
    const fault = planFault(chance);
    faults.push(fault);
    at += fault.pause + fault.duration;
  }
  return faults;
}

function planServerFault(chance: Chance): ServerFault {
  return {
    pause: chance.integer(2_000, 7_000),
    fault: chance.weighted({
      crash: 3,
      restart: 2,
      freeze: 3,
      lock: 4,
      failover: 3,
    }),
    // A third of them last longer than a lease.
    duration: chance.happens(0.33)
      ? chance.integer(7_000, 12_000)
      : chance.integer(0, 4_000),
    table: chance.pick([
      "pipeline_runs",
      "pipeline_run_leases",
      "pipeline_run_events",
    ]),
  };
}

function planLinkFault(chance: Chance): LinkFault {
  const slot = chance.integer(0, POOLER);
  return {
    pause: chance.integer(500, 3_000),
    slot,
    fault: chance.weighted({
      drop: 4,
      cut: 2,
      delay: 3,
      // A pooler never notices it.
      "half-open": slot === POOLER ? 0 : 2,
      "lose answers": 4,
    }),
    duration: chance.happens(0.15)
      ? chance.integer(9_000, 12_000)
      : chance.integer(100, 2_500),
  };
}

function planProcessFault(chance: Chance): ProcessFault {
  return {
    pause: chance.integer(2_000, 6_000),
    slot: chance.integer(0, SLOTS - 1),
    fault: chance.weighted({ kill: 4, freeze: 4, stop: 3 }),
    duration: chance.happens(0.3)
      ? chance.integer(8_000, 12_000)
      : chance.integer(100, 3_000),
    orphanReset: chance.happens(0.5),
  };
}
