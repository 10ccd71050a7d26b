import { assert, assertEquals, assertRejects } from "@std/assert";
import { RepositoryError } from "../../mod.ts";
import { connect } from "../../src/postgres/mod.ts";
import { startPostgresServer } from "../../bench/postgres_server.ts";
import { openDatabase } from "./open_database.ts";
import { transition } from "../repository/repository_contract.ts";

Deno.test("connect() makes the tables and closes its connections", async () => {
  await using database = await openDatabase();
  const repository = await connect(database.url);
  await repository.logPipelineRun(transition("STARTED"));
  assertEquals((await repository.listRecent(undefined, 9)).length, 1);
  await repository.close();
  await assertRejects(
    () => repository.listRecent(undefined, 9),
    RepositoryError,
    "CONNECTION_ENDED",
  );
});

Deno.test("connect() removes URL parameters that providers add and Postgres refuses", async () => {
  await using database = await openDatabase();
  const url = new URL(database.url);
  url.searchParams.set("channel_binding", "require");
  url.searchParams.set("pgbouncer", "true");
  await using repository = await connect(url.href, { prepare: true });
  assertEquals(await repository.listRecent(undefined, 1), []);
});

Deno.test("connect() refuses a max that is not a positive integer (fault 9)", async () => {
  for (const max of [0, -1, 1.5, NaN, Infinity]) {
    await assertRejects(() => connect(undefined, { max }), RangeError, "max");
  }
});

Deno.test("connect() rejects within a second if no server listens (fault 22)", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const started = performance.now();
  await assertRejects(
    () => connect(`postgres://nobody@127.0.0.1:${port}/none`),
    RepositoryError,
    "ECONNREFUSED",
  );
  assert(performance.now() - started < 1_000);
});

Deno.test("connect() makes a repository that replaces connections that do not answer", async () => {
  await using server = await startPostgresServer();
  await using repository = await connect(server.url, {
    max: 1,
    statementTimeout: 200,
    onWarning: () => {},
  });
  await repository.logPipelineRun(transition("STARTED"));
  await server.suspend();
  await assertRejects(
    () => repository.listRecent(undefined, 1),
    RepositoryError,
    "did not answer",
  );
  await server.resume();
  assertEquals((await repository.listRecent(undefined, 9)).length, 1);
});

Deno.test("connect() takes DATABASE_URL of the environment by default", async () => {
  await using database = await openDatabase();
  const former = Deno.env.get("DATABASE_URL");
  Deno.env.set("DATABASE_URL", database.url);
  try {
    await using repository = await connect();
    await repository.logPipelineRun(transition("STARTED"));
    const [{ count }] = await database.sql`
      select count(*)::integer from pipeline_runs`;
    assertEquals(count, 1);
  } finally {
    if (former === undefined) Deno.env.delete("DATABASE_URL");
    else Deno.env.set("DATABASE_URL", former);
  }
});
