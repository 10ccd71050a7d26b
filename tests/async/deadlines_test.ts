import { assertEquals } from "@std/assert";
import { Deadlines } from "../../src/async/deadlines.ts";
import { FakeClock } from "../fake_clock.ts";

/** Deadlines of a second, and the names of those that have expired. */
function make() {
  const deadlines = new Deadlines(1_000);
  const expired: string[] = [];
  const add = (name: string) => deadlines.add(() => expired.push(name));
  return { deadlines, expired, add };
}

Deno.test("Deadlines.add() calls back when the time is over, once", () => {
  using time = new FakeClock();
  const { expired, add } = make();
  add("a");
  time.tick(500);
  add("b");
  time.tick(499);
  assertEquals(expired, []);
  time.tick(1);
  assertEquals(expired, ["a"]);
  time.tick(500);
  assertEquals(expired, ["a", "b"]);
  time.tick(10_000);
  assertEquals(expired, ["a", "b"]);
});

Deno.test("Deadlines.cancel() takes out one of those that expire together", () => {
  using time = new FakeClock();
  const { deadlines, expired, add } = make();
  const [a, b, c, d] = ["a", "b", "c", "d"].map(add);
  deadlines.cancel(b);
  deadlines.cancel(b);
  deadlines.cancel(d);
  deadlines.cancel(a);
  add("e");
  time.tick(1_000);
  assertEquals(expired.toSorted(), ["c", "e"]);
  deadlines.cancel(c);
  deadlines.cancel(a);
});

Deno.test("Deadlines expires all of a group, also if one cancels another meanwhile", () => {
  using time = new FakeClock();
  const { deadlines, expired, add } = make();
  deadlines.add(() => deadlines.cancel(b));
  const b = add("b");
  add("c");
  time.tick(1_000);
  assertEquals(expired, ["b", "c"]);
});

Deno.test("Deadlines.close() expires all, and what is added later at once", () => {
  using time = new FakeClock();
  const { deadlines, expired, add } = make();
  add("a");
  time.tick(100);
  deadlines.cancel(add("b"));
  add("c");
  deadlines.close();
  assertEquals(expired, ["a", "c"]);
  deadlines.cancel(add("d"));
  assertEquals(expired, ["a", "c", "d"]);
  time.tick(10_000);
  assertEquals(expired, ["a", "c", "d"]);
});

Deno.test("Deadlines.add() gives each the whole time but 2%", () => {
  using time = new FakeClock();
  const { expired, add } = make();
  add("a");
  time.tick(20);
  add("b");
  time.tick(979);
  assertEquals(expired, []);
  time.tick(1);
  assertEquals(expired, ["a"]);
  time.tick(19);
  assertEquals(expired, ["a"]);
  time.tick(1);
  assertEquals(expired, ["a", "b"]);
});
