import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  BroadcastController,
  type BroadcastTeeOptions,
} from "../../src/broadcast/broadcast_controller.ts";
import { assertPending, runMicrotasks } from "../assert_pending.ts";
import { WatchedSignal } from "../watched_signal.ts";
import { type Reading, rest, take, testEachWay } from "./ways_to_read.ts";

/** The chunk that reports a lag. */
interface Missed {
  missed: number;
  position: number;
}

type Chunk = number | Missed;

const lagged = (missed: number, position: number): Missed => ({
  missed,
  position,
});
const SKIP = { lag: "skip", lagged } as const;
const CLOSE = { lag: "close", lagged } as const;

/** A broadcast of the numbers from 0 up, so that a chunk is its position. */
class Count extends BroadcastController<Chunk> {
  /** Broadcasts the next numbers. */
  count(times: number): void {
    while (times-- > 0) this.enqueue(this.enqueued);
  }
}

const ended = { done: true, value: undefined } as const;
const chunk = (value: Chunk) => ({ done: false, value }) as const;

Deno.test("BroadcastController refuses a capacity that is not a positive integer (fault 9)", () => {
  for (
    const capacity of [
      0,
      -1,
      -0,
      1.5,
      NaN,
      Infinity,
      -Infinity,
      2 ** 53,
      "4" as unknown as number,
      undefined as unknown as number,
      null as unknown as number,
    ]
  ) {
    assertThrows(
      () => new BroadcastController({ capacity }),
      RangeError,
      `capacity must be a positive integer, received ${capacity}`,
    );
  }
});

Deno.test("BroadcastController.enqueued counts all chunks, held or not", () => {
  const broadcast = new Count({ capacity: 2 });
  assertEquals(broadcast.enqueued, 0);
  broadcast.count(5);
  assertEquals(broadcast.enqueued, 5);
});

Deno.test("BroadcastController.enqueue() throws after close()", () => {
  const broadcast = new Count({ capacity: 2 });
  broadcast.close();
  assertThrows(() => broadcast.enqueue(0), TypeError, "broadcast is closed");
});

Deno.test("BroadcastController.enqueue() that is refused adds nothing", async () => {
  const broadcast = new Count({ capacity: 2 });
  broadcast.count(1);
  broadcast.close();
  assertThrows(() => broadcast.enqueue(1), TypeError);
  assertEquals(broadcast.enqueued, 1);
  assertEquals(await Array.fromAsync(broadcast.tee()), [0]);
});

Deno.test("BroadcastController.close() throws when closed", () => {
  const broadcast = new Count({ capacity: 2 });
  broadcast.close();
  assertThrows(() => broadcast.close(), TypeError, "Cannot close broadcast");
});

Deno.test("BroadcastController.tee() refuses a position that is not an integer", () => {
  const broadcast = new Count({ capacity: 2 });
  for (
    const position of [0.5, NaN, Infinity, -Infinity, "0" as unknown as number]
  ) {
    assertThrows(
      () => broadcast.tee({ position }),
      RangeError,
      `position must be an integer, received ${position}`,
    );
  }
});

Deno.test("BroadcastController.tee() refuses to skip without reporting it", () => {
  const broadcast = new Count({ capacity: 2 });
  assertThrows(
    () => broadcast.tee({ lag: "skip" }),
    TypeError,
    `lag "skip" needs lagged`,
  );
});

Deno.test("BroadcastController.tee() that is refused listens to no signal", () => {
  const broadcast = new Count({ capacity: 2 });
  const watched = new WatchedSignal();
  const { signal } = watched;
  assertThrows(() => broadcast.tee({ signal, position: NaN }));
  assertThrows(() => broadcast.tee({ signal, lag: "skip" }));
  assertEquals(watched.listeners.size, 0);
});

