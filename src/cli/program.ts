import {
  Command,
  CommanderError,
  InvalidArgumentError,
  Option,
} from "commander";
import type { RegistryWarning } from "../../mod.ts";
import { abortRun } from "./abort_run.ts";
import { complain, describeError } from "./complain.ts";
import { findRun, parseRun, parseUuid } from "./find_run.ts";
import { followRun } from "./follow_run.ts";
import { listRuns, type ListRunsOptions } from "./list_runs.ts";
import { migrateTables } from "./migrate_tables.ts";
import { Output } from "./output.ts";
import { connectDatabase, RunDatabase } from "./run_database.ts";
import { RunServer } from "./run_server.ts";
import type { RunSource } from "./run_source.ts";
import { showRun } from "./show_run.ts";
import { databaseOf, serverOf, type SourceOptions } from "./source_options.ts";
import { sweepDatabase } from "./sweep_database.ts";
import { UsageError } from "./usage_error.ts";

/** The options of every command. */
interface CommonOptions extends SourceOptions {
  json?: boolean;
}

/** After how many milliseconds `sweep` deletes what. */
interface SweepOptions extends CommonOptions {
  logRetention?: number;
  payloadRetention?: number;
  auditRetention?: number;
}

const DAY = 86_400_000;

const RUN = ["<run>", "its UUID, or the beginning that ls prints"] as const;

const NOTES = `
Exit status: 0 when it is done, 1 when it failed or the run that was followed
errored, 2 when the arguments make no sense, 130 after Ctrl-C.`;

/**
 * Runs a command.
 *
 * @param args The arguments after the script.
 * @returns The exit status.
 */
export async function runProgram(args: readonly string[]): Promise<number> {
  let exitCode = 0;
  const program = makeProgram({ onErrored: () => exitCode = 1 });
  try {
    await program.parseAsync(args, { from: "user" });
    return exitCode;
  } catch (error) {
    // commander has told the reason, or was asked for help.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    complain(describeError(error));
    return error instanceof UsageError ? 2 : 1;
  }
}

/**
 * The commands.
 *
 * @param options `onErrored` is called when a run that was followed has errored.
 */
function makeProgram({ onErrored }: { onErrored: () => void }): Command {
  const program = new Command("run-registry")
    .description("Lists, shows, follows and aborts the runs of a registry.")
    .addHelpText("after", NOTES)
    .exitOverride()
    .configureOutput({
      outputError: (text) =>
        complain(
          text.trim().replaceAll("\n", " ")
            .replace(/^error: (.)/, (_, first) => first.toUpperCase()),
        ),
    });
  add(program, "ls", "list the newest runs, newest first")
    .option("--dataset <uuid>", "only runs on this dataset", parseUuid)
    .option("--pipeline <name>", "only runs of this pipeline")
    .addOption(
      new Option("--status <status>", "only runs in this status")
        .choices(["initiated", "started", "completed", "errored"]),
    )
    .option("--limit <number>", "how many at most", parseLimit, 50)
    .action((options: ListRunsOptions & CommonOptions) =>
      withSource(options, (source, output) => listRuns(source, options, output))
    );
  add(program, "show", "tell all that is known of a run")
    .argument(...RUN, parseRun)
    .action((name: string, options: CommonOptions) =>
      withSource(options, async (source, output) => {
        await showRun(source, await findRun(source, name), output);
      })
    );
  add(program, "follow", "print the events of a run until its end")
    .argument(...RUN, parseRun)
    .option("--after <number>", "only events after this one", parseNumber)
    .action((name: string, options: CommonOptions & { after?: number }) =>
      withSource(options, async (source, output) => {
        const runId = await findRun(source, name);
        const completed = await followRun(source, runId, options.after, output);
        if (!completed) onErrored();
      })
    );
  add(program, "abort", "abort a run")
    .argument(...RUN, parseRun)
    .option("--reason <text>", "what its last event and its row are to say")
    .action((name: string, options: CommonOptions & { reason?: string }) =>
      withSource(options, async (source, output) => {
        const runId = await findRun(source, name);
        await abortRun(source, runId, options.reason, output);
      })
    );
  add(program, "sweep", "end the runs of dead instances, delete what is old")
    .option("--log-retention <days>", "delete older events", parseDays)
    .option("--payload-retention <days>", "delete older results", parseDays)
    .option("--audit-retention <days>", "delete older rows", parseDays)
    .action(async (options: SweepOptions) => {
      const { url, schema } = databaseOf(options);
      const { logRetention, payloadRetention, auditRetention } = options;
      await using database = await RunDatabase.open(url, {
        schema,
        logRetention,
        payloadRetention,
        auditRetention,
        onWarning,
      });
      await sweepDatabase(database, new Output(options));
    });
  add(program, "migrate", "make the tables, or bring them up to date")
    .action(async (options: CommonOptions) => {
      const { url, schema } = databaseOf(options);
      await using repository = await connectDatabase(url, {
        schema,
        onWarning,
      });
      await migrateTables(repository, new Output(options));
    });
  return program;
}

/** Adds a command with the options of every command. */
function add(program: Command, name: string, description: string): Command {
  return program.command(name).description(description)
    .option("--database-url <url>", "the database, instead of DATABASE_URL")
    .option("--schema <name>", "the schema of its tables")
    .option("--url <url>", "a server to ask instead of a database")
    .option("--header <header>", 'send a "Name: value" with requests', collect)
    .option("--json", "print values as lines of JSON");
}

/** Opens what the options name, and closes it after its use. */
async function withSource(
  options: CommonOptions,
  use: (source: RunSource, output: Output) => Promise<void>,
): Promise<void> {
  await using source = await openSource(options);
  await use(source, new Output(options));
}

async function openSource(options: SourceOptions): Promise<RunSource> {
  const server = serverOf(options);
  if (server !== undefined) return new RunServer(server.url, server.headers);
  const { url, schema } = databaseOf(options);
  return await RunDatabase.open(url, { schema, onWarning });
}

function onWarning({ message, cause }: RegistryWarning): void {
  complain(
    cause === undefined ? message : `${message}: ${describeError(cause)}`,
  );
}

function collect(value: string, values: string[] = []): string[] {
  return [...values, value];
}

function parseNumber(text: string): number {
  const number = /^\d+$/.test(text) ? Number(text) : NaN;
  if (Number.isSafeInteger(number)) return number;
  throw new InvalidArgumentError("It must be a non-negative integer.");
}

function parseLimit(text: string): number {
  const limit = parseNumber(text);
  if (limit > 0) return limit;
  throw new InvalidArgumentError("It must be a positive integer.");
}

function parseDays(text: string): number {
  const days = /^\d*\.?\d+$/.test(text) ? Number(text) : NaN;
  if (days > 0) return days * DAY;
  throw new InvalidArgumentError("It must be a positive number of days.");
}
