import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import postgres from "postgres";
import { RepositoryError } from "../../mod.ts";
import { ConnectionPool } from "../../src/postgres/client/connection_pool.ts";
import { Database } from "../../src/postgres/client/database.ts";
import { statement } from "../../src/postgres/sql/statement.ts";
import { openDatabase } from "./open_database.ts";
import { turn } from "./turn.ts";

/** A pool and what tells its connections from others at the server. */
interface Opened extends AsyncDisposable {
  readonly pool: ConnectionPool;
  readonly name: string;
}

function open(url: string, max: number, prepare = false): Opened {
  const name = `pool ${crypto.randomUUID()}`;
  const pool = new ConnectionPool(
    (prepare, socket) => {
      const options = {
        max: 1,
        prepare,
        socket,
        fetch_types: false,
        connect_timeout: 5,
        backoff: () => 0.25,
        onnotice: () => {},
        connection: { application_name: name },
      };
      return postgres(url, options);
    },
    { max, prepare, cancelTimeout: 5_000 },
  );
  return { pool, name, [Symbol.asyncDispose]: () => pool.end() };
}

const ECHO = statement("echo", { text: "text" }, ({ text }) => `
  select to_json(${text})::text`);

const COUNT_ITEMS = statement("count items", {}, () => `
  select to_json(count(*))::text from items`);

/** The states of a pool's connections at the server. */
async function statesOf(sql: postgres.Sql, name: string): Promise<string[]> {
  const rows = await sql`
    select state from pg_stat_activity where application_name = ${name}`;
  return rows.map(({ state }) => state);
}

async function misses(execute: () => Promise<unknown>): Promise<void> {
  const error = await assertRejects(execute, RepositoryError);
  assertMatch(error.message, /did not answer/);
}

/** Locks the table `items` until it is released. */
async function lockItems(url: string): Promise<AsyncDisposable> {
  const locker = postgres(url, { max: 1, onnotice: () => {} });
  await locker`begin`.simple();
  await locker`lock table items in access exclusive mode`.simple();
  return { [Symbol.asyncDispose]: () => locker.end({ timeout: 0 }) };
}

for (const prepare of [false, true]) {
  Deno.test(`Connection.execute() cancels a statement whose deadline was missed, ${prepare ? "" : "not "}prepared`, async () => {
    await using database = await openDatabase();
    await database.sql`create table items ()`;
    await using opened = open(database.url, 1, prepare);
    const hasty = new Database(opened.pool, 200);
    await using _lock = await lockItems(database.url);
    for (let attempt = 0; attempt < 5; attempt++) {
      await misses(() => hasty.execute(COUNT_ITEMS, {}));
    }
    const patient = new Database(opened.pool, 5_000);
    assertEquals(await patient.execute(ECHO, { text: "a" }), ["a"]);
    assertEquals(await statesOf(database.sql, opened.name), ["idle"]);
  });
}

Deno.test("Connection.execute() cancels at the host that executes the statement", async () => {
  await using database = await openDatabase();
  await database.sql`create table items ()`;
  const url = new URL(database.url);
  const elsewhere = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const hosts = `${url.host},127.0.0.1:${elsewhere.addr.port}`;
  await using opened = open(url.href.replace(url.host, hosts), 1);
  const hasty = new Database(opened.pool, 200);
  await using _lock = await lockItems(database.url);
  await misses(() => hasty.execute(COUNT_ITEMS, {}));
  const patient = new Database(opened.pool, 5_000);
  assertEquals(await patient.query(ECHO, { text: "a" }), ["a"]);
  assertEquals(await statesOf(database.sql, opened.name), ["idle"]);
  elsewhere.close();
});

Deno.test("Connection.execute() answers what was sent behind a cancelled statement", async () => {
  await using database = await openDatabase();
  await database.sql`create table items ()`;
  await using opened = open(database.url, 1, true);
  const hasty = new Database(opened.pool, 200);
  const patient = new Database(opened.pool, 5_000);
  await patient.execute(ECHO, { text: "prepared" });
  await using _lock = await lockItems(database.url);
  const missed = [1, 2, 3].map(() =>
    misses(() => hasty.execute(COUNT_ITEMS, {}))
  );
  // A request to cancel may reach the statement that follows.
  const answered = ["a", "b", "c"].map((text) => patient.query(ECHO, { text }));
  await Promise.all(missed);
  assertEquals(await Promise.all(answered), [["a"], ["b"], ["c"]]);
  assertEquals(await statesOf(database.sql, opened.name), ["idle"]);
});

Deno.test("ConnectionPool opens no more connections than its maximum while a table is locked (fault 21)", async () => {
  await using database = await openDatabase();
  await database.sql`create table items ()`;
  await using opened = open(database.url, 2);
  const hasty = new Database(opened.pool, 200);
  const lock = await lockItems(database.url);
  const counts = new Set<number>();
  for (let round = 0; round < 5; round++) {
    const missed = Array.from(
      { length: 6 },
      () => misses(() => hasty.execute(COUNT_ITEMS, {})),
    );
    await Promise.all(missed);
    counts.add((await statesOf(database.sql, opened.name)).length);
  }
  assertEquals([...counts], [2]);
  await lock[Symbol.asyncDispose]();
  const patient = new Database(opened.pool, 5_000);
  assertEquals(await patient.query(COUNT_ITEMS, {}), [0]);
});

