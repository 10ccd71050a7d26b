import { assertEquals, assertStrictEquals } from "@std/assert";
import {
  Cursor,
  type CursorOptions,
  OVER,
  WAIT,
} from "../../src/broadcast/cursor.ts";
import { Ring } from "../../src/broadcast/ring.ts";
import { runMicrotasks } from "../assert_pending.ts";

const options = {
  position: 0,
  lag: "close",
  initialLag: "close",
  lagged: (missed: number) => -missed,
} as const;

function open(rest: Partial<CursorOptions<number>> = {}) {
  const ring = new Ring<number>(2);
  const cursor = new Cursor<number>(ring, { ...options, ...rest });
  const owner = {
    woken: 0,
    wake() {
      this.woken++;
    },
  };
  return { ring, cursor, owner };
}

Deno.test("Cursor.take() returns WAIT or OVER without a chunk", () => {
  const { ring, cursor } = open();
  assertStrictEquals(cursor.take(), WAIT);
  ring.push(0);
  assertStrictEquals(cursor.take(), 0);
  assertStrictEquals(cursor.take(), WAIT);
  ring.close();
  assertStrictEquals(cursor.take(), OVER);
});

Deno.test("Cursor.take() gives nothing after a lag that closes", () => {
  const { ring, cursor } = open();
  for (const chunk of [0, 1, 2]) ring.push(chunk);
  assertStrictEquals(cursor.take(), -1);
  assertStrictEquals(cursor.take(), OVER);
});

Deno.test("Cursor.take() goes on after a lag before the first chunk, and closes after a later one", () => {
  const { ring, cursor } = open({ initialLag: "skip" });
  for (const chunk of [0, 1, 2]) ring.push(chunk);
  assertStrictEquals(cursor.take(), -1);
  assertStrictEquals(cursor.take(), 1);
  for (const chunk of [3, 4, 5]) ring.push(chunk);
  assertStrictEquals(cursor.take(), -2);
  assertStrictEquals(cursor.take(), OVER);
});

Deno.test("Cursor.take() leaves the ring once it has read to the end", () => {
  const { ring, cursor } = open();
  let released = 0;
  cursor.onRelease = () => released++;
  ring.push(0);
  ring.close();
  assertStrictEquals(cursor.take(), 0);
  assertEquals(released, 0);
  assertStrictEquals(cursor.take(), OVER);
  assertStrictEquals(cursor.take(), OVER);
  assertEquals(released, 1);
});

Deno.test("Cursor.wait() parks once for several calls", async () => {
  const { ring, cursor, owner } = open();
  cursor.wait(owner);
  const { parkedAt } = cursor;
  cursor.wait(owner);
  assertEquals(cursor.parkedAt, parkedAt);
  ring.push(0);
  await runMicrotasks();
  assertEquals(owner.woken, 1);
});

Deno.test("Cursor.wait() wakes the last owner to wait", async () => {
  const { ring, cursor, owner } = open();
  const former = {
    wake: () => {
      throw new Error("woken");
    },
  };
  cursor.wait(former);
  cursor.wait(owner);
  ring.push(0);
  await runMicrotasks();
  assertEquals(owner.woken, 1);
});

Deno.test("Cursor.stopWaiting() leaves nothing in the ring", async () => {
  const { ring, cursor, owner } = open();
  cursor.wait(owner);
  cursor.stopWaiting();
  assertEquals(cursor.parkedAt, -1);
  ring.push(0);
  await runMicrotasks();
  assertEquals(owner.woken, 0);
});

Deno.test("Cursor.release() leaves nothing in the ring and wakes the owner", () => {
  const { cursor, owner } = open();
  cursor.wait(owner);
  cursor.release();
  assertEquals(cursor.parkedAt, -1);
  assertEquals(owner.woken, 1);
  assertStrictEquals(cursor.take(), OVER);
});

Deno.test("Cursor.release() does not wake an owner who stopped waiting", () => {
  const { cursor, owner } = open();
  cursor.wait(owner);
  cursor.stopWaiting();
  cursor.release();
  assertEquals(owner.woken, 0);
});
