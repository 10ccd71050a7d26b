import { assertEquals, assertRejects } from "@std/assert";
import postgres from "postgres";
import { RepositoryError } from "../mod.ts";
import { RenewableClient } from "../src/postgres/renewable_client.ts";
import { hasPooler, startPooler } from "./pooler.ts";
import { openDatabase } from "./postgres_server.ts";

const withPooler = await hasPooler();

/** A client with one connection. */
function open(url: string): AsyncDisposable & { client: RenewableClient } {
  const client = new RenewableClient(
    (prepare) => postgres(url, { max: 1, prepare, fetch_types: false }),
    false,
  );
  return { client, [Symbol.asyncDispose]: () => client.end() };
}

/** Sends a statement that is worth preparing, and tells which are prepared. */
async function preparedBy(client: RenewableClient): Promise<unknown[]> {
  await client.unsafe("select $1::text", ["a"], { prepare: true });
  const rows = await client.unsafe(
    "select statement from pg_prepared_statements",
  );
  return rows.map((row) => (row as { statement: string }).statement);
}

Deno.test("RenewableClient.prepareIfDirect() prepares on a server's own connections", async () => {
  await using database = await openDatabase();
  await using opened = open(database.url);
  assertEquals(await preparedBy(opened.client), []);
  await opened.client.prepareIfDirect(5_000);
  assertEquals(await preparedBy(opened.client), ["select $1::text"]);
});

Deno.test("RenewableClient.prepareIfDirect() heeds a process id that is not the server's", async () => {
  const prepared: unknown[] = [];
  const pool = {
    unsafe(_query: string, _parameters: unknown, options: unknown) {
      prepared.push(options);
      return Promise.resolve(
        Object.assign([{ to_json: "17" }], { state: { pid: 18 } }),
      );
    },
  };
  const client = new RenewableClient(
    () => pool as unknown as postgres.Sql,
    false,
  );
  await client.prepareIfDirect(5_000);
  await client.unsafe("select 1", [], { prepare: true });
  assertEquals(prepared, [{ prepare: false }, { prepare: false }]);
});

Deno.test({
  name: "RenewableClient.prepareIfDirect() prepares nothing behind pgbouncer",
  ignore: !withPooler,
  async fn() {
    await using database = await openDatabase();
    await using pooler = await startPooler(database.url);
    await using opened = open(pooler.url);
    await opened.client.prepareIfDirect(5_000);
    assertEquals(await preparedBy(opened.client), []);
  },
});

Deno.test("RenewableClient.prepareIfDirect() rejects where there is no server", async () => {
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
