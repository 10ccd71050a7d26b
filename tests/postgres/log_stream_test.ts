import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import type { RunEvent } from "../../src/model/event.ts";
import type {
  FollowedStream,
  LocalEvents,
} from "../../src/repository/run_log.ts";
import { Database } from "../../src/postgres/client/database.ts";
import { LogFollower } from "../../src/postgres/log/log_follower.ts";
import {
  type LogStreamOptions,
  openLogStream,
} from "../../src/postgres/log/log_stream.ts";
import type { EventRow } from "../../src/postgres/sql/events.ts";
import { assertPending } from "../assert_pending.ts";
import { WatchedSignal } from "../watched_signal.ts";
import { StubClient } from "./stub_client.ts";
import { turn } from "./turn.ts";

const RUN_ID = crypto.randomUUID();
const NOW = new Date("2026-01-02T03:04:05Z");

type Options = Partial<Omit<LogStreamOptions, "runId" | "follower">>;

/** What a read gives once a stream is closed. */
const END = { done: true, value: undefined } as const;

/** A log with the events of one run, in a time that a test controls. */
class Trial implements Disposable {
  readonly time = new FakeTime(NOW);
  readonly client = new StubClient();
  readonly follower = new LogFollower({
    database: new Database(this.client, 60_000),
    notifications: { arrive: false, start: () => {}, stop: () => {} },
    pollInterval: 1_000,
    warn: () => {},
  });
  /** How many events one query gives at most. */
  portion = Infinity;
  /** The numbers after which the log was asked for events. */
  readonly asked: (number | null)[] = [];
  #events: EventRow[] = [];
  #ended = false;

  constructor() {
    this.client.rows["poll"] = () => [{ moved: [], unfollowed: [RUN_ID] }];
    this.client.rows["read events"] = ([readers]) => {
      const waiting = JSON.parse(`${readers}`) as { after?: number }[];
      return waiting.flatMap(({ after = null }) => {
        this.asked.push(after);
        const events = this.#events.filter(([seq]) => seq > (after ?? 0))
          .slice(0, this.portion);
        return events.length > 0 || this.#ended
          ? [{ runId: RUN_ID, after, events }]
          : [];
      });
    };
  }

  /** Logs events, of which the last one may be the run's last. */
  log(seqs: readonly number[], last?: "Completed" | "Errored"): void {
    for (const seq of seqs) {
      const kind = seq === seqs.at(-1) ? last ?? "Yield" : "Yield";
      this.#events.push([seq, kind, NOW.toISOString(), null, null, null, null]);
    }
    this.#ended = last !== undefined;
    this.follower.wake(RUN_ID);
  }

  /** Ends the run without an event, as when its events are pruned. */
  end(): void {
    this.#ended = true;
    this.follower.wake(RUN_ID);
  }

  /** Closes the streams that have not ended. */
  readonly closes = new Set<() => void>();
  /** How many events the streams have reported. */
  reported = 0;

  readonly #follow = (close: () => void): FollowedStream => {
    this.closes.add(close);
    return {
      onEvent: () => this.reported++,
      onEnd: () => void this.closes.delete(close),
    };
  };

  open(options: Options = {}): ReadableStream<RunEvent> {
    return openLogStream({
      runId: RUN_ID,
      follower: this.follower,
      follow: this.#follow,
      unrecorded: undefined,
      ...options,
    });
  }

  /** The events of a stream up to its end. */
  async read(options: Options = {}): Promise<string[]> {
    return (await Array.fromAsync(this.open(options))).map(numberedKind);
  }

  [Symbol.dispose](): void {
    this.time.restore();
  }
}

/** What this instance has of the run, in memory. */
class Memory {
  /** The reason with which the reader cancelled. */
  cancelled = false;
  #controller!: ReadableStreamDefaultController<RunEvent>;
  readonly events = new ReadableStream<RunEvent>({
    start: (controller) => {
      this.#controller = controller;
    },
    cancel: () => {
      this.cancelled = true;
    },
  });

  /** The events after a number, as a registry gives them. */
  after(after: number): () => Promise<LocalEvents> {
    return () => Promise.resolve({ after, events: this.events });
  }

  publish(...seqs: number[]): void {
    for (const seq of seqs) this.#controller.enqueue(event(seq, "Yield"));
  }

  complete(seq: number): void {
    this.#controller.enqueue(event(seq, "Completed"));
  }

