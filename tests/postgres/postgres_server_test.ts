import { assertEquals, assertRejects } from "@std/assert";
import postgres from "postgres";
import {
  startPostgresServer,
  startStandbyServer,
} from "../../bench/postgres_server.ts";
import { openDatabase } from "./open_database.ts";

Deno.test("openDatabase() gives each caller a schema of its own", async () => {
  await using one = await openDatabase();
  await using two = await openDatabase();
  await one.sql`create table event (id int)`;
  await two.sql`create table event (id int)`;
  await one.sql`insert into event values (1)`;
  assertEquals([...await one.sql`select id from event`], [{ id: 1 }]);
  assertEquals([...await two.sql`select id from event`], []);
});

Deno.test("openDatabase() gives a URL that leads any client to the schema", async () => {
  await using database = await openDatabase();
  await database.sql`create table event (id int)`;
  const other = postgres(database.url);
  try {
    await other`insert into event values (1)`;
  } finally {
    await other.end();
  }
  assertEquals([...await database.sql`select id from event`], [{ id: 1 }]);
});

Deno.test("openDatabase() drops the schema on disposal", async () => {
  await using observer = await openDatabase();
  const database = await openDatabase();
  await database.sql`create table event (id int)`;
  const schemas = (): PromiseLike<postgres.RowList<postgres.Row[]>> =>
    observer.sql`
      select from pg_namespace where nspname = ${database.schema}
    `;
  assertEquals((await schemas()).count, 1);
  await database[Symbol.asyncDispose]();
  assertEquals((await schemas()).count, 0);
});

Deno.test("PostgresServer.kill() breaks connections and keeps what was committed", async () => {
  await using server = await startPostgresServer();
  const sql = postgres(server.url);
  try {
    await sql`create table event (id int)`;
    await sql`insert into event values (1)`;
    const broken = assertRejects(
      () => sql`select pg_sleep(60)`.execute(),
      Error,
      "CONNECTION_CLOSED",
    );
    await server.kill("SIGKILL");
    await broken;
    await server.start();
    assertEquals([...await sql`select id from event`], [{ id: 1 }]);
  } finally {
    await sql.end({ timeout: 1 });
  }
});

Deno.test("PostgresServer.suspend() leaves queries pending until resume()", async () => {
  await using server = await startPostgresServer();
  const sql = postgres(server.url, { max: 1 });
  try {
    await sql`select 1`;
    await server.suspend();
    let answered = false;
    const query = sql`select 1`.then((): void => {
      answered = true;
    });
    // Its connections stay open, and it seems to accept further ones.
    const { port } = server;
    (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    assertEquals(answered, false);
    server.resume();
    await query;
  } finally {
    await sql.end({ timeout: 1 });
  }
});

Deno.test("PostgresServer.stop() removes the data of a server that was killed", async () => {
  await using server = await startPostgresServer();
  const sql = postgres(server.url, { max: 1 });
  const [{ directory }] = await sql`
    select current_setting('data_directory') as directory
  `;
  await sql.end();
  await Deno.stat(directory);
  await server.kill("SIGKILL");
  await server.stop();
  await assertRejects(() => Deno.stat(directory), Deno.errors.NotFound);
});

Deno.test("startStandbyServer() streams what the primary commits, and takes over when promoted", async () => {
  await using primary = await startPostgresServer();
  const before = postgres(primary.url, { max: 1 });
  await using standby = await startStandbyServer(primary);
  const after = postgres(standby.url, { max: 1 });
  try {
    await before`alter system set synchronous_standby_names = 'standby'`;
    await before`select pg_reload_conf()`;
    await before`set synchronous_commit = remote_apply`;
    await before`create table event (id int)`;
    await before`insert into event values (1)`;
    assertEquals([...await after`select id from event`], [{ id: 1 }]);
    await assertRejects(
      () => after`insert into event values (2)`.execute(),
      Error,
      "read-only transaction",
    );
    await primary.kill("SIGKILL");
    await after`select pg_promote()`;
    await after`insert into event values (2)`;
    assertEquals((await after`select id from event`).count, 2);
  } finally {
    await before.end({ timeout: 0 });
    await after.end({ timeout: 1 });
  }
});
