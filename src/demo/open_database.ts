import postgres from "postgres";
import { withoutForeignParameters } from "../postgres/connect.ts";
import type { Database } from "./database.ts";
import { openLocalDatabase } from "./local_database.ts";

/**
 * Opens the database of the demo.
 *
 * @param target The URL of a server, or the folder of a database that runs in
 * this process.
 * @returns The database. Of a server nothing has been asked yet.
 * @throws {Error} If the folder cannot be used; the message is for people.
 */
export async function openDatabase(
  target: { url: string } | { folder: string },
): Promise<Database> {
  if ("folder" in target) return await openLocalDatabase(target.folder);
  const url = withoutForeignParameters(target.url);
  const sql = postgres(url.href, {
    max: 4,
    prepare: false,
    connect_timeout: 5,
    // By default it grows to 20 s, in which no statement gets an answer.
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