  /** Reports that events up to a number are lost. */
  lose(seq: number): void {
    this.#controller.enqueue({
      ...event(seq, "Yield"),
      kind: "Lagged",
      missed: 99,
    });
  }

  close(): void {
    this.#controller.close();
  }

  error(reason: unknown): void {
    this.#controller.error(reason);
  }
}

function event(seq: number, kind: "Yield" | "Completed"): RunEvent {
  const base = { runId: RUN_ID, seq, at: NOW };
  return kind === "Yield"
    ? { ...base, kind, payload: null }
    : { ...base, kind };
}

function numberedKind(event: RunEvent): string {
  const { seq, kind } = event;
  return kind === "Lagged" ? `${seq} Lagged ${event.missed}` : `${seq} ${kind}`;
}

Deno.test("openLogStream() reads the log from the beginning up to the last event", async () => {
  for (const last of ["Completed", "Errored"] as const) {
    using trial = new Trial();
    trial.log([1, 2, 3], last);
    trial.log([4]);
    assertEquals(await trial.read(), ["1 Yield", "2 Yield", `3 ${last}`]);
    assertEquals(trial.asked, [null]);
  }
});

Deno.test("openLogStream() gives the events as the log has them", async () => {
  using trial = new Trial();
  trial.log([1], "Completed");
  assertEquals(await Array.fromAsync(trial.open()), [event(1, "Completed")]);
});

Deno.test("openLogStream() reads nothing before it is pulled", async () => {
  using trial = new Trial();
  trial.log([1], "Completed");
  let opened = 0;
  const stream = trial.open({
    unrecorded: () => {
      opened++;
      return Promise.resolve(undefined);
    },
  });
  await turn();
  assertEquals([opened, trial.asked], [0, []]);
  await stream.cancel();
});

Deno.test("openLogStream() reads the log from a position on", async () => {
  using trial = new Trial();
  trial.log([1, 2, 3, 4], "Completed");
  assertEquals(await trial.read({ after: 2 }), ["3 Yield", "4 Completed"]);
  assertEquals(trial.asked, [2]);
});

Deno.test("openLogStream() reads the log in portions", async () => {
  using trial = new Trial();
  trial.portion = 2;
  trial.log([1, 2, 3, 4, 5], "Completed");
  assertEquals((await trial.read()).length, 5);
  assertEquals(trial.asked, [null, 2, 4]);
});

Deno.test("openLogStream() waits for news", async () => {
  using trial = new Trial();
  trial.log([1]);
  const reader = trial.open().getReader();
  assertEquals((await reader.read()).value?.seq, 1);
  const read = reader.read();
  await turn();
  await turn();
  await assertPending(read);
  trial.log([2], "Completed");
  assertEquals((await read).value?.seq, 2);
  assertEquals(await reader.read(), END);
  assertEquals(trial.asked, [null, 1, 1]);
});

Deno.test("openLogStream() closes if the run has ended and there is no news", async () => {
  using trial = new Trial();
  trial.end();
  assertEquals(await trial.read({ after: 7 }), []);
});

Deno.test("openLogStream() begins with the oldest event if no position is given", async () => {
  using trial = new Trial();
  trial.log([5, 6], "Completed");
  assertEquals(await trial.read(), ["5 Yield", "6 Completed"]);
});

Deno.test("openLogStream() reports a gap in the log exactly, and closes", async () => {
  for (
    const { after, seq, expected } of [
      { after: 2, seq: 3, expected: ["3 Completed"] },
      { after: 2, seq: 4, expected: ["3 Lagged 1"] },
      { after: 2, seq: 9, expected: ["8 Lagged 6"] },
      { after: 0, seq: 1, expected: ["1 Completed"] },
      { after: 0, seq: 2, expected: ["1 Lagged 1"] },
    ]
  ) {
    using trial = new Trial();
    trial.log([seq], "Completed");
    assertEquals(await trial.read({ after }), expected);
  }
});

Deno.test("openLogStream() reports a gap exactly, and continues with lag: skip", async () => {
  using trial = new Trial();
  trial.log([1, 2, 5, 6, 8, 9], "Completed");
  assertEquals(await trial.read({ after: 0, lag: "skip" }), [
    "1 Yield",
    "2 Yield",
    "4 Lagged 2",
    "5 Yield",
    "6 Yield",
    "7 Lagged 1",
    "8 Yield",
    "9 Completed",
  ]);
  assertEquals(trial.asked, [0]);
});

Deno.test("openLogStream() closes after a gap with lag: close", async () => {
  using trial = new Trial();
  trial.log([1, 2, 5], "Completed");
  assertEquals(await trial.read({ lag: "close" }), [
    "1 Yield",
    "2 Yield",
    "4 Lagged 2",
  ]);
});

