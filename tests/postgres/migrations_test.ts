import { assert, assertEquals, assertRejects } from "@std/assert";
import postgres from "postgres";
import { RepositoryError } from "../../src/model/errors.ts";
import { PipelineRunRegistry } from "../../mod.ts";
import {
  connect,
  migrations,
  PostgresPipelineRunRepository,
  schemaSql,
} from "../../src/postgres/mod.ts";
import * as events from "../../src/postgres/sql/events.ts";
import * as leases from "../../src/postgres/sql/leases.ts";
import { MIGRATE } from "../../src/postgres/sql/migrations.ts";
import * as rows from "../../src/postgres/sql/rows.ts";
import { TABLES } from "../../src/postgres/sql/schema.ts";
import * as status from "../../src/postgres/sql/status.ts";
import * as writes from "../../src/postgres/sql/writes.ts";
import { transition } from "../repository/repository_contract.ts";
import { type Database, openDatabase } from "./open_database.ts";

/** The columns with their types, and the indexes. */
async function layout({ sql, schema }: Database): Promise<string[]> {
  const columns = await sql`
    select concat_ws(
      ' ', table_name, column_name, udt_name, is_nullable, column_default
    ) as line
    from information_schema.columns
    where table_schema = ${schema}`;
  const indexes = await sql`
    select replace(indexdef, ${`${schema}.`}, '') as line
    from pg_indexes
    where schemaname = ${schema}`;
  return [...columns, ...indexes].map(({ line }) => line).sort();
}

async function applied(sql: postgres.Sql): Promise<number[]> {
  const rows = await sql`
    select version from pipeline_run_migrations order by version`;
  return rows.map(({ version }) => version);
}

/** A database in the version that a number of steps leads to. */
async function migrated(steps: number): Promise<Database> {
  const database = await openDatabase();
  for (const { sql } of migrations.slice(0, steps)) {
    await database.sql.unsafe(sql);
  }
  return database;
}

const VERSIONS = migrations.map(({ version }) => version);

Deno.test("migrations are numbered from 1 on", () => {
  assertEquals(VERSIONS, migrations.map((_, index) => index + 1));
});

for (const version of [0, ...VERSIONS]) {
  for (const isRecorded of [true, false]) {
    const recorded = isRecorded ? "" : " that records no steps";
    Deno.test(`PostgresPipelineRunRepository.migrate() brings a database of version ${version}${recorded} forward`, async () => {
      await using fresh = await openDatabase();
      await fresh.sql.unsafe(schemaSql);
      await using database = await migrated(version);
      if (!isRecorded && version > 0) {
        await database.sql`drop table pipeline_run_migrations`;
      }
      await new PostgresPipelineRunRepository(database.sql).migrate();
      assertEquals(await layout(database), await layout(fresh));
      assertEquals(await applied(database.sql), VERSIONS);
    });
  }
}

Deno.test("PostgresPipelineRunRepository.pendingMigrations() lists the steps that tables lack", async () => {
  for (const steps of [0, 1, VERSIONS.length]) {
    await using database = await migrated(steps);
    const { schema, sql } = database;
    await using connection = await openDatabase();
    for (
      const repository of [
        new PostgresPipelineRunRepository(sql),
        new PostgresPipelineRunRepository(connection.sql, { schema }),
      ]
    ) {
      assertEquals(await repository.pendingMigrations(), [
        ...migrations.slice(steps),
      ]);
    }
  }
});

Deno.test("PostgresPipelineRunRepository.pendingMigrations() fails if Postgres does", async () => {
  await using database = await migrated(1);
  await database.sql`drop table pipeline_run_migrations`;
  await database.sql`
    create table pipeline_run_migrations (revision integer)`;
  const repository = new PostgresPipelineRunRepository(database.sql);
  await assertRejects(
    () => repository.pendingMigrations(),
    RepositoryError,
    'column "version" does not exist',
  );
});

Deno.test("migrations can be taken one by one, and again", async () => {
  await using database = await migrated(VERSIONS.length);
  const before = await layout(database);
  for (const { sql } of migrations) await database.sql.unsafe(sql);
  await database.sql.unsafe(schemaSql);
  assertEquals(await layout(database), before);
  assertEquals(await applied(database.sql), VERSIONS);
});

Deno.test("PostgresPipelineRunRepository.migrate() refuses tables of a newer release", async () => {
  await using database = await migrated(VERSIONS.length);
  const repository = new PostgresPipelineRunRepository(database.sql);
  const newer = VERSIONS.length + 1;
  await database.sql`
    insert into pipeline_run_migrations (version, name)
    values (${newer}, 'what is to come')`;
  const before = await layout(database);
  const error = await assertRejects(
    () => repository.migrate(),
    RepositoryError,
    `The tables have version ${newer}, but this release knows only ${VERSIONS.length}`,
  );
  assert(!error.transient);
  assertEquals(await layout(database), before);
});

