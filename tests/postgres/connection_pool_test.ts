import { assertEquals, assertRejects } from "@std/assert";
import postgres from "postgres";
import { RepositoryError } from "../../mod.ts";
import { ConnectionPool } from "../../src/postgres/client/connection_pool.ts";
import { hasPooler, startPooler } from "./pooler.ts";
import { openDatabase } from "./open_database.ts";

const withPooler = await hasPooler();

/** A client with one connection. */
function open(url: string): AsyncDisposable & { client: ConnectionPool } {
  const client = new ConnectionPool(
    (prepare, socket) => {
      const options = { max: 1, prepare, socket, fetch_types: false };
      return postgres(url, options);
    },
    { max: 1, prepare: false, cancelTimeout: 5_000 },
  );
  return { client, [Symbol.asyncDispose]: () => client.end() };
}

/** Sends a statement that is worth preparing, and returns which are prepared. */
async function preparedBy(client: ConnectionPool): Promise<unknown[]> {
  await client.unsafe("select $1::text", ["a"], { prepare: true });
  const rows = await client.unsafe(
    "select statement from pg_prepared_statements",
  );
  return rows.map((row) => (row as { statement: string }).statement);
}

Deno.test("ConnectionPool.prepareIfDirect() prepares statements on a direct connection", async () => {
  await using database = await openDatabase();
  await using opened = open(database.url);
  assertEquals(await preparedBy(opened.client), []);
  await opened.client.prepareIfDirect(5_000);
  assertEquals(await preparedBy(opened.client), ["select $1::text"]);
});

Deno.test("ConnectionPool.prepareIfDirect() prepares nothing if the process id is not the server's", async () => {
  const prepared: unknown[] = [];
  const pool = {
    unsafe(_query: string, _parameters: unknown, options: unknown) {
      prepared.push(options);
      return Promise.resolve(
        Object.assign([{ to_json: "17" }], { state: { pid: 18 } }),
      );
    },
  };
  const client = new ConnectionPool(
    () => pool as unknown as postgres.Sql,
    { max: 1, prepare: false, cancelTimeout: 5_000 },
  );
  await client.prepareIfDirect(5_000);
  await client.unsafe("select 1", [], { prepare: true });
  assertEquals(prepared, [{ prepare: false }, { prepare: false }]);
});

Deno.test({
  name: "ConnectionPool.prepareIfDirect() prepares nothing behind pgbouncer",
  ignore: !withPooler,
  async fn() {
    await using database = await openDatabase();
    await using pooler = await startPooler(database.url);
    await using opened = open(pooler.url);
    await opened.client.prepareIfDirect(5_000);
    assertEquals(await preparedBy(opened.client), []);
  },
});

Deno.test("ConnectionPool.unsafe() uses the first free connection", async () => {
  const asked: number[] = [];
  const answers: (() => void)[] = [];
  let opened = 0;
  const open = () => {
    const index = opened++;
    return {
      unsafe() {
        asked.push(index);
        return new Promise<void>((resolve) => answers.push(resolve));
      },
    } as unknown as postgres.Sql;
  };
  const client = new ConnectionPool(open, {
    max: 2,
    prepare: false,
    cancelTimeout: 5_000,
  });
  const first = client.unsafe("1");
  const others = ["2", "3", "4"].map((query) => client.unsafe(query));
  assertEquals(asked, [0, 1, 0, 1]);
  for (const answer of answers) answer();
  await Promise.all([first, ...others]);
  const last = client.unsafe("5");
  assertEquals(asked.at(-1), 0);
  answers.at(-1)!();
  await last;
});

Deno.test("ConnectionPool.unsafe() frees the connection of a statement that fails", async () => {
  const asked: number[] = [];
  let opened = 0;
  const open = () => {
    const index = opened++;
    return {
      unsafe() {
        asked.push(index);
        return Promise.reject(new Error("no"));
      },
    } as unknown as postgres.Sql;
  };
  const client = new ConnectionPool(open, {
    max: 2,
    prepare: false,
    cancelTimeout: 5_000,
  });
  for (const _ of [1, 2]) await assertRejects(() => client.unsafe("x"));
  assertEquals(asked, [0, 0]);
});

Deno.test("ConnectionPool.prepareIfDirect() rejects if there is no server", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  await using opened = open(`postgres://nobody@127.0.0.1:${port}/none`);
  await assertRejects(
    () => opened.client.prepareIfDirect(5_000),
    RepositoryError,
    "ECONNREFUSED",
  );
});
