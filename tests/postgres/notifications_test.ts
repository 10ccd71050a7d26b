import { assertEquals, assertStrictEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import type { RegistryWarning } from "../../src/model/warning.ts";
import type { PostgresClient } from "../../src/postgres/client/client.ts";
import { Database } from "../../src/postgres/client/database.ts";
import { Notifications } from "../../src/postgres/client/notifications.ts";
import { passTime } from "../pass_time.ts";
import { postgresError, type SentParameters } from "./stub_client.ts";

const ECHO_TIMEOUT = 3_000;
const PROBE_INTERVAL = 30_000;
const LINGER = 20_000;

/** Notifications in a time and over a server that a test controls. */
class Trial implements Disposable {
  readonly time = new FakeTime();
  readonly warnings: RegistryWarning[] = [];
  /** What listeners heard: payloads, and that listening has begun. */
  readonly heard: string[] = [];
  /** What the instance notified itself of, in order. */
  readonly notified: string[] = [];
  /** How often LISTEN and UNLISTEN were called. */
  listens = 0;
  unlistens = 0;
  /** The error with which LISTEN fails. */
  listenError: Error | undefined;
  /** The error with which NOTIFY fails. */
  notifyError: Error | undefined;
  /** Whether notifications arrive. */
  delivers = true;
  #onNotify: ((payload: string) => void) | undefined;
  #onListen: (() => void) | undefined;
  readonly notifications: Notifications;

  constructor(listen = true) {
    const client: PostgresClient = {
      unsafe: (_query, parameters) => this.#notify(parameters ?? []),
    };
    this.notifications = new Notifications({
      client: listen ? { ...client, listen: this.#listen } : client,
      database: new Database(client, 1_000),
      warn: (warning) => void this.warnings.push(warning),
    });
    this.notifications.add({
      onNotify: (payload) => void this.heard.push(payload),
      onListen: () => void this.heard.push("listening"),
    });
  }

  get messages(): string[] {
    return this.warnings.map(({ message }) => message);
  }

  /** Delivers a notification of another instance. */
  receive(payload: string): void {
    this.#onNotify?.(payload);
  }

  /** Listens again, as a client does that was cut off. */
  listenAgain(): void {
    this.#onListen?.();
  }

  readonly #listen = (
    _channel: string,
    onNotify: (payload: string) => void,
    onListen?: () => void,
  ): Promise<{ unlisten(): Promise<void> }> => {
    this.listens++;
    if (this.listenError !== undefined) return Promise.reject(this.listenError);
    this.#onNotify = onNotify;
    this.#onListen = onListen;
    onListen?.();
    const unlisten = () => {
      this.unlistens++;
      return Promise.resolve();
    };
    return Promise.resolve({ unlisten });
  };

  #notify([payload]: SentParameters): Promise<unknown[]> {
    if (this.notifyError !== undefined) return Promise.reject(this.notifyError);
    const [echo] = String(payload).match(/echo [^"]*/)!;
    this.notified.push(echo);
    if (this.delivers) this.receive(echo);
    return Promise.resolve([]);
  }

  [Symbol.dispose](): void {
    this.notifications.close();
    this.time.restore();
  }
}

Deno.test("Notifications.start() listens once, and passes on what arrives", async () => {
  using trial = new Trial();
  const { notifications } = trial;
  notifications.start();
  notifications.start();
  await passTime(trial.time, 10);
  assertEquals(trial.listens, 1);
  trial.receive("a,b");
  trial.receive("echo of another instance");
  assertEquals(trial.heard, ["listening", "a,b"]);
  assertEquals(trial.messages, []);
});

Deno.test("Notifications.stop() ends listening 20 s after the last need", async () => {
  using trial = new Trial();
  const { notifications } = trial;
  notifications.start();
  notifications.start();
  await passTime(trial.time, 10);
  notifications.stop();
  await passTime(trial.time, LINGER + 1_000, 1_000);
  assertEquals(trial.unlistens, 0);
  notifications.stop();
  await passTime(trial.time, LINGER - 100, 100);
  assertEquals([trial.unlistens, notifications.arrive], [0, true]);
  await passTime(trial.time, 200, 100);
  assertEquals([trial.unlistens, notifications.arrive], [1, false]);
  const { length } = trial.notified;
  await passTime(trial.time, 2 * PROBE_INTERVAL, 1_000);
  assertEquals(trial.notified.length, length);
  notifications.start();
  await passTime(trial.time, 10);
  assertEquals([trial.listens, notifications.arrive], [2, true]);
});

Deno.test("Notifications notifies itself only when it has heard nothing for 30 s", async () => {
  using trial = new Trial();
  trial.notifications.start();
  await passTime(trial.time, 10);
  assertEquals(trial.notified.length, 1);
  trial.receive("echo of another instance");
  await passTime(trial.time, PROBE_INTERVAL + 100, 100);
  assertEquals(trial.notified.length, 1);
  await passTime(trial.time, PROBE_INTERVAL, 100);
  assertEquals(trial.notified.length, 2);
});

Deno.test("Notifications notifies itself each time that listening begins", async () => {
  using trial = new Trial();
  trial.notifications.start();
  await passTime(trial.time, 10);
  trial.receive("echo of another instance");
  trial.listenAgain();
  await passTime(trial.time, 10);
  assertEquals(trial.notified.length, 2);
});

Deno.test("Notifications.start() in time goes on listening", async () => {
  using trial = new Trial();
  const { notifications } = trial;
  notifications.start();
  notifications.stop();
  await passTime(trial.time, LINGER / 2, 1_000);
  notifications.start();
  await passTime(trial.time, LINGER, 1_000);
  assertEquals([trial.listens, trial.unlistens], [1, 0]);
});

Deno.test("Notifications.stop() ends listening while a probe waits for its echo", async () => {
  using trial = new Trial();
  trial.delivers = false;
  trial.notifications.start();
  trial.notifications.stop();
  // The first probes come 3, 6 and 39 s after the beginning.
  await passTime(trial.time, LINGER + 100, 100);
  const { listens } = trial;
  await passTime(trial.time, 10 * PROBE_INTERVAL, 1_000);
  assertEquals([trial.listens, trial.unlistens], [listens, listens]);
});

Deno.test("Notifications.start() does nothing on a client that cannot listen", async () => {
  using trial = new Trial(false);
  trial.notifications.start();
  await passTime(trial.time, PROBE_INTERVAL * 2, 1_000);
  assertEquals([trial.notified, trial.messages], [[], []]);
});

Deno.test("Notifications probe whether notifications arrive every 30 s", async () => {
  using trial = new Trial();
  trial.notifications.start();
  await passTime(trial.time, 10);
  assertEquals(trial.notified.length, 1);
  await passTime(trial.time, PROBE_INTERVAL - 100, 1_000);
  assertEquals(trial.notified.length, 1);
  await passTime(trial.time, 1_000, 100);
  assertEquals(trial.notified.length, 2);
  assertEquals([trial.listens, trial.messages], [1, []]);
});

Deno.test("Notifications.arrive says whether the last echo arrived", async () => {
  using trial = new Trial();
  const { notifications } = trial;
  assertEquals(notifications.arrive, false);
  notifications.start();
  await passTime(trial.time, 10);
  assertEquals(notifications.arrive, true);
  trial.delivers = false;
  await passTime(trial.time, PROBE_INTERVAL + ECHO_TIMEOUT - 1_000, 1_000);
  assertEquals(notifications.arrive, true);
  await passTime(trial.time, 1_100, 100);
  assertEquals(notifications.arrive, false);
});

Deno.test("Notifications listen anew when an echo does not arrive, and say so (fault 25)", async () => {
  using trial = new Trial();
  trial.notifications.start();
  await passTime(trial.time, 10);
  trial.delivers = false;
  await passTime(trial.time, PROBE_INTERVAL + ECHO_TIMEOUT - 1_000, 1_000);
  assertEquals([trial.listens, trial.messages], [1, []]);
  trial.delivers = true;
  await passTime(trial.time, 1_100, 100);
  assertEquals(trial.messages, [
    "NOTIFY does not arrive: news arrives by polling",
  ]);
  assertEquals([trial.listens, trial.unlistens], [2, 1]);
  assertEquals(trial.heard, ["listening", "listening"]);
});

Deno.test("Notifications warn again of a loss after they had arrived again", async () => {
  using trial = new Trial();
  trial.notifications.start();
  for (let loss = 1; loss <= 2; loss++) {
    await passTime(trial.time, 10);
    trial.delivers = false;
    await passTime(trial.time, PROBE_INTERVAL, 1_000);
    trial.delivers = true;
    await passTime(trial.time, ECHO_TIMEOUT + 100, 100);
    assertEquals(trial.messages.length, loss);
  }
});

Deno.test("Notifications that never arrive are tried less and less often, with one warning", async () => {
  using trial = new Trial();
  trial.delivers = false;
  trial.notifications.start();
  const listens: number[] = [];
  for (let minute = 0; minute < 10; minute++) {
    await passTime(trial.time, 60_000, 1_000);
    listens.push(trial.listens);
  }
  // At once, then 30 s, 1, 2, 4 … minutes later.
  assertEquals(listens, [3, 4, 4, 5, 5, 5, 5, 6, 6, 6]);
  assertEquals(trial.messages.length, 1);
});

Deno.test("Notifications leave it to the client to listen again while NOTIFY fails", async () => {
  using trial = new Trial();
  trial.notifications.start();
  await passTime(trial.time, 10);
  trial.notifyError = postgresError("42501");
  await passTime(trial.time, PROBE_INTERVAL + 1_000, 1_000);
  assertEquals(trial.messages, ["NOTIFY failed: news arrives by polling"]);
  trial.notifyError = undefined;
  await passTime(trial.time, PROBE_INTERVAL, 1_000);
  assertEquals([trial.listens, trial.notified.length], [1, 2]);
});

Deno.test("Notifications listen again 30 s after LISTEN failed", async () => {
  using trial = new Trial();
  const cause = postgresError("57P03");
  trial.listenError = cause;
  trial.notifications.start();
  await passTime(trial.time, 10);
  assertEquals(trial.messages, ["LISTEN failed: news arrives by polling"]);
  assertStrictEquals(trial.warnings[0].cause, cause);
  trial.listenError = undefined;
  await passTime(trial.time, PROBE_INTERVAL, 1_000);
  assertEquals([trial.listens, trial.heard], [2, ["listening"]]);
});

Deno.test("Notifications.close() stops listening and probing", async () => {
  using trial = new Trial();
  trial.notifications.start();
  await passTime(trial.time, 10);
  await trial.notifications.close();
  await passTime(trial.time, 2 * PROBE_INTERVAL, 1_000);
  assertEquals([trial.unlistens, trial.notified.length], [1, 1]);
  trial.notifications.start();
  await passTime(trial.time, 10);
  assertEquals(trial.listens, 1);
});

Deno.test("Notifications.close() leaves no timer, and none begins after it", async () => {
  using trial = new Trial();
  const { notifications, time } = trial;
  notifications.start();
  await passTime(time, 10);
  notifications.stop();
  await notifications.close();
  await passTime(time, 2_000); // The time limit of UNLISTEN.
  assertEquals(time.next(), false);
  notifications.start();
  notifications.stop();
  assertEquals(time.next(), false);
});
