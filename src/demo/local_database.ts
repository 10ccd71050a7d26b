import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { PGLiteSocketServer } from "@electric-sql/pglite-socket";
import postgres from "postgres";
import { errorMessage } from "./terminal.ts";

/**
 * Opens a Postgres that runs in this process, and connects to it over the
 * loopback interface.
 *
 * The folder is locked while the database is open, since Postgres itself does not
 * notice that another process uses its files. The lock ends with the process,
 * even if that is killed.
 *
 * @param folder Where the files are kept; it is created if missing.
 * @returns The database. Its client has one connection, since all connections
 * would share one session.
 * @throws {Error} If the folder cannot be used, or another process uses it.
 */
export async function openLocalDatabase(
  folder: string,
): Promise<AsyncDisposable & { sql: postgres.Sql }> {
  await using stack = new AsyncDisposableStack();
  stack.use(await lockFolder(folder));
  const db = stack.adopt(
    await openFiles(folder),
    (db) => db.close(),
  );
  const server = stack.adopt(
    new PGLiteSocketServer({ db, host: "127.0.0.1", port: 0 }),
    (server) => server.stop(),
  );
  await server.start();
  const [host, port] = server.getServerConn().split(":");
  const sql = stack.adopt(
    postgres({
      host,
      port: Number(port),
      username: "postgres",
      database: "postgres",
      ssl: false,
      max: 1,
      max_lifetime: null,
      fetch_types: false,
      onnotice: () => {},
    }),
    (sql) => sql.end({ timeout: 1 }),
  );
  const resources = stack.move();
  return {
    sql,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

async function lockFolder(folder: string): Promise<Deno.FsFile> {
  let file: Deno.FsFile;
  try {
    await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
    file = await Deno.open(join(folder, "lock"), { create: true, write: true });
  } catch (cause) {
    throw new Error(`Cannot use folder ${folder}: ${errorMessage(cause)}`, {
      cause,
    });
  }
  if (await file.tryLock(true)) return file;
  file.close();
  throw new Error(
    `Cannot use folder ${folder}: another process uses it, choose another folder with --data`,
  );
}

async function openFiles(folder: string): Promise<PGlite> {
  const files = join(folder, "pgdata");
  try {
    if (!await isFolder(files)) await makeFiles(files);
    return await PGlite.create(files);
  } catch (cause) {
    throw new Error(
      `Cannot use the database in ${folder}: ${
        errorMessage(cause)
      }; choose another folder with --data`,
      { cause },
    );
  }
}

/** Makes the files under another name, so that incomplete files are never used. */
async function makeFiles(files: string): Promise<void> {
  const draft = `${files}.new`;
  if (await isFolder(draft)) await Deno.remove(draft, { recursive: true });
  const db = await PGlite.create(draft);
  await db.close();
  await Deno.rename(draft, files);
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
