import {
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { BroadcastBranch } from "../../src/broadcast/broadcast_branch.ts";
import { BroadcastController } from "../../src/broadcast/broadcast_controller.ts";
import { type Member, Ring } from "../../src/broadcast/ring.ts";
import { assertPending, runMicrotasks } from "../assert_pending.ts";
import { type Feed, testAnyStream } from "./feed.ts";
import { rest, take, testEachWay, WAYS_TO_READ } from "./ways_to_read.ts";

const ended = { done: true, value: undefined } as const;
const chunk = (value: number) => ({ done: false, value }) as const;

/** A branch with its broadcast and the number of its releases. */
function teeCounted(capacity = 16) {
  const broadcast = new BroadcastController<number>({ capacity });
  const counted = { broadcast, releases: 0 };
  const branch = broadcast.tee({ onRelease: () => counted.releases++ });
  return Object.assign(counted, { branch });
}

/** The outcomes of promises, all of which must be settled. */
async function outcomes(promises: Promise<unknown>[]): Promise<unknown[]> {
  return (await Promise.allSettled(promises)).map((outcome) =>
    outcome.status === "fulfilled" ? outcome.value : outcome.reason.name
  );
}

/** The indexes and results of promises, in the order in which they settle. */
async function settlements(promises: Promise<unknown>[]): Promise<unknown[]> {
  const settled: unknown[] = [];
  for (const [index, promise] of promises.entries()) {
    promise.then(
      (result) => settled.push([index, result]),
      (error) => settled.push([index, error.name]),
    );
  }
  await runMicrotasks();
  return settled;
}

testAnyStream("BroadcastBranch is a ReadableStream", async ({ stream }) => {
  assertInstanceOf(stream, ReadableStream);
  assertEquals(stream.locked, false);
  await stream.cancel();
});

testAnyStream(
  "BroadcastBranch.locked is true from getReader() to releaseLock()",
  async ({ stream }) => {
    const reader = stream.getReader();
    assertEquals(stream.locked, true);
    reader.releaseLock();
    assertEquals(stream.locked, false);
    await stream.cancel();
  },
);

testAnyStream(
  "BroadcastBranch.locked is true from values() to return()",
  async ({ stream }) => {
    const iterator = stream.values();
    assertEquals(stream.locked, true);
    await iterator.return!();
    assertEquals(stream.locked, false);
  },
);

testAnyStream(
  "BroadcastBranch.locked is true inside for await",
  async ({ stream, enqueue, close }) => {
    enqueue(0);
    close();
    for await (const _ of stream) assertEquals(stream.locked, true);
    assertEquals(stream.locked, false);
  },
);

testAnyStream(
  "BroadcastBranch refuses a second use while it is locked",
  async ({ stream, enqueue }) => {
    enqueue(0);
    const reader = stream.getReader();
    assertThrows(() => stream.getReader(), TypeError);
    assertThrows(() => new ReadableStreamDefaultReader(stream), TypeError);
    assertThrows(() => stream.values(), TypeError);
    assertThrows(() => stream[Symbol.asyncIterator](), TypeError);
    assertThrows(() => stream.tee(), TypeError);
    assertThrows(() => stream.pipeThrough(new TransformStream()), TypeError);
    await assertRejects(() => stream.pipeTo(new WritableStream()), TypeError);
    await assertRejects(() => stream.cancel(), TypeError);
    assertEquals(await reader.read(), chunk(0));
    await reader.cancel();
  },
);

testAnyStream(
  "BroadcastBranch.getReader() refuses modes other than the default",
  async ({ stream }) => {
    for (const mode of ["byob", "none"] as "byob"[]) {
      assertThrows(() => stream.getReader({ mode }), TypeError);
      assertEquals(stream.locked, false);
    }
    await stream.cancel();
  },
);

/** What is not a dictionary of options. */
const NO_OPTIONS = [5, "byob", true, Symbol("options"), 1n] as never[];

/** What is one without members. */
const EMPTY_OPTIONS = [undefined, null, {}, () => {}] as undefined[];

testAnyStream(
  "BroadcastBranch.getReader() refuses what are no options",
  async ({ stream }) => {
    for (const options of NO_OPTIONS) {
      assertThrows(() => stream.getReader(options), TypeError);
      assertEquals(stream.locked, false);
    }
    for (const options of EMPTY_OPTIONS) {
      stream.getReader(options).releaseLock();
    }
    await stream.cancel();
  },
);

testAnyStream(
  "BroadcastBranch.values() refuses what are no options",
  async ({ stream }) => {
    for (const options of NO_OPTIONS) {
      assertThrows(() => stream.values(options), TypeError);
      assertThrows(() => stream[Symbol.asyncIterator](options), TypeError);
      assertEquals(stream.locked, false);
    }
    for (const options of EMPTY_OPTIONS) await stream.values(options).return!();
  },
);

testAnyStream(
  "BroadcastBranch.getReader() gives a ReadableStreamDefaultReader",
  async ({ stream }) => {
    const reader = stream.getReader();
    assertInstanceOf(reader, ReadableStreamDefaultReader);
    await reader.cancel();
  },
);

testAnyStream(
  "BroadcastBranch is read by a constructed reader",
  async ({ stream, enqueue, close }) => {
    enqueue(0);
    const reader = new ReadableStreamDefaultReader(stream);
    assertEquals(await reader.read(), chunk(0));
    const next = reader.read();
    await assertPending(next);
    enqueue(1);
    close();
    assertEquals(await next, chunk(1));
    assertEquals(await reader.read(), ended);
  },
);

testAnyStream(
  "BroadcastBranch is read by Array.fromAsync()",
  async ({ stream, enqueue, close }) => {
    const chunks = Array.fromAsync(stream);
    await assertPending(chunks);
    enqueue(0);
    enqueue(1);
    await assertPending(chunks);
    close();
    assertEquals(await chunks, [0, 1]);
    assertEquals(stream.locked, false);
  },
);

testAnyStream(
  "BroadcastBranch feeds the body of a Response",
  async ({ stream, enqueue, close }) => {
    const response = new Response(
      stream.pipeThrough(
        new TransformStream<number, string>({
          transform: (chunk, controller) => controller.enqueue(`${chunk}\n`),
        }),
      ).pipeThrough(new TextEncoderStream()),
    );
    const text = response.text();
    await assertPending(text);
    for (let chunk = 0; chunk < 100; chunk++) enqueue(chunk);
    close();
    assertEquals(
      await text,
      Array.from({ length: 100 }, (_, chunk) => `${chunk}\n`).join(""),
    );
  },
);

testAnyStream(
  "BroadcastBranch.pipeTo() closes the destination at the end",
  async ({ stream, enqueue, close }) => {
    const written: unknown[] = [];
    const piping = stream.pipeTo(
      new WritableStream({
        write: (chunk) => void written.push(chunk),
        close: () => void written.push("closed"),
      }),
    );
    enqueue(0);
    await assertPending(piping);
    assertEquals(written, [0]);
    enqueue(1);
    close();
    await piping;
    assertEquals(written, [0, 1, "closed"]);
  },
);

testAnyStream(
  "BroadcastBranch.pipeTo() reads at the pace of the destination",
  async ({ stream, enqueue, close }) => {
    const written: number[] = [];
    let release = Promise.withResolvers<void>();
    const piping = stream.pipeTo(
      new WritableStream({
        write(chunk) {
          written.push(chunk);
          return release.promise;
        },
      }, { highWaterMark: 1 }),
    );
    for (const chunk of [0, 1, 2]) enqueue(chunk);
    close();
    for (const count of [1, 2, 3]) {
      await assertPending(piping);
      assertEquals(written.length, count);
      const { resolve } = release;
      release = Promise.withResolvers();
      resolve();
    }
    await piping;
    assertEquals(written, [0, 1, 2]);
  },
);

testAnyStream(
  "BroadcastBranch.pipeTo() ends with a stream that closes while the destination is full",
  async ({ stream, enqueue, close }) => {
    const written: unknown[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    const piping = stream.pipeTo(
      new WritableStream({
        write(chunk) {
          written.push(chunk);
          return promise;
        },
        close: () => void written.push("closed"),
      }, { highWaterMark: 1 }),
    );
    enqueue(0);
    await assertPending(piping);
    close();
    await assertPending(piping);
    resolve();
    await piping;
    assertEquals(written, [0, "closed"]);
  },
);

testAnyStream(
  "BroadcastBranch.pipeTo() ends with a stream that closes before the destination takes anything",
  async ({ stream, close }) => {
    const piping = stream.pipeTo(
      new WritableStream({}, { highWaterMark: 0 }),
    );
    await assertPending(piping);
    close();
    await piping;
  },
);

testAnyStream(
  "BroadcastBranch.pipeTo() cancels when the destination errors",
  async ({ stream, enqueue }) => {
    enqueue(0);
    await assertRejects(
      () =>
        stream.pipeTo(
          new WritableStream({
            write() {
              throw new EvalError("full");
            },
          }),
        ),
      EvalError,
      "full",
    );
    assertEquals(await Array.fromAsync(stream), []);
  },
);

testAnyStream(
  "BroadcastBranch.tee() gives every chunk to both streams",
  async ({ stream, enqueue, close }) => {
    const [one, two] = stream.tee();
    enqueue(0);
    const first = one.getReader();
    assertEquals(await first.read(), chunk(0));
    const next = first.read();
    await assertPending(next);
    enqueue(1);
    assertEquals(await next, chunk(1));
    close();
    assertEquals(await first.read(), ended);
    assertEquals(await Array.fromAsync(two), [0, 1]);
  },
);

Deno.test("BroadcastBranch.tee() releases when both streams are cancelled", async () => {
  const counted = teeCounted();
  const [one, two] = counted.branch.tee();
  const cancelled = one.cancel();
  await runMicrotasks();
  assertEquals(counted.releases, 0);
  await two.cancel();
  await cancelled;
  assertEquals(counted.releases, 1);
  counted.broadcast.enqueue(0);
});

for (const first of WAYS_TO_READ) {
  const by = `what ${first.name} left`;
  const preventCancel = true;

  for (const next of WAYS_TO_READ) {
    testAnyStream(
      `BroadcastBranch gives ${next.name} ${by} between chunks`,
      async ({ stream, enqueue, close }) => {
        enqueue(0);
        enqueue(1);
        enqueue(2);
        const leaving = first.open(stream, { preventCancel });
        assertEquals(await take(leaving, 1), [0]);
        await leaving.stop();
        assertEquals(stream.locked, false);
        const reading = next.open(stream);
        assertEquals(await take(reading, 2), [1, 2]);
        const read = reading.next();
        await assertPending(read);
        enqueue(3);
        assertEquals(await read, chunk(3));
        close();
        assertEquals(await rest(reading), []);
      },
    );

    Deno.test(`BroadcastBranch gives ${next.name} ${by} while it waited, chunks first`, async () => {
      const { broadcast, branch } = teeCounted();
      const leaving = first.open(branch, { preventCancel });
      const left = leaving.next();
      await assertPending(left);
      await leaving.stop();
      await left.catch(() => {});
      broadcast.enqueue(0);
      broadcast.enqueue(1);
      await runMicrotasks();
      const reading = next.open(branch);
      assertEquals(await take(reading, 2), [0, 1]);
      const read = reading.next();
      await assertPending(read);
      broadcast.enqueue(2);
      broadcast.close();
      assertEquals(await read, chunk(2));
      assertEquals(await rest(reading), []);
    });

    Deno.test(`BroadcastBranch gives ${next.name} ${by} while it waited, reader first`, async () => {
      const { broadcast, branch } = teeCounted();
      const leaving = first.open(branch, { preventCancel });
      const left = leaving.next();
      await assertPending(left);
      await leaving.stop();
      await left.catch(() => {});
      const reading = next.open(branch);
      const read = reading.next();
      await assertPending(read);
      broadcast.enqueue(0);
      broadcast.enqueue(1);
      broadcast.close();
      assertEquals(await read, chunk(0));
      assertEquals(await rest(reading), [1]);
    });

    Deno.test(`BroadcastBranch gives ${next.name} ${by} while it waited, chunks in between`, async () => {
      const { broadcast, branch } = teeCounted();
      const leaving = first.open(branch, { preventCancel });
      const left = leaving.next();
      await assertPending(left);
      await leaving.stop();
      await left.catch(() => {});
      const reading = next.open(branch);
      await runMicrotasks();
      broadcast.enqueue(0);
      broadcast.enqueue(1);
      await runMicrotasks();
      assertEquals(await take(reading, 2), [0, 1]);
      await reading.stop();
    });

    Deno.test(`BroadcastBranch ends for ${next.name} when ${first.name} left it waiting and it closed`, async () => {
      const counted = teeCounted();
      const leaving = first.open(counted.branch, { preventCancel });
      const left = leaving.next();
      await assertPending(left);
      await leaving.stop();
      await left.catch(() => {});
      counted.broadcast.enqueue(0);
      counted.broadcast.close();
      await runMicrotasks();
      assertEquals(await rest(next.open(counted.branch)), [0]);
      assertEquals(counted.releases, 1);
    });
  }

  Deno.test(`BroadcastBranch unlocks when it errors after ${first.name} left it waiting and a chunk came`, async () => {
    const broadcast = new BroadcastController<number>({ capacity: 4 });
    const controller = new AbortController();
    const branch = broadcast.tee({ signal: controller.signal });
    const leaving = first.open(branch, { preventCancel });
    const left = leaving.next();
    await assertPending(left);
    await leaving.stop();
    await left.catch(() => {});
    broadcast.enqueue(0);
    await runMicrotasks();
    const iterator = branch.values();
    controller.abort(new EvalError("enough"));
    await assertRejects(() => iterator.next(), EvalError, "enough");
    assertEquals(branch.locked, false);
    assertEquals(await iterator.next(), ended);
  });

  Deno.test(`BroadcastBranch counts a lag behind the chunk ${first.name} left`, async () => {
    const broadcast = new BroadcastController<number | string>({ capacity: 2 });
    const branch = broadcast.tee({
      lag: "skip",
      lagged: (missed) => `${missed} missed`,
    });
    const leaving = first.open(branch, { preventCancel });
    const left = leaving.next();
    await assertPending(left);
    await leaving.stop();
    await left.catch(() => {});
    broadcast.enqueue(0);
    await runMicrotasks();
    for (const chunk of [1, 2, 3]) broadcast.enqueue(chunk);
    broadcast.close();
    const chunks = await Array.fromAsync(branch);
    // The platform's reader leaves a pull behind, which takes the chunk in time.
    assertEquals(
      chunks,
      first.name === "pipeTo()" ? [0, "1 missed", 2, 3] : ["2 missed", 2, 3],
    );
  });
}

Deno.test("BroadcastBranch survives many readers that left while they waited", async () => {
  const { broadcast, branch } = teeCounted();
  for (let turn = 0; turn < 9; turn++) {
    const way = WAYS_TO_READ[turn % 3];
    const leaving = way.open(branch, { preventCancel: true });
    const left = leaving.next();
    await assertPending(left);
    await leaving.stop();
    await left.catch(() => {});
  }
  broadcast.enqueue(0);
  await runMicrotasks();
  broadcast.enqueue(1);
  broadcast.close();
  assertEquals(await Array.fromAsync(branch), [0, 1]);
});

/** The two ways to get a reader. */
const READERS: [string, (feed: Feed) => ReadableStreamDefaultReader<number>][] =
  [
    ["BroadcastBranch.getReader()", ({ stream }) => stream.getReader()],
    [
      "BroadcastBranch with a constructed reader",
      ({ stream }) => new ReadableStreamDefaultReader(stream),
    ],
  ];

for (const [symbol, getReader] of READERS) {
  testAnyStream(`${symbol} answers several reads in order`, async (feed) => {
    const reader = getReader(feed);
    const reads = Array.from({ length: 4 }, () => reader.read());
    await assertPending(...reads);
    feed.enqueue(0);
    assertEquals(await reads[0], chunk(0));
    await assertPending(...reads.slice(1));
    feed.enqueue(1);
    feed.enqueue(2);
    feed.enqueue(3);
    assertEquals(await Promise.all(reads), [0, 1, 2, 3].map(chunk));
    await reader.cancel();
  });

  testAnyStream(
    `${symbol} answers a read that waits before one that comes with the chunk`,
    async (feed) => {
      const reader = getReader(feed);
      const waiting = reader.read();
      await assertPending(waiting);
      feed.enqueue(0);
      feed.enqueue(1);
      const second = reader.read();
      assertEquals(await waiting, chunk(0));
      assertEquals(await second, chunk(1));
      await reader.cancel();
    },
  );

  testAnyStream(
    `${symbol} answers several reads of what is there in order`,
    async (feed) => {
      const reader = getReader(feed);
      for (const chunk of [0, 1, 2]) feed.enqueue(chunk);
      feed.close();
      const reads = Array.from({ length: 5 }, () => reader.read());
      assertEquals(
        await Promise.all(reads),
        [chunk(0), chunk(1), chunk(2), ended, ended],
      );
    },
  );

  testAnyStream(
    `${symbol} ends the reads that wait when the stream closes`,
    async (feed) => {
      const reader = getReader(feed);
      const reads = Array.from({ length: 4 }, () => reader.read());
      feed.enqueue(0);
      await assertPending(...reads.slice(1));
      feed.enqueue(1);
      feed.close();
      assertEquals(
        await Promise.all(reads),
        [chunk(0), chunk(1), ended, ended],
      );
    },
  );

  testAnyStream(
    `${symbol} rejects the reads that wait when the stream errors`,
    async (feed) => {
      const reader = getReader(feed);
      const reads = Array.from({ length: 3 }, () => reader.read());
      feed.enqueue(0);
      await assertPending(...reads.slice(1));
      feed.error(new EvalError("errored"));
      assertEquals(await outcomes(reads), [chunk(0), "EvalError", "EvalError"]);
      await assertRejects(() => reader.read(), EvalError, "errored");
    },
  );

  testAnyStream(
    `${symbol} ends the reads that wait when it cancels`,
    async (feed) => {
      const reader = getReader(feed);
      const reads = Array.from({ length: 3 }, () => reader.read());
      feed.enqueue(0);
      await assertPending(...reads.slice(1));
      await reader.cancel();
      assertEquals(await Promise.all(reads), [chunk(0), ended, ended]);
      assertEquals(await reader.read(), ended);
      assertEquals(feed.stream.locked, true);
    },
  );

  testAnyStream(
    `${symbol} rejects the reads that wait when it releases its lock`,
    async (feed) => {
      const reader = getReader(feed);
      const reads = Array.from({ length: 3 }, () => reader.read());
      feed.enqueue(0);
      await assertPending(...reads.slice(1));
      reader.releaseLock();
      assertEquals(await outcomes(reads), [chunk(0), "TypeError", "TypeError"]);
      feed.enqueue(1);
      feed.close();
      assertEquals(await Array.fromAsync(feed.stream), [1]);
    },
  );

  testAnyStream(
    `${symbol} gives nothing once it released its lock`,
    async (feed) => {
      feed.enqueue(0);
      feed.close();
      const reader = getReader(feed);
      reader.releaseLock();
      reader.releaseLock();
      await assertRejects(() => reader.read(), TypeError);
      await assertRejects(() => reader.cancel(), TypeError);
      await assertRejects(() => reader.closed, TypeError);
      assertEquals(await Array.fromAsync(feed.stream), [0]);
    },
  );

  testAnyStream(`${symbol} leaves the reader after it alone`, async (feed) => {
    const former = getReader(feed);
    former.releaseLock();
    const reader = getReader(feed);
    const read = reader.read();
    former.releaseLock();
    await assertRejects(() => former.read(), TypeError);
    await assertPending(read);
    feed.enqueue(0);
    assertEquals(await read, chunk(0));
    await reader.cancel();
  });

  testAnyStream(
    `${symbol} resolves closed when the end is read`,
    async (feed) => {
      const reader = getReader(feed);
      await assertPending(reader.closed);
      feed.enqueue(0);
      feed.close();
      assertEquals(await reader.read(), chunk(0));
      assertEquals(await reader.read(), ended);
      assertStrictEquals(await reader.closed, undefined);
    },
  );

  testAnyStream(
    `${symbol} resolves closed when a read waits for the end`,
    async (feed) => {
      const reader = getReader(feed);
      const read = reader.read();
      await assertPending(read, reader.closed);
      feed.close();
      assertStrictEquals(await reader.closed, undefined);
      assertEquals(await read, ended);
    },
  );

  testAnyStream(
    `${symbol} resolves closed without a read when all is read`,
    async (feed) => {
      const reader = getReader(feed);
      feed.enqueue(0);
      assertEquals(await reader.read(), chunk(0));
      await assertPending(reader.closed);
      feed.close();
      assertStrictEquals(await reader.closed, undefined);
    },
  );

  testAnyStream(
    `${symbol} resolves closed without a read when there was no chunk`,
    async (feed) => {
      const reader = getReader(feed);
      await assertPending(reader.closed);
      feed.close();
      assertStrictEquals(await reader.closed, undefined);
    },
  );

  testAnyStream(
    `${symbol} of a closed stream has its closed resolved`,
    async (feed) => {
      feed.close();
      assertStrictEquals(await getReader(feed).closed, undefined);
    },
  );

  testAnyStream(
    `${symbol} resolves closed with the last chunk, not before`,
    async (feed) => {
      const reader = getReader(feed);
      feed.enqueue(0);
      feed.enqueue(1);
      assertEquals(await reader.read(), chunk(0));
      feed.close();
      await assertPending(reader.closed);
      assertEquals(await reader.read(), chunk(1));
      assertStrictEquals(await reader.closed, undefined);
    },
  );

  testAnyStream(`${symbol} resolves closed when it cancels`, async (feed) => {
    const reader = getReader(feed);
    await assertPending(reader.closed);
    await reader.cancel();
    assertStrictEquals(await reader.closed, undefined);
  });

  testAnyStream(
    `${symbol} rejects closed when the stream errors`,
    async (feed) => {
      const reader = getReader(feed);
      await assertPending(reader.closed);
      feed.error(new EvalError("errored"));
      await assertRejects(() => reader.closed, EvalError, "errored");
    },
  );

  testAnyStream(
    `${symbol} rejects closed when it releases its lock`,
    async (feed) => {
      const reader = getReader(feed);
      const { closed } = reader;
      await assertPending(closed);
      reader.releaseLock();
      await assertRejects(() => closed, TypeError);
      await feed.stream.cancel();
    },
  );
}

testAnyStream(
  "BroadcastBranch.cancel() discards what was not read",
  async ({ stream, enqueue }) => {
    enqueue(0);
    await stream.cancel();
    assertEquals(await Array.fromAsync(stream), []);
  },
);

testAnyStream(
  "BroadcastBranch.cancel() may be repeated",
  async ({ stream }) => {
    await stream.cancel();
    await stream.cancel();
    assertEquals(stream.locked, false);
  },
);

testAnyStream(
  "BroadcastBranch.cancel() rejects once the stream errored",
  async ({ stream, error }) => {
    error(new EvalError("errored"));
    await assertRejects(() => stream.cancel(), EvalError, "errored");
  },
);

testEachWay(
  "BroadcastBranch answers a read that waits as done when it is cancelled",
  async (open) => {
    const counted = teeCounted();
    const reading = open(counted.branch);
    const next = reading.next();
    await assertPending(next);
    assertEquals(counted.releases, 0);
    const stopped = reading.stop();
    assertEquals(await next.catch((error) => error.name), ended);
    await stopped;
    assertEquals(counted.releases, 1);
    assertEquals(counted.branch.locked, false);
  },
);

testEachWay(
  "BroadcastBranch keeps no waiter of a reader that cancelled (fault 5)",
  async (open) => {
    const counted = teeCounted();
    const reading = open(counted.branch);
    const next = reading.next();
    await assertPending(next);
    await reading.stop();
    await next;
    const other = open(counted.broadcast.tee());
    const read = other.next();
    await assertPending(read);
    counted.broadcast.enqueue(0);
    assertEquals(await read, chunk(0));
    await other.stop();
    assertEquals(counted.releases, 1);
  },
);

testAnyStream(
  "BroadcastBranch.values() ends on a stream that is closed",
  async ({ stream, close }) => {
    close();
    assertEquals(await Array.fromAsync(stream.values()), []);
    assertEquals(stream.locked, false);
  },
);

testAnyStream(
  "BroadcastBranch.values() ends on a stream that is cancelled",
  async ({ stream, enqueue }) => {
    enqueue(0);
    await stream.cancel();
    assertEquals(await Array.fromAsync(stream.values()), []);
    assertEquals(stream.locked, false);
  },
);

testAnyStream(
  "BroadcastBranch.values() throws on a stream that errored",
  async ({ stream, enqueue, error }) => {
    enqueue(0);
    error(new EvalError("errored"));
    await assertRejects(
      () => Array.fromAsync(stream.values()),
      EvalError,
      "errored",
    );
    assertEquals(stream.locked, false);
  },
);

testAnyStream(
  "BroadcastBranch.values() may be called again after the end",
  async ({ stream, enqueue, close }) => {
    enqueue(0);
    close();
    assertEquals(await Array.fromAsync(stream), [0]);
    assertEquals(await Array.fromAsync(stream), []);
  },
);

testAnyStream(
  "BroadcastBranch.values() is its own iterable",
  async ({ stream }) => {
    const iterator = stream.values();
    assertStrictEquals(iterator[Symbol.asyncIterator](), iterator);
    await iterator.return!();
  },
);

testAnyStream(
  "BroadcastBranch.values() unlocks when the end is read",
  async ({ stream, close }) => {
    const iterator = stream.values();
    const next = iterator.next();
    await assertPending(next);
    close();
    assertEquals(await next, ended);
    assertEquals(stream.locked, false);
  },
);

testAnyStream(
  "BroadcastBranch.values() unlocks when an error is read",
  async ({ stream, error }) => {
    const iterator = stream.values();
    const next = iterator.next();
    await assertPending(next);
    error(new EvalError("errored"));
    await assertRejects(() => next, EvalError);
    assertEquals(stream.locked, false);
  },
);

testAnyStream(
  "BroadcastBranch.values() stays done after the end",
  async ({ stream, close }) => {
    const iterator = stream.values();
    close();
    assertEquals(await iterator.next(), ended);
    assertEquals(await iterator.next(), ended);
    assertEquals(
      await iterator.return!("value"),
      { done: true, value: "value" as unknown as undefined },
    );
  },
);

testAnyStream(
  "BroadcastBranch.values() is done after an error",
  async ({ stream, error }) => {
    const iterator = stream.values();
    error(new EvalError("errored"));
    await assertRejects(() => iterator.next(), EvalError);
    assertEquals(await iterator.next(), ended);
  },
);

testAnyStream(
  "BroadcastBranch.values() answers several calls of next() in order",
  async ({ stream, enqueue, close }) => {
    const iterator = stream.values();
    const nexts = Array.from({ length: 4 }, () => iterator.next());
    await assertPending(...nexts);
    enqueue(0);
    assertEquals(await nexts[0], chunk(0));
    await assertPending(...nexts.slice(1));
    enqueue(1);
    enqueue(2);
    close();
    assertEquals(
      await Promise.all(nexts),
      [chunk(0), chunk(1), chunk(2), ended],
    );
  },
);

testAnyStream(
  "BroadcastBranch.values() ends every next() that waits when the stream closes",
  async ({ stream, close }) => {
    const iterator = stream.values();
    const nexts = Array.from({ length: 3 }, () => iterator.next());
    await assertPending(...nexts);
    close();
    assertEquals(await Promise.all(nexts), [ended, ended, ended]);
    assertEquals(stream.locked, false);
  },
);

testAnyStream(
  "BroadcastBranch.values() rejects only the first next() that waits when the stream errors",
  async ({ stream, error }) => {
    const iterator = stream.values();
    const nexts = Array.from({ length: 3 }, () => iterator.next());
    await assertPending(...nexts);
    error(new EvalError("errored"));
    assertEquals(await outcomes(nexts), ["EvalError", ended, ended]);
    assertEquals(stream.locked, false);
  },
);

testAnyStream(
  "BroadcastBranch.values() cancels on break",
  async ({ stream, enqueue }) => {
    enqueue(0);
    enqueue(1);
    for await (const _ of stream) break;
    assertEquals(stream.locked, false);
    assertEquals(await Array.fromAsync(stream), []);
  },
);

testAnyStream(
  "BroadcastBranch.values() cancels when the loop throws",
  async ({ stream, enqueue }) => {
    enqueue(0);
    enqueue(1);
    await assertRejects(
      async () => {
        for await (const _ of stream) throw new EvalError("thrown");
      },
      EvalError,
      "thrown",
    );
    assertEquals(stream.locked, false);
    assertEquals(await Array.fromAsync(stream), []);
  },
);

Deno.test("BroadcastBranch.values() releases on break", async () => {
  const counted = teeCounted();
  counted.broadcast.enqueue(0);
  for await (const _ of counted.branch) {
    assertEquals(counted.releases, 0);
    break;
  }
  assertEquals(counted.releases, 1);
});

testAnyStream(
  "BroadcastBranch.values() with preventCancel leaves the rest on break",
  async ({ stream, enqueue, close }) => {
    for (const chunk of [0, 1, 2]) enqueue(chunk);
    close();
    for await (const chunk of stream.values({ preventCancel: true })) {
      assertEquals(chunk, 0);
      break;
    }
    assertEquals(stream.locked, false);
    assertEquals(await Array.fromAsync(stream), [1, 2]);
  },
);

Deno.test("BroadcastBranch.values() with preventCancel releases nothing on break", async () => {
  const counted = teeCounted();
  counted.broadcast.enqueue(0);
  for await (const _ of counted.branch.values({ preventCancel: true })) break;
  assertEquals(counted.releases, 0);
  await counted.branch.cancel();
  assertEquals(counted.releases, 1);
});

testAnyStream(
  "BroadcastBranch.values() gives the value of return()",
  async ({ stream }) => {
    const iterator = stream.values();
    const value = "value" as unknown as undefined;
    assertEquals(await iterator.return!(value), { done: true, value });
    assertEquals(await iterator.return!(value), { done: true, value });
    assertEquals(await iterator.next(), ended);
  },
);

testAnyStream(
  "BroadcastBranch.values() settles return() before the calls after it",
  async ({ stream }) => {
    const iterator = stream.values();
    assertEquals(
      await settlements([
        iterator.return!(1),
        iterator.next(),
        iterator.return!(2),
        iterator.next(),
      ]),
      [
        [0, { done: true, value: 1 }],
        [1, ended],
        [2, { done: true, value: 2 }],
        [3, ended],
      ],
    );
  },
);

testAnyStream(
  "BroadcastBranch.values() with preventCancel settles return() before the calls after it",
  async ({ stream }) => {
    const iterator = stream.values({ preventCancel: true });
    assertEquals(
      await settlements([
        iterator.return!(1),
        iterator.return!(2),
        iterator.next(),
      ]),
      [[0, { done: true, value: 1 }], [1, { done: true, value: 2 }], [
        2,
        ended,
      ]],
    );
  },
);

testAnyStream(
  "BroadcastBranch.values() rejects return() before it settles the calls after it",
  async ({ stream, error }) => {
    const iterator = stream.values();
    error(new EvalError("errored"));
    assertEquals(
      await settlements([
        iterator.return!(1),
        iterator.next(),
        iterator.return!(2),
      ]),
      [[0, "EvalError"], [1, ended], [2, { done: true, value: 2 }]],
    );
  },
);

testAnyStream(
  "BroadcastBranch.values() gives a chunk that is there to next() before return()",
  async ({ stream, enqueue }) => {
    const iterator = stream.values();
    enqueue(0);
    assertEquals(
      await settlements([iterator.next(), iterator.return!(1)]),
      [[0, chunk(0)], [1, { done: true, value: 1 }]],
    );
  },
);

testAnyStream(
  "BroadcastBranch.values() gives a chunk that just came to the next() that waits before return()",
  async ({ stream, enqueue }) => {
    const iterator = stream.values();
    const next = iterator.next();
    await assertPending(next);
    enqueue(0);
    assertEquals(
      await settlements([next, iterator.return!(1)]),
      [[0, chunk(0)], [1, { done: true, value: 1 }]],
    );
    assertEquals(stream.locked, false);
  },
);

testAnyStream(
  "BroadcastBranch.values() ends the next() that waits before return() once the stream closed",
  async ({ stream, close }) => {
    const iterator = stream.values();
    const next = iterator.next();
    await assertPending(next);
    close();
    assertEquals(
      await settlements([next, iterator.return!(1)]),
      [[0, ended], [1, { done: true, value: 1 }]],
    );
    assertEquals(stream.locked, false);
  },
);

testAnyStream(
  "BroadcastBranch.values() has %AsyncIteratorPrototype%",
  async ({ stream }) => {
    const iterator = stream.values();
    assertStrictEquals(
      Object.getPrototypeOf(Object.getPrototypeOf(iterator)),
      Object.getPrototypeOf(
        Object.getPrototypeOf(async function* () {}.prototype),
      ),
    );
    await iterator.return!();
  },
);

testAnyStream(
  "BroadcastBranch.values() rejects return() once the stream errored",
  async ({ stream, error }) => {
    const iterator = stream.values();
    error(new EvalError("errored"));
    await assertRejects(() => iterator.return!(), EvalError, "errored");
    assertEquals(stream.locked, false);
  },
);

Deno.test("BroadcastBranch.values() ends every next() that waits on return()", async () => {
  const counted = teeCounted();
  const iterator = counted.branch.values();
  const nexts = [iterator.next(), iterator.next()];
  await assertPending(...nexts);
  assertEquals(await iterator.return!(), ended);
  assertEquals(await Promise.all(nexts), [ended, ended]);
  assertEquals(counted.releases, 1);
  assertEquals(counted.branch.locked, false);
});

Deno.test("BroadcastBranch.values() keeps no waiter after return()", async () => {
  const { broadcast, branch } = teeCounted();
  const other = broadcast.tee().values();
  const iterator = branch.values();
  const nexts = [iterator.next(), other.next()];
  await assertPending(...nexts);
  await iterator.return!();
  broadcast.enqueue(0);
  assertEquals(await Promise.all(nexts), [ended, chunk(0)]);
  await other.return!();
});

Deno.test("BroadcastBranch.values() with preventCancel ends every next() that waits on return()", async () => {
  const counted = teeCounted();
  const iterator = counted.branch.values({ preventCancel: true });
  const nexts = [iterator.next(), iterator.next()];
  await assertPending(...nexts);
  assertEquals(await iterator.return!(), ended);
  assertEquals(await Promise.all(nexts), [ended, ended]);
  assertEquals(counted.releases, 0);
  assertEquals(counted.branch.locked, false);
  counted.broadcast.enqueue(0);
  counted.broadcast.close();
  assertEquals(await Array.fromAsync(counted.branch), [0]);
});

Deno.test("BroadcastBranch.values() cancels on disposal", async () => {
  const counted = teeCounted();
  {
    await using iterator = counted.branch.values() as
      & AsyncIterableIterator<number>
      & AsyncDisposable;
    counted.broadcast.enqueue(0);
    assertEquals(await iterator.next(), chunk(0));
  }
  assertEquals(counted.releases, 1);
  assertEquals(counted.branch.locked, false);
});

Deno.test("BroadcastBranch.values() ends a next() that waits on disposal", async () => {
  const counted = teeCounted();
  let next: Promise<unknown>;
  {
    await using iterator = counted.branch.values() as
      & AsyncIterableIterator<number>
      & AsyncDisposable;
    next = iterator.next();
    await assertPending(next);
  }
  assertEquals(await next, ended);
  assertEquals(counted.releases, 1);
});

Deno.test("BroadcastBranch.values() ends after one report of a lag to several calls of next()", async () => {
  const broadcast = new BroadcastController<string>({ capacity: 1 });
  const branch = broadcast.tee({ lagged: (missed) => `${missed} missed` });
  const iterator = branch.values();
  const nexts = Array.from({ length: 3 }, () => iterator.next());
  await assertPending(...nexts);
  broadcast.enqueue("a");
  broadcast.enqueue("b");
  assertEquals(
    await Promise.all(nexts),
    [{ done: false, value: "1 missed" }, ended, ended],
  );
  assertEquals(branch.locked, false);
});

Deno.test("BroadcastBranch.values() goes on after a lag with several calls of next()", async () => {
  const broadcast = new BroadcastController<string>({ capacity: 2 });
  const branch = broadcast.tee({
    lag: "skip",
    lagged: (missed) => `${missed} missed`,
  });
  const iterator = branch.values();
  const nexts = Array.from({ length: 4 }, () => iterator.next());
  await assertPending(...nexts);
  for (const chunk of ["a", "b", "c"]) broadcast.enqueue(chunk);
  assertEquals(
    (await Promise.all(nexts.slice(0, 3))).map(({ value }) => value),
    ["1 missed", "b", "c"],
  );
  await assertPending(nexts[3]);
  broadcast.close();
  assertEquals(await nexts[3], ended);
});

Deno.test("BroadcastBranch.values() reports a lag to the next() that waited through it", async () => {
  const broadcast = new BroadcastController<string>({ capacity: 2 });
  const branch = broadcast.tee({
    lag: "skip",
    lagged: (missed) => `${missed} missed`,
  });
  const iterator = branch.values();
  const waiting = iterator.next();
  await assertPending(waiting);
  for (const chunk of ["a", "b", "c"]) broadcast.enqueue(chunk);
  const second = iterator.next();
  assertEquals(await waiting, { done: false, value: "1 missed" });
  assertEquals(await second, { done: false, value: "b" });
  await iterator.return!();
});

Deno.test("BroadcastBranch is not pulled ahead of its reader", async () => {
  const broadcast = new BroadcastController<number | string>({ capacity: 1 });
  const branch = broadcast.tee({
    lag: "skip",
    lagged: (missed) => `${missed} missed`,
  });
  await runMicrotasks();
  broadcast.enqueue(0);
  await runMicrotasks();
  broadcast.enqueue(1);
  broadcast.close();
  assertEquals(await Array.fromAsync(branch), ["1 missed", 1]);
});

Deno.test("BroadcastBranch takes nothing from the branches beside it", async () => {
  const broadcast = new BroadcastController<number>({ capacity: 16 });
  const branches = WAYS_TO_READ.map(({ open }) => open(broadcast.tee()));
  const nexts = branches.map((reading) => reading.next());
  await assertPending(...nexts);
  broadcast.enqueue(0);
  broadcast.enqueue(1);
  broadcast.close();
  for (const [index, reading] of branches.entries()) {
    assertEquals(await nexts[index], chunk(0));
    assertEquals(await rest(reading), [1]);
  }
});

Deno.test("BroadcastBranch closes with its last chunk, so that a late abort has no effect", async () => {
  const controller = new AbortController();
  const broadcast = new BroadcastController<string>({ capacity: 4 });
  const branch = broadcast.tee({ signal: controller.signal });
  broadcast.enqueue("only");
  broadcast.close();
  const read: string[] = [];
  for await (const chunk of branch) {
    read.push(chunk);
    controller.abort();
  }
  assertEquals(read, ["only"]);
});

testAnyStream(
  "BroadcastBranch closes with its stream's end, so that a late error has no effect",
  async ({ stream, enqueue, close, error }) => {
    const reader = stream.getReader();
    enqueue(0);
    assertEquals(await reader.read(), chunk(0));
    close();
    try {
      error(new EvalError("late"));
    } catch {
      // A controller that is closed may refuse.
    }
    assertEquals(await reader.read(), ended);
    assertStrictEquals(await reader.closed, undefined);
  },
);

Deno.test("BroadcastBranch of a closed broadcast does not listen to its signal", async () => {
  const controller = new AbortController();
  const broadcast = new BroadcastController<number>({ capacity: 4 });
  broadcast.close();
  const branch = broadcast.tee({ signal: controller.signal });
  controller.abort();
  assertEquals(await Array.fromAsync(branch), []);
});

Deno.test("BroadcastBranch releases once when the broadcast closes, if all is read", async () => {
  const counted = teeCounted();
  const other = counted.broadcast.tee();
  counted.broadcast.enqueue(0);
  const reader = counted.branch.getReader();
  assertEquals(await reader.read(), chunk(0));
  assertEquals(counted.releases, 0);
  counted.broadcast.close();
  assertEquals(counted.releases, 1);
  assertEquals(await reader.read(), ended);
  await reader.cancel();
  assertEquals(counted.releases, 1);
  assertEquals(await Array.fromAsync(other), [0]);
});

Deno.test("BroadcastBranch releases with its last chunk, if not all is read", async () => {
  const counted = teeCounted();
  counted.broadcast.enqueue(0);
  counted.broadcast.close();
  await runMicrotasks();
  assertEquals(counted.releases, 0);
  assertEquals(await Array.fromAsync(counted.branch), [0]);
  assertEquals(counted.releases, 1);
});

Deno.test("BroadcastBranch closes with the broadcast when a branch made from its onRelease does", async () => {
  const broadcast = new BroadcastController<number>({ capacity: 4 });
  let late: ReadableStream<number> | undefined;
  const branches = [
    broadcast.tee({ onRelease: () => late = broadcast.tee() }),
    broadcast.tee(),
  ];
  broadcast.close();
  for (const branch of [...branches, late!]) {
    assertStrictEquals(await branch.getReader().closed, undefined);
  }
});

/** A ring that shows its members. */
class OpenRing extends Ring<number> {
  readonly members = new Set<Member>();

  override join(member: Member): void {
    super.join(member);
    this.members.add(member);
  }

  override leave(member: Member): void {
    super.leave(member);
    this.members.delete(member);
  }
}

const WAYS_TO_END: Record<
  string,
  (branch: ReadableStream<number>, abort: () => void) => unknown
> = {
  "is cancelled": (branch) => branch.cancel(),
  "is aborted": (_, abort) => abort(),
  "was aborted": () => {},
  "has lagged": (branch) => Array.fromAsync(branch),
};
for (const [name, end] of Object.entries(WAYS_TO_END)) {
  Deno.test(`BroadcastBranch leaves its ring when it ${name}`, async () => {
    const ring = new OpenRing(1);
    const aborting = new AbortController();
    if (name === "was aborted") aborting.abort();
    const branch = new BroadcastBranch(ring, {
      position: 0,
      lag: "close",
      initialLag: "close",
      lagged: (missed) => missed,
      signal: aborting.signal,
    });
    ring.push(0);
    ring.push(1);
    assertEquals(ring.members.size, name === "was aborted" ? 0 : 1);
    await end(branch, () => aborting.abort());
    assertEquals(ring.members.size, 0);
  });
}

Deno.test("BroadcastBranch may be left from its own onRelease, and others are woken", async () => {
  const broadcast = new BroadcastController<number>({ capacity: 4 });
  const one: AsyncIterator<number> = broadcast.tee({
    onRelease: () => void one.return?.(),
  }).values();
  const two = broadcast.tee().values();
  const reads = [one.next(), two.next()];
  broadcast.close();
  assertEquals((await Promise.all(reads)).map(({ done }) => done), [
    true,
    true,
  ]);
});
