import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { RepositoryError } from "../../src/model/errors.ts";
import type { PostgresClient } from "../../src/postgres/client/client.ts";
import {
  closedError,
  Database,
  isDuplicate,
} from "../../src/postgres/client/database.ts";
import { statement } from "../../src/postgres/sql/statement.ts";
import { assertPending } from "../assert_pending.ts";
import { fixRandom } from "../fix_random.ts";
import { passTime } from "../pass_time.ts";
import { postgresError, StubClient } from "./stub_client.ts";

const GREET = statement("greet", { who: "text" }, ({ who }) => `select ${who}`);
const VALUES = { who: "Ada" };

/** A database whose every statement fails, and when each was sent. */
function failing(error: unknown): { database: Database; sentAt: number[] } {
  const sentAt: number[] = [];
  const start = Date.now();
  const client: PostgresClient = {
    unsafe() {
      sentAt.push(Date.now() - start);
      return Promise.reject(error);
    },
  };
  return { database: new Database(client, 1_000), sentAt };
}

/** The error that a promise rejects with. */
async function errorOf(promise: Promise<unknown>): Promise<RepositoryError> {
  return await assertRejects(() => promise, RepositoryError);
}

Deno.test("Database.execute() sends the text and the values of a statement, to be prepared", async () => {
  const sent: unknown[] = [];
  const client: PostgresClient = {
    unsafe(...args) {
      sent.push(args);
      return Promise.resolve([]);
    },
  };
  assertEquals(await new Database(client, 1_000).execute(GREET, VALUES), []);
  const { signal } = new AbortController();
  const options = { prepare: true, signal };
  assertEquals(sent, [[GREET.text, ["Ada"], options]]);
});

Deno.test("Database.execute() parses the only column of each row, whatever its name", async () => {
  const client: PostgresClient = {
    unsafe: () => Promise.resolve([{ json: '{"a":1}' }, { camelCased: "[2]" }]),
  };
  assertEquals(
    await new Database(client, 1_000).execute(GREET, VALUES),
    [{ a: 1 }, [2]],
  );
});

Deno.test("Database.execute() leaves out the empty places of an answer", async () => {
  const rows: unknown[] = [];
  rows[2] = { json: '"first"' };
  rows[3] = { json: '"second"' };
  const client: PostgresClient = { unsafe: () => Promise.resolve(rows) };
  assertEquals(
    await new Database(client, 1_000).execute(GREET, VALUES),
    ["first", "second"],
  );
});

Deno.test("Database.execute() accepts an answer that is only thenable", async () => {
  const client: PostgresClient = {
    unsafe: () => ({
      then: (...callbacks) =>
        Promise.resolve([{ json: "1" }]).then(...callbacks),
    }),
  };
  assertEquals(await new Database(client, 1_000).execute(GREET, VALUES), [1]);
});

Deno.test("Database.execute() rejects with a transient RepositoryError at its deadline, and not before", async () => {
  using time = new FakeTime();
  const executed = new Database(new StubClient(), 300).execute(GREET, VALUES);
  const rejected = errorOf(executed);
  await time.tickAsync(299);
  await assertPending(executed);
  await time.tickAsync(1);
  const { message, transient, cause } = await rejected;
  assertEquals(message, "Postgres did not answer in 300 ms");
  assert(transient);
  assert(cause instanceof DOMException);
  assertEquals(cause.name, "TimeoutError");
});

Deno.test("Database.execute() tells the client once of each missed deadline", async () => {
  using time = new FakeTime();
  const client = new StubClient();
  const rejected = errorOf(new Database(client, 300).execute(GREET, VALUES));
  await time.tickAsync(299);
  assertEquals(client.missed, 0);
  await time.tickAsync(1_000);
  await rejected;
  assertEquals(client.missed, 1);
});

Deno.test("Database.execute() misses its deadline on a client that knows no signals", async () => {
  using time = new FakeTime();
  const client = { unsafe: () => new Promise<never>(() => {}) };
  const rejected = errorOf(new Database(client, 300).execute(GREET, VALUES));
  await time.tickAsync(300);
  assertEquals((await rejected).message, "Postgres did not answer in 300 ms");
});

Deno.test("Database.execute() takes only a TimeoutError for a missed deadline", async () => {
  for (
    const cause of [
      new DOMException("gone", "AbortError"),
      Object.assign(new Error("gone"), { name: "TimeoutError" }),
    ]
  ) {
    const client = new StubClient();
    client.rows["greet"] = () => {
      throw cause;
    };
    const error = await errorOf(
      new Database(client, 1_000).execute(GREET, VALUES),
    );
    assertEquals(error.message, "Postgres failed: gone");
    assertStrictEquals(error.cause, cause);
    assertEquals(client.missed, 0);
  }
});

Deno.test("Database.execute() rejects when the client throws", async () => {
  const cause = new Error("closed");
  const client: PostgresClient = {
    unsafe() {
      throw cause;
    },
  };
  const error = await errorOf(
    new Database(client, 1_000).execute(GREET, VALUES),
  );
  assertEquals(error.message, "Postgres failed: closed");
  assertStrictEquals(error.cause, cause);
});

