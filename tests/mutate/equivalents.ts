import type { Equivalent } from "./mutation.ts";

/** Edits that change nothing that can be observed. They are not made. */
export const EQUIVALENTS: readonly Equivalent[] = [
  {
    file: "broadcast/ring.ts",
    name: "A ring holds no fewer",
    find: "if (length === this.capacity) {",
    replace: "if (length === this.capacity - 1) {",
    reason:
      "At an index that equals its length, the array grows as it does with push().",
  },
  {
    file: "broadcast/ring.ts",
    name: "Chunks are read from their places",
    find: "this.#chunks[position % this.capacity]",
    replace: "this.#chunks[position % this.#chunks.length]",
    reason:
      "A position is below the length until the ring is full, and then the length is the capacity.",
  },
  {
    file: "broadcast/branch_reads.ts",
    name: "Releasing stops waiting",
    find: "    this.#cursor.stopWaiting();\n",
    replace: "",
    reason:
      "What is woken has no read that waits. It only stays parked for one chunk more.",
  },
  {
    file: "broadcast/branch_source.ts",
    name: "Cancelling settles the pull",
    find: "    this.#ring.leave(this);\n    this.settlePull();\n",
    replace: "    this.#ring.leave(this);\n",
    reason: "Releasing the cursor wakes the source, which settles the pull.",
  },
  {
    file: "postgres/log/log_follower.ts",
    name: "Nothing is queried for nobody",
    find:
      "if (this.#querying || this.#due.size + this.#polled.size === 0) return;",
    replace: "if (this.#querying) return;",
    reason: "With nothing to ask for, the query's loop does nothing.",
  },
  {
    file: "postgres/log/log_follower.ts",
    name: "A run without readers is forgotten",
    find: "    this.#runs.delete(run.runId);\n",
    replace: "",
    reason: "A run without readers wakes nobody. Only memory is lost.",
  },
  {
    file: "postgres/log/log_stream.ts",
    name: "Nothing is delivered after the end",
    find: "    if (this.#ended) return;\n    if (event === undefined)",
    replace: "    if (event === undefined)",
    reason: "A stream that has ended ignores what its pull throws.",
  },
  {
    file: "postgres/write/group_commit.ts",
    name: "close() waits until nothing is pending",
    find: "if (this.#writing === 0 && this.#pending.size === 0) this",
    replace: "if (this.#writing === 0) this",
    reason:
      "Where nothing is being written and nothing can be, nothing is pending.",
  },
  {
    file: "postgres/sql/writes.ts",
    name: "WRITE_STEPS has an empty list of lost runs",
    find: "coalesce(json_agg(run.id), '[]')",
    replace: "json_agg(run.id)",
    reason: "The client makes an empty set of null, too.",
  },
  {
    file: "postgres/sql/writes.ts",
    name: "WRITE_WHOLE_RUNS looks for no last row",
    find: '${insertRows("true")}',
    replace: '${insertRows("false")}',
    reason: "A run that begins has none. Looking for it costs time.",
  },
  {
    file: "postgres/sql/writes.ts",
    name: "The statuses of the table are in their order",
    find: "array_agg(s.status order by s.ordinality)",
    replace: "array_agg(s.status)",
    reason:
      "json_populate_recordset() gives them in their order, as it happens.",
  },
  {
    file: "postgres/sql/events.ts",
    name: "READ_EVENTS gives the events in their order",
    find: 'json_agg(${eventOf("e")} order by e.seq)',
    replace: 'json_agg(${eventOf("e")})',
    reason: "The window function has sorted them, as it happens.",
  },
  {
    file: "postgres/sql/events.ts",
    name: "READ_ENDING reads one ending",
    find: "'AlreadyCompleted')\n  order by e.seq\n  limit 1`",
    replace: "'AlreadyCompleted')\n  order by e.seq`",
    reason: "The client takes the first. The others cost time.",
  },
];