Deno.test("openLogStream() reports a gap as a Lagged event of now, without a payload", async () => {
  using trial = new Trial();
  trial.log([6], "Completed");
  assertEquals(await Array.fromAsync(trial.open({ after: 2 })), [{
    runId: RUN_ID,
    seq: 5,
    kind: "Lagged",
    missed: 3,
    at: NOW,
  }]);
});

Deno.test("openLogStream() stops to read memory after a gap with lag: close", async () => {
  using trial = new Trial();
  const memory = new Memory();
  memory.publish(3);
  assertEquals(await trial.read({ unrecorded: memory.after(0) }), [
    "2 Lagged 2",
  ]);
  assert(memory.cancelled);
});

Deno.test("openLogStream() reads a run of this instance from memory", async () => {
  using trial = new Trial();
  trial.log([1, 2, 3], "Errored");
  const memory = new Memory();
  memory.publish(1, 2);
  memory.complete(3);
  assertEquals(await trial.read({ unrecorded: memory.after(0) }), [
    "1 Yield",
    "2 Yield",
    "3 Completed",
  ]);
  assertEquals(trial.asked, []);
  assert(memory.cancelled);
});

Deno.test("openLogStream() opens memory once", async () => {
  using trial = new Trial();
  let opened = 0;
  const memory = new Memory();
  memory.publish(1);
  memory.complete(2);
  const unrecorded = () => {
    opened++;
    return memory.after(0)();
  };
  assertEquals(await trial.read({ unrecorded }), ["1 Yield", "2 Completed"]);
  assertEquals(opened, 1);
});

Deno.test("openLogStream() reads the log if memory has nothing of the run", async () => {
  using trial = new Trial();
  trial.log([1], "Completed");
  assertEquals(
    await trial.read({ unrecorded: () => Promise.resolve(undefined) }),
    ["1 Completed"],
  );
});

Deno.test("openLogStream() closes when memory does", async () => {
  using trial = new Trial();
  const memory = new Memory();
  memory.publish(1);
  memory.close();
  assertEquals(await trial.read({ unrecorded: memory.after(0) }), ["1 Yield"]);
  assertEquals(trial.asked, []);
});

Deno.test("openLogStream() counts from the position where memory begins", async () => {
  using trial = new Trial();
  const memory = new Memory();
  memory.complete(6);
  assertEquals(
    await trial.read({ after: 1, unrecorded: memory.after(3) }),
    ["5 Lagged 2"],
  );
});

Deno.test("openLogStream() refills from the log what memory has lost", async () => {
  using trial = new Trial();
  trial.log([1, 2, 3, 4, 5]);
  const memory = new Memory();
  memory.publish(1);
  memory.lose(4);
  memory.publish(5);
  memory.complete(6);
  assertEquals(await trial.read({ unrecorded: memory.after(0) }), [
    "1 Yield",
    "2 Yield",
    "3 Yield",
    "4 Yield",
    "5 Yield",
    "6 Completed",
  ]);
  assertEquals(trial.asked, [1], "5 comes from memory");
});

Deno.test("openLogStream() refills from the beginning what memory has lost first", async () => {
  using trial = new Trial();
  trial.log([1, 2]);
  const memory = new Memory();
  memory.lose(2);
  memory.complete(3);
  assertEquals(await trial.read({ unrecorded: memory.after(0) }), [
    "1 Yield",
    "2 Yield",
    "3 Completed",
  ]);
  assertEquals(trial.asked, [0]);
});

Deno.test("openLogStream() refills in portions", async () => {
  using trial = new Trial();
  trial.portion = 2;
  trial.log([1, 2, 3, 4, 5, 6, 7]);
  const memory = new Memory();
  memory.lose(5);
  memory.publish(6, 7);
  memory.complete(8);
  assertEquals((await trial.read({ unrecorded: memory.after(0) })).length, 8);
  assertEquals(trial.asked, [0, 2, 4]);
});

Deno.test("openLogStream() refills each time that memory loses events", async () => {
  using trial = new Trial();
  trial.log([1, 2, 3, 4, 5, 6]);
  const memory = new Memory();
  memory.lose(2);
  memory.publish(3);
  memory.lose(5);
  memory.publish(6);
  memory.complete(7);
  assertEquals((await trial.read({ unrecorded: memory.after(0) })).length, 7);
  assertEquals(trial.asked, [0, 3]);
});