testEachWay(
  "BroadcastController.enqueue() answers a read that waits",
  async (open) => {
    const broadcast = new Count({ capacity: 16 });
    const reading = open(broadcast.tee());
    const next = reading.next();
    await assertPending(next);
    broadcast.count(1);
    assertEquals(await next, chunk(0));
    await reading.stop();
  },
);

testEachWay(
  "BroadcastController.enqueue() answers every branch that waits",
  async (open) => {
    const broadcast = new Count({ capacity: 16 });
    const readings = Array.from({ length: 5 }, () => open(broadcast.tee()));
    for (const position of [0, 1, 2]) {
      const nexts = readings.map((reading) => reading.next());
      await assertPending(...nexts);
      broadcast.count(1);
      assertEquals(
        await Promise.all(nexts),
        readings.map(() => chunk(position)),
      );
    }
    for (const reading of readings) await reading.stop();
  },
);

testEachWay(
  "BroadcastController.enqueue() keeps a chunk for the branch that reads later",
  async (open) => {
    const broadcast = new Count({ capacity: 16 });
    const [quick, slow] = [open(broadcast.tee()), open(broadcast.tee())];
    const first = slow.next();
    broadcast.count(2);
    assertEquals(await take(quick, 2), [0, 1]);
    const third = quick.next();
    await assertPending(third);
    broadcast.count(1);
    assertEquals(await third, chunk(2));
    assertEquals(await first, chunk(0));
    assertEquals(await take(slow, 2), [1, 2]);
    await quick.stop();
    await slow.stop();
  },
);

testEachWay(
  "BroadcastController.enqueue() goes on when a branch is cancelled",
  async (open) => {
    const broadcast = new Count({ capacity: 16 });
    const [staying, leaving] = [open(broadcast.tee()), open(broadcast.tee())];
    broadcast.count(2);
    assertEquals(await take(staying, 1), [0]);
    assertEquals(await take(leaving, 1), [0]);
    await leaving.stop();
    broadcast.count(1);
    broadcast.close();
    assertEquals(await rest(staying), [1, 2]);
  },
);

testEachWay(
  "BroadcastController.enqueue() answers the others when a branch that waits is cancelled (fault 5)",
  async (open) => {
    const broadcast = new Count({ capacity: 16 });
    const readings = Array.from({ length: 4 }, () => open(broadcast.tee()));
    const nexts = readings.map((reading) => reading.next());
    await assertPending(...nexts);
    const [leaving] = readings.splice(1, 1);
    await leaving.stop();
    broadcast.count(1);
    assertEquals(
      await Promise.all(nexts),
      [chunk(0), ended, chunk(0), chunk(0)],
    );
    broadcast.close();
    for (const reading of readings) assertEquals(await rest(reading), []);
  },
);

testEachWay(
  "BroadcastController.enqueue() answers the others when a branch is cancelled after it (fault 5)",
  async (open) => {
    const broadcast = new Count({ capacity: 16 });
    const readings = Array.from({ length: 4 }, () => open(broadcast.tee()));
    const nexts = readings.map((reading) => reading.next());
    await assertPending(...nexts);
    broadcast.count(1);
    const [leaving, ...staying] = readings;
    await leaving.stop();
    await nexts.shift()!.catch(() => {});
    assertEquals(await Promise.all(nexts), [chunk(0), chunk(0), chunk(0)]);
    for (const reading of staying) await reading.stop();
  },
);

Deno.test("BroadcastController.enqueue() needs no branch", () => {
  const broadcast = new Count({ capacity: 2 });
  broadcast.count(1_000);
  broadcast.close();
  assertEquals(broadcast.enqueued, 1_000);
});

testEachWay(
  "BroadcastController.enqueue() gives chunks as they are",
  async (open) => {
    const chunks = [undefined, null, NaN, false, Promise.resolve(1), {
      then() {},
    }];
    const broadcast = new BroadcastController<unknown>({ capacity: 16 });
    const reading = open(broadcast.tee());
    for (const chunk of chunks) broadcast.enqueue(chunk);
    broadcast.close();
    const read = await rest(reading);
    assertEquals(read.length, chunks.length);
    for (const [index, chunk] of chunks.entries()) {
      assertEquals(Object.is(read[index], chunk), true);
    }
  },
);

