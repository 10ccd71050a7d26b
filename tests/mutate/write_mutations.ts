import { type Mutation, mutationsOf } from "./mutation.ts";

/** What group commits send. */
export const WRITE_MUTATIONS: readonly Mutation[] = [
  ...mutationsOf("postgres/write/group_writer.ts", [
    "postgres/group_writer_test.ts",
  ], [
    [
      "Only a RepositoryError may be the row's fault",
      "!(error instanceof RepositoryError) || error.transient ||",
      "(error as RepositoryError).transient ||",
    ],
    [
      "A transient error is not the row's fault",
      "!(error instanceof RepositoryError) || error.transient ||",
      "!(error instanceof RepositoryError) ||",
    ],
    [
      "Nothing of a group is written without its row",
      'writes.length > 1 || write.kind !== "step"',
      'write.kind !== "step"',
    ],
    [
      "Only a step is written without its row",
      'write.kind !== "step" || write.row === undefined',
      'write.kind === "field" || write.row === undefined',
    ],
    [
      "A step without a row is not written again",
      'write.kind !== "step" || write.row === undefined',
      'write.kind !== "step"',
    ],
    [
      "A lost lease goes before a refused row",
      "refused.get(bare) ?? error",
      "error",
    ],
    [
      "A refused row is reported",
      "refused.get(bare) ?? error",
      "refused.get(bare)!",
    ],
    [
      "Rows without steps need no lease",
      "if (steps.length === 0) {",
      "if (false) {",
    ],
    [
      "Rows beside whole runs are written",
      "steps.length === writes.length && runs.every(isWhole)",
      "runs.every(isWhole)",
    ],
    [
      "Every run must be whole to need no lease",
      "runs.every(isWhole)",
      "runs.some(isWhole)",
    ],
    [
      "The steps of a lost run are refused",
      "steps.filter(({ claim }) => lost.has(claim.runId))",
      "steps.filter(() => false)",
    ],
    [
      "No other steps are refused",
      "steps.filter(({ claim }) => lost.has(claim.runId))",
      "steps.filter(() => lost.size > 0)",
    ],
    [
      "What is written already is skipped",
      "if (!isDuplicate(error)) throw error;",
      "throw error;",
    ],
    [
      "Only a duplicate is written again",
      "if (!isDuplicate(error)) throw error;",
      "",
    ],
    [
      "The answer is the statement's",
      "if (answer.statementId === values.statementId) return answer;",
      "return answer;",
    ],
    [
      "The highest number counts",
      "Math.max(change.lastSeq, event?.seq ?? 0)",
      "event?.seq ?? 0",
    ],
    [
      "A step without an event has no number",
      "event?.seq ?? 0)",
      "event?.seq ?? 1_000)",
    ],
    [
      "The first ending counts",
      "change.endingId ??= endingId;",
      "change.endingId = endingId ?? change.endingId;",
    ],
    [
      "An ending counts though a step follows",
      "change.endingId ??= endingId;",
      "change.endingId = endingId;",
    ],
    [
      "Any step may begin the lease",
      "change.begins ||= begins;",
      "change.begins = begins;",
    ],
    [
      "A whole run begins",
      "return begins && endingId !== undefined;",
      "return endingId !== undefined;",
    ],
    [
      "A whole run ends",
      "return begins && endingId !== undefined;",
      "return begins;",
    ],
    [
      "Runs that are followed are told",
      "    this.#options.onFollowed(answer.followed ?? []);\n",
      "",
    ],
  ]),
  ...mutationsOf("postgres/write/write.ts", [
    "postgres/write_test.ts",
  ], [
    [
      "A row has a fixed length",
      "return FIXED_BYTES + name.length",
      "return name.length",
    ],
    [
      "A row is as long as its name",
      "FIXED_BYTES + name.length + runInfo.length",
      "FIXED_BYTES + runInfo.length",
    ],
    [
      "A row is as long as its run_info",
      "FIXED_BYTES + name.length + runInfo.length",
      "FIXED_BYTES + name.length",
    ],
    [
      "A step is as long as its row",
      "(row === undefined ? 0 : rowBytes(row))",
      "0",
    ],
    [
      "A step has a fixed length",
      "FIXED_BYTES + payload.length",
      "payload.length",
    ],
    [
      "A step is as long as its payload",
      "FIXED_BYTES + payload.length",
      "FIXED_BYTES",
    ],
  ]),
];
