import { assert, assertEquals } from "@std/assert";
import { audit } from "./audit.ts";
import {
  ABORTED_RUN_ID,
  cleanEvidence,
  line,
  ORPHAN_RUN_ID,
  type Plantable,
  RUN_ID,
  SETTLED,
} from "./clean_evidence.ts";
import type { Finding } from "./evidence.ts";
import { type Entry, MAIN, type Told } from "./journal.ts";

function auditWith(plant: (evidence: Plantable) => void): Finding[] {
  const evidence = cleanEvidence();
  plant(evidence);
  return audit(evidence);
}

/** Asserts that what is planted is found, and nothing else. */
function testFinding(
  name: string,
  kind: Finding["kind"],
  saw: RegExp,
  plant: (evidence: Plantable) => void,
): void {
  Deno.test(`audit() finds ${name}`, () => {
    const findings = auditWith(plant);
    assertEquals(findings.map((finding) => finding.kind), [kind]);
    assert(saw.test(findings[0].saw), findings[0].saw);
  });
}

function testNothing(name: string, plant: (evidence: Plantable) => void): void {
  Deno.test(`audit() accepts ${name}`, () => {
    assertEquals(auditWith(plant), []);
  });
}

function remove<T>(values: T[], isIt: (value: T) => boolean): T {
  const index = values.findIndex(isIt);
  assert(index !== -1, "there is nothing to plant in");
  return values.splice(index, 1)[0];
}

/** Adds a line before the tables are read. */
function add({ journal }: Plantable, ...entries: Entry[]): void {
  const settled = journal.findIndex(({ told }) => told === "settled");
  journal.splice(settled, 0, ...entries);
}

function change<T extends Told["told"]>(
  { journal }: Plantable,
  told: T,
  isIt: (entry: Extract<Entry, { told: T }>) => boolean,
  changed: Partial<Extract<Told, { told: T }>> & { at?: number },
): void {
  const index = journal.findIndex((entry) =>
    entry.told === told && isIt(entry as Extract<Entry, { told: T }>)
  );
  assert(index !== -1, "there is nothing to plant in");
  journal[index] = { ...journal[index], ...changed } as Entry;
}

function eventOf({ tables }: Plantable, runId: string, seq: number) {
  return (event: typeof tables.events[number]) =>
    event.runId === runId && event.seq === seq;
}

/** Ends the run that `i0` completes as expired instead. */
function expire(evidence: Plantable, at: number): void {
  const { events, rows, leases } = evidence.tables;
  const runId = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";
  const message = "lease_expired";
  events.push(
    { runId, seq: 1, kind: "Started", loggedAt: 8_000 },
    { runId, seq: 2, kind: "Errored", message, loggedAt: at },
  );
  rows.push(
    { id: "s9", runId, status: "STARTED" },
    { id: "e9", runId, status: "ERRORED", error: message },
  );
  leases.push({ runId, isEnded: true });
  add(
    evidence,
    line(8_000, "i0", { told: "registering", run: 9, yields: 0 }),
    line(8_001, "i0", { told: "registered", run: 9, runId, taskRunId: "s9" }),
    line(at + 50, "i0", {
      told: "outcome",
      run: 9,
      runId,
      taskRunId: "s9",
      phase: "Errored",
      message,
      durable: true,
    }),
  );
}

testNothing("a run in which every promise was kept", () => {});

testFinding(
  "a durable outcome without its event",
  "lost",
  /last event is 1 Started/,
  ({ tables }) => {
    remove(
      tables.events,
      ({ runId, seq }) => runId === ABORTED_RUN_ID && seq === 2,
    );
  },
);

testFinding(
  "an ending without its row",
  "lost",
  /4 Completed has no row/,
  ({ tables }) => {
    remove(tables.rows, ({ id }) => id === "e0");
  },
);

testFinding(
  "a durable outcome that the tables do not know",
  "lost",
  /is not in the tables/,
  ({ tables }) => {
    for (const table of [tables.rows, tables.events, tables.leases]) {
      const kept = table.filter(({ runId }) => runId !== ABORTED_RUN_ID);
      table.splice(0, Infinity, ...kept as never[]);
    }
  },
);

testFinding(
  "an outcome that differs from the log",
  "lost",
  /ended Errored \(aborted\), durable: true, but event 2 is Errored/,
  (evidence) =>
    change(evidence, "outcome", ({ run }) => run === 1, { message: "aborted" }),
);

