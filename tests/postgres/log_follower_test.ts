import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { RepositoryError } from "../../src/model/errors.ts";
import type { RunEvent } from "../../src/model/event.ts";
import type { RegistryWarning } from "../../src/model/warning.ts";
import { Database } from "../../src/postgres/client/database.ts";
import {
  LogFollower,
  type LogReader,
} from "../../src/postgres/log/log_follower.ts";
import type { EventRow } from "../../src/postgres/sql/events.ts";
import { assertPending } from "../assert_pending.ts";
import {
  postgresError,
  type SentStatement,
  StubClient,
} from "./stub_client.ts";
import { turn } from "./turn.ts";

const POLL_INTERVAL = 1_000;
const PERMANENT = postgresError("42P01");

/** A reader that waits, and the news that it gets. */
interface Reader {
  readonly reader: LogReader;
  readonly news: Promise<RunEvent[]>;
}

/** A follower whose queries a test answers. */
class Trial {
  readonly client = new StubClient();
  readonly warnings: RegistryWarning[] = [];
  readonly database = new Database(this.client, 60_000);
  /** Whether notifications arrive, and how many need them. */
  readonly notifications = {
    arrive: false,
    needs: 0,
    start() {
      this.needs++;
    },
    stop() {
      this.needs--;
    },
  };
  readonly follower: LogFollower;
  #taken = 0;

  constructor(pollInterval: number = POLL_INTERVAL) {
    this.follower = new LogFollower({
      database: this.database,
      notifications: this.notifications,
      pollInterval,
      warn: (warning) => this.warnings.push(warning),
    });
  }

  /** Begins to wait. */
  next(runId: string, after?: number): Reader {
    const reader = this.follower.open(runId);
    const news = this.follower.next(reader, after);
    news.catch(() => {});
    return { reader, news };
  }