Deno.test("PostgresPipelineRunRepository.migrate() finds where the attempt of an old lease begins", async () => {
  const first = VERSIONS.length -
    migrations.findIndex(({ name }) => name.startsWith("where the attempt"));
  await using database = await migrated(VERSIONS.length - first);
  const { sql } = database;
  const [once, resumed, silent] = [1, 2, 2].map((generation) => ({
    runId: crypto.randomUUID(),
    generation,
  }));
  for (const { runId, generation } of [once, resumed, silent]) {
    await sql`
      insert into pipeline_run_leases (
        pipeline_run_id, owner, claim, generation, last_seq, expires_at
      )
      values (${runId}, ${runId}, ${runId}, ${generation}, 5, now())`;
  }
  for (const [seq, kind] of [[1, "Started"], [3, "Started"], [5, "Yield"]]) {
    await sql`
      insert into pipeline_run_events (pipeline_run_id, seq, kind, at)
      values (${resumed.runId}, ${seq}, ${kind}, now())`;
  }
  await new PostgresPipelineRunRepository(sql).migrate();
  const found = await sql`
    select pipeline_run_id as id, first_seq::integer as first
    from pipeline_run_leases`;
  assertEquals(
    new Map(found.map(({ id, first }) => [id, first])),
    new Map([[once.runId, 1], [resumed.runId, 3], [silent.runId, 6]]),
  );
});

Deno.test("The statements know the columns that the migrations make", async () => {
  await using database = await migrated(VERSIONS.length);
  const { sql, schema } = database;
  const columns = await sql`
    select table_name as table, column_name as name, udt_name as type
    from information_schema.columns
    where table_schema = ${schema}
      and table_name <> 'pipeline_run_migrations'`;
  const SHORT: Record<string, string> = { integer: "int4", bigint: "int8" };
  assertEquals(
    columns.map(({ table, name, type }) => `${table} ${name} ${type}`).sort(),
    Object.entries(TABLES).flatMap(([table, columns]) =>
      Object.entries(columns).map(([name, type]) =>
        `${table} ${name} ${SHORT[type] ?? type}`
      )
    ).sort(),
  );
});

Deno.test("Every statement finds its tables in a schema that is not in the search path", async () => {
  await using database = await openDatabase();
  const { schema, sql } = database;
  await sql.unsafe(MIGRATE.textIn(schema));
  await sql`create table datasets (id uuid, name text, owner_id uuid)`;
  await using elsewhere = await openDatabase();
  const statements = [events, leases, rows, status, writes]
    .flatMap((module) => Object.values<unknown>(module))
    .flatMap((value) => {
      if (typeof value !== "object" || value === null) return [];
      return "first" in value ? Object.values<unknown>(value) : [value];
    })
    .filter((value) => typeof value === "object" && "textIn" in value!) as {
      textIn(schema: string): string;
    }[];
  assert(statements.length > 20);
  for (const statement of statements) {
    const text = statement.textIn(schema);
    await elsewhere.sql.unsafe(`explain (generic_plan) ${text}`).simple();
  }
});

Deno.test("Instances share their runs in a schema", async () => {
  await using database = await openDatabase();
  const { sql, schema } = database;
  await using elsewhere = await openDatabase();
  const open = () => connect(elsewhere.url, { schema, max: 1 });
  await using one = await open();
  await using other = await open();
  await using registry = new PipelineRunRegistry({ repository: one });
  await using follower = new PipelineRunRegistry({ repository: other });
  const { runId, outcome } = await registry.registerBackground(
    { pipelineName: "work" },
    async function* () {
      yield 1;
    },
  );
  const kinds: string[] = [];
  for await (const { kind } of follower.subscribe(runId)) kinds.push(kind);
  assertEquals(kinds, ["Started", "Yield", "Completed"]);
  assert((await outcome).durable);
  const [{ count }] = await sql`
    select count(*)::int from pipeline_run_events`;
  assertEquals(count, 3);
});

Deno.test("PostgresPipelineRunRepository.migrate() can run repeatedly and from many instances at once", async () => {
  await using database = await openDatabase();
  const clients = Array.from(
    { length: 8 },
    () => postgres(database.url, { max: 1, onnotice: () => {} }),
  );
  try {
    const repositories = clients.map((sql) =>
      new PostgresPipelineRunRepository(sql)
    );
    await Promise.all(repositories.map((repository) => repository.migrate()));
    await repositories[0].migrate();
    await repositories[1].logPipelineRun(transition("STARTED"));
    assertEquals((await repositories[2].listRecent(undefined, 9)).length, 1);
  } finally {
    await Promise.all(clients.map((sql) => sql.end()));
  }
});