testFinding(
  "a row that differs from its event",
  "lost",
  /the row is ERRORED \(boom\), the event Errored \(aborted: enough\)/,
  ({ tables }) => {
    const row = remove(tables.rows, ({ id }) => id === "e1");
    tables.rows.push({ ...row, error: "boom" });
  },
);

testFinding(
  "a run of a dead instance without an ending",
  "lost",
  /last event is 1 Started/,
  (evidence) => {
    const { events, rows } = evidence.tables;
    remove(events, eventOf(evidence, ORPHAN_RUN_ID, 2));
    remove(rows, ({ id }) => id === "e2");
  },
);

testFinding(
  "a registered run that was never written",
  "lost",
  /no STARTED row/,
  (evidence) =>
    add(
      evidence,
      line(9_000, "i0", {
        told: "registered",
        run: 7,
        runId: "x",
        taskRunId: "s7",
      }),
      line(9_001, "i0", {
        told: "outcome",
        run: 7,
        runId: "x",
        taskRunId: "s7",
        phase: "Completed",
        durable: false,
      }),
    ),
);

testNothing(
  "a run whose claim expired before it began, while its instance was frozen",
  (evidence) => {
    const message = "lease_expired";
    evidence.tables.events.push(
      { runId: "x", seq: 1, kind: "Errored", message, loggedAt: 20_000 },
    );
    const run = { run: 7, runId: "x" };
    add(
      evidence,
      line(10_000, "i0", { told: "registering", ...run, yields: 0 }),
      line(10_100, "i0", { told: "registered", ...run, taskRunId: "s7" }),
      line(21_000, "i0", { told: "frozen", from: 10_200 }),
      line(21_100, "i0", {
        told: "outcome",
        ...run,
        taskRunId: "s7",
        phase: "Completed",
        durable: false,
      }),
    );
  },
);

testNothing("a stream after more events than its run had", (evidence) => {
  const { events, rows } = evidence.tables;
  events.push(
    { runId: RUN_ID, seq: 5, kind: "Started", loggedAt: 20_000 },
    { runId: RUN_ID, seq: 6, kind: "Completed", loggedAt: 20_000 },
  );
  rows.push(
    { id: "s7", runId: RUN_ID, status: "STARTED" },
    { id: "e7", runId: RUN_ID, status: "COMPLETED" },
  );
  const follower = 7;
  add(
    evidence,
    line(10_000, "i1", {
      told: "following",
      follower,
      runId: RUN_ID,
      after: 5,
      durable: true,
    }),
    line(10_010, "i1", { told: "followed", follower, how: "closed" }),
  );
});

testFinding(
  "an attempt with a row and without events",
  "lost",
  /2 STARTED rows and 1 Started events/,
  ({ tables }) => {
    tables.rows.push(
      { id: "s8", runId: ORPHAN_RUN_ID, status: "STARTED" },
      { id: "e8", runId: ORPHAN_RUN_ID, status: "COMPLETED" },
    );
  },
);

testFinding(
  "an event that a durable follower saw and the log has not",
  "lost",
  /saw 1 Started .*the log has undefined/,
  (evidence) => {
    add(
      evidence,
      line(9_000, "i1", {
        told: "following",
        follower: 1,
        runId: "x",
        durable: true,
      }),
      line(9_001, "i1", { told: "saw", follower: 1, seq: 1, kind: "Started" }),
      line(9_002, "i1", { told: "followed", follower: 1, how: "cancelled" }),
    );
  },
);

testFinding(
  "another payload in the log than a follower saw",
  "lost",
  /saw 3 Yield 5, the log has Yield 1/,
  (evidence) => change(evidence, "saw", ({ seq }) => seq === 3, { n: 5 }),
);

testFinding(
  "a follower that missed the beginning",
  "lost",
  /it began with 2 Yield/,
  ({ journal }) => {
    remove(journal, (entry) => entry.told === "saw" && entry.seq === 1);
  },
);

testFinding(
  "a lag over events that the log has",
  "lost",
  /3 Lagged by 2, which the log has/,
  (evidence) => {
    const { journal } = evidence;
    remove(journal, (entry) => entry.told === "saw" && entry.seq === 2);
    change(evidence, "saw", ({ seq }) => seq === 3, {
      kind: "Lagged",
      missed: 2,
      n: undefined,
    });
  },
);

