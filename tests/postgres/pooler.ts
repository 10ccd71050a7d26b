import { accepts, hasProgram, randomPort } from "../server_program.ts";

/** A transaction pooler between a test and Postgres. */
export interface Pooler extends AsyncDisposable {
  /** Connects through the pooler. */
  readonly url: string;
  /** Resolves when it has ended, on disposal or by itself. */
  readonly ended: Promise<void>;
}

/** The user that a server without passwords runs as when tests run as root. */
const NOBODY = 65534;

/** Whether there is a pgbouncer on this machine; it says so where there is none. */
export function hasPooler(): Promise<boolean> {
  return hasProgram("pgbouncer", "--version", "a pooler");
}

/**
 * Starts a pgbouncer in transaction mode in front of a server.
 *
 * @param serverUrl The server.
 * @param settings More lines of its configuration.
 */
export async function startPooler(
  serverUrl: string,
  settings: string = "",
): Promise<Pooler> {
  const server = new URL(serverUrl);
  const port = randomPort();
  const folder = await Deno.makeTempDir({ prefix: "pooler_" });
  const users = `${folder}/users.txt`;
  const config = `${folder}/pgbouncer.ini`;
  await Deno.writeTextFile(users, '"postgres" ""\n');
  await Deno.writeTextFile(
    config,
    `[databases]
* = host=${server.hostname} port=${server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${users}
pool_mode = transaction
default_pool_size = 4
ignore_startup_parameters = search_path,extra_float_digits
${settings}
`,
  );
  const isRoot = Deno.uid() === 0;
  if (isRoot) {
    for (const path of [folder, users, config]) {
      await Deno.chown(path, NOBODY, NOBODY);
    }
  }
  const child = new Deno.Command("pgbouncer", {
    args: ["-q", config],
    stdout: "null",
    stderr: "null",
    ...isRoot ? { uid: NOBODY } : {},
  }).spawn();
  let hasEnded = false;
  const ended = child.status.then(() => {
    hasEnded = true;
  });
  const url = new URL(serverUrl);
  url.port = String(port);
  await accepts(port);
  return {
    url: url.href,
    ended,
    async [Symbol.asyncDispose]() {
      if (!hasEnded) child.kill("SIGKILL");
      await ended;
      await Deno.remove(folder, { recursive: true });
    },
  };
}
