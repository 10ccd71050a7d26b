import { assertEquals, assertStrictEquals } from "@std/assert";
import { type HeldRun, RunTable } from "../../src/registry/run_table.ts";

const RETENTION = 1_000;

function run(id: string): HeldRun {
  return { id, expiresAt: undefined, older: undefined, newer: undefined };
}

/** A table of finished runs, oldest first, and a clock that can be set. */
function openTable(...ids: string[]) {
  const clock = { now: 0 };
  const table = new RunTable(ids.length, RETENTION, () => clock.now);
  const runs = ids.map(run);
  for (const each of runs) table.add(each);
  for (const each of runs) table.finish(each);
  return { table, runs, clock };
}

Deno.test("RunTable.makeRoom() forgets what finished first", () => {
  const { table, runs: [a, b] } = openTable("a", "b");
  table.makeRoom("c");
  assertEquals(table.get("a"), undefined);
  assertStrictEquals(table.get("b"), b);
  assertEquals(a.newer, undefined); // Who still has a does not hold b.
  assertEquals(b.older, undefined);
});

Deno.test("RunTable.makeRoom() takes a finished attempt from between others", () => {
  const { table, runs: [a, b, c], clock } = openTable("a", "b", "c");
  assertStrictEquals(table.makeRoom("b"), b);
  assertStrictEquals(a.newer, c);
  assertStrictEquals(c.older, a);
  clock.now = RETENTION;
  assertEquals(table.expire(), 2);
});

Deno.test("RunTable.expire() forgets in the order of finishing", () => {
  const clock = { now: 0 };
  const table = new RunTable(2, RETENTION, () => clock.now);
  const [a, b] = [run("a"), run("b")];
  table.add(a);
  table.add(b);
  table.finish(b);
  clock.now = 1;
  table.finish(a);
  clock.now = RETENTION;
  assertEquals(table.expire(), 1);
  assertStrictEquals(table.get("a"), a);
  assertEquals(table.get("b"), undefined);
});