testFinding(
  "a stream that closed before the ending",
  "lost",
  /closed before the ending, 4/,
  ({ journal }) => {
    remove(journal, (entry) => entry.told === "saw" && entry.seq === 4);
  },
);

testFinding(
  "a stream that a shutdown closed before the ending of its own run",
  "lost",
  /closed before the ending, 4/,
  (evidence) => {
    const { journal } = evidence;
    remove(journal, (entry) => entry.told === "saw" && entry.seq === 4);
    change(evidence, "following", () => true, {});
    for (const [i, entry] of journal.entries()) {
      const { told } = entry;
      if (["following", "saw", "followed"].includes(told)) {
        journal[i] = { ...entry, instance: "i0" };
      }
    }
    change(evidence, "outcome", ({ run }) => run === 0, { at: 1_075 });
    add(evidence, line(1_060, "i0", { told: "stopping" }));
    // A registration that no longer matters would be excused with the others.
    remove(journal, (entry) => entry.told === "aborted");
  },
);

testFinding(
  "Yields that a completed run lost",
  "lost",
  /2 Yields of 3/,
  (evidence) =>
    change(evidence, "registering", ({ run }) => run === 0, { yields: 3 }),
);

testFinding(
  "a payload field that was lost",
  "lost",
  /payload field "k" is undefined/,
  ({ tables }) => {
    remove(tables.fields, () => true);
  },
);

testFinding(
  "a request to abort that was lost",
  "lost",
  /abort was acknowledged, but it ended Completed/,
  (evidence) => {
    const { tables } = evidence;
    remove(tables.rows, ({ id }) => id === "e1");
    tables.rows.push({ id: "e1", runId: ABORTED_RUN_ID, status: "COMPLETED" });
    remove(tables.events, eventOf(evidence, ABORTED_RUN_ID, 2));
    const base = { runId: ABORTED_RUN_ID };
    for (let n = 0; n < 9; n++) {
      const loggedAt = 2_010 + n;
      tables.events.push({ ...base, seq: n + 2, kind: "Yield", n, loggedAt });
    }
    tables.events.push({
      ...base,
      seq: 11,
      kind: "Completed",
      loggedAt: 15_000,
    });
    change(evidence, "outcome", ({ run }) => run === 1, {
      phase: "Completed",
      message: undefined,
    });
  },
);

testFinding(
  "a second ending",
  "doubled",
  /event 5 Errored \(lease_expired\) is behind an ending/,
  ({ tables }) => {
    tables.events.push({
      runId: RUN_ID,
      seq: 5,
      kind: "Errored",
      message: "lease_expired",
      loggedAt: 9_000,
    });
  },
);

testFinding(
  "an event after an ending",
  "doubled",
  /event 5 Yield .* is behind an ending/,
  ({ tables }) => {
    tables.events.push({
      runId: RUN_ID,
      seq: 5,
      kind: "Yield",
      n: 2,
      loggedAt: 9_000,
    });
  },
);

testFinding(
  "two rows of one transition",
  "doubled",
  /rows COMPLETED, COMPLETED end an attempt/,
  ({ tables }) => {
    tables.rows.push({ id: "again", runId: RUN_ID, status: "COMPLETED" });
  },
);

testFinding(
  "an event that a follower saw twice",
  "doubled",
  /2 Yield came twice/,
  (evidence) => {
    const { journal } = evidence;
    const index = journal.findIndex((entry) =>
      entry.told === "saw" && entry.seq === 2
    );
    journal.splice(index, 0, journal[index]);
  },
);

testFinding(
  "an event that a follower saw after the ending",
  "doubled",
  /4 Completed came after the ending/,
  ({ journal }) => {
    const index = journal.findIndex((entry) =>
      entry.told === "saw" && entry.seq === 4
    );
    journal.splice(index, 0, journal[index]);
  },
);

testFinding(
  "numbers that skip without a lag",
  "disordered",
  /3 Yield came after 1/,
  ({ journal }) => {
    remove(journal, (entry) => entry.told === "saw" && entry.seq === 2);
  },
);

