/** The parsed command line. */
export interface DemoArguments {
  /** What to index; empty means the default path. */
  readonly paths: readonly string[];
  /** The folder of the database that runs in this process. */
  readonly data?: string;
  /** The URL of a database server to use instead. */
  readonly databaseUrl?: string;
  /** The port to serve the page on; if absent, no page is served. */
  readonly port?: number;
  /** Whether to print the help and do nothing else. */
  readonly help: boolean;
}

/** Invalid arguments. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** Each path is a run that holds a file open. */
const MAX_PATHS = 100;

const DEFAULT_PORT = 8000;

const OPTIONS: ReadonlyMap<string, "data" | "databaseUrl" | "port"> = new Map([
  ["--data", "data"],
  ["--database-url", "databaseUrl"],
  ["--port", "port"],
]);

/** The help text. */
export const USAGE = `Usage: deno task demo [OPTION…] [PATH…]

Indexes the terms of text files, with one pipeline run for each PATH, a file or
a folder. Without a PATH it indexes its own repository, or the current folder if
it does not run from a checkout.

With --serve it waits, and serves a page on which runs are started, followed and
aborted. Then PATH is what the page indexes as a sample.

Options:
  --serve             serve the page until Ctrl-C
  --port PORT         serve it on this port of the loopback interface; by default
                      on ${DEFAULT_PORT}, 0 is any free one
  --data DIR          keep the database in DIR; by default in a folder under the
                      system's folder for temporary files
  --database-url URL  use a Postgres server, such as
                      postgres://user:password@localhost:5432/database
  -h, --help          explain this
  --                  take what follows as PATHs

Exit status: 0 when every run completed, 1 when one did not or the database
failed, 2 when the arguments make no sense, 130 after Ctrl-C.`;

/**
 * Parses the command line.
 *
 * @param args The arguments after the script.
 * @throws {UsageError} If an option is unknown, repeated, lacks its value or
 * contradicts another, a value is invalid, or there are too many paths.
 */
export function parseArguments(args: readonly string[]): DemoArguments {
  const paths: string[] = [];
  const values: { data?: string; databaseUrl?: string; port?: string } = {};
  let serve = false;
  const rest = [...args];
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg === "-h" || arg === "--help") return { paths: [], help: true };
    if (arg === "--serve") {
      serve = true;
    } else if (arg === "--") {
      paths.push(...rest.splice(0));
    } else if (arg.startsWith("-") && arg !== "-") {
      const [name, ...inline] = arg.split("=");
      const key = OPTIONS.get(name);
      if (key === undefined) throw new UsageError(`Unknown option: ${name}`);
      const value = inline.length > 0 ? inline.join("=") : rest.shift();
      if (!value || (inline.length === 0 && value.startsWith("--"))) {
        throw new UsageError(`Missing value of option: ${name}`);
      }
      if (values[key] !== undefined) {
        throw new UsageError(`Option given twice: ${name}`);
      }
      values[key] = value;
    } else {
      paths.push(arg);
    }
  }
  const { data, databaseUrl, port } = values;
  if (data !== undefined && databaseUrl !== undefined) {
    throw new UsageError("Only one of --data and --database-url can be given");
  }
  if (databaseUrl !== undefined && !isPostgresUrl(databaseUrl)) {
    throw new UsageError("The --database-url must begin with postgres://");
  }
  if (paths.includes("")) throw new UsageError("A PATH must not be empty");
  if (paths.length > MAX_PATHS) {
    throw new UsageError(
      `At most ${MAX_PATHS} PATHs can be given, received ${paths.length}`,
    );
  }
  if (!serve) {
    if (port !== undefined) throw new UsageError("--port needs --serve");
    return { paths, data, databaseUrl, help: false };
  }
  if (paths.length > 1) {
    throw new UsageError("At most one PATH can be given with --serve");
  }
  return { paths, data, databaseUrl, port: portOf(port), help: false };
}

function portOf(text: string = String(DEFAULT_PORT)): number {
  if (/^\d{1,5}$/.test(text) && Number(text) < 65_536) return Number(text);
  throw new UsageError("The --port must be a number from 0 to 65535");
}

function isPostgresUrl(text: string): boolean {
  return URL.canParse(text) &&
    ["postgres:", "postgresql:"].includes(new URL(text).protocol);
}
