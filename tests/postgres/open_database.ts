import postgres from "postgres";
import { sharedServerUrl } from "../../bench/postgres_server.ts";

// At import, since what a test starts must end with that test.
const serverUrl: string = await sharedServerUrl();

/** A new schema and a client for it. */
export interface Database extends AsyncDisposable {
  /** A URL that connects any client to the schema. */
  readonly url: string;
  /** The name of the schema. */
  readonly schema: string;
  /** A client whose `search_path` is the schema. */
  readonly sql: postgres.Sql;
}

async function administer(statement: string): Promise<void> {
  const sql = postgres(serverUrl, {
    max: 1,
    onnotice: (): void => {},
    // A leaked connection may hold a lock: fail instead of hanging.
    connection: { lock_timeout: 10_000 },
  });
  try {
    await sql.unsafe(statement);
  } finally {
    await sql.end();
  }
}

/**
 * Opens a database for one test: a new schema, dropped on disposal, on the server
 * that all tests share. Channels of NOTIFY do not belong to a schema: tests share
 * them.
 *
 * @returns The schema with a client, which ends on disposal.
 */
export async function openDatabase(): Promise<Database> {
  const schema = `test_${crypto.randomUUID().replaceAll("-", "")}`;
  await administer(`create schema ${schema}`);
  const url = new URL(serverUrl);
  url.searchParams.set("search_path", schema);
  const sql = postgres(url.href, { onnotice: (): void => {} });
  return {
    url: url.href,
    schema,
    sql,
    async [Symbol.asyncDispose](): Promise<void> {
      await sql.end({ timeout: 1 });
      await administer(`drop schema ${schema} cascade`);
    },
  };
}