testFinding(
  "numbers that go back",
  "disordered",
  /2 Yield came after 3/,
  (evidence) => {
    const { journal } = evidence;
    const isSaw = (seq: number) => (entry: Entry) =>
      entry.told === "saw" && entry.seq === seq;
    remove(journal, isSaw(1));
    remove(journal, isSaw(4));
    const second = remove(journal, isSaw(2));
    const third = journal.findIndex(isSaw(3));
    journal.splice(third + 1, 0, second);
    change(evidence, "following", () => true, { after: 2 });
    change(evidence, "followed", () => true, { how: "cancelled" });
  },
);

testFinding(
  "an ending with the number of an event before it",
  "disordered",
  /3 Completed came after 3/,
  (evidence) => {
    // A follower of its own instance, which may see what is not written.
    for (const [i, entry] of evidence.journal.entries()) {
      if (["following", "saw", "followed"].includes(entry.told)) {
        evidence.journal[i] = { ...entry, instance: "i0" };
      }
    }
    change(evidence, "following", () => true, { durable: false });
    change(evidence, "saw", ({ seq }) => seq === 4, { seq: 3 });
  },
);

testFinding(
  "a lag that says the wrong number",
  "disordered",
  /3 Lagged says 1 were missed and came after 1/,
  (evidence) => {
    const { journal, tables } = evidence;
    // What was missed is not in the log, or that would be another finding.
    tables.events.splice(0, 4, {
      runId: RUN_ID,
      seq: 1,
      kind: "Started",
      loggedAt: 1_005,
    }, { runId: RUN_ID, seq: 2, kind: "Completed", loggedAt: 1_065 });
    change(evidence, "registering", ({ run }) => run === 0, { yields: 0 });
    remove(journal, (entry) => entry.told === "saw" && entry.seq === 2);
    remove(journal, (entry) => entry.told === "saw" && entry.seq === 4);
    change(evidence, "saw", ({ seq }) => seq === 3, {
      kind: "Lagged",
      missed: 1,
      n: undefined,
    });
  },
);

testFinding(
  "a gap in the log",
  "disordered",
  /event 3 of its log follows 1/,
  (evidence) => {
    const { tables } = evidence;
    tables.events.push(
      { runId: ORPHAN_RUN_ID, seq: 3, kind: "Errored", loggedAt: 14_500 },
    );
    remove(tables.events, eventOf(evidence, ORPHAN_RUN_ID, 2));
    const last = tables.events.pop()!;
    tables.events.push({ ...last, message: "lease_expired" });
  },
);

testFinding(
  "Yields in another order than they were published in",
  "disordered",
  /event 2 is Yield 7, but 0 was due/,
  (evidence) => {
    const { tables } = evidence;
    const index = tables.events.findIndex(eventOf(evidence, RUN_ID, 2));
    tables.events[index] = { ...tables.events[index], n: 7 };
    change(evidence, "saw", ({ seq }) => seq === 2, { n: 7 });
  },
);

testFinding(
  "a lease that has not ended",
  "unfinished",
  /its lease has not ended/,
  ({ tables }) => {
    const index = tables.leases.findIndex(({ runId }) => runId === RUN_ID);
    tables.leases[index] = { runId: RUN_ID, isEnded: false };
  },
);

testFinding(
  "an outcome that never settled",
  "unfinished",
  /its outcome never settled/,
  ({ journal }) => {
    remove(journal, (entry) => entry.told === "outcome" && entry.run === 0);
  },
);

testFinding(
  "a stream that never came to the ending",
  "unfinished",
  /never came to the ending, 4/,
  ({ journal }) => {
    remove(journal, (entry) => entry.told === "saw" && entry.seq === 4);
    remove(journal, ({ told }) => told === "followed");
  },
);

testFinding(
  "a stream that saw the ending and never ended",
  "unfinished",
  /saw the ending and never ended/,
  ({ journal }) => {
    remove(journal, ({ told }) => told === "followed");
  },
);

testFinding(
  "a stream that failed",
  "unfinished",
  /it failed: Error: boom/,
  (evidence) =>
    change(evidence, "followed", () => true, {
      how: "errored",
      error: "Error: boom",
    }),
);

testFinding(
  "an instance that ended by itself",
  "unfinished",
  /i2 ended by itself with code 1/,
  (evidence) => {
    remove(evidence.journal, ({ told }) => told === "killed");
    change(evidence, "exited", ({ instance }) => instance === "i2", {
      code: 1,
    });
  },
);

