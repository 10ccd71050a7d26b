/**
 * A command for operators: it lists, shows, follows and aborts runs, in a database or
 * through a server, and sweeps and migrates a database.
 *
 * ```sh
 * deno run -A jsr:@pipeline/run-registry/cli ls --status errored
 * ```
 *
 * `deno install -g -A -n run-registry jsr:@pipeline/run-registry/cli` makes it the command
 * `run-registry`, whose `--help` explains the options of each of these:
 *
 * | command | what it does |
 * |---|---|
 * | `ls` | lists the newest runs; `--dataset`, `--pipeline`, `--status`, `--limit` |
 * | `show RUN` | tells all that is known of a run |
 * | `follow RUN` | prints the events of a run until its end; `--after` |
 * | `abort RUN` | aborts a run; `--reason` |
 * | `sweep` | ends the runs of dead instances; with `--log-retention`, `--payload-retention` or `--audit-retention`, it also deletes what is older, in days |
 * | `migrate` | makes the tables, or takes the migrations that they lack |
 *
 * `sweep` takes 20 s when it is the first to find that an instance died. Without options it
 * deletes nothing.
 *
 * `RUN` is a UUID in any spelling, or the beginning of one, as `ls` prints it, if only one
 * of the newest runs has it: the newest 1,000 in a database, the newest 100 of a server.
 * `--pipeline` and `--status` choose among as many; `ls` says so if there are more.
 *
 * **Where the runs are**: in the database `--database-url`, by default `DATABASE_URL`; or
 * where `--url` says that a server has mounted a handler of `./http`. `--header` adds a
 * header such as `Authorization: Bearer …` to each request. A URL with a password is
 * better in the environment than in the arguments, which other users can read. `sweep`
 * and `migrate` need a database. Only `migrate` makes and changes tables; the others fail if
 * migrations are missing.
 *
 * **Output** is for people. With `--json` it is a line of JSON for each value; runs and
 * events are as a server sends them, also from a database (`WireRow`, `WireRun` and
 * `WireEvent` of `./http`). Control characters are escaped in both. Notes, warnings and
 * errors are lines on standard error. Colours are for terminals, unless
 * `NO_COLOR` is set.
 *
 * | exit status | meaning |
 * |---|---|
 * | 0 | done; of `follow`: the run completed |
 * | 1 | failed: the run is unknown, or the source cannot be reached; of `follow` also: the run errored |
 * | 2 | the arguments make no sense |
 * | 130 | Ctrl-C; the run that was followed goes on |
 *
 * **Permissions**: `--allow-net=HOST:PORT` of the database or server, and
 * `--allow-env=DATABASE_URL,PG*,NO_COLOR,FORCE_COLOR,CLICOLOR_FORCE`.
 *
 * @example Follow a run of a server
 * ```sh
 * run-registry follow 5f0c2d81 --url https://example.com/api --header "Authorization: Bearer $TOKEN"
 * ```
 *
 * @example Abort what is running
 * ```sh
 * run-registry ls --status started --json | jq -r .pipeline_run_id | xargs -n1 run-registry abort
 * ```
 *
 * @module
 */
import process from "node:process";
import { complain } from "./complain.ts";
import { runProgram } from "./program.ts";

if (import.meta.main) {
  process.once("SIGINT", () => process.exit(130));
  process.stdout.on("error", ({ code, message }: NodeJS.ErrnoException) => {
    // Whoever reads the output may have had enough.
    if (code === "EPIPE") process.exit(0);
    complain(`Cannot write the output: ${message}`);
    process.exit(1);
  });
  // Not exit(): what is written to a pipe may still be on its way.
  process.exitCode = await runProgram(process.argv.slice(2));
}