testEachWay(
  "BroadcastController.close() ends a branch behind what is held",
  async (open) => {
    const broadcast = new Count({ capacity: 2 });
    const reading = open(broadcast.tee());
    broadcast.count(2);
    broadcast.close();
    assertEquals(await rest(reading), [0, 1]);
  },
);

testEachWay(
  "BroadcastController.close() ends reads that wait",
  async (open) => {
    const broadcast = new Count({ capacity: 16 });
    const readings = [open(broadcast.tee()), open(broadcast.tee())];
    const nexts = readings.map((reading) => reading.next());
    await assertPending(...nexts);
    broadcast.close();
    assertEquals(await Promise.all(nexts), [ended, ended]);
  },
);

testEachWay(
  "BroadcastController.close() directly behind a chunk ends nobody early",
  async (open) => {
    const broadcast = new Count({ capacity: 16 });
    const reading = open(broadcast.tee());
    const next = reading.next();
    await assertPending(next);
    broadcast.count(2);
    broadcast.close();
    assertEquals(await next, chunk(0));
    assertEquals(await rest(reading), [1]);
  },
);

testEachWay(
  "BroadcastController.tee() waits again when it has read all",
  async (open) => {
    const broadcast = new Count({ capacity: 1 });
    const reading = open(broadcast.tee());
    broadcast.count(1);
    assertEquals(await take(reading, 1), [0]);
    const next = reading.next();
    await assertPending(next);
    broadcast.close();
    assertEquals(await next, ended);
  },
);

testEachWay(
  "BroadcastController.tee() misses nothing of exactly capacity chunks",
  async (open) => {
    const broadcast = new Count({ capacity: 4 });
    const reading = open(broadcast.tee());
    broadcast.count(4);
    assertEquals(await take(reading, 4), [0, 1, 2, 3]);
    await assertPending(reading.next());
    await reading.stop();
  },
);

testEachWay(
  "BroadcastController.tee() misses one of one more than capacity chunks",
  async (open) => {
    const broadcast = new Count({ capacity: 4 });
    const reading = open(broadcast.tee(SKIP));
    broadcast.count(5);
    broadcast.close();
    assertEquals(await rest(reading), [lagged(1, 1), 1, 2, 3, 4]);
  },
);

testEachWay(
  "BroadcastController.tee() misses all but capacity chunks",
  async (open) => {
    const broadcast = new Count({ capacity: 4 });
    const reading = open(broadcast.tee(SKIP));
    broadcast.count(1_000);
    assertEquals(await take(reading, 5), [
      lagged(996, 996),
      996,
      997,
      998,
      999,
    ]);
    await assertPending(reading.next());
    await reading.stop();
  },
);

testEachWay(
  "BroadcastController.tee() reports how many each branch missed (fault 1)",
  async (open) => {
    const broadcast = new Count({ capacity: 2 });
    const [ahead, behind] = [
      open(broadcast.tee(SKIP)),
      open(broadcast.tee(SKIP)),
    ];
    broadcast.count(2);
    assertEquals(await take(ahead, 1), [0]);
    broadcast.count(1);
    assertEquals(await take(behind, 2), [lagged(1, 1), 1]);
    assertEquals(await take(ahead, 2), [1, 2]);
    await ahead.stop();
    await behind.stop();
  },
);

testEachWay("BroadcastController.tee() reports each lag", async (open) => {
  const broadcast = new Count({ capacity: 2 });
  const reading = open(broadcast.tee(SKIP));
  broadcast.count(3);
  assertEquals(await take(reading, 2), [lagged(1, 1), 1]);
  broadcast.count(2);
  assertEquals(await take(reading, 1), [lagged(1, 3)]);
  broadcast.count(1);
  assertEquals(await take(reading, 3), [lagged(1, 4), 4, 5]);
  await reading.stop();
});