testFinding(
  "a live run that was ended as expired",
  "wrongly ended",
  /event 2 ends it as expired at 20000, though i0 lived/,
  (evidence) => expire(evidence, 20_000),
);

testFinding(
  "a live run that was ended because Postgres was away",
  "wrongly ended",
  /event 2 ends it as expired at 20000, though i0 lived/,
  (evidence) => {
    expire(evidence, 20_000);
    const fault = "crash";
    add(evidence, line(19_000, MAIN, { told: "outage", from: 9_000, fault }));
  },
);

testFinding(
  "a live run that was ended after a cut shorter than the lease",
  "wrongly ended",
  /event 2 ends it as expired at 20000, though i0 lived/,
  (evidence) => {
    expire(evidence, 20_000);
    const fault = "cut";
    add(evidence, line(19_500, "i0", { told: "cut", from: 16_500, fault }));
  },
);

testNothing("a run ended after a cut longer than the lease", (evidence) => {
  expire(evidence, 20_000);
  const fault = "cut";
  add(evidence, line(21_000, "i0", { told: "cut", from: 11_500, fault }));
});

testNothing("a run ended while its instance was frozen", (evidence) => {
  expire(evidence, 20_000);
  add(evidence, line(21_000, "i0", { told: "frozen", from: 11_500 }));
});

testFinding(
  "a lease that was lost though nobody took it",
  "wrongly ended",
  /its outcome ends it as expired at 9001, though i0 lived/,
  (evidence) => {
    change(evidence, "outcome", ({ run }) => run === 0, {
      at: 9_001,
      phase: "Errored",
      message: `The lease on run ${RUN_ID} was lost`,
      durable: false,
    });
  },
);

testFinding(
  "a registration refused for its own claim",
  "wrongly ended",
  /refused as active, though nobody else registered it/,
  (evidence) => {
    const error = "RunAlreadyActiveError: Cannot register run x";
    add(
      evidence,
      line(9_000, "i0", {
        told: "registering",
        run: 7,
        runId: "x",
        yields: 0,
      }),
      line(9_100, "i0", { told: "refused", run: 7, error }),
    );
  },
);

testFinding(
  "a registration refused for its own claim, which another instance ended",
  "wrongly ended",
  /event 1 ends it as expired at 19000, though i0 lived/,
  (evidence) => {
    const error = "RunAlreadyActiveError: Cannot register run x";
    const message = "lease_expired";
    const run = { run: 7, runId: "x" };
    evidence.tables.events.push(
      { runId: "x", seq: 1, kind: "Errored", message, loggedAt: 19_000 },
    );
    add(
      evidence,
      line(9_000, "i0", { told: "registering", ...run, yields: 0 }),
      line(19_100, "i0", { told: "refused", run: 7, error }),
    );
  },
);

testNothing("a registration refused for another's claim", (evidence) => {
  const error = "RunAlreadyActiveError: Cannot register run";
  const base = { told: "registering", runId: RUN_ID, yields: 0 } as const;
  add(
    evidence,
    line(1_020, "i1", { ...base, run: 7 }),
    line(1_030, "i1", { told: "refused", run: 7, error }),
  );
});

testFinding(
  "more connections than are allowed",
  "leaked",
  /i0 had 7 connections, 5 and 1 allowed/,
  (evidence) => {
    for (const at of [8_000, 8_500]) {
      const sample = { told: "connections", count: 7, excused: 1 } as const;
      add(evidence, line(at, "i0", sample));
    }
  },
);

testNothing("one more connection while another is replaced", (evidence) => {
  const sample = { told: "connections", count: 6, excused: 0 } as const;
  add(evidence, line(8_000, "i0", sample));
});

testFinding(
  "a process that does not exit",
  "leaked",
  /i0 exited 12000 ms after it was to stop/,
  (evidence) =>
    change(evidence, "exited", ({ instance }) => instance === "i0", {
      afterStopping: 12_000,
    }),
);

testFinding(
  "what is left at the end",
  "leaked",
  /the folder postgres_1 is left/,
  ({ journal }) => {
    const what = "the folder postgres_1 is left";
    journal.push(line(SETTLED + 900, MAIN, { told: "leftover", what }));
  },
);
