import postgres from "postgres";
import { openLocalDatabase } from "./local_database.ts";

/** An open database. */
export interface Database extends AsyncDisposable {
  /** The client for everything that the demo stores. */
  readonly sql: postgres.Sql;
  /** The name to show. */
  readonly name: string;
  /** Whether no other process can use the database. */
  readonly exclusive: boolean;
}

/** Parameters that providers put into URLs and that Postgres refuses. */
const FOREIGN_PARAMETERS = ["channel_binding", "pgbouncer"];

/**
 * Opens the database of the demo.
 *
 * @param target The URL of a server, or the folder of a database that runs in
 * this process.
 * @returns The database. No query has been sent to a server yet.
 * @throws {Error} If the folder cannot be used; the message is for people.
 */
export async function openDatabase(
  target: { url: string } | { folder: string },
): Promise<Database> {
  if ("folder" in target) {
    const database = await openLocalDatabase(target.folder);
    return { ...database, name: target.folder, exclusive: true };
  }
  const url = new URL(target.url);
  for (const name of FOREIGN_PARAMETERS) url.searchParams.delete(name);
  const sql = postgres(url.href, {
    max: 4,
    prepare: false,
    connect_timeout: 5,
    // The default grows to 20 s, during which every statement waits.
    backoff: () => 0.5,
    fetch_types: false,
    onnotice: () => {},
  });
  return {
    sql,
    name: `${url.host}${url.pathname}`,
    exclusive: false,
    [Symbol.asyncDispose]: () => sql.end({ timeout: 1 }),
  };
}