testEachWay(
  "BroadcastController.tee() reports a lag to a read that waited through it",
  async (open) => {
    const broadcast = new Count({ capacity: 2 });
    const reading = open(broadcast.tee(SKIP));
    const next = reading.next();
    await assertPending(next);
    broadcast.count(3);
    assertEquals(await next, chunk(lagged(1, 1)));
    assertEquals(await take(reading, 2), [1, 2]);
    await reading.stop();
  },
);

testEachWay(
  "BroadcastController.tee() reports a lag before the end of a closed broadcast (fault 2)",
  async (open) => {
    for (const missed of [1, 2, 3]) {
      const broadcast = new Count({ capacity: 2 });
      const reading = open(broadcast.tee(SKIP));
      broadcast.count(2 + missed);
      broadcast.close();
      assertEquals(
        await rest(reading),
        [lagged(missed, missed), missed, missed + 1],
      );
    }
  },
);

testEachWay("BroadcastController.tee() closes after a lag", async (open) => {
  const broadcast = new Count({ capacity: 2 });
  const reading = open(broadcast.tee(CLOSE));
  broadcast.count(3);
  assertEquals(await rest(reading), [lagged(1, 1)]);
  broadcast.count(1);
});

testEachWay(
  "BroadcastController.tee() closes after a lag unless told to skip",
  async (open) => {
    const broadcast = new Count({ capacity: 2 });
    const reading = open(broadcast.tee({ lagged }));
    broadcast.count(3);
    assertEquals(await rest(reading), [lagged(1, 1)]);
  },
);

testEachWay(
  "BroadcastController.tee() closes after a lag of a closed broadcast",
  async (open) => {
    const broadcast = new Count({ capacity: 2 });
    const reading = open(broadcast.tee(CLOSE));
    broadcast.count(3);
    broadcast.close();
    assertEquals(await rest(reading), [lagged(1, 1)]);
  },
);

testEachWay(
  "BroadcastController.tee() closes after a lag that a read waited through",
  async (open) => {
    const broadcast = new Count({ capacity: 2 });
    const reading = open(broadcast.tee(CLOSE));
    const next = reading.next();
    await assertPending(next);
    broadcast.count(3);
    assertEquals(await next, chunk(lagged(1, 1)));
    assertEquals(await reading.next(), ended);
  },
);

testEachWay(
  "BroadcastController.tee() lets no lag of one branch reach another",
  async (open) => {
    const broadcast = new Count({ capacity: 1 });
    const behind = open(broadcast.tee(CLOSE));
    const other = open(broadcast.tee(SKIP));
    for (const position of [0, 1, 2]) {
      broadcast.count(1);
      assertEquals(await take(other, 1), [position]);
    }
    assertEquals(await rest(behind), [lagged(2, 2)]);
    broadcast.count(1);
    assertEquals(await take(other, 1), [3]);
    await other.stop();
  },
);

testEachWay(
  "BroadcastController.tee() errors with the number missed when nothing reports it",
  async (open) => {
    const broadcast = new Count({ capacity: 2 });
    const reading = open(broadcast.tee());
    broadcast.count(5);
    await assertRejects(
      () => reading.next(),
      RangeError,
      "3 chunks were missed",
    );
  },
);

testEachWay(
  "BroadcastController.tee() errors a read that waited through a lag when nothing reports it",
  async (open) => {
    const broadcast = new Count({ capacity: 2 });
    const reading = open(broadcast.tee());
    const next = reading.next();
    await assertPending(next);
    broadcast.count(5);
    await assertRejects(() => next, RangeError, "3 chunks were missed");
  },
);

