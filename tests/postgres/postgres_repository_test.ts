import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import postgres from "postgres";
import { type RegistryWarning, RepositoryError } from "../../mod.ts";
import {
  type PostgresClient,
  PostgresPipelineRunRepository,
  type PostgresPipelineRunRepositoryOptions,
} from "../../src/postgres/mod.ts";
import { assertPending } from "../assert_pending.ts";
import { startPostgresServer } from "../../bench/postgres_server.ts";
import { addOperations, COGNEE_TABLE } from "./cognee_table.ts";
import { type Database, openDatabase } from "./open_database.ts";
import {
  testRepository,
  transition,
} from "../repository/repository_contract.ts";
import { StubClient } from "./stub_client.ts";

interface Opened extends AsyncDisposable {
  readonly repository: PostgresPipelineRunRepository;
  readonly database: Database;
}

async function open(
  options?: PostgresPipelineRunRepositoryOptions,
): Promise<Opened> {
  const stack = new AsyncDisposableStack();
  const database = stack.use(await openDatabase());
  const repository = stack.use(
    new PostgresPipelineRunRepository(database.sql, options),
  );
  await repository.migrate();
  return {
    repository,
    database,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

testRepository("PostgresPipelineRunRepository", () => open());

testRepository("PostgresPipelineRunRepository on cognee's table", async () => {
  const stack = new AsyncDisposableStack();
  const { sql } = stack.use(await openDatabase());
  await sql.unsafe(COGNEE_TABLE);
  await addOperations(sql, 1_000);
  const repository = stack.use(new PostgresPipelineRunRepository(sql));
  await repository.migrate();
  return {
    repository,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
});

testRepository("PostgresPipelineRunRepository in a schema", async () => {
  const stack = new AsyncDisposableStack();
  const { sql, schema } = stack.use(await openDatabase());
  const other = `Other_${schema}`.slice(0, 63);
  stack.defer(async () => {
    await sql.unsafe(`drop schema "${other}" cascade`);
  });
  const repository = stack.use(
    new PostgresPipelineRunRepository(sql, { schema: other }),
  );
  await repository.migrate();
  return {
    repository,
    async [Symbol.asyncDispose]() {
      const tables = await sql`
        select from pg_tables where schemaname = ${schema}`;
      assertEquals(tables.length, 0, "tables in the search path");
      await stack.disposeAsync();
    },
  };
});

testRepository(
  "PostgresPipelineRunRepository with a client that renames columns",
  async () => {
    const stack = new AsyncDisposableStack();
    const { url } = stack.use(await openDatabase());
    const sql = postgres(url, {
      transform: postgres.pascal,
      prepare: false,
      max: 1,
    });
    stack.defer(() => sql.end());
    const repository = stack.use(new PostgresPipelineRunRepository(sql));
    await repository.migrate();
    return {
      repository,
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
  },
);

Deno.test("PostgresPipelineRunRepository keeps run_info byte for byte", async () => {
  await using opened = await open();
  const { repository, database } = opened;
  const runInfo = { data: "None", error: "boom" };
  await repository.logPipelineRun(transition("ERRORED", { runInfo }));
  const rows = await database.sql`select run_info::text from pipeline_runs`;
  assertEquals(rows[0].run_info, '{"data":"None","error":"boom"}');
});

Deno.test("PostgresPipelineRunRepository.logPipelineRun() reports a missing table", async () => {
  await using database = await openDatabase();
  await using repository = new PostgresPipelineRunRepository(database.sql);
  const error = await assertRejects(
    () => repository.logPipelineRun(transition("STARTED")),
    RepositoryError,
    'relation "pipeline_runs" does not exist',
  );
  assertEquals(error.transient, false);
});

Deno.test("PostgresPipelineRunRepository dates a row after its run's last row, even if the clock was set back (fault 37)", async () => {
  await using opened = await open();
  const { repository, database } = opened;
  const row = transition("STARTED");
  await repository.logPipelineRun(row);
  await database.sql`
    update pipeline_runs set created_at = now() + interval '1 hour'
  `;
  await repository.logPipelineRun(transition("COMPLETED", {
    pipelineRunId: row.pipelineRunId,
  }));
  const statuses = await database.sql`
    select status from pipeline_runs order by created_at
  `;
  assertEquals(statuses.map((row) => row.status), [
    "DATASET_PROCESSING_STARTED",
    "DATASET_PROCESSING_COMPLETED",
  ]);
});

Deno.test("PostgresPipelineRunRepository.logPipelineRun() refuses only the bad row", async () => {
  await using opened = await open();
  const { repository, database } = opened;
  await database.sql`
    alter table pipeline_runs add check (pipeline_name <> 'poison')
  `;
  const names = Array.from(
    { length: 40 },
    (_, i) => i % 13 === 5 ? "poison" : `pipeline ${i}`,
  );
  const results = await Promise.allSettled(
    names.map((pipelineName) =>
      repository.logPipelineRun(transition("STARTED", { pipelineName }))
    ),
  );
  for (const [i, result] of results.entries()) {
    assertEquals(
      result.status,
      names[i] === "poison" ? "rejected" : "fulfilled",
    );
    if (result.status === "rejected") {
      assertInstanceOf(result.reason, RepositoryError);
      assertEquals(result.reason.transient, false);
    }
  }
  const rows = await repository.listRecent(undefined, 100);
  assertEquals(
    new Set(rows.map((row) => row.pipelineName)),
    new Set(names.filter((name) => name !== "poison")),
  );
});

Deno.test("PostgresPipelineRunRepository writes pending rows in two statements at once", async () => {
  await using opened = await open();
  const { database } = opened;
  let statements = 0;
  const counting: PostgresClient = {
    unsafe: (...args) => {
      statements++;
      return database.sql.unsafe(...args);
    },
  };
  await using repository = new PostgresPipelineRunRepository(counting);
  await Promise.all(
    Array.from(
      { length: 300 },
      () => repository.logPipelineRun(transition("STARTED")),
    ),
  );
  assertEquals(statements, 2);
});

Deno.test("PostgresPipelineRunRepository can repeat a statement whose answer was lost without writing twice (fault 19)", async () => {
  await using opened = await open();
  const { database } = opened;
  let lost = 0;
  const losing: PostgresClient = {
    unsafe: async (...args) => {
      const rows = await database.sql.unsafe(...args);
      const code = ["CONNECTION_CLOSED", "EPIPE"][lost++];
      if (code !== undefined) throw Object.assign(new Error("lost"), { code });
      return rows;
    },
  };
  const warnings: RegistryWarning[] = [];
  await using repository = new PostgresPipelineRunRepository(losing, {
    onWarning: (warning) => warnings.push(warning),
  });
  const row = transition("COMPLETED");
  await Promise.all([
    repository.logPipelineRun(row),
    repository.setPayloadField(row.pipelineRunId, "key", 1),
  ]);
  assertEquals(lost, 3);
  assertEquals((await repository.listRecent(undefined, 9)).length, 1);
  assertEquals(warnings.map((warning) => warning.kind), ["row"]);
});

// postgres.js gives the answers of a busy connection to the wrong callers from
// then on, once a parameter cannot be serialised.
Deno.test("PostgresPipelineRunRepository sends only strings and nulls as parameters (fault 26)", async () => {
  await using opened = await open();
  const { database } = opened;
  const sql = postgres(database.url, { max: 1 });
  const checking: PostgresClient = {
    unsafe: (query, parameters = [], options) => {
      for (const parameter of parameters) {
        assert(typeof parameter === "string", `a ${typeof parameter}`);
      }
      return sql.unsafe(query, parameters, options);
    },
  };
  try {
    await using repository = new PostgresPipelineRunRepository(checking);
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    const bad = [undefined, 1n, cycle, () => {}, Symbol("bad")];
    const rows = Array.from({ length: 50 }, () => transition("STARTED"));
    const results = await Promise.allSettled(rows.flatMap((row, i) => [
      repository.logPipelineRun(row),
      repository.setPayloadField(row.pipelineRunId, "bad", bad[i % 5]),
      repository.logPipelineRun(
        transition("STARTED", { runInfo: { data: bad[i % 5] as never } }),
      ),
      repository.setPayloadField(row.pipelineRunId, "i", i),
      repository.getPayload(row.pipelineRunId),
    ]));
    assertEquals(
      results.filter((_, i) => i % 5 === 1).map(({ status }) => status),
      rows.map(() => "rejected"),
    );
    for (const [i, row] of rows.entries()) {
      const read = await repository.getPipelineRun(row.pipelineRunId);
      assertEquals(read?.pipelineRunId, row.pipelineRunId);
      assertEquals(await repository.getPayload(row.pipelineRunId), { i });
    }
  } finally {
    await sql.end({ timeout: 1 });
  }
});

Deno.test("PostgresPipelineRunRepository.listRecentWithAttribution() returns the names and owners of datasets", async () => {
  await using opened = await open();
  const { repository, database } = opened;
  const datasetId = crypto.randomUUID();
  const ownerId = crypto.randomUUID();
  await database.sql`
    create table datasets (id uuid primary key, name text, owner_id uuid)
  `;
  await database
    .sql`insert into datasets values (${datasetId}, 'docs', ${ownerId})`;
  await repository.logPipelineRun(transition("STARTED"));
  await repository.logPipelineRun(transition("STARTED", { datasetId }));
  const rows = await repository.listRecentWithAttribution(undefined, 10);
  assertEquals(
    rows.map((row) => [row.datasetId, row.datasetName, row.ownerId]),
    [[datasetId, "docs", ownerId], [undefined, undefined, undefined]],
  );
  assertEquals(
    (await repository.listRecentWithAttribution(datasetId, 10)).length,
    1,
  );
});

Deno.test("PostgresPipelineRunRepository.resetOrphans() ends each orphan once, however many callers reset at once (fault 33)", async () => {
  await using opened = await open();
  const { repository, database } = opened;
  const rows = Array.from({ length: 30 }, () => transition("STARTED"));
  await Promise.all(rows.map((row) => repository.logPipelineRun(row)));
  const counts = await Promise.all(
    Array.from({ length: 10 }, () => repository.resetOrphans("gone")),
  );
  assertEquals(counts.reduce((sum, count) => sum + count), 30);
  const [{ count }] = await database.sql`
    select count(*)::int from pipeline_runs
    where status = 'DATASET_PROCESSING_ERRORED'
  `;
  assertEquals(count, 30);
});

Deno.test("PostgresPipelineRunRepository writes again after Postgres was killed and restarted", async () => {
  await using server = await startPostgresServer();
  const sql = postgres(server.url, {
    onnotice: () => {},
    backoff: () => 0.05,
  });
  try {
    await using repository = new PostgresPipelineRunRepository(sql, {
      onWarning: () => {},
    });
    await repository.migrate();
    const before = transition("STARTED");
    await repository.logPipelineRun(before);
    await server.kill("SIGKILL");
    const during = transition("STARTED");
    const logged = repository.logPipelineRun(during, { timeout: Infinity });
    await assertRejects(
      () => repository.getPipelineRun(before.pipelineRunId),
      RepositoryError,
    );
    await assertPending(logged);
    await server.start();
    await logged;
    for (const { pipelineRunId } of [before, during]) {
      const row = await repository.getPipelineRun(pipelineRunId);
      assertEquals(row?.pipelineRunId, pipelineRunId);
    }
  } finally {
    await sql.end({ timeout: 1 });
  }
});

Deno.test("PostgresPipelineRunRepository keeps its time limits while Postgres does not answer (fault 20)", async () => {
  await using server = await startPostgresServer();
  const sql = postgres(server.url, {
    onnotice: () => {},
    backoff: () => 0.05,
  });
  try {
    await using repository = new PostgresPipelineRunRepository(sql, {
      statementTimeout: 500,
      writeTimeout: 1_000,
      onWarning: () => {},
    });
    await repository.migrate();
    const row = transition("STARTED", { id: crypto.randomUUID() });
    await server.suspend();
    const started = performance.now();
    await Promise.all([
      assertRejects(
        () => repository.logPipelineRun(row),
        RepositoryError,
        "Nothing was written in 1000 ms",
      ),
      assertRejects(
        () => repository.listRecent(undefined, 1),
        RepositoryError,
        "Postgres did not answer in 500 ms",
      ),
    ]);
    assert(performance.now() - started < 4_000);
    await server.resume();
    await repository.logPipelineRun(row);
    assertEquals((await repository.listRecent(undefined, 9)).length, 1);
  } finally {
    await sql.end({ timeout: 1 });
  }
});

Deno.test("PostgresPipelineRunRepository refuses writes when too much is pending (fault 21) (fault 22)", async () => {
  const down: PostgresClient = {
    unsafe: () => Promise.reject(new Error("down")),
  };
  const repository = new PostgresPipelineRunRepository(down, {
    maxQueuedBytes: 1_000,
    onWarning: () => {},
  });
  const runId = crypto.randomUUID();
  const waiting = repository.setPayloadField(runId, "key", "x".repeat(900));
  await assertRejects(
    () => repository.setPayloadField(runId, "key", "x".repeat(900)),
    RepositoryError,
    "Too much waits to be written",
  );
  const row = repository.logPipelineRun(transition("COMPLETED"), {
    timeout: Infinity,
  });
  await assertPending(row);
  await Promise.all([
    assertRejects(() => waiting, RepositoryError, "closed"),
    assertRejects(() => row, RepositoryError, "closed"),
    repository.close({ timeout: 0 }),
  ]);
});

Deno.test("PostgresPipelineRunRepository.close() writes what is pending and leaves the client open", async () => {
  await using opened = await open();
  const { repository, database } = opened;
  const logged = repository.logPipelineRun(transition("STARTED"));
  await repository.close();
  await logged;
  const error = await assertRejects(
    () => repository.logPipelineRun(transition("STARTED")),
    RepositoryError,
    "closed",
  );
  assertEquals(error.transient, false);
  const [{ count }] = await database.sql`
    select count(*)::int from pipeline_runs
  `;
  assertEquals(count, 1);
});

Deno.test("PostgresPipelineRunRepository waits 5 s for an answer by default", async () => {
  using time = new FakeTime();
  const repository = new PostgresPipelineRunRepository(new StubClient());
  const rejected = assertRejects(
    () => repository.listRecent(undefined, 1),
    RepositoryError,
    "Postgres did not answer in 5000 ms",
  );
  await time.tickAsync(5_000);
  await rejected;
});

Deno.test("PostgresPipelineRunRepository refuses options that are out of range (fault 9)", () => {
  const client: PostgresClient = { unsafe: () => Promise.resolve([]) };
  assertThrows(
    () => new PostgresPipelineRunRepository(client, { renewInterval: 60_000 }),
    RangeError,
    "renewInterval must be less than leaseDuration",
  );
  const delays = [
    "statementTimeout",
    "leaseDuration",
    "renewInterval",
    "pollInterval",
  ];
  const others = ["writeTimeout", "maxQueuedBytes", "logRetention"];
  for (const name of [...delays, ...others]) {
    const infinite = delays.includes(name) ? [Infinity, 2 ** 31] : [];
    for (const value of [0, -1, NaN, ...infinite]) {
      assertThrows(
        () => new PostgresPipelineRunRepository(client, { [name]: value }),
        RangeError,
        `Cannot create repository: ${name} must be`,
      );
    }
  }
});

Deno.test("PostgresPipelineRunRepository refuses a schema whose name would need quotes", () => {
  const client: PostgresClient = { unsafe: () => Promise.resolve([]) };
  for (const schema of ["", "1a", "a b", 'a"b', "a'b", "a.b", "a".repeat(64)]) {
    assertThrows(
      () => new PostgresPipelineRunRepository(client, { schema }),
      RangeError,
      "Cannot create repository: schema must be",
    );
  }
  for (const schema of ["a", "_A1", "a".repeat(63)]) {
    new PostgresPipelineRunRepository(client, { schema });
  }
});
