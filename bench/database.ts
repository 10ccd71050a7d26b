import postgres from "postgres";

/** A database for one measurement, on the server that the benchmarks share. */
export interface Database extends AsyncDisposable {
  readonly url: string;
}

/** The server: its URL is handed down by the process that started it. */
function serverUrl(): string {
  const url = Deno.env.get("DATABASE_URL") ?? Deno.env.get("TEST_POSTGRES_URL");
  if (url === undefined) throw new Error("There is no Postgres server");
  return url;
}

/** Starts the server that all children share, unless `DATABASE_URL` names one. */
export async function startServer(): Promise<void> {
  await import("../tests/postgres/postgres_server.ts");
}

/** What the server is. */
export async function serverVersion(): Promise<string> {
  const sql = postgres(serverUrl(), { max: 1 });
  const [{ server_version, fsync }] = await sql`
    select current_setting('server_version') server_version,
      current_setting('fsync') fsync`;
  await sql.end();
  return `PostgreSQL ${server_version}, fsync ${fsync}`;
}

/** Makes a database of its own for a measurement. */
export async function openDatabase(): Promise<Database> {
  const name = `bench_${crypto.randomUUID().replaceAll("-", "")}`;
  await administer(`create database ${name}`);
  const url = new URL(serverUrl());
  url.pathname = `/${name}`;
  return {
    url: url.href,
    [Symbol.asyncDispose]: () =>
      administer(`drop database ${name} with (force)`),
  };
}

async function administer(statement: string): Promise<void> {
  const sql = postgres(serverUrl(), { max: 1, onnotice: () => {} });
  try {
    await sql.unsafe(statement);
  } finally {
    await sql.end();
  }
}