testEachWay(
  "BroadcastController.tee() errors with what lagged() throws",
  async (open) => {
    for (const lag of ["close", "skip"] as const) {
      const broadcast = new Count({ capacity: 1 });
      const reading = open(broadcast.tee({
        lag,
        lagged(missed) {
          throw new EvalError(`${missed}`);
        },
      }));
      broadcast.count(2);
      await assertRejects(() => reading.next(), EvalError, "1");
    }
  },
);

testEachWay(
  "BroadcastController.tee() loses nothing at capacity 1 when each chunk is read",
  async (open) => {
    const broadcast = new Count({ capacity: 1 });
    const reading = open(broadcast.tee());
    for (let position = 0; position < 10; position++) {
      const next = reading.next();
      await assertPending(next);
      broadcast.count(1);
      assertEquals(await next, chunk(position));
    }
    await reading.stop();
  },
);

testEachWay(
  "BroadcastController.tee() reports a lag at capacity 1",
  async (open) => {
    const broadcast = new Count({ capacity: 1 });
    const reading = open(broadcast.tee(SKIP));
    broadcast.count(2);
    assertEquals(await take(reading, 2), [lagged(1, 1), 1]);
    broadcast.count(3);
    broadcast.close();
    assertEquals(await rest(reading), [lagged(2, 4), 4]);
  },
);

for (const capacity of [1, 2, 3, 5, 7, 64]) {
  testEachWay(
    `BroadcastController.tee() keeps the order over many turns of a ring of ${capacity}`,
    async (open) => {
      const broadcast = new Count({ capacity });
      const reading = open(broadcast.tee());
      let read = 0;
      for (let turn = 0; turn < 40; turn++) {
        const burst = turn % capacity + 1;
        broadcast.count(burst);
        assertEquals(
          await take(reading, burst),
          Array.from({ length: burst }, () => read++),
        );
      }
      await reading.stop();
    },
  );
}

testEachWay(
  "BroadcastController.tee() counts a lag over many turns of a ring of 3",
  async (open) => {
    const broadcast = new Count({ capacity: 3 });
    const reading = open(broadcast.tee(SKIP));
    for (let turn = 0; turn < 20; turn++) {
      broadcast.count(3 + turn);
      const { enqueued } = broadcast;
      const held = [enqueued - 3, enqueued - 2, enqueued - 1];
      assertEquals(
        await take(reading, turn === 0 ? 3 : 4),
        turn === 0 ? held : [lagged(turn, enqueued - 3), ...held],
      );
    }
    await reading.stop();
  },
);

testEachWay(
  "BroadcastController.tee() begins with the oldest chunk held",
  async (open) => {
    const broadcast = new Count({ capacity: 3 });
    broadcast.count(5);
    const reading = open(broadcast.tee());
    assertEquals(await take(reading, 3), [2, 3, 4]);
    await assertPending(reading.next());
    await reading.stop();
  },
);

testEachWay(
  "BroadcastController.tee() takes its position when called, not when read",
  async (open) => {
    const broadcast = new Count({ capacity: 3 });
    broadcast.count(3);
    const branch = broadcast.tee(SKIP);
    broadcast.count(2);
    assertEquals(await take(open(branch), 2), [lagged(2, 2), 2]);
  },
);

testEachWay(
  "BroadcastController.tee() gives what is held after close()",
  async (open) => {
    const broadcast = new Count({ capacity: 3 });
    broadcast.count(5);
    broadcast.close();
    assertEquals(await rest(open(broadcast.tee())), [2, 3, 4]);
  },
);

testEachWay(
  "BroadcastController.tee() ends at once after close() of an empty broadcast",
  async (open) => {
    const broadcast = new Count({ capacity: 3 });
    broadcast.close();
    assertEquals(await rest(open(broadcast.tee())), []);
  },
);