Deno.test("Database.execute() reports the message of an error, else its code, else the error", async () => {
  const messages = await Promise.all(
    [postgresError("42P01", "no table"), postgresError("42P01", ""), "gone"]
      .map(async (cause) => {
        const { database } = failing(cause);
        return (await errorOf(database.execute(GREET, VALUES))).message;
      }),
  );
  assertEquals(messages, [
    "Postgres failed: no table",
    "Postgres failed: 42P01",
    "Postgres failed: gone",
  ]);
});

/** The codes of errors, and whether the same statement may succeed later. */
const CODES: readonly (readonly [code: unknown, transient: boolean])[] = [
  ["08000", true], // connection_exception
  ["08001", true], // sqlclient_unable_to_establish_sqlconnection
  ["08006", true], // connection_failure
  ["25006", true], // read_only_sql_transaction
  ["40001", true], // serialization_failure
  ["40P01", true], // deadlock_detected
  ["53100", true], // disk_full
  ["53200", true], // out_of_memory
  ["53300", true], // too_many_connections
  ["55P03", true], // lock_not_available
  ["57014", true], // query_canceled
  ["57P01", true], // admin_shutdown
  ["57P02", true], // crash_shutdown
  ["57P03", true], // cannot_connect_now
  ["58030", true], // io_error
  ["58P01", true], // undefined_file

  ["0A000", false], // feature_not_supported
  ["22003", false], // numeric_value_out_of_range
  ["22P05", false], // untranslatable_character
  ["23502", false], // not_null_violation
  ["23505", false], // unique_violation
  ["23514", false], // check_violation
  ["25001", false], // active_sql_transaction
  ["25P02", false], // in_failed_sql_transaction
  ["28P01", false], // invalid_password
  ["42501", false], // insufficient_privilege
  ["42703", false], // undefined_column
  ["42P01", false], // undefined_table
  ["54000", false], // program_limit_exceeded
  ["55006", false], // object_in_use
  ["XX000", false], // internal_error
  ["ZZZZ9", false], // a class that Postgres does not have

  // These are not SQLSTATEs.
  ["CONNECTION_CLOSED", true],
  ["CONNECTION_ENDED", true],
  ["ECONNREFUSED", true],
  ["ECONNRESET", true],
  ["EPIPE", true],
  ["ETIMEDOUT", true],
  ["ERR_SHA256", true],
  ["SSLV3_ALERT", true],
  ["2350", true],
  ["", true],
  [23505, true],
  [undefined, true],
];

for (const [code, transient] of CODES) {
  const kind = transient ? "transient" : "permanent";
  Deno.test(`Database.execute() rejects with a ${kind} error for the code ${Deno.inspect(code)} (fault 23)`, async () => {
    const { database } = failing(postgresError(code));
    const error = await errorOf(database.execute(GREET, VALUES));
    assertEquals(error.transient, transient);
  });
}

Deno.test("Database.execute() sends a statement once, even after a transient error", async () => {
  using time = new FakeTime();
  const { database, sentAt } = failing(postgresError());
  await errorOf(database.execute(GREET, VALUES));
  await time.tickAsync(10_000);
  assertEquals(sentAt, [0]);
});

Deno.test("Database.query() repeats a statement after a transient error until it succeeds", async () => {
  using time = new FakeTime();
  const client = new StubClient();
  client.rows["greet"] = () => {
    if (client.sent.length < 3) throw postgresError("57P01");
    return ["Hello"];
  };
  const queried = new Database(client, 1_000).query(GREET, VALUES);
  await passTime(time, 4_000);
  assertEquals(await queried, ["Hello"]);
  assertEquals(
    client.sent.map(({ name, parameters }) => [name, parameters]),
    Array(3).fill(["greet", ["Ada"]]),
  );
});

Deno.test("Database.query() does not repeat a statement after a permanent error (fault 23)", async () => {
  using time = new FakeTime();
  const cause = postgresError("42P01");
  const { database, sentAt } = failing(cause);
  const error = await errorOf(database.query(GREET, VALUES));
  assertStrictEquals(error.cause, cause);
  await time.tickAsync(10_000);
  assertEquals(sentAt, [0]);
});

Deno.test("Database.query() does not repeat a statement that missed its deadline", async () => {
  using time = new FakeTime();
  const client = new StubClient();
  const rejected = errorOf(new Database(client, 300).query(GREET, VALUES));
  await time.tickAsync(300);
  assertEquals((await rejected).message, "Postgres did not answer in 300 ms");
  await time.tickAsync(10_000);
  assertEquals(client.names, ["greet"]);
});

