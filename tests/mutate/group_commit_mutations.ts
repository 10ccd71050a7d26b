import { type Mutation, mutationsOf } from "./mutation.ts";

/** Group commits: their bounds, order and retries. */
export const GROUP_COMMIT_MUTATIONS: readonly Mutation[] = [
  ...mutationsOf("postgres/write/group_commit.ts", [
    "postgres/group_commit_bounds_test.ts",
    "postgres/group_commit_test.ts",
  ], [
    [
      "Small groups gather while the database is busy",
      "const rest = this.#pace.restWith(this.#pendingItems, now);",
      "const rest = 0;",
    ],
    [
      "Writing goes on after a rest",
      "rest > 0 ? rest : this.#nextUrgency() - now",
      "rest > 0 ? Infinity : this.#nextUrgency() - now",
    ],
    [
      "No timer outlives the group commit",
      "clearTimeout(this.#timer);\n    for",
      "for",
    ],
    [
      "Nothing is pending once it is closed",
      "    this.#pendingItems = 0;\n",
      "",
    ],
    ["A new item is pending", "this.#pendingItems++;", ""],
    [
      "What is taken is pending no more",
      "this.#pendingItems -= taken;",
      "",
    ],
    [
      "What is written tells how busy the database is",
      "this.#pace.onWritten(entries.length, startedAt, now);",
      "",
    ],
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
      "Patient items wait",
      "if (!isLarge && entries.every(({ urgentFrom }) => urgentFrom > now)) {",
      "if (false) {",
    ],
    [
      "A large backlog waits for nothing",
      "if (!isLarge && entries.every(({ urgentFrom }) => urgentFrom > now)) {",
      "if (entries.every(({ urgentFrom }) => urgentFrom > now)) {",
    ],
    [
      "Patient items go with a later one of their key",
      "entries.every(({ urgentFrom }) => urgentFrom > now)",
      "entries[0].urgentFrom > now",
    ],
    [
      "Patient items are written without being asked for",
      "rest > 0 ? rest : this.#nextUrgency() - now",
      "rest > 0 ? rest : Infinity",
    ],
    [
      "What is being written does not say when to write",
      "      if (!this.#busy.has(key)) return urgentFrom;\n",
      "      return urgentFrom;\n",
    ],
    [
      "Patience ends",
      "patience === 0 ? 0 : performance.now() + patience",
      "patience === 0 ? 0 : Infinity",
    ],
    [
      "32 keys are split",
      "const LARGE_BACKLOG = 32;",
      "const LARGE_BACKLOG = 33;",
    ],
    [
      "31 keys are not split",
      "const LARGE_BACKLOG = 32;",
      "const LARGE_BACKLOG = 31;",
    ],
    [
      "Items that missed their time take no place in a half",
      "if (group.length > length) keysLeft--;",
      "keysLeft--;",
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
      "if (this.#closed.signal.aborted) return Promise.reject(closedError());",
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
      "this.#writing === 0 && size >= LARGE_BACKLOG",
      "size >= LARGE_BACKLOG",
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
  ...mutationsOf("postgres/write/pace.ts", ["postgres/pace_test.ts"], [
    [
      "64 items are worth a statement",
      "const WORTHWHILE = 64;",
      "const WORTHWHILE = 65;",
    ],
    [
      "63 items are not worth a statement",
      "const WORTHWHILE = 64;",
      "const WORTHWHILE = 63;",
    ],
    ["A rest is bounded", "Math.min(rest, MAX_REST)", "rest"],
    [
      "Large groups do not tell how quick small ones are",
      "if (items < WORTHWHILE) {",
      "if (true) {",
    ],
    ["The quickest is forgotten", "this.#quickest * 1.01", "this.#quickest"],
    [
      "The quickest is not forgotten at once",
      "this.#quickest * 1.01",
      "duration",
    ],
    [
      "Three slow groups are an accident",
      "Math.min(...this.#last)",
      "duration",
    ],
    [
      "Four slow groups are none",
      "#last = [0, 0, 0, 0]",
      "#last = [0, 0, 0, 0, 0]",
    ],
    ["The last four count", "    this.#last.shift();\n", ""],
    ["A group counts", "    this.#last.push(duration);\n", ""],
    ["Twice the quickest is usual", "- 2 * this.#quickest", "- this.#quickest"],
    ["It rests for four times the excess", "= 4 * (Math", "= 3 * (Math"],
    ["Nothing is pending, nothing rests", "items === 0 || ", ""],
    [
      "Enough items do not rest",
      "if (items === 0 || items >= WORTHWHILE) return 0;",
      "if (items === 0) return 0;",
    ],
    ["A rest ends", "Math.max(0, this.#restsUntil - now)", "MAX_REST"],
  ]),
];