testEachWay(
  "BroadcastController.tee() begins at a position still held",
  async (open) => {
    const broadcast = new Count({ capacity: 4 });
    broadcast.count(4);
    broadcast.close();
    assertEquals(await rest(open(broadcast.tee({ position: 0 }))), [
      0,
      1,
      2,
      3,
    ]);
    assertEquals(await rest(open(broadcast.tee({ position: 2 }))), [2, 3]);
    assertEquals(await rest(open(broadcast.tee({ position: 4 }))), []);
  },
);

testEachWay(
  "BroadcastController.tee() counts from a position no longer held",
  async (open) => {
    const broadcast = new Count({ capacity: 2 });
    broadcast.count(5);
    broadcast.close();
    assertEquals(
      await rest(open(broadcast.tee({ ...SKIP, position: 0 }))),
      [lagged(3, 3), 3, 4],
    );
    assertEquals(
      await rest(open(broadcast.tee({ ...CLOSE, position: 2 }))),
      [lagged(1, 3)],
    );
  },
);

testEachWay(
  "BroadcastController.tee() counts from a negative position",
  async (open) => {
    const broadcast = new Count({ capacity: 4 });
    broadcast.count(2);
    broadcast.close();
    assertEquals(
      await rest(open(broadcast.tee({ ...SKIP, position: -3 }))),
      [lagged(3, 0), 0, 1],
    );
  },
);

testEachWay(
  "BroadcastController.tee() gives nothing before a position ahead",
  async (open) => {
    const broadcast = new Count({ capacity: 4 });
    broadcast.count(1);
    const reading = open(broadcast.tee({ position: 3 }));
    const next = reading.next();
    await assertPending(next);
    broadcast.count(1);
    await assertPending(next);
    broadcast.count(1);
    await assertPending(next);
    broadcast.count(1);
    assertEquals(await next, chunk(3));
    broadcast.close();
    assertEquals(await rest(reading), []);
  },
);

testEachWay(
  "BroadcastController.tee() ends before a position that was never reached",
  async (open) => {
    const broadcast = new Count({ capacity: 4 });
    const reading = open(broadcast.tee({ position: 3 }));
    const next = reading.next();
    await assertPending(next);
    broadcast.count(2);
    broadcast.close();
    assertEquals(await next, ended);
  },
);

testEachWay(
  "BroadcastController.tee() counts a lag from a position ahead",
  async (open) => {
    const broadcast = new Count({ capacity: 2 });
    const reading = open(broadcast.tee({ ...SKIP, position: 3 }));
    broadcast.count(8);
    broadcast.close();
    assertEquals(await rest(reading), [lagged(3, 6), 6, 7]);
  },
);

testEachWay(
  "BroadcastController.tee() errors when its signal aborts while a read waits",
  async (open) => {
    const broadcast = new Count({ capacity: 4 });
    const controller = new AbortController();
    const reading = open(broadcast.tee({ signal: controller.signal }));
    const next = reading.next();
    await assertPending(next);
    controller.abort(new EvalError("enough"));
    await assertRejects(() => next, EvalError, "enough");
  },
);

testEachWay(
  "BroadcastController.tee() errors when its signal aborts between reads",
  async (open) => {
    const broadcast = new Count({ capacity: 4 });
    const controller = new AbortController();
    const reading = open(broadcast.tee({ signal: controller.signal }));
    broadcast.count(2);
    assertEquals(await take(reading, 1), [0]);
    controller.abort(new EvalError("enough"));
    await assertRejects(() => reading.next(), EvalError, "enough");
  },
);

testEachWay(
  "BroadcastController.tee() errors when its signal has aborted",
  async (open) => {
    const broadcast = new Count({ capacity: 4 });
    broadcast.count(1);
    const signal = AbortSignal.abort(new EvalError("enough"));
    const reading = open(broadcast.tee({ signal }));
    await assertRejects(() => reading.next(), EvalError, "enough");
  },
);