/**
 * Passes connections on to a server. Those that it has muted stay open and pass
 * nothing on, as in a broken network.
 */
class Proxy implements Disposable {
  readonly #server: URL;
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #sockets = new Set<Deno.TcpConn>();
  #muted = new Set<Deno.TcpConn>();
  /** How many connections were accepted. */
  accepted = 0;
  /** What the next connections wait for. */
  gate: Promise<void> | undefined;

  constructor(server: string) {
    this.#server = new URL(server);
    this.#accept();
  }

  get url(): string {
    const url = new URL(this.#server);
    url.port = `${this.#listener.addr.port}`;
    return url.href;
  }

  /** Mutes all connections that are open. */
  mute(): void {
    this.#muted = new Set(this.#sockets);
  }

  async #accept(): Promise<void> {
    for await (const client of this.#listener) {
      this.accepted++;
      await this.gate;
      const { hostname, port } = this.#server;
      const server = await Deno.connect({ hostname, port: Number(port) });
      this.#pass(client, server);
      this.#pass(server, client);
    }
  }

  async #pass(from: Deno.TcpConn, to: Deno.TcpConn): Promise<void> {
    this.#sockets.add(from);
    const buffer = new Uint8Array(65_536);
    try {
      for (let n = await from.read(buffer); n; n = await from.read(buffer)) {
        if (!this.#muted.has(from)) await to.write(buffer.subarray(0, n));
      }
    } catch {
      // The other direction has closed it.
    }
    if (this.#muted.has(from)) return;
    for (const socket of [from, to]) this.#close(socket);
  }

  #close(socket: Deno.TcpConn): void {
    if (this.#sockets.delete(socket)) socket.close();
  }

  [Symbol.dispose](): void {
    this.#listener.close();
    for (const socket of this.#sockets) this.#close(socket);
  }
}

Deno.test("ConnectionPool replaces connections that answer nothing, not even a request to cancel", async () => {
  await using database = await openDatabase();
  using proxy = new Proxy(database.url);
  await using opened = open(proxy.url, 2);
  const impatient = new Database(opened.pool, 300);
  const echo = (text: string) => impatient.execute(ECHO, { text });
  assertEquals(await Promise.all([echo("a"), echo("b")]), [["a"], ["b"]]);
  proxy.mute();
  await misses(() => echo("lost"));
  await misses(() => echo("lost")); // On the other connection, which is as dead.
  const patient = new Database(opened.pool, 8_000);
  assertEquals(await patient.query(ECHO, { text: "c" }), ["c"]);
  assertEquals(proxy.accepted >= 4, true);
});

Deno.test("Connection.execute() cancels a statement that is sent after its deadline", async () => {
  await using database = await openDatabase();
  await database.sql`create table items ()`;
  using proxy = new Proxy(database.url);
  await using opened = open(proxy.url, 1);
  const hasty = new Database(opened.pool, 200);
  await using _lock = await lockItems(database.url);
  const connected = Promise.withResolvers<void>();
  proxy.gate = connected.promise;
  await misses(() => hasty.execute(COUNT_ITEMS, {}));
  connected.resolve();
  const patient = new Database(opened.pool, 5_000);
  assertEquals(await patient.query(ECHO, { text: "a" }), ["a"]);
  assertEquals(await statesOf(database.sql, opened.name), ["idle"]);
});

Deno.test("ConnectionPool.end() leaves no connection that was waiting to connect again", async () => {
  const free = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = free.addr;
  free.close();
  using time = new FakeTime();
  const { pool } = open(`postgres://nobody@127.0.0.1:${port}/none`, 1);
  await whileTimePasses(time, assertRejects(() => pool.unsafe("select 1")));
  const waiting = assertRejects(() => pool.unsafe("select 1"));
  const listener = Deno.listen({ hostname: "127.0.0.1", port });
  const accepted: number[] = [];
  const accepting = (async () => {
    for await (const client of listener) {
      accepted.push((client.remoteAddr as Deno.NetAddr).port);
      client.close();
    }
  })();
  await turn(); // Now the statement waits for the connection.
  await whileTimePasses(time, pool.end());
  await whileTimePasses(time, waiting);
  await time.tickAsync(600); // The client would connect again after 250 ms.
  // Who connected before this is accepted before it.
  const last = await Deno.connect({ hostname: "127.0.0.1", port });
  await last.read(new Uint8Array(1)); // It is accepted and closed.
  assertEquals(accepted, [last.localAddr.port]);
  last.close();
  listener.close();
  await accepting;
});

/** Lets faked time pass until a promise settles. */
async function whileTimePasses(
  time: FakeTime,
  promise: Promise<unknown>,
): Promise<void> {
  let isSettled = false;
  const settled = promise.finally(() => isSettled = true);
  settled.catch(() => {});
  while (!isSettled) {
    await time.tickAsync(10);
    await turn();
  }
  await settled;
}
