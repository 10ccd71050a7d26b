import { assertEquals } from "@std/assert";
import { Pace } from "../../src/postgres/write/pace.ts";

/** A pace after groups of some items, each of which took so many milliseconds. */
class Trial {
  readonly pace = new Pace();
  now = 1_000;

  write(durations: readonly number[], items = 1): void {
    for (const duration of durations) {
      const from = this.now;
      this.now += duration;
      this.pace.onWritten(items, from, this.now);
    }
  }

  rest(items = 1): number {
    return this.pace.restWith(items, this.now);
  }
}

Deno.test("Pace rests for four times what four groups in a row took more than twice the quickest", () => {
  const trial = new Trial();
  trial.write([1, 2, 2, 2, 2]);
  assertEquals(trial.rest(), 0);
  trial.write([12, 12, 12]);
  assertEquals(trial.rest(), 0, "three slow ones may be an accident");
  trial.write([7]);
  assertEquals(Math.round(trial.rest()), 19);
  trial.now += 15;
  assertEquals(Math.round(trial.rest()), 4);
  trial.now += 5;
  assertEquals(trial.rest(), 0);
  trial.write([12, 1]);
  assertEquals(trial.rest(), 0);
});

Deno.test("Pace rests for 100 ms at most", () => {
  const trial = new Trial();
  trial.write([1, ...Array(4).fill(5_000)]);
  assertEquals(trial.rest(), 100);
});

Deno.test("Pace never rests with nothing to write, nor with 64 items", () => {
  const trial = new Trial();
  trial.write([1, 50, 50, 50, 50]);
  assertEquals([0, 1, 63, 64].map((items) => trial.rest(items) > 0), [
    false,
    true,
    true,
    false,
  ]);
});

Deno.test("Pace compares with the quickest group of less than 64 items", () => {
  const large = new Trial();
  large.write([1], 64);
  large.write([50, 50, 50, 50]);
  assertEquals(large.rest(), 0);

  const small = new Trial();
  small.write([1], 63);
  small.write([50, 50, 50, 50], 64);
  assertEquals(small.rest() > 0, true);
});

Deno.test("Pace takes a slower network for the usual one after some hundred groups", () => {
  const trial = new Trial();
  trial.write([1]);
  trial.write(Array(300).fill(40));
  assertEquals(trial.rest() > 0, true);
  trial.write(Array(70).fill(40));
  assertEquals(trial.rest(), 0);
});
