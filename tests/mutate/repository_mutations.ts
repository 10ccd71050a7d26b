import { type Mutation, mutationsOf } from "./mutation.ts";

/** The log of a repository that keeps rows only, and the repository in memory. */
export const REPOSITORY_MUTATIONS: readonly Mutation[] = [
  ...mutationsOf("repository/rows_only_log.ts", [
    "repository/rows_only_log_test.ts",
  ], [
    [
      "Rows wait behind a refused one",
      "if (this.#refused.length > 0) return await this.#writeAgain(row);",
      "",
    ],
    [
      "A row that is finally refused is not retried",
      "isFinal(cause) || this.#abandoned || place < this.#sent",
      "this.#abandoned || place < this.#sent",
    ],
    [
      "An abandoned row is not retried",
      "isFinal(cause) || this.#abandoned || place < this.#sent",
      "isFinal(cause) || place < this.#sent",
    ],
    [
      "A row before the newest is not retried",
      "isFinal(cause) || this.#abandoned || place < this.#sent",
      "isFinal(cause) || this.#abandoned",
    ],
    [
      "One retry is under way at a time",
      "if (this.#refused.length === 1) this.#retry();",
      "this.#retry();",
    ],
    [
      "The first retry is after 100 ms",
      "minTimeout: 100,",
      "minTimeout: 200,",
    ],
    [
      "Retries are at most 5 s apart",
      "maxTimeout: 5_000,",
      "maxTimeout: 50_000,",
    ],
    [
      "A retried row may be finally refused",
      "        if (!isFinal(error)) throw error;\n",
      "        throw error;\n",
    ],
    [
      "A retried row is retried again",
      "        if (!isFinal(error)) throw error;\n",
      "",
    ],
    [
      "What is written leaves the queue",
      "      this.#refused.shift();\n",
      "",
    ],
    [
      "abandon() ends the retries",
      "    this.#retrying?.abort();\n",
      "",
    ],
    [
      "abandon() refuses all that wait",
      "      for (const { reject } of this.#refused.splice(0)) reject(error);\n",
      "      this.#refused.shift()?.reject(error);\n",
    ],
    [
      "A permanent RepositoryError is final",
      "error instanceof RepositoryError && !error.transient",
      "false",
    ],
    [
      "A transient RepositoryError is not final",
      "error instanceof RepositoryError && !error.transient",
      "error instanceof RepositoryError",
    ],
    [
      "Other errors are not final",
      "error instanceof RepositoryError && !error.transient",
      "!(error as RepositoryError).transient",
    ],
  ]),
  ...mutationsOf("repository/memory_repository.ts", [
    "repository/memory_repository_test.ts",
  ], [
    [
      "A run that has started again is not forgotten as an ended one",
      "      if (!isFinal(run.rows.at(-1)!)) continue;\n",
      "",
    ],
    [
      "What a caller passed is copied",
      "return { ...checked, runInfo: copyOf(runInfo) };",
      "return checked;",
    ],
    ["A run's rows are bounded", "...rows.slice(1 - MAX_ROWS)", "...rows"],
    [
      "A run is queued once",
      "isFinal(row) && !run.isQueued",
      "isFinal(row)",
    ],
  ]),
];
