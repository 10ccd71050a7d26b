import { type Mutation, mutationsOf } from "./mutation.ts";

const TESTS = ["cli/cli_test.ts"];

/** What the command shows, keeps and leaves alone. */
export const CLI_MUTATIONS: readonly Mutation[] = [
  ...mutationsOf("cli/printable.ts", TESTS, [
    ["Control characters are escaped", "\\p{Cc}", ""],
    ["Format characters are escaped", "\\p{Cf}", ""],
  ], "output has no control"),
  ...mutationsOf("cli/find_run.ts", TESTS, [
    [
      "A beginning that several runs have names none",
      "if (others.length === 0) return found;",
      "return found;",
    ],
  ], "abort does not choose"),
  ...mutationsOf("cli/follow_run.ts", TESTS, [
    [
      "A run that ended before tells how",
      "if (last === undefined) last = ",
      "if (last === undefined) ",
    ],
  ], "follow prints events as"),
  ...mutationsOf("cli/follow_run.ts", TESTS, [
    [
      "An unknown run is not awaited",
      "if (await source.get(runId) === undefined) throw",
      "if (false) throw",
    ],
  ], "fail for an unknown run"),
  ...mutationsOf("cli/list_runs.ts", TESTS, [
    [
      "It is told that not all runs were searched",
      "if (newest.length === maxListed && runs.length < limit)",
      "if (newest.length > maxListed)",
    ],
  ], "ls tells that there are more"),
  ...mutationsOf("cli/run_database.ts", TESTS, [
    [
      "The log is kept, unless it is said for how long",
      "logRetention = Infinity",
      "logRetention = 86_400_000",
    ],
  ], "sweep deletes only"),
  ...mutationsOf("cli/run_database.ts", TESTS, [
    ["Only migrate changes tables", "migrate: false", "migrate: true"],
    ["Missing migrations are told", "if (length === 0) ", ""],
  ], "leave a database without tables"),
  ...mutationsOf("cli/source_options.ts", TESTS, [
    ["A header needs a name", "Math.max(colon, 0)", "colon"],
  ], "explains how it is used"),
];