testEachWay(
  "BroadcastController.tee() leaves other branches alone when its signal aborts",
  async (open) => {
    const broadcast = new Count({ capacity: 4 });
    const controller = new AbortController();
    const aborted = open(broadcast.tee({ signal: controller.signal }));
    const other = open(broadcast.tee());
    const nexts = [aborted.next(), other.next()];
    await assertPending(...nexts);
    controller.abort(new EvalError("enough"));
    await assertRejects(() => nexts[0], EvalError);
    await assertPending(nexts[1]);
    broadcast.count(1);
    assertEquals(await nexts[1], chunk(0));
    await other.stop();
  },
);

/** A way for a branch to end. */
interface Ending {
  name: string;
  options?: BroadcastTeeOptions<Chunk>;
  end(
    broadcast: Count,
    reading: Reading<Chunk>,
    watched: WatchedSignal,
  ): Promise<unknown>;
}

const ENDINGS: readonly Ending[] = [
  {
    name: "closed, read to the end",
    end(broadcast, reading) {
      broadcast.count(2);
      broadcast.close();
      return rest(reading);
    },
  },
  {
    name: "read to the end, then closed",
    async end(broadcast, reading) {
      broadcast.count(2);
      await take(reading, 2);
      broadcast.close();
      await rest(reading);
    },
  },
  {
    name: "closed while a read waits",
    async end(broadcast, reading) {
      const next = reading.next();
      await assertPending(next);
      broadcast.close();
      await next;
    },
  },
  {
    name: "closed behind a chunk while a read waits",
    async end(broadcast, reading) {
      const next = reading.next();
      await assertPending(next);
      broadcast.count(1);
      broadcast.close();
      await next;
      await rest(reading);
    },
  },
  {
    name: "cancelled before a read",
    end: (_broadcast, reading) => reading.stop(),
  },
  {
    name: "cancelled between reads",
    async end(broadcast, reading) {
      broadcast.count(2);
      await take(reading, 1);
      await reading.stop();
    },
  },
  {
    name: "cancelled while a read waits",
    async end(_broadcast, reading) {
      const next = reading.next();
      await assertPending(next);
      await reading.stop();
      await next;
    },
  },
  {
    name: "closed by a lag",
    options: CLOSE,
    async end(broadcast, reading) {
      broadcast.count(5);
      await rest(reading);
    },
  },
  {
    name: "closed by a lag while a read waits",
    options: CLOSE,
    async end(broadcast, reading) {
      const next = reading.next();
      await assertPending(next);
      broadcast.count(5);
      await next;
      await rest(reading);
    },
  },
  {
    name: "errored by a lag",
    async end(broadcast, reading) {
      broadcast.count(5);
      await assertRejects(() => reading.next(), RangeError);
    },
  },
  {
    name: "errored by lagged()",
    options: {
      lag: "skip",
      lagged() {
        throw new EvalError("lagged");
      },
    },
    async end(broadcast, reading) {
      broadcast.count(5);
      await assertRejects(() => reading.next(), EvalError);
    },
  },
  {
    name: "aborted before a read",
    async end(_broadcast, reading, watched) {
      watched.abort(new EvalError("enough"));
      await assertRejects(() => reading.next(), EvalError);
    },
  },
  {
    name: "aborted while a read waits",
    async end(_broadcast, reading, watched) {
      const next = reading.next();
      await assertPending(next);
      watched.abort(new EvalError("enough"));
      await assertRejects(() => next, EvalError);
    },
  },
];