for (
  const { random, expected } of [
    { random: 0, expected: [0, 50, 150, 350, 750, 1_550, 2_550, 3_550] },
    { random: 1, expected: [0, 25, 75, 175, 375, 775, 1_275, 1_775] },
  ]
) {
  Deno.test(`Database.query() tries 8 times in ${expected.at(-1)} ms where Math.random() is ${random} (fault 23)`, async () => {
    using time = new FakeTime();
    using _ = fixRandom(random);
    const { database, sentAt } = failing(postgresError());
    const rejected = errorOf(database.query(GREET, VALUES));
    await passTime(time, 4_000);
    await rejected;
    assertEquals(sentAt, expected);
  });
}

Deno.test("Database.query() repeats a persistent statement until its time is over", async () => {
  using time = new FakeTime();
  const { database, sentAt } = failing(postgresError());
  let rejected = false;
  const queried = errorOf(
    database.query(GREET, VALUES, { persistence: 30_000 }),
  ).finally(() => rejected = true);
  await passTime(time, 29_000);
  assert(sentAt.length > 8 && !rejected);
  await passTime(time, 3_000);
  await queried;
});

Deno.test("Database.query() repeats a persistent statement that missed its deadline", async () => {
  using time = new FakeTime();
  const client = new StubClient();
  const queried = new Database(client, 1_000).query(GREET, VALUES, {
    persistence: 30_000,
  });
  await passTime(time, 1_500);
  assertEquals(client.sent.length, 2);
  client.sent[1].answer("hello");
  assertEquals(await queried, ["hello"]);
});

Deno.test("Database.query() is not persistent after close()", async () => {
  using time = new FakeTime();
  const { database, sentAt } = failing(postgresError());
  database.close();
  const queried = errorOf(
    database.query(GREET, VALUES, { persistence: 30_000 }),
  );
  await passTime(time, 5_000);
  await queried;
  assertEquals(sentAt.length, 8);
});

Deno.test("Database.query() does not repeat a persistent statement that can never succeed", async () => {
  using _time = new FakeTime();
  const { database, sentAt } = failing(postgresError("42P01"));
  await errorOf(database.query(GREET, VALUES, { persistence: 30_000 }));
  assertEquals(sentAt.length, 1);
});

Deno.test("Database.query() of a persistent statement leaves no timer", async () => {
  const client = new StubClient();
  client.rows["greet"] = () => ["Hello"];
  // In real time: the test fails if it leaves a timer.
  const database = new Database(client, 1_000);
  const answer = await database.query(GREET, VALUES, { persistence: 60_000 });
  assertEquals(answer, ["Hello"]);
});

Deno.test("Database.query() does not repeat a statement whose values cannot be sent", async () => {
  const client = new StubClient();
  const error = new TypeError("no text");
  let asked = 0;
  const who = {
    toString() {
      asked++;
      throw error;
    },
  };
  const queried = new Database(client, 1_000).query(GREET, {
    who: who as unknown as string,
  });
  assertStrictEquals(await assertRejects(() => queried), error);
  assertEquals([asked, client.sent.length], [1, 0]);
});

Deno.test("Database.query() rejects with the error of its last attempt", async () => {
  using time = new FakeTime();
  const client = new StubClient();
  client.rows["greet"] = () => {
    throw postgresError("57P01", `no ${client.sent.length}`);
  };
  const rejected = errorOf(new Database(client, 1_000).query(GREET, VALUES));
  await passTime(time, 5_000);
  const error = await rejected;
  assertEquals(error.message, "Postgres failed: no 8");
  assert(error.transient);
});

Deno.test("Database.close() ends the retries that are under way", async () => {
  using time = new FakeTime();
  const { database, sentAt } = failing(postgresError("57P01"));
  const rejected = errorOf(database.query(GREET, VALUES));
  await time.runMicrotasks();
  database.close();
  assertEquals((await rejected).message, closedError().message);
  await time.tickAsync(10_000);
  assertEquals(sentAt, [0]);
});

Deno.test("Database.query() is answered after close(), as long as the client is open", async () => {
  const client = new StubClient();
  client.rows["greet"] = () => ["Hello"];
  const database = new Database(client, 1_000);
  database.close();
  assertEquals(await database.query(GREET, VALUES), ["Hello"]);
});

Deno.test("closedError() is permanent", () => {
  const { message, transient } = closedError();
  assertEquals(message, "The repository was closed");
  assert(!transient);
});

Deno.test("isDuplicate() knows a unique violation by the code of its cause", async () => {
  for (const [code, expected] of [["23505", true], ["23514", false]] as const) {
    const { database } = failing(postgresError(code));
    const error = await errorOf(database.execute(GREET, VALUES));
    assertEquals(isDuplicate(error), expected);
  }
  assert(!isDuplicate(new Error("no cause")));
});

Deno.test("Database.execute() treats an answer that is not JSON as a transient failure", async () => {
  for (const row of [{ id: "not JSON" }, {}]) {
    const client: PostgresClient = { unsafe: () => Promise.resolve([row]) };
    const error = await errorOf(
      new Database(client, 1_000).execute(GREET, VALUES),
    );
    assert(error.transient);
  }
});

Deno.test("Database.execute() wraps a rejection with undefined", async () => {
  const { database } = failing(undefined);
  await errorOf(database.execute(GREET, VALUES));
});
