/** What the demo was asked to do. */
export interface DemoArguments {
  /** What to index; empty is the default. */
  readonly paths: readonly string[];
  /** The folder of the database in the process. */
  readonly data?: string;
  /** The database server to use instead. */
  readonly databaseUrl?: string;
  /** Whether to explain the demo and do nothing else. */
  readonly help: boolean;
}

/** Arguments that make no sense. */
export class UsageError extends Error {
  /** The name of the class. */
  override name = "UsageError";
}

/** Each path is a run that keeps a file open. */
const MAX_PATHS = 100;

const OPTIONS: ReadonlyMap<string, "data" | "databaseUrl"> = new Map([
  ["--data", "data"],
  ["--database-url", "databaseUrl"],
]);

/** The explanation that `--help` gives. */
export const USAGE = `Usage: deno task demo [OPTION…] [PATH…]

Indexes the terms of text files, with one pipeline run for each PATH, a file or
a folder. Without a PATH it indexes its own repository, or the current folder
where it does not run from one.

Options:
  --data DIR          keep the database in DIR; by default in a folder under the
                      system's folder for temporary files
  --database-url URL  use a Postgres server, such as
                      postgres://user:password@localhost:5432/database
  -h, --help          explain this
  --                  take what follows as PATHs

Exit status: 0 when every run completed, 1 when one did not or the database
failed, 2 when the arguments make no sense, 130 after Ctrl-C.`;

/**
 * Makes sense of the command line.
 *
 * @param args The arguments behind the script.
 * @returns What they ask for.
 * @throws {UsageError} If an option is unknown, comes twice, lacks its value or
 * contradicts another, or there are too many paths.
 */
export function parseArguments(args: readonly string[]): DemoArguments {
  const paths: string[] = [];
  const values: { data?: string; databaseUrl?: string } = {};
  const rest = [...args];
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg === "-h" || arg === "--help") return { paths: [], help: true };
    if (arg === "--") {
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
  const { data, databaseUrl } = values;
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
  return { paths, ...values, help: false };
}

function isPostgresUrl(text: string): boolean {
  return URL.canParse(text) &&
    ["postgres:", "postgresql:"].includes(new URL(text).protocol);
}
