import { assertEquals, assertStrictEquals } from "@std/assert";
import { RunTable } from "../../src/registry/run_table.ts";

const RETENTION = 1_000;

/** A table that is full of live runs, and its clock, which a test sets. */
function openTable(...ids: string[]) {
  const clock = { now: 0 };
  const table = new RunTable(ids.length, RETENTION, () => clock.now);
  const runs = ids.map((runId) => ({ runId, finished: false }));
  for (const run of runs) table.add(run);
  return { table, runs, clock, finish };

  function finish(run: { runId: string; finished: boolean }): void {
    run.finished = true;
    table.finish(run);
  }
}

/** A table that is full of finished runs, oldest first. */
function openFinished(...ids: string[]) {
  const opened = openTable(...ids);
  for (const run of opened.runs) opened.finish(run);
  return opened;
}

Deno.test("RunTable.makeRoom() removes the run that finished first", () => {
  const { table, runs: [, b], clock } = openFinished("a", "b");
  table.makeRoom("c");
  assertEquals(table.get("a"), undefined);
  assertStrictEquals(table.get("b"), b);
  clock.now = RETENTION;
  assertEquals(table.expire(), 1);
});

Deno.test("RunTable.makeRoom() removes a finished attempt from between others", () => {
  const { table, runs: [, b], clock } = openFinished("a", "b", "c");
  assertStrictEquals(table.makeRoom("b"), b);
  clock.now = RETENTION;
  assertEquals(table.expire(), 2);
});

Deno.test("RunTable.makeRoom() keeps the order of the runs around a removed attempt", () => {
  const { table, runs: [, , c] } = openFinished("a", "b", "c");
  const b = { runId: "b", finished: false };
  table.makeRoom("b");
  table.add(b);
  table.makeRoom("d");
  assertEquals(table.get("a"), undefined);
  assertStrictEquals(table.get("c"), c);
  table.add({ runId: "d", finished: false });
  table.makeRoom("e");
  assertEquals(table.get("c"), undefined);
  assertStrictEquals(table.get("b"), b);
});

Deno.test("RunTable.expire() removes runs in the order in which they finished", () => {
  const { table, runs: [a, b], clock, finish } = openTable("a", "b");
  finish(b);
  clock.now = 1;
  finish(a);
  clock.now = RETENTION;
  assertEquals(table.expire(), 1);
  assertStrictEquals(table.get("a"), a);
  assertEquals(table.get("b"), undefined);
});

Deno.test("RunTable.makeRoom() keeps the order however often runs are replaced", () => {
  const { table, clock, finish } = openFinished("a", "b");
  for (let i = 0; i < 5_000; i++) {
    const attempt = { runId: i % 3 === 0 ? "b" : "a", finished: false };
    table.makeRoom(attempt.runId);
    table.add(attempt);
    finish(attempt);
  }
  // Of the last attempts, that of b (4,998) finished before that of a (4,999).
  table.makeRoom("c");
  assertEquals(table.get("b"), undefined);
  assertEquals(table.get("a")?.runId, "a");
  clock.now = RETENTION;
  assertEquals(table.expire(), 1);
  assertEquals(table.expire(), 0);
});

Deno.test("RunTable.makeRoom() forgets any number of runs, one for each new one", () => {
  const { table } = openFinished("first");
  for (let i = 0; i < 5_000; i++) {
    const run = { runId: `${i}`, finished: true };
    table.makeRoom(run.runId);
    table.add(run);
    table.finish(run);
    assertEquals(table.get(`${i - 1}`), undefined);
    assertStrictEquals(table.get(run.runId), run);
  }
});
