import postgres from "postgres";
import { sharedServerUrl } from "./postgres_server.ts";

/** A database for one measurement, dropped on disposal. */
export interface Database extends AsyncDisposable {
  readonly url: string;
}

/** Describes the shared server, which the first call starts. */
export async function serverVersion(): Promise<string> {
  const sql = postgres(await sharedServerUrl(), { max: 1 });
  const [{ server_version, fsync }] = await sql`
    select current_setting('server_version') server_version,
      current_setting('fsync') fsync`;
  await sql.end();
  return `PostgreSQL ${server_version}, fsync ${fsync}`;
}

/** Creates a database for one measurement on the shared server. */
export async function openDatabase(): Promise<Database> {
  const name = `bench_${crypto.randomUUID().replaceAll("-", "")}`;
  await administer(`create database ${name}`);
  const url = new URL(await sharedServerUrl());
  url.pathname = `/${name}`;
  return {
    url: url.href,
    [Symbol.asyncDispose]: () =>
      administer(`drop database ${name} with (force)`),
  };
}

async function administer(statement: string): Promise<void> {
  const sql = postgres(await sharedServerUrl(), {
    max: 1,
    onnotice: () => {},
  });
  try {
    await sql.unsafe(statement);
  } finally {
    await sql.end();
  }
}
