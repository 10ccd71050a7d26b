import type { Evidence } from "./evidence.ts";
import { type Entry, MAIN, type Told } from "./journal.ts";
import type { EventRow, FieldRow, LeaseRow, RunRow } from "./tables.ts";

/** Evidence that a test can change. */
export interface Plantable extends Evidence {
  journal: Entry[];
  tables: {
    rows: RunRow[];
    events: EventRow[];
    leases: LeaseRow[];
    fields: FieldRow[];
  };
}

/** The run that `i0` completed and `i1` followed. */
export const RUN_ID = "14818e76-a756-5be2-a535-a40479dcbd43";

/** The run of `i0` that `i1` aborted. */
export const ABORTED_RUN_ID = "f414757d-37c1-5ff3-99e6-974059b3eb5d";

/** The run of `i2`, which was killed. */
export const ORPHAN_RUN_ID = "0f14d0ab-9605-4a62-a9e4-5ed26688389b";

/** When everything is over, in milliseconds after the beginning. */
export const SETTLED = 40_000;

/** A line of a journal. */
export function line(at: number, instance: string, told: Told): Entry {
  return { ...told, at, instance };
}

function event(
  runId: string,
  seq: number,
  kind: string,
  loggedAt: number,
  rest: { message?: string; n?: unknown } = {},
): EventRow {
  return { runId, seq, kind, loggedAt, ...rest };
}

function turns(instance: string, from: number, to: number): Entry[] {
  const entries: Entry[] = [];
  for (let at = from; at <= to; at += 500) {
    entries.push(line(at, instance, { told: "alive" }));
  }
  return entries;
}

/** The journal and tables of a chaos run in which every promise was kept. */
export function cleanEvidence(): Plantable {
  const run = RUN_ID;
  const journal = [
    ...["i0", "i1", "i2"].map((name) =>
      line(0, name, { told: "started", pooled: false })
    ),
    ...turns("i0", 500, SETTLED),
    ...turns("i1", 500, SETTLED),
    ...turns("i2", 500, 6_000),
    line(1_000, "i0", { told: "registering", run: 0, runId: run, yields: 2 }),
    line(1_010, "i0", {
      told: "registered",
      run: 0,
      runId: run,
      taskRunId: "s0",
    }),
    line(1_020, "i1", {
      told: "following",
      follower: 0,
      runId: run,
      durable: true,
    }),
    line(1_030, "i1", { told: "saw", follower: 0, seq: 1, kind: "Started" }),
    line(1_040, "i1", {
      told: "saw",
      follower: 0,
      seq: 2,
      kind: "Yield",
      n: 0,
    }),
    line(1_050, "i0", {
      told: "field",
      runId: run,
      key: "k",
      value: { run: 0 },
    }),
    line(1_060, "i1", {
      told: "saw",
      follower: 0,
      seq: 3,
      kind: "Yield",
      n: 1,
    }),
    line(1_070, "i1", { told: "saw", follower: 0, seq: 4, kind: "Completed" }),
    line(1_080, "i1", { told: "followed", follower: 0, how: "closed" }),
    line(1_090, "i0", {
      told: "outcome",
      run: 0,
      runId: run,
      taskRunId: "s0",
      phase: "Completed",
      durable: true,
    }),
    line(2_000, "i0", { told: "registering", run: 1, yields: 9 }),
    line(2_010, "i0", {
      told: "registered",
      run: 1,
      runId: ABORTED_RUN_ID,
      taskRunId: "s1",
    }),
    line(3_000, "i1", {
      told: "aborted",
      runId: ABORTED_RUN_ID,
      answer: "requested",
    }),
    line(3_020, "i0", {
      told: "outcome",
      run: 1,
      runId: ABORTED_RUN_ID,
      taskRunId: "s1",
      phase: "Errored",
      message: "aborted: enough",
      durable: true,
    }),
    line(5_000, "i2", { told: "registering", run: 2, yields: 9 }),
    line(5_010, "i2", {
      told: "registered",
      run: 2,
      runId: ORPHAN_RUN_ID,
      taskRunId: "s2",
    }),
    line(6_100, "i2", { told: "killed" }),
    line(6_110, "i2", { told: "exited", code: 137 }),
    line(7_000, "i0", { told: "connections", count: 5, excused: 0 }),
    line(7_500, "i0", { told: "connections", count: 5, excused: 0 }),
    line(SETTLED, MAIN, { told: "settled" }),
    line(SETTLED + 100, "i0", { told: "stopping" }),
    line(SETTLED + 100, "i1", { told: "stopping" }),
    line(SETTLED + 200, "i0", { told: "exited", code: 0, afterStopping: 120 }),
    line(SETTLED + 200, "i1", { told: "exited", code: 0, afterStopping: 120 }),
  ];
  return {
    journal,
    tables: {
      rows: [
        { id: "s0", runId: run, status: "STARTED" },
        { id: "e0", runId: run, status: "COMPLETED" },
        { id: "s1", runId: ABORTED_RUN_ID, status: "STARTED" },
        {
          id: "e1",
          runId: ABORTED_RUN_ID,
          status: "ERRORED",
          error: "enough",
        },
        { id: "s2", runId: ORPHAN_RUN_ID, status: "STARTED" },
        {
          id: "e2",
          runId: ORPHAN_RUN_ID,
          status: "ERRORED",
          error: "lease_expired",
        },
      ],
      events: [
        event(run, 1, "Started", 1_005),
        event(run, 2, "Yield", 1_035, { n: 0 }),
        event(run, 3, "Yield", 1_055, { n: 1 }),
        event(run, 4, "Completed", 1_065),
        event(ABORTED_RUN_ID, 1, "Started", 2_005),
        event(ABORTED_RUN_ID, 2, "Errored", 3_015, {
          message: "aborted: enough",
        }),
        event(ORPHAN_RUN_ID, 1, "Started", 5_015),
        event(ORPHAN_RUN_ID, 2, "Errored", 14_500, {
          message: "lease_expired",
        }),
      ],
      leases: [
        { runId: run, isEnded: true },
        { runId: ABORTED_RUN_ID, isEnded: true },
        { runId: ORPHAN_RUN_ID, isEnded: true },
      ],
      fields: [{ runId: run, key: "k", value: { run: 0 } }],
    },
    bounds: {
      leaseDuration: 6_000,
      renewInterval: 1_000,
      statementTimeout: 5_000,
      connections: 5,
      exit: 10_000,
      following: 3_000,
    },
  };
}
