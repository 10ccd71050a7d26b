import { assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import type { RegistryWarning } from "../../src/model/warning.ts";
import { Database } from "../../src/postgres/client/database.ts";
import { Notifier } from "../../src/postgres/client/notifier.ts";
import {
  postgresError,
  type SentStatement,
  StubClient,
} from "./stub_client.ts";
import { FakeClock } from "../fake_clock.ts";
import { turn } from "./turn.ts";

class Trial {
  readonly client = new StubClient();
  readonly warnings: RegistryWarning[] = [];
  readonly notifier = new Notifier({
    database: new Database(this.client, 60_000),
    warn: (warning) => this.warnings.push(warning),
  });

  /** The payloads of each statement. */
  get payloads(): (string | number | null)[] {
    return this.client.sent.map(({ parameters }: SentStatement) =>
      parameters[0]
    );
  }
}

Deno.test("Notifier.notify() lists runs in one notification", () => {
  const trial = new Trial();
  trial.notifier.notify(["a", "b"]);
  assertEquals(trial.client.names, ["notify"]);
  assertEquals(trial.payloads, ['{"a,b"}']);
});

Deno.test("Notifier.notify() sends nothing for no run", () => {
  const trial = new Trial();
  trial.notifier.notify([]);
  assertEquals(trial.payloads, []);
  trial.notifier.notify(["a"]);
  assertEquals(trial.payloads, ['{"a"}']);
});

Deno.test("Notifier.notify() gathers what comes while a statement is under way, and for three times as long", async () => {
  using time = new FakeClock();
  const trial = new Trial();
  trial.notifier.notify(["a"]);
  trial.notifier.notify(["b", "a"]);
  assertEquals(trial.payloads, ['{"a"}']);
  time.tick(3);
  trial.client.sent[0].answer();
  await time.runMicrotasks();
  await time.tickAsync(8);
  trial.notifier.notify(["b", "c"]);
  assertEquals(trial.payloads, ['{"a"}']);
  await time.tickAsync(1);
  await time.runMicrotasks();
  assertEquals(trial.payloads, ['{"a"}', '{"b,a,c"}']);
  trial.client.sent[1].answer();
  await time.tickAsync();
  await time.tickAsync();
  trial.notifier.notify(["d"]);
  assertEquals(trial.payloads.slice(2), ['{"d"}']);
});

Deno.test("Notifier.notify() gathers for a second at most", async () => {
  using time = new FakeClock();
  const trial = new Trial();
  trial.notifier.notify(["a"]);
  time.tick(900);
  trial.client.sent[0].answer();
  trial.notifier.notify(["b"]);
  await time.tickAsync();
  await time.tickAsync(999);
  await time.runMicrotasks();
  assertEquals(trial.payloads.length, 1);
  await time.tickAsync(1);
  await time.runMicrotasks();
  assertEquals(trial.payloads.length, 2);
});

Deno.test("Notifier.close() notifies at once of what was gathered", async () => {
  using time = new FakeClock();
  const trial = new Trial();
  trial.notifier.notify(["a"]);
  time.tick(100);
  trial.client.sent[0].answer();
  await time.tickAsync();
  trial.notifier.notify(["b"]);
  const closed = trial.notifier.close();
  await time.runMicrotasks();
  assertEquals(trial.payloads, ['{"a"}', '{"b"}']);
  trial.client.sent[1].answer();
  await closed;
});

Deno.test("Notifier.notify() lists at most 200 runs in a notification (fault 30)", () => {
  const trial = new Trial();
  const runIds = Array.from({ length: 401 }, () => crypto.randomUUID());
  trial.notifier.notify(runIds);
  const [sent] = trial.payloads;
  const payloads = `${sent}`.slice(2, -2).split('","');
  assertEquals(payloads.map((payload) => payload.split(",").length), [
    200,
    200,
    1,
  ]);
  // Postgres refuses a longer one.
  assertEquals(payloads.every(({ length }) => length < 8_000), true);
  assertEquals(payloads.join(",").split(","), runIds);
});

Deno.test("Notifier.notify() warns of failures, once until one succeeds, and goes on", async () => {
  using time = new FakeClock();
  const trial = new Trial();
  for (const isAnswered of [false, false, true, false]) {
    trial.notifier.notify(["a"]);
    const sent = trial.client.sent.at(-1)!;
    if (isAnswered) sent.answer();
    else sent.fail(postgresError("57P01"));
    await time.tickAsync();
    await time.tickAsync();
  }
  assertEquals(trial.payloads.length, 4);
  assertEquals(
    trial.warnings.map(({ kind, message }) => [kind, message]),
    Array(2).fill([
      "notifications",
      "NOTIFY failed: followers learn of events by polling",
    ]),
  );
});

Deno.test("Notifier.close() waits for what is under way, for a second", async () => {
  using time = new FakeTime();
  const trial = new Trial();
  await trial.notifier.close();
  for (const isAnswered of [true, false]) {
    trial.notifier.notify(["a"]);
    let isClosed = false;
    const closed = trial.notifier.close().then(() => isClosed = true);
    await time.tickAsync(999);
    await turn();
    assertEquals(isClosed, false);
    if (isAnswered) trial.client.sent.at(-1)!.answer();
    else await time.tickAsync(1);
    await closed;
  }
});
