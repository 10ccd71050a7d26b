import { assert, assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import type { RegistryWarning } from "../../src/model/warning.ts";
import { Database } from "../../src/postgres/client/database.ts";
import { Notifications } from "../../src/postgres/client/notifications.ts";
import { passTime } from "../pass_time.ts";
import { postgresError, StubClient } from "./stub_client.ts";
import { turn } from "./turn.ts";

/** How long to wait for an echo, and for the next probe. */
const ECHO_TIMEOUT = 3_000;
const PROBE_INTERVAL = 30_000;

/** Notifications whose server a test plays, in a time that it controls. */
class Trial implements AsyncDisposable {
  readonly time = new FakeTime();
  readonly client = new StubClient();
  readonly warnings: RegistryWarning[] = [];
  /** How often listeners were told that listening has begun. */
  told = 0;
  /** What the client was asked for: to listen, and to stop. */
  readonly asked: string[] = [];
  /** How long it takes to stop listening. */
  stopping: Promise<void> = Promise.resolve();
  readonly notifications: Notifications;
  #onNotify: (payload: string) => void = () => {};
  #onListen: () => void = () => {};

  constructor() {
    this.notifications = new Notifications({
      client: {
        unsafe: () => Promise.resolve([]),
        listen: (_channel, onNotify, onListen) => {
          this.asked.push("listen");
          this.#onNotify = onNotify;
          this.#onListen = onListen!;
          this.listen();
          const unlisten = async () => {
            this.asked.push("unlisten");
            await this.stopping;
          };
          return Promise.resolve({ unlisten });
        },
      },
      database: new Database(this.client, 60_000),
      warn: (warning) => this.warnings.push(warning),
    });
    this.notifications.add({
      onNotify: () => {},
      onListen: () => this.told++,
    });
  }

  /** Tells that listening has begun, as when the client has connected again. */
  listen(): void {
    this.#onListen();
  }

  hear(payload: string): void {
    this.#onNotify(payload);
  }

  /** Answers the last NOTIFY. */
  async answer(): Promise<void> {
    this.#lastNotify.answer(true);
    await turn();
  }

  async fail(): Promise<void> {
    this.#lastNotify.fail(postgresError("42501"));
    await turn();
  }

  /** Answers the last NOTIFY and delivers it. */
  async echo(): Promise<void> {
    await this.answer();
    const [echo] = `${this.#lastNotify.parameters[0]}`.match(/echo [^"]*/)!;
    this.hear(echo);
  }

  /** How often the instance has notified itself. */
  get probes(): number {
    return this.client.named("notify").length;
  }

  /** How often it has begun to listen. */
  get listens(): number {
    return this.asked.filter((name) => name === "listen").length;
  }

  get #lastNotify() {
    return this.client.named("notify").at(-1)!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.notifications.close();
    this.time.restore();
  }
}

Deno.test("Notifications.start() does nothing after close()", async () => {
  await using trial = new Trial();
  await trial.notifications.close();
  trial.notifications.start();
  await turn();
  assertEquals(trial.asked, []);
});

Deno.test("Notifications do not take the echo of another instance for their own", async () => {
  await using trial = new Trial();
  trial.notifications.start();
  await trial.answer();
  trial.hear(`echo ${crypto.randomUUID()}`);
  await trial.time.tickAsync(ECHO_TIMEOUT);
  assertEquals(trial.warnings.length, 1);
});

Deno.test("Notifications probe once an interval, however often listening has begun", async () => {
  await using trial = new Trial();
  trial.notifications.start();
  await trial.echo();
  trial.listen();
  await trial.echo();
  assertEquals(trial.probes, 2);
  await trial.time.tickAsync(PROBE_INTERVAL);
  assertEquals(trial.probes, 3);
});

Deno.test("Notifications listen anew at once at each loss, if they had arrived again", async () => {
  await using trial = new Trial();
  trial.notifications.start();
  await trial.echo();
  for (let loss = 1; loss <= 3; loss++) {
    await trial.time.tickAsync(PROBE_INTERVAL);
    await trial.answer(); // Its echo does not arrive.
    await passTime(trial.time, ECHO_TIMEOUT + 100, 100);
    await turn();
    assertEquals(trial.listens, 1 + loss);
    await trial.echo();
  }
});

Deno.test("Notifications that never arrive are tried several times an hour for ever", async () => {
  await using trial = new Trial();
  trial.client.rows["notify"] = () => [true];
  trial.notifications.start();
  await passTime(trial.time, 2 * 3_600_000, 60_000);
  const { listens } = trial;
  await passTime(trial.time, 3_600_000, 60_000);
  assert(trial.listens - listens >= 4, `${trial.listens - listens} times`);
});

Deno.test("Notifications.close() ends the wait for an answer and its echo", async () => {
  for (const outcome of ["answer", "fail"] as const) {
    await using trial = new Trial();
    trial.notifications.start();
    await trial.notifications.close();
    await trial[outcome]();
    await passTime(trial.time, 2 * PROBE_INTERVAL, 1_000);
    assertEquals(trial.asked, ["listen", "unlisten"]);
    assertEquals([trial.probes, trial.warnings], [1, []]);
  }
});

Deno.test("Notifications.close() ends what the client tells", async () => {
  await using trial = new Trial();
  trial.notifications.start();
  await trial.echo();
  await trial.notifications.close();
  trial.listen();
  assertEquals([trial.told, trial.probes], [1, 1]);
});

Deno.test("Notifications.close() ends listening anew", async () => {
  await using trial = new Trial();
  trial.notifications.start();
  await trial.answer();
  const { promise, resolve } = Promise.withResolvers<void>();
  trial.stopping = promise;
  await passTime(trial.time, ECHO_TIMEOUT + 100, 100);
  assertEquals(trial.asked, ["listen", "unlisten"]);
  const closed = trial.notifications.close();
  resolve();
  await closed;
  await turn();
  assertEquals(trial.listens, 1);
});
