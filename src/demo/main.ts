/**
 * A demo that indexes the terms of text files, with one pipeline run for each path
 * and the audit trail in a Postgres that runs in this process. With `--serve` it
 * serves a page on which runs are started, watched and aborted; it may be reloaded
 * at any time. Two servers with the same `--database-url` show each other's runs.
 *
 * In a checkout run `deno task demo --help`, which lists the options and grants
 * the permissions, elsewhere
 *
 * ```sh
 * deno run -A jsr:@pipeline/run-registry/demo --help
 * ```
 *
 * @module
 */
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { parseArguments, USAGE, UsageError } from "./arguments.ts";
import { indexPaths } from "./index_paths.ts";
import { Interruption } from "./interruption.ts";
import { openDatabase } from "./open_database.ts";
import { servePage } from "./serve_page.ts";
import { errorMessage, standardOutput } from "./terminal.ts";

/**
 * Runs the demo.
 *
 * @param args The arguments after the script.
 * @returns The exit status.
 */
export async function main(args: readonly string[]): Promise<number> {
  using listening = new DisposableStack();
  let interruption: Interruption | undefined;
  try {
    const { help, paths, data, databaseUrl, port } = parseArguments(args);
    if (help) {
      console.log(USAGE);
      return 0;
    }
    const folder = data ?? join(tmpdir(), "run-registry-demo");
    await using database = await openDatabase(
      databaseUrl === undefined ? { folder } : { url: databaseUrl },
    );
    console.log(`Database: ${database.name}`);
    // Not earlier: creating a database blocks signals for seconds, and can be
    // killed without harm.
    interruption = listening.use(new Interruption());
    const { signal } = interruption;
    const [path = defaultPath()] = paths;
    if (port !== undefined) {
      await servePage(database, { port, sample: path, signal });
      return interruption.exitCode ?? 1;
    }
    const completed = await indexPaths(database, {
      paths: paths.length > 0 ? paths : [path],
      terminal: standardOutput(),
      signal,
    });
    return interruption.exitCode ?? (completed ? 0 : 1);
  } catch (error) {
    // The first of several errors is the reason; the others come from closing.
    let first = error;
    while (first instanceof SuppressedError) first = first.suppressed;
    console.error(errorMessage(first));
    if (error instanceof UsageError) {
      console.error("Try --help");
      return 2;
    }
    return interruption?.exitCode ?? 1;
  }
}

/** This repository, or the current folder if this is not a checkout. */
function defaultPath(): string {
  const folder = import.meta.dirname;
  return folder === undefined
    ? "."
    : relative(Deno.cwd(), join(folder, "../..")) || ".";
}

if (import.meta.main) Deno.exit(await main(Deno.args));