Deno.test("openLogStream() waits to refill until the log has the events", async () => {
  using trial = new Trial();
  const memory = new Memory();
  memory.lose(2);
  memory.complete(3);
  const events = trial.read({ unrecorded: memory.after(0) });
  await turn();
  await turn();
  await assertPending(events);
  trial.log([1, 2]);
  assertEquals(await events, ["1 Yield", "2 Yield", "3 Completed"]);
});

Deno.test("openLogStream() reports what both memory and the log have lost", async () => {
  using trial = new Trial();
  trial.log([1, 6]);
  const memory = new Memory();
  memory.publish(1);
  memory.lose(5);
  memory.publish(6);
  memory.complete(7);
  assertEquals(
    await trial.read({ unrecorded: memory.after(0), lag: "skip" }),
    ["1 Yield", "5 Lagged 4", "6 Yield", "7 Completed"],
  );
  assertEquals(trial.asked, [1]);
});

Deno.test("openLogStream() reports what both memory and the log have lost before the first event", async () => {
  using trial = new Trial();
  trial.log([6]);
  const memory = new Memory();
  memory.lose(5);
  memory.complete(6);
  assertEquals(
    await trial.read({ unrecorded: memory.after(0), lag: "skip" }),
    ["5 Lagged 5", "6 Completed"],
  );
  assertEquals(trial.asked, [0]);
});

Deno.test("openLogStream() reports what is left lost after a refill", async () => {
  using trial = new Trial();
  trial.log([1, 2, 6]);
  const memory = new Memory();
  memory.lose(5);
  memory.publish(6);
  memory.complete(7);
  assertEquals(
    await trial.read({ unrecorded: memory.after(0), lag: "skip" }),
    ["1 Yield", "2 Yield", "5 Lagged 3", "6 Yield", "7 Completed"],
  );
});

Deno.test("openLogStream() closes if the run has ended and the log cannot refill", async () => {
  using trial = new Trial();
  trial.end();
  const memory = new Memory();
  memory.lose(5);
  assertEquals(await trial.read({ unrecorded: memory.after(0) }), []);
  assert(memory.cancelled);
});

Deno.test("openLogStream() errors at once with the reason of a signal that has fired", async () => {
  using trial = new Trial();
  trial.log([1], "Completed");
  const reason = new Error("enough");
  const reader = trial.open({ signal: AbortSignal.abort(reason) }).getReader();
  assertStrictEquals(await assertRejects(() => reader.read()), reason);
  await turn();
  assertEquals(trial.asked, []);
});

Deno.test("openLogStream() errors a pending read with the reason of its signal, and waits no longer", async () => {
  using trial = new Trial();
  const controller = new AbortController();
  const reason = new Error("enough");
  const reader = trial.open({ signal: controller.signal }).getReader();
  const read = reader.read();
  await turn();
  await assertPending(read);
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => read), reason);
  const { length } = trial.client.sent;
  await trial.time.tickAsync(10_000);
  trial.follower.wake(RUN_ID);
  await turn();
  assertEquals(trial.client.sent.length, length);
});

Deno.test("openLogStream() stops to read memory when its signal fires", async () => {
  using trial = new Trial();
  const controller = new AbortController();
  const memory = new Memory();
  const reader = trial.open({
    signal: controller.signal,
    unrecorded: memory.after(0),
  }).getReader();
  const reason = new Error("enough");
  const rejected = assertRejects(() => reader.read());
  await turn();
  controller.abort(reason);
  assertStrictEquals(await rejected, reason);
  assert(memory.cancelled);
});

Deno.test("openLogStream() closes a pending read when it is closed, and waits no longer", async () => {
  using trial = new Trial();
  const reader = trial.open().getReader();
  const read = reader.read();
  await turn();
  await assertPending(read);
  for (const close of trial.closes) close();
  assertEquals(await read, END);
  const { length } = trial.client.sent;
  await trial.time.tickAsync(10_000);
  trial.follower.wake(RUN_ID);
  await turn();
  assertEquals(trial.client.sent.length, length);
});

Deno.test("openLogStream() listens to its signal, and can be closed, until it closes", async () => {
  using trial = new Trial();
  const watched = new WatchedSignal();
  const reader = trial.open({ signal: watched.signal }).getReader();
  assertEquals([watched.listeners.size, trial.closes.size], [1, 1]);
  trial.log([1], "Completed");
  await reader.read();
  assertEquals([watched.listeners.size, trial.closes.size], [0, 0]);
  assertEquals(await reader.read(), END);
});

