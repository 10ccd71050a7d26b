import { type Mutation, mutationsOf } from "./mutation.ts";

/** Group commits and what they send. */
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
      "Whole runs are not notified of",
      "runs.filter((run) => !isWhole(run))",
      "runs",
    ],
    [
      "A notification lists at most 200 ids",
      "if (ids.length > MAX_NOTIFIED)",
      "if (ids.length > MAX_NOTIFIED + 1)",
    ],
    [
      "A notification may list 200 ids",
      "if (ids.length > MAX_NOTIFIED)",
      "if (ids.length >= MAX_NOTIFIED)",
    ],
    [
      "Nothing is notified of no runs",
      "ids.length === 0 ? undefined : ids.join",
      "ids.join",
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
  ...mutationsOf("postgres/write/group_commit.ts", [
    "postgres/group_commit_bounds_test.ts",
    "postgres/group_commit_test.ts",
  ], [
    [
      "Two groups are written at a time",
      "const MAX_WRITING = 2;",
      "const MAX_WRITING = 1;",
    ],
    [
      "No third group is written",
      "const MAX_WRITING = 2;",
      "const MAX_WRITING = 3;",
    ],
    [
      "32 keys are split",
      "const MIN_SPLIT_KEYS = 32;",
      "const MIN_SPLIT_KEYS = 33;",
    ],
    [
      "31 keys are not split",
      "const MIN_SPLIT_KEYS = 32;",
      "const MIN_SPLIT_KEYS = 31;",
    ],
    [
      "An item that waits for ever is not droppable",
      "droppable = timeout !== Infinity",
      "droppable = true",
    ],
    [
      "An item with a timeout is droppable",
      "droppable = timeout !== Infinity",
      "droppable = false",
    ],
    [
      "A closed group commit takes nothing",
      "if (this.#closed.signal.aborted) throw closedError();",
      "",
    ],
    [
      "Only what is droppable is refused",
      "if (droppable && this.#pendingBytes",
      "if (this.#pendingBytes",
    ],
    [
      "The new item counts in the bound",
      "this.#pendingBytes + bytes > maxQueuedBytes",
      "this.#pendingBytes > maxQueuedBytes",
    ],
    [
      "The bound itself may be pending",
      "this.#pendingBytes + bytes > maxQueuedBytes",
      "this.#pendingBytes + bytes >= maxQueuedBytes",
    ],
    [
      "What is pending is counted",
      "    this.#pendingBytes += bytes;\n",
      "",
    ],
    [
      "What is settled is counted out",
      "    this.#pendingBytes -= entry.bytes;\n",
      "",
    ],
    [
      "A write that was settled keeps its error",
      "      if (entry.settled) throw error;\n",
      "",
    ],
    [
      "An item that missed its time is not written",
      "      this.#settle(entry, () => {});\n",
      "",
    ],
    [
      "close() waits for what is being written",
      "if (this.#writing > 0 || this.#pending.size > 0) {",
      "if (this.#pending.size > 0) {",
    ],
    [
      "close() waits for what is pending",
      "if (this.#writing > 0 || this.#pending.size > 0) {",
      "if (this.#writing > 0) {",
    ],
    [
      "close() ends the retries",
      "    this.#closed.abort(closedError());\n",
      "",
    ],
    [
      "close() refuses what is pending",
      "      this.#settle(entry, () => entry.reject(closedError()));\n",
      "",
    ],
    [
      "close() waits until nothing is being written",
      "if (this.#writing === 0 && this.#pending.size === 0) this",
      "if (this.#pending.size === 0) this",
    ],
    [
      "A backlog is split only if nothing is being written",
      "this.#writing === 0 && size >= MIN_SPLIT_KEYS",
      "size >= MIN_SPLIT_KEYS",
    ],
    [
      "A backlog is split in halves",
      "Math.ceil(size / 2)",
      "Math.ceil(size / 3)",
    ],
    [
      "No key is in two groups",
      "      if (this.#busy.has(key)) continue;\n",
      "",
    ],
    [
      "A key is free after its group",
      "    for (const { key } of group) this.#busy.delete(key);\n",
      "",
    ],
    [
      "A group is bounded in items",
      "        if (group.length === maxItems) break;\n",
      "",
    ],
    [
      "A group is bounded in bytes",
      "        if (group.length > 0 && bytes > maxBytes) break;\n",
      "",
    ],
    [
      "An item that is too large is a group of its own",
      "if (group.length > 0 && bytes > maxBytes) break;",
      "if (bytes > maxBytes) break;",
    ],
    [
      "A group may have the most bytes",
      "bytes > maxBytes",
      "bytes >= maxBytes",
    ],
    [
      "A settled item is in no group",
      "if (!entry.settled) group.push(entry);",
      "group.push(entry);",
    ],
    [
      "What did not fit stays pending",
      "        entries.splice(0, taken);\n        break;\n",
      "        break;\n",
    ],
    [
      "Only a transient error is retried",
      "error instanceof RepositoryError && error.transient",
      "error instanceof RepositoryError",
    ],
    [
      "A transient error is retried",
      "error instanceof RepositoryError && error.transient",
      "false",
    ],
    [
      "Trouble is told once",
      "if (!this.#inTrouble) this.#options.onTrouble(error);",
      "this.#options.onTrouble(error);",
    ],
    [
      "Trouble is told again after a success",
      "    this.#inTrouble = false;\n    for",
      "    for",
    ],
    [
      "Only the item at fault is refused",
      "if (entries.length === 1) {",
      "if (entries.length >= 1) {",
    ],
    [
      "The second half is written too",
      "      await this.#write(entries.slice(half));\n",
      "",
    ],
    [
      "An item is settled once",
      "    if (entry.settled) return;\n",
      "",
    ],
    [
      "A retry skips what was settled meanwhile",
      "group.filter((entry) => !entry.settled)",
      "group",
    ],
    [
      "The first retry is after 50 ms",
      "minTimeout: 50,",
      "minTimeout: 5_000,",
    ],
    [
      "Retries are at most 1 s apart",
      "maxTimeout: 1_000,",
      "maxTimeout: 100_000,",
    ],
    [
      "Retries go on",
      "maxAttempts: Number.MAX_SAFE_INTEGER,",
      "maxAttempts: 5,",
    ],
  ]),
];