Deno.test("PostgresPipelineRunRepository.migrate() does not wait for writers of an existing table", async () => {
  await using database = await openDatabase();
  const repository = new PostgresPipelineRunRepository(database.sql);
  await repository.migrate();
  const writer = postgres(database.url, { max: 1 });
  try {
    await writer.unsafe(
      "begin; lock table pipeline_runs in row exclusive mode",
    );
    await repository.migrate();
    await writer.unsafe("rollback");
  } finally {
    await writer.end();
  }
});

Deno.test("PostgresPipelineRunRepository.migrate() needs no privilege to create where the tables exist", async () => {
  await using database = await openDatabase();
  const { sql, schema, url } = database;
  await new PostgresPipelineRunRepository(sql).migrate();
  const role = `role_${schema}`;
  const asRole = new URL(url);
  asRole.username = role;
  await sql.unsafe(`
    create role ${role} login;
    grant usage on schema ${schema} to ${role};
    grant select, insert, update, delete on all tables in schema ${schema}
      to ${role}`);
  try {
    await using repository = await connect(asRole.href, { max: 1 });
    await using registry = new PipelineRunRegistry({ repository });
    const outcome = await registry.registerInline(
      { pipelineName: "work" },
      () => {},
    );
    assert(outcome.durable);
  } finally {
    await sql.unsafe(`drop owned by ${role}; drop role ${role}`);
  }
});

Deno.test("PostgresPipelineRunRepository.migrate() makes tables in the first schema of the search path, whatever others have", async () => {
  await using database = await openDatabase();
  await using fallback = await openDatabase();
  await new PostgresPipelineRunRepository(fallback.sql).migrate();
  const url = new URL(database.url);
  const path = `${database.schema},${fallback.schema}`;
  url.searchParams.set("search_path", path);
  await using _repository = await connect(url.href, { max: 1 });
  const made = await database.sql`
    select tablename as name from pg_tables where schemaname = ${database.schema}
    union all
    select indexname from pg_indexes where schemaname = ${database.schema}`;
  const expected = await fallback.sql`
    select tablename as name from pg_tables where schemaname = ${fallback.schema}
    union all
    select indexname from pg_indexes where schemaname = ${fallback.schema}`;
  assertEquals(
    made.map(({ name }) => name).sort(),
    expected.map(({ name }) => name).sort(),
  );
});

Deno.test("PostgresPipelineRunRepository.migrate() may take longer than other statements", async () => {
  await using database = await openDatabase();
  const { sql, schema, url } = database;
  await new PostgresPipelineRunRepository(sql).migrate();
  await sql`drop index pipeline_runs_created_at_idx`;
  await sql`delete from pipeline_run_migrations where version = 1`;
  const writer = postgres(url, { max: 1 });
  try {
    await writer`begin`.simple();
    await writer`lock table pipeline_runs in row exclusive mode`;
    await using repository = new PostgresPipelineRunRepository(sql, {
      statementTimeout: 200,
    });
    const migrated = repository.migrate();
    const waits = async () => {
      const [{ count }] = await sql`
        select count(*)::integer from pg_locks
        where relation = ${`${schema}.pipeline_runs`}::regclass
          and not granted`;
      return count > 0;
    };
    const givenUp = performance.now() + 3_000;
    while (!await waits()) assert(performance.now() < givenUp);
    const overdue = performance.now() + 300;
    while (performance.now() < overdue) assert(await waits());
    await writer`commit`.simple();
    await migrated;
  } finally {
    await writer.end({ timeout: 0 });
  }
});

Deno.test("PostgresPipelineRunRepository.migrate() names missing columns (fault 29)", async () => {
  await using database = await openDatabase();
  await database.sql.unsafe(
    schemaSql.replace(/,\s*run_info json/, ""),
  );
  const repository = new PostgresPipelineRunRepository(database.sql);
  const error = await assertRejects(
    () => repository.migrate(),
    RepositoryError,
    "Table pipeline_runs lacks the columns run_info",
  );
  assertEquals(error.transient, false);
});

Deno.test("PostgresPipelineRunRepository.migrate() makes a schema if need be, and leaves the search path as it was", async () => {
  await using database = await openDatabase();
  const schema = `Other_${database.schema}`.slice(0, 63);
  const sql = postgres(database.url, { max: 1 });
  const repository = new PostgresPipelineRunRepository(sql, { schema });
  try {
    await repository.migrate();
    await repository.migrate();
    const [{ here }] = await sql`select current_schema() as here`;
    assertEquals(here, database.schema);
    const places = await sql`
      select distinct schemaname as place from pg_tables
      where tablename = 'pipeline_runs'
        and schemaname in (${schema}, ${database.schema})`;
    assertEquals(places.map(({ place }) => place), [schema]);
  } finally {
    await sql.unsafe(`drop schema if exists "${schema}" cascade`);
    await sql.end();
  }
});