Deno.test("openLogStream() forgets the reader and its signals when it is cancelled", async () => {
  using trial = new Trial();
  const watched = new WatchedSignal();
  const reader = trial.open({ signal: watched.signal }).getReader();
  const read = reader.read();
  await turn();
  await reader.cancel();
  assertEquals(await read, END);
  assertEquals([watched.listeners.size, trial.closes.size], [0, 0]);
  const { length } = trial.client.sent;
  await trial.time.tickAsync(10_000);
  trial.follower.wake(RUN_ID);
  await turn();
  assertEquals(trial.client.sent.length, length);
});

Deno.test("openLogStream() of a signal that has fired is not kept", () => {
  using trial = new Trial();
  trial.open({ signal: AbortSignal.abort() }).getReader().read().catch(
    () => {},
  );
  assertEquals(trial.closes.size, 0);
});

Deno.test("openLogStream() reports that its run is known with the first event", async () => {
  using trial = new Trial();
  const reader = trial.open().getReader();
  const read = reader.read();
  await turn();
  assertEquals(trial.reported, 0);
  trial.log([1]);
  await read;
  assertEquals(trial.reported, 1);
  await reader.cancel();
});

Deno.test("openLogStream() throws when it is not taken up", () => {
  using trial = new Trial();
  const full = new Error("full");
  const follow = () => {
    throw full;
  };
  assertStrictEquals(assertThrows(() => trial.open({ follow })), full);
});

Deno.test("openLogStream() stops to read memory when it is cancelled", async () => {
  using trial = new Trial();
  const memory = new Memory();
  const reader = trial.open({ unrecorded: memory.after(0) }).getReader();
  const read = reader.read();
  await turn();
  await reader.cancel();
  assertEquals(await read, END);
  assert(memory.cancelled);
});

Deno.test("openLogStream() stops to read memory that opens after it is cancelled", async () => {
  using trial = new Trial();
  const memory = new Memory();
  const opening = Promise.withResolvers<LocalEvents | undefined>();
  const reader = trial.open({ unrecorded: () => opening.promise }).getReader();
  const read = reader.read();
  await turn(); // The stream pulls in a later microtask.
  await reader.cancel();
  assertEquals(await read, END);
  opening.resolve({ after: 0, events: memory.events });
  await turn();
  assert(memory.cancelled);
  assertEquals(trial.asked, []);
});

Deno.test("openLogStream() reads nothing from the log if it is cancelled while memory opens", async () => {
  using trial = new Trial();
  const opening = Promise.withResolvers<LocalEvents | undefined>();
  const reader = trial.open({ unrecorded: () => opening.promise }).getReader();
  const read = reader.read();
  await turn(); // The stream pulls in a later microtask.
  await reader.cancel();
  await read;
  opening.resolve(undefined);
  await turn();
  await turn();
  assertEquals(trial.asked, []);
});

Deno.test("openLogStream() refills nothing if it is cancelled as memory reports a loss", async () => {
  using trial = new Trial();
  const memory = new Memory();
  const reader = trial.open({ unrecorded: memory.after(0) }).getReader();
  const read = reader.read();
  await turn();
  memory.lose(5);
  await reader.cancel();
  assertEquals(await read, END);
  await turn();
  await turn();
  assertEquals(trial.asked, []);
});

Deno.test("openLogStream() errors when the repository is closed, and stops listening", async () => {
  using trial = new Trial();
  const watched = new WatchedSignal();
  const reader = trial.open({ signal: watched.signal }).getReader();
  const read = reader.read();
  const rejected = assertRejects(
    () => read,
    Error,
    "The repository was closed",
  );
  await turn();
  trial.follower.close();
  await rejected;
  assertEquals([watched.listeners.size, trial.closes.size], [0, 0]);
});

Deno.test("openLogStream() stops to read memory if it cannot refill", async () => {
  using trial = new Trial();
  trial.follower.close();
  const memory = new Memory();
  memory.lose(5);
  const reader = trial.open({ unrecorded: memory.after(0) }).getReader();
  await assertRejects(() => reader.read(), Error, "The repository was closed");
  assert(memory.cancelled);
});

Deno.test("openLogStream() errors when memory does", async () => {
  using trial = new Trial();
  const memory = new Memory();
  const reason = new Error("broken");
  const reader = trial.open({ unrecorded: memory.after(0) }).getReader();
  memory.error(reason);
  assertStrictEquals(await assertRejects(() => reader.read()), reason);
});
