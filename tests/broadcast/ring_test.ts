import { assertEquals } from "@std/assert";
import { Ring, type Waiter } from "../../src/broadcast/ring.ts";
import { runMicrotasks } from "../assert_pending.ts";

/** Counts how often it is woken, and may run a callback. */
class Sleeper implements Waiter {
  parkedAt = -1;
  woken = 0;
  readonly #onWake: (() => void) | undefined;

  constructor(onWake?: () => void) {
    this.#onWake = onWake;
  }

  wake(): void {
    this.woken++;
    this.#onWake?.();
  }
}

/** Parks this many waiters. */
function parkIn(ring: Ring<number>, count: number): Sleeper[] {
  return Array.from({ length: count }, () => {
    const sleeper = new Sleeper();
    ring.park(sleeper);
    return sleeper;
  });
}

const timesWoken = (sleepers: Sleeper[]) => sleepers.map(({ woken }) => woken);

Deno.test("Ring.push() wakes parked waiters one microtask later", async () => {
  const ring = new Ring<number>(4);
  const sleepers = parkIn(ring, 3);
  ring.push(0);
  assertEquals(timesWoken(sleepers), [0, 0, 0]);
  await undefined;
  assertEquals(timesWoken(sleepers), [1, 1, 1]);
});

Deno.test("Ring.push() wakes once for several chunks", async () => {
  const ring = new Ring<number>(4);
  const sleepers = parkIn(ring, 1);
  for (const chunk of [0, 1, 2]) ring.push(chunk);
  ring.close();
  await runMicrotasks();
  assertEquals(timesWoken(sleepers), [1]);
});

Deno.test("Ring.push() wakes a waiter again only if it has parked again", async () => {
  const ring = new Ring<number>(4);
  const sleepers = parkIn(ring, 2);
  ring.push(0);
  await runMicrotasks();
  ring.park(sleepers[1]);
  ring.push(1);
  await runMicrotasks();
  assertEquals(timesWoken(sleepers), [1, 2]);
});

Deno.test("Ring.push() does not wake a waiter that parks while it wakes", async () => {
  const ring = new Ring<number>(4);
  const sleeper: Sleeper = new Sleeper(() => ring.park(sleeper));
  ring.park(sleeper);
  ring.push(0);
  await runMicrotasks();
  assertEquals(sleeper.woken, 1);
  ring.push(1);
  await runMicrotasks();
  assertEquals(sleeper.woken, 2);
});

Deno.test("Ring.close() ends its members once, and those who join later", () => {
  const ring = new Ring<number>(4);
  const ends: string[] = [];
  const join = (name: string) => {
    const member = { end: () => void ends.push(name) };
    ring.join(member);
    return member;
  };
  join("one");
  const two = join("two");
  join("three");
  ring.leave(two);
  ring.push(0);
  assertEquals(ends, []);
  ring.close();
  assertEquals(ends, ["one", "three"]);
  ring.leave(join("four"));
  assertEquals(ends, ["one", "three", "four"]);
});

Deno.test("Ring.unpark() removes waiters in any order", async () => {
  const orders = [[0, 1], [1, 0], [0, 2], [2, 0], [1, 2], [2, 1], [0, 0]];
  for (const [first, second] of orders) {
    const ring = new Ring<number>(4);
    const sleepers = parkIn(ring, 3);
    ring.unpark(sleepers[first]);
    ring.unpark(sleepers[second]);
    ring.push(0);
    await runMicrotasks();
    assertEquals(
      timesWoken(sleepers),
      [0, 1, 2].map((index) => index === first || index === second ? 0 : 1),
    );
  }
});

Deno.test("Ring.unpark() removes a waiter between a chunk and the waking (fault 5)", async () => {
  const ring = new Ring<number>(4);
  const sleepers = parkIn(ring, 3);
  ring.push(0);
  ring.unpark(sleepers[0]);
  await runMicrotasks();
  assertEquals(timesWoken(sleepers), [0, 1, 1]);
});

Deno.test("Ring.unpark() of another while waking leaves the rest to be woken (fault 5)", async () => {
  for (const [waking, taken] of [[0, 1], [0, 2], [1, 0], [1, 2], [2, 0]]) {
    const ring = new Ring<number>(4);
    let turned = false;
    const sleepers: Sleeper[] = [0, 1, 2].map((index) =>
      new Sleeper(() => {
        if (turned || index !== waking) return;
        turned = true;
        ring.park(sleepers[index]);
        ring.unpark(sleepers[taken]);
      })
    );
    for (const sleeper of sleepers) ring.park(sleeper);
    ring.push(0);
    await runMicrotasks();
    sleepers.splice(taken, 1);
    assertEquals(timesWoken(sleepers), [1, 1]);
    ring.push(1);
    await runMicrotasks();
    assertEquals(timesWoken(sleepers).toSorted(), [1, 2]);
  }
});