  /** The only query that was sent since the last one, in this turn at the latest. */
  async query(): Promise<SentStatement> {
    await turn();
    assertEquals(this.client.sent.length, ++this.#taken);
    return this.client.sent[this.#taken - 1];
  }

  /** The poll that was sent since the last query, which is answered. */
  async poll({ moved = [], unfollowed = [] }: Partial<Polled> = {}): Promise<
    SentStatement
  > {
    const query = await this.query();
    assertEquals(query.name, "poll");
    query.answer({ moved, unfollowed });
    await turn();
    return query;
  }

  /** Begins to wait, and answers the query for it with no news. */
  async waiting(runId: string, after?: number): Promise<Reader> {
    const waiting = this.next(runId, after);
    (await this.query()).answer();
    await turn();
    return waiting;
  }

  /** How many queries were sent. */
  get queries(): number {
    return this.client.sent.length;
  }
}

/** The answer to a poll. */
interface Polled {
  moved: string[];
  unfollowed: string[];
}

/** The rows of readers that a query asks for. */
function asked({ parameters }: SentStatement): unknown[] {
  return JSON.parse(`${parameters[0]}`);
}

/** The runs that a query asks for. */
function askedRuns(sent: SentStatement): string[] {
  return (asked(sent) as { runId: string }[]).map(({ runId }) => runId);
}

/** An event as the log has it. */
function logged(seq: number): EventRow {
  return [seq, "Yield", new Date(seq).toISOString(), { seq }, null, null, null];
}

/** An event as readers get it. */
function yielded(runId: string, seq: number): RunEvent {
  return { runId, seq, kind: "Yield", at: new Date(seq), payload: { seq } };
}

Deno.test("LogFollower.next() asks with one query for all who wait", async () => {
  using _ = new FakeTime();
  const trial = new Trial();
  const { news: first } = trial.next("a", 3);
  const { news: second } = trial.next("b", 0);
  const { news: third } = trial.next("a");
  assertEquals(trial.queries, 0, "only at the end of the turn");
  const query = await trial.query();
  assertEquals(query.name, "read events");
  assertEquals(asked(query), [
    { runId: "a", after: 3 },
    { runId: "b", after: 0 },
    { runId: "a" },
  ]);
  assertEquals(query.parameters.slice(1), ["200", "65536"]);
  query.answer(
    { runId: "a", after: null, events: [logged(1)] },
    { runId: "a", after: 3, events: [logged(4), logged(5)] },
    { runId: "b", after: 0, events: [logged(1)] },
  );
  assertEquals(await first, [yielded("a", 4), yielded("a", 5)]);
  assertEquals(await second, [yielded("b", 1)]);
  assertEquals(await third, [yielded("a", 1)]);
  await turn();
  assertEquals(trial.queries, 1);
});

Deno.test("LogFollower.next() asks once for readers of one position", async () => {
  using _ = new FakeTime();
  const trial = new Trial();
  const alike = [trial.next("a", 3), trial.next("a", 3), trial.next("a", 3)];
  const query = await trial.query();
  assertEquals(asked(query), [{ runId: "a", after: 3 }]);
  query.answer({ runId: "a", after: 3, events: [logged(4)] });
  const news = await Promise.all(alike.map(({ news }) => news));
  assertEquals(news, Array(3).fill([yielded("a", 4)]));
});

Deno.test("LogFollower.next() resolves with no events if the run has ended", async () => {
  using _ = new FakeTime();
  const trial = new Trial();
  const { news } = trial.next("a", 3);
  (await trial.query()).answer({ runId: "a", after: 3, events: [] });
  assertEquals(await news, []);
});

Deno.test("LogFollower.next() stays pending until there is news", async () => {
  using time = new FakeTime();
  const trial = new Trial();
  const { news } = trial.next("a", 3);
  (await trial.query()).answer();
  await assertPending(news);
  await time.tickAsync(5);
  assertEquals(asked(await trial.poll({ moved: ["a"] })), [
    { runId: "a", after: 3 },
  ]);
  const query = await trial.query();
  assertEquals(query.name, "read events");
  assertEquals(asked(query), [{ runId: "a", after: 3 }]);
  query.answer({ runId: "a", after: 3, events: [logged(4)] });
  assertEquals(await news, [yielded("a", 4)]);
});

Deno.test("LogFollower polls less and less often until the poll interval (fault 24)", async () => {
  using time = new FakeTime(0);
  const trial = new Trial();
  await trial.waiting("a");
  const polls = [5, 10, 20, 40, 80, 160, 320, 640, 1_000, 2_000, 3_000];
  for (const at of polls) {
    await time.tickAsync(at - time.now - 1);
    const { queries } = trial;
    await turn();
    assertEquals(trial.queries, queries);
    await time.tickAsync(1);
    const { parameters } = await trial.poll({ unfollowed: ["a"] });
    assertEquals(parameters[1], null, "nobody is to notify");
  }
});

Deno.test("LogFollower polls soon again once there were events", async () => {
  using time = new FakeTime(0);
  const trial = new Trial();
  const { reader, news } = await trial.waiting("a", 3);
  for (const wait of [5, 5, 10, 20]) {
    await time.tickAsync(wait);
    await trial.poll();
  }
  trial.follower.wake("a");
  (await trial.query()).answer({ runId: "a", after: 3, events: [logged(4)] });
  await news;
  trial.follower.next(reader, 4);
  (await trial.query()).answer();
  await turn();
  await time.tickAsync(5);
  await trial.poll();
});

Deno.test("LogFollower polls less often if the writer notifies", async () => {
  using time = new FakeTime(0);
  const trial = new Trial();
  trial.notifications.arrive = true;
  await trial.waiting("a");
  for (const at of [5, 50, 100, 200, 400, 800, 1_000, 2_000]) {
    await time.tickAsync(at - time.now - 1);
    const { queries } = trial;
    await turn();
    assertEquals(trial.queries, queries);
    await time.tickAsync(1);
    const { parameters } = await trial.poll();
    assertEquals(parameters[1], "60000", "the writer is to notify");
  }
});

Deno.test("LogFollower polls 50 ms after the last of the events that the writer notifies of", async () => {
  using time = new FakeTime(0);
  const trial = new Trial();
  trial.notifications.arrive = true;
  const { reader, news } = await trial.waiting("a", 3);
  await time.tickAsync(5);
  await trial.poll();
  let [after, waiting] = [3, news];
  for (let i = 0; i < 10; i++) {
    await time.tickAsync(i === 0 ? 23 : 49);
    trial.follower.onNotify("a");
    (await trial.query()).answer({
      runId: "a",
      after,
      events: [logged(++after)],
    });
    await waiting;
    waiting = trial.follower.next(reader, after);
    (await trial.query()).answer();
    await turn();
  }
  await time.tickAsync(49);
  await turn();
  const { queries } = trial;
  await time.tickAsync(1);
  await trial.poll();
  assertEquals(trial.queries, queries + 1);
});

Deno.test("LogFollower polls soon again if the writer does not notify yet", async () => {
  using time = new FakeTime(0);
  const trial = new Trial();
  trial.notifications.arrive = true;
  await trial.waiting("a");
  await trial.waiting("b");
  await time.tickAsync(5);
  assertEquals(askedRuns(await trial.poll({ unfollowed: ["b"] })), ["a", "b"]);
  await time.tickAsync(5);
  assertEquals(askedRuns(await trial.poll()), ["b"]);
});

Deno.test("LogFollower polls soon again when notifications arrive no longer", async () => {
  using time = new FakeTime(0);
  const trial = new Trial();
  trial.notifications.arrive = true;
  await trial.waiting("a");
  await time.tickAsync(5);
  await trial.poll();
  trial.notifications.arrive = false;
  trial.follower.wake("a");
  (await trial.query()).answer();
  await time.tickAsync(POLL_INTERVAL - 5);
  assertEquals((await trial.poll()).parameters[1], null);
});

Deno.test("LogFollower asks for notifications for four poll intervals", async () => {
  using time = new FakeTime(0);
  const trial = new Trial(20_000);
  trial.notifications.arrive = true;
  await trial.waiting("a");
  await time.tickAsync(5);
  assertEquals((await trial.poll()).parameters[1], "80000");
});

Deno.test("LogFollower polls all who wait as long at once", async () => {
  using time = new FakeTime(2);
  const trial = new Trial();
  await trial.waiting("a");
  await time.tickAsync(2);
  await trial.waiting("b");
  await time.tickAsync(1);
  assertEquals(askedRuns(await trial.poll()), ["a", "b"]);
});

Deno.test("LogFollower asks for 1,000 runs in one poll", async () => {
  using time = new FakeTime(0);
  const trial = new Trial();
  trial.client.rows["read events"] = () => [];
  for (let i = 0; i < 1_001; i++) trial.next(`${i}`);
  while (trial.queries < 11) await turn();
  await time.tickAsync(5);
  await turn();
  const [first] = trial.client.named("poll");
  assertEquals(asked(first).length, 1_000);
  first.answer({ moved: [], unfollowed: [] });
  await turn();
  assertEquals(askedRuns(trial.client.named("poll")[1]), ["1000"]);
});

Deno.test("LogFollower polls behind the first of the positions of waiting readers", async () => {
  using time = new FakeTime(0);
  const trial = new Trial();
  trial.next("a", 7);
  trial.next("a", 5);
  trial.next("a");
  trial.next("b");
  const idle = trial.next("a", 3).reader;
  trial.client.rows["read events"] = () => [
    { runId: "a", after: 3, events: [logged(4)] },
  ];
  await turn();
  assertEquals(idle.waiting, undefined);
  await time.tickAsync(5);
  await turn();
  const [poll] = trial.client.named("poll");
  assertEquals(asked(poll), [{ runId: "a", after: 5 }, { runId: "b" }]);
});

Deno.test("LogFollower reads and polls by turns", async () => {
  using time = new FakeTime(0);
  const trial = new Trial();
  await trial.waiting("a");
  const { news, reader } = trial.next("b", 1);
  const query = await trial.query();
  await time.tickAsync(5);
  query.answer({ runId: "b", after: 1, events: [logged(2)] });
  await news;
  trial.follower.next(reader, 2);
  assertEquals(askedRuns(await trial.poll()), ["a"]);
  assertEquals(askedRuns(await trial.query()), ["b"]);
});

Deno.test("LogFollower.next() during a query asks with the next query, at once", async () => {
  using _ = new FakeTime();
  const trial = new Trial();
  trial.next("a");
  const query = await trial.query();
  trial.next("b");
  trial.next("c");
  await turn();
  assertEquals(trial.queries, 1, "one query at a time");
  query.answer();
  assertEquals(askedRuns(await trial.query()), ["b", "c"]);
});

Deno.test("LogFollower asks for 100 positions in one query", async () => {
  using _ = new FakeTime();
  const trial = new Trial();
  for (let i = 0; i < 100; i++) trial.next(`${i}`);
  const query = await trial.query();
  assertEquals(asked(query).length, 100);
  query.answer();
  await turn();
  assertEquals(trial.queries, 1);
});

Deno.test("LogFollower asks for more than 100 positions in further queries", async () => {
  using _ = new FakeTime();
  const trial = new Trial();
  const readers = Array.from({ length: 101 }, (_, i) => trial.next(`${i}`));
  const shared = trial.next("0");
  const query = await trial.query();
  assertEquals(asked(query).length, 100);
  query.answer({ runId: "0", after: null, events: [logged(1)] });
  assertEquals(await readers[0].news, [yielded("0", 1)]);
  assertEquals(await shared.news, [yielded("0", 1)]);
  const rest = await trial.query();
  assertEquals(askedRuns(rest), ["100"]);
  rest.answer({ runId: "100", after: null, events: [logged(1)] });
  assertEquals(await readers[100].news, [yielded("100", 1)]);
});

Deno.test("LogFollower.wake() asks at once for the readers of a run", async () => {
  using _ = new FakeTime();
  const trial = new Trial();
  await trial.waiting("a", 1);
  await trial.waiting("b");
  await trial.waiting("a", 2);
  trial.follower.wake("a");
  assertEquals(asked(await trial.query()), [
    { runId: "a", after: 1 },
    { runId: "a", after: 2 },
  ]);
});

Deno.test("LogFollower.wake() without a run polls all", async () => {
  using _ = new FakeTime();
  const trial = new Trial();
  await trial.waiting("a");
  await trial.waiting("b");
  trial.follower.wake();
  assertEquals(askedRuns(await trial.poll()), ["a", "b"]);
});

Deno.test("LogFollower.wake() sends nothing if nobody waits for the run", async () => {
  using _ = new FakeTime();
  const trial = new Trial();
  trial.follower.wake();
  await trial.waiting("a");
  trial.follower.wake("b");
  await turn();
  assertEquals(trial.queries, 1);
});

Deno.test("LogFollower.wake() sends nothing if its readers have news and do not wait", async () => {
  using _ = new FakeTime();
  const trial = new Trial();
  const { news } = trial.next("a");
  const query = await trial.query();
  query.answer({ runId: "a", after: null, events: [logged(1)] });
  await news;
  trial.follower.wake("a");
  trial.follower.wake();
  await turn();
  assertEquals(trial.queries, 1);
});

Deno.test("LogFollower.wake() during a query asks once more", async () => {
  using _ = new FakeTime();
  const trial = new Trial();
  const { news } = trial.next("a");
  const query = await trial.query();
  trial.follower.wake("a");
  trial.follower.wake("a");
  query.answer();
  const again = await trial.query();
  assertEquals(askedRuns(again), ["a"]);
  again.answer();
  await turn();
  assertEquals(trial.queries, 2);
  await assertPending(news);
});

Deno.test("LogFollower.wake() during a query does not ask again for readers with news", async () => {
  using _ = new FakeTime();
  const trial = new Trial();
  const { news } = trial.next("a");
  const query = await trial.query();
  trial.follower.wake("a");
  query.answer({ runId: "a", after: null, events: [logged(1)] });
  await news;
  await turn();
  assertEquals(trial.queries, 1);
});

Deno.test("LogFollower.wake() begins a new wait", async () => {
  using time = new FakeTime(0);
  const trial = new Trial();
  await trial.waiting("a");
  await time.tickAsync(4);
  trial.follower.wake("a");
  (await trial.query()).answer();
  await time.tickAsync(5);
  await turn();
  assertEquals(trial.queries, 2);
  await time.tickAsync(1);
  await trial.poll();
});

Deno.test("LogFollower.onNotify() asks for the runs of the notification", async () => {
  using _ = new FakeTime();
  const trial = new Trial();
  for (const runId of ["aa", "bb", "cc"]) await trial.waiting(runId);
  trial.follower.onNotify("cc,aa");
  assertEquals(askedRuns(await trial.query()), ["cc", "aa"]);
});

Deno.test("LogFollower.onListen() polls all", async () => {
  using _ = new FakeTime();
  const trial = new Trial();
  for (const runId of ["a", "b"]) await trial.waiting(runId);
  trial.follower.onListen();
  assertEquals(askedRuns(await trial.poll()), ["a", "b"]);
});

Deno.test("LogFollower.forget() resolves with no events and asks no longer", async () => {
  using time = new FakeTime();
  const trial = new Trial();
  const { reader, news } = await trial.waiting("a");
  trial.follower.forget(reader);
  assertEquals(await news, []);
  trial.follower.wake();
  trial.follower.wake("a");
  await time.tickAsync(10 * POLL_INTERVAL);
  await turn();
  assertEquals(trial.queries, 1);
});

Deno.test("LogFollower needs notifications from when a reader waits until the run has none", async () => {
  using _ = new FakeTime();
  const trial = new Trial();
  const { follower, notifications } = trial;
  const idle = follower.open("a");
  assertEquals(notifications.needs, 0);
  const readers = [
    await trial.waiting("a", 1),
    await trial.waiting("a", 2),
    await trial.waiting("b"),
  ].map(({ reader }) => reader);
  assertEquals(notifications.needs, 2);
  follower.forget(readers[0]);
  follower.forget(readers[1]);
  assertEquals(notifications.needs, 2);
  follower.forget(idle);
  assertEquals(notifications.needs, 1);
  follower.forget(readers[2]);
  assertEquals(notifications.needs, 0);
});

Deno.test("LogFollower needs no notifications to read what is there", async () => {
  using _ = new FakeTime();
  const trial = new Trial();
  const { reader, news } = trial.next("a");
  (await trial.query()).answer({ runId: "a", after: null, events: [] });
  await news;
  trial.follower.forget(reader);
  assertEquals(trial.notifications.needs, 0);
});

Deno.test("LogFollower.forget() leaves the other readers of the run waiting", async () => {
  using _ = new FakeTime();
  const trial = new Trial();
  const { reader } = await trial.waiting("a", 1);
  const { news } = await trial.waiting("a", 2);
  trial.follower.forget(reader);
  await assertPending(news);
  trial.follower.wake("a");
  assertEquals(asked(await trial.query()), [{ runId: "a", after: 2 }]);
});

Deno.test("LogFollower.forget() goes on polling for the other readers", async () => {
  using time = new FakeTime();
  const trial = new Trial();
  const { reader } = await trial.waiting("a");
  await trial.waiting("b");
  trial.follower.forget(reader);
  await time.tickAsync(5);
  assertEquals(askedRuns(await trial.poll()), ["b"]);
});

Deno.test("LogFollower.forget() before the query leaves the reader out of it", async () => {
  using _ = new FakeTime();
  const trial = new Trial();
  const { reader, news } = trial.next("a");
  trial.next("b");
  trial.follower.forget(reader);
  assertEquals(await news, []);
  assertEquals(askedRuns(await trial.query()), ["b"]);
});

Deno.test("LogFollower.forget() of a reader that does not wait changes nothing", async () => {
  using _ = new FakeTime();
  const trial = new Trial();
  const { news } = await trial.waiting("a");
  trial.follower.forget(trial.follower.open("a"));
  trial.follower.forget(trial.follower.open("b"));
  await assertPending(news);
  trial.follower.wake("a");
  await trial.query();
});

// In real time, so that a timer that is left fails the test.
Deno.test("LogFollower.forget() of a reader that was forgotten leaves later readers alone", async () => {
  using time = new FakeTime(0);
  const trial = new Trial();
  const { reader } = await trial.waiting("a");
  trial.follower.forget(reader);
  const { news } = await trial.waiting("a");
  trial.follower.forget(reader);
  assertEquals(trial.notifications.needs, 1);
  await time.tickAsync(5);
  await trial.poll();
  await assertPending(news);
});

Deno.test("LogFollower.forget() of the last reader leaves no timer", async () => {
  const trial = new Trial();
  const { reader, news } = await trial.waiting("a");
  trial.follower.forget(reader);
  await news;
});

Deno.test("LogFollower.forget() during the query leaves no timer", async () => {
  const trial = new Trial();
  const { reader, news } = trial.next("a");
  const query = await trial.query();
  trial.follower.forget(reader);
  query.answer({ runId: "a", after: null, events: [logged(1)] });
  assertEquals(await news, []);
  await turn();
});

Deno.test("LogFollower leaves no timer once all who wait have news", async () => {
  const trial = new Trial();
  const { news } = trial.next("a");
  (await trial.query()).answer({
    runId: "a",
    after: null,
    events: [logged(1)],
  });
  await news;
  await turn();
});

Deno.test("LogFollower warns of a query that fails, once until one succeeds", async () => {
  using time = new FakeTime(0);
  const trial = new Trial();
  const { news } = trial.next("a");
  for (let i = 0; i < 2; i++) {
    (await trial.query()).fail(PERMANENT);
    await turn();
    await time.tickAsync(POLL_INTERVAL);
  }
  const [{ kind, message, cause }] = trial.warnings;
  assertEquals([kind, message], [
    "log",
    "Reading the log failed and is tried again",
  ]);
  assertInstanceOf(cause, RepositoryError);
  assertEquals(trial.warnings.length, 1);

  await trial.poll();
  await time.tickAsync(POLL_INTERVAL);
  (await trial.query()).fail(PERMANENT);
  await turn();
  assertEquals(trial.warnings.length, 2);
  await assertPending(news);
});

Deno.test("LogFollower polls a poll interval after a query that failed", async () => {
  using time = new FakeTime(0);
  const trial = new Trial();
  const { news } = trial.next("a", 3);
  (await trial.query()).fail(PERMANENT);
  await turn();
  await time.tickAsync(POLL_INTERVAL - 1);
  await turn();
  assertEquals(trial.queries, 1);
  await time.tickAsync(1);
  await trial.poll({ moved: ["a"] });
  const query = await trial.query();
  assertEquals(asked(query), [{ runId: "a", after: 3 }]);
  query.answer({ runId: "a", after: 3, events: [logged(4)] });
  assertEquals(await news, [yielded("a", 4)]);
});

Deno.test("LogFollower polls the rest a poll interval after a query that failed", async () => {
  using time = new FakeTime(0);
  const trial = new Trial();
  for (let i = 0; i < 101; i++) trial.next(`${i}`);
  (await trial.query()).fail(PERMANENT);
  await turn();
  assertEquals(trial.queries, 1);
  await time.tickAsync(POLL_INTERVAL);
  assertEquals(asked(await trial.poll()).length, 101);
});

Deno.test("LogFollower.wake() asks at once after a query that failed", async () => {
  using _ = new FakeTime();
  const trial = new Trial();
  trial.next("a");
  (await trial.query()).fail(PERMANENT);
  await turn();
  trial.follower.wake("a");
  assertEquals(askedRuns(await trial.query()), ["a"]);
});

Deno.test("LogFollower.close() rejects all who wait", async () => {
  const trial = new Trial();
  const { news: waiting } = await trial.waiting("a");
  const { news: due } = trial.next("b");
  trial.follower.close();
  for (const news of [waiting, due]) {
    const error = await assertRejects(() => news, RepositoryError);
    assertEquals(error.message, "The repository was closed");
    assert(!error.transient);
  }
  await turn();
  assertEquals(trial.queries, 1);
});

Deno.test("LogFollower.close() rejects later readers", async () => {
  const trial = new Trial();
  trial.follower.close();
  const { news } = trial.next("a");
  await assertRejects(() => news, RepositoryError, "The repository was closed");
  await turn();
  assertEquals(trial.queries, 0);
});

Deno.test("LogFollower.close() ends the polling", async () => {
  using time = new FakeTime();
  const trial = new Trial();
  await trial.waiting("a");
  trial.follower.close();
  trial.follower.wake();
  trial.follower.wake("a");
  await time.tickAsync(10 * POLL_INTERVAL);
  await turn();
  assertEquals(trial.queries, 1);
});

Deno.test("LogFollower.close() leaves no timer", async () => {
  const trial = new Trial();
  const { news } = await trial.waiting("a");
  trial.follower.close();
  await assertRejects(() => news, RepositoryError);
});

Deno.test("LogFollower.close() during a query ends the polling", async () => {
  using time = new FakeTime();
  const trial = new Trial();
  const { news } = trial.next("a");
  const query = await trial.query();
  trial.follower.close();
  query.answer();
  await turn();
  await assertRejects(() => news, RepositoryError);
  await time.tickAsync(10 * POLL_INTERVAL);
  await turn();
  assertEquals(trial.queries, 1);
});

Deno.test("LogFollower.close() ends a query that fails: no warning, no retry", async () => {
  using time = new FakeTime();
  const trial = new Trial();
  trial.next("a");
  const query = await trial.query();
  trial.follower.close();
  trial.database.close();
  trial.client.rows["read events"] = () => {
    throw postgresError("CONNECTION_ENDED");
  };
  query.fail(postgresError("CONNECTION_ENDED"));
  await time.tickAsync(60_000);
  assertEquals([trial.queries, trial.warnings.length], [1, 0]);
});