for (const { name, options, end } of ENDINGS) {
  testEachWay(
    `BroadcastController.tee() releases once: ${name}`,
    async (open) => {
      const broadcast = new Count({ capacity: 4 });
      const watched = new WatchedSignal();
      let releases = 0;
      const reading = open(broadcast.tee({
        ...options,
        signal: watched.signal,
        onRelease: () => releases++,
      }));
      await runMicrotasks();
      assertEquals(releases, 0);
      await end(broadcast, reading, watched);
      await runMicrotasks();
      assertEquals(releases, 1);
      await reading.stop().catch(() => {});
      watched.abort();
      if (name.startsWith("cancelled")) broadcast.count(1);
      await runMicrotasks();
      assertEquals(releases, 1);
    },
  );

  testEachWay(
    `BroadcastController.tee() stops listening to its signal: ${name}`,
    async (open) => {
      const broadcast = new Count({ capacity: 4 });
      const watched = new WatchedSignal();
      const { signal } = watched;
      const reading = open(broadcast.tee({ ...options, signal }));
      assertEquals(watched.listeners.size, 1);
      await end(broadcast, reading, watched);
      await runMicrotasks();
      assertEquals(watched.listeners.size, 0);
    },
  );
}

Deno.test("BroadcastController.tee() releases once when its signal has aborted", async () => {
  const broadcast = new Count({ capacity: 4 });
  let releases = 0;
  const branch = broadcast.tee({
    signal: AbortSignal.abort(new EvalError("enough")),
    onRelease: () => releases++,
  });
  assertEquals(releases, 1);
  await assertRejects(() => branch.cancel(), EvalError);
  assertEquals(releases, 1);
});

Deno.test("BroadcastController.tee() does not listen to a signal that has aborted", () => {
  const broadcast = new Count({ capacity: 4 });
  const watched = new WatchedSignal();
  watched.abort();
  broadcast.tee({ signal: watched.signal });
  assertEquals(watched.listeners.size, 0);
});

Deno.test("BroadcastController.tee() releases when a branch that nobody reads is cancelled", async () => {
  const broadcast = new Count({ capacity: 4 });
  let releases = 0;
  const branch = broadcast.tee({ onRelease: () => releases++ });
  await branch.cancel();
  assertEquals(releases, 1);
});

for (const [place, index] of [["before", 0], ["behind", 2]] as const) {
  testEachWay(
    `BroadcastController.tee() may cancel a branch that waits ${place} it when it releases`,
    async (open) => {
      const broadcast = new Count({ capacity: 2 });
      let stopped: Promise<void> | undefined;
      const onRelease = () => stopped = readings[index].stop();
      const branches = [
        broadcast.tee(SKIP),
        broadcast.tee({ ...CLOSE, onRelease }),
        broadcast.tee(SKIP),
        broadcast.tee(SKIP),
      ];
      const readings = branches.map((branch) => open(branch));
      const nexts = readings.map((reading) => reading.next());
      await assertPending(...nexts);
      broadcast.count(3);
      broadcast.close();
      await Promise.allSettled(nexts);
      await stopped;
      for (const other of [0, 2, 3]) {
        if (other === index) continue;
        assertEquals(await nexts[other], chunk(lagged(1, 1)));
        assertEquals(await rest(readings[other]), [1, 2]);
      }
      assertEquals(await nexts[1], chunk(lagged(1, 1)));
      assertEquals(await rest(readings[1]), []);
    },
  );
}

testEachWay(
  "BroadcastController.tee() may enqueue when it releases",
  async (open) => {
    const broadcast = new Count({ capacity: 2 });
    const leaving = open(
      broadcast.tee({ onRelease: () => broadcast.count(1) }),
    );
    const other = open(broadcast.tee());
    const next = other.next();
    await assertPending(next);
    await leaving.stop();
    assertEquals(await next, chunk(0));
    await other.stop();
  },
);

testEachWay(
  "BroadcastController.tee() may make another branch when it releases",
  async (open) => {
    const broadcast = new Count({ capacity: 2 });
    let added: Reading<Chunk> | undefined;
    const leaving = open(broadcast.tee({
      ...CLOSE,
      onRelease: () => added = open(broadcast.tee()),
    }));
    const next = leaving.next();
    await assertPending(next);
    broadcast.count(3);
    assertEquals(await next, chunk(lagged(1, 1)));
    assertEquals(await take(added!, 2), [1, 2]);
    await added!.stop();
  },
);
