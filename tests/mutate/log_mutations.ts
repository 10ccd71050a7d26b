import { type Mutation, mutationsOf } from "./mutation.ts";

/** Readers of the log. */
export const LOG_MUTATIONS: readonly Mutation[] = [
  ...mutationsOf("postgres/log/log_follower.ts", [
    "postgres/log_follower_test.ts",
  ], [
    ["One query is for 100 readers", "MAX_READERS = 100;", "MAX_READERS = 99;"],
    [
      "One query is for 100 at most",
      "MAX_READERS = 100;",
      "MAX_READERS = 101;",
    ],
    ["A query bounds the events", "MAX_EVENTS = 200;", "MAX_EVENTS = 201;"],
    [
      "A query bounds the bytes",
      "MAX_BYTES = 64 * 1024;",
      "MAX_BYTES = 64 * 1023;",
    ],
    [
      "A closed follower refuses",
      "    if (this.#closed) return Promise.reject(closedError());\n",
      "",
    ],
    [
      "A new reader is due",
      "    this.#due.add(reader);\n    this.#schedule();\n    return",
      "    this.#schedule();\n    return",
    ],
    [
      "Nobody polls without readers",
      "    if (this.#waiting.size === 0) clearTimeout(this.#timer);\n",
      "",
    ],
    [
      "forget() leaves the poll of others",
      "if (this.#waiting.size === 0) clearTimeout(this.#timer);",
      "clearTimeout(this.#timer);",
    ],
    [
      "A run without readers wakes nothing",
      "if (readers === undefined) return; //",
      "if (readers === undefined) return this.wake(); //",
    ],
    [
      "A notification of all runs wakes all",
      'if (payload === "*") this.wake();\n    else for',
      "for",
    ],
    [
      "A notification lists several runs",
      'payload.split(",")',
      "[payload]",
    ],
    [
      "Beginning to listen wakes",
      "  onListen(): void {\n    this.wake();",
      "  onListen(): void {",
    ],
    [
      "One query is under way at a time",
      "if (this.#reading || this.#due.size === 0) return;",
      "if (this.#due.size === 0) return;",
    ],
    [
      "A query takes the place of the poll",
      "    this.#reading = true;\n    clearTimeout(this.#timer);\n",
      "    this.#reading = true;\n",
    ],
    [
      "Trouble is told once",
      "if (!this.#inTrouble && !this.#closed)",
      "if (!this.#closed)",
    ],
    [
      "Trouble is not told after close()",
      "if (!this.#inTrouble && !this.#closed)",
      "if (!this.#inTrouble)",
    ],
    [
      "Trouble is told again after a success",
      "        this.#inTrouble = false;\n",
      "",
    ],
    [
      "A failure waits for the next poll",
      "        this.#inTrouble = true;\n        break;\n",
      "        this.#inTrouble = true;\n",
    ],
    [
      "A poll waits for readers",
      "if (this.#waiting.size === 0) return;",
      "",
    ],
    [
      "The log is polled",
      "    this.#timer = setTimeout(() => this.wake(), this.#options.pollInterval);\n",
      "",
    ],
    [
      "Readers of one position share a place",
      "if (alike !== undefined) alike.push(reader);\n      else if",
      "if",
    ],
    [
      "Readers of different positions do not",
      "return `${runId} ${after}`;",
      "return `${runId} ${after === null}`;",
    ],
    [
      "Readers that found no place stay due",
      "      else continue;\n",
      "",
    ],
    [
      "A run with other readers is not forgotten",
      "if (readers?.size === 0) this.#byRun.delete",
      "this.#byRun.delete",
    ],
    [
      "close() rejects",
      "    for (const news of this.#waiting.values()) news.reject(closedError());\n",
      "",
    ],
  ]),
  ...mutationsOf(
    "postgres/log/log_stream.ts",
    ["postgres/log_stream_test.ts"],
    [
      [
        "The next number is no gap",
        "event.seq <= this.#lastSeq + 1",
        "event.seq <= this.#lastSeq",
      ],
      [
        "The number after the next is a gap",
        "event.seq <= this.#lastSeq + 1",
        "event.seq <= this.#lastSeq + 2",
      ],
      [
        "Nothing is missed before a first event",
        "this.#lastSeq === undefined || event.seq",
        "event.seq",
      ],
      [
        "A lag has the number of the last event missed",
        "      seq: event.seq - 1,\n",
        "      seq: event.seq,\n",
      ],
      [
        "A lag counts the events missed",
        "missed: event.seq - 1 - this.#lastSeq",
        "missed: event.seq - this.#lastSeq",
      ],
      [
        "A lag closes the stream",
        '      if (this.#options.lag !== "skip") return this.#end(controller);\n',
        "",
      ],
      [
        "A lag may be skipped",
        'if (this.#options.lag !== "skip")',
        "if (true)",
      ],
      [
        "What follows a lag is delivered",
        "      this.#buffer.unshift(event);\n",
        "",
      ],
      [
        "A lag is reported once",
        "      this.#lastSeq = lagged.seq;\n",
        "",
      ],
      [
        "The position follows the events",
        "    this.#lastSeq = event.seq;\n",
        "",
      ],
      [
        "The last event closes the stream",
        "    if (isLast(event)) this.#end(controller);\n",
        "",
      ],
      [
        "A stream without news closes",
        "    if (event === undefined) return this.#end(controller);\n",
        "    if (event === undefined) return;\n",
      ],
      [
        "An error frees what the stream holds",
        "      this.cancel();\n      throw error;",
        "      throw error;",
      ],
      [
        "The end stops listening",
        "    this.#stopListening?.();\n",
        "",
      ],
      [
        "The end stops reading memory",
        "    this.#local?.cancel().catch(() => {});\n",
        "",
      ],
      [
        "The end stops waiting for the log",
        "      this.#options.follower.forget(this.#waiting);\n",
        "",
      ],
      [
        "Memory is opened once",
        "    if (!this.#opened) await this.#open();\n",
        "    await this.#open();\n",
      ],
      [
        "Nothing is read after the end",
        "      if (this.#ended) return undefined;\n      const isRefilling",
        "      const isRefilling",
      ],
      [
        "Nothing is refilled after the end",
        "        if (this.#ended) return undefined;\n      }\n",
        "      }\n",
      ],
      [
        "The refill ends where memory goes on",
        "(this.#lastSeq ?? 0) < this.#refillTo",
        "(this.#lastSeq ?? 0) < this.#refillTo - 1",
      ],
      [
        "The refill ends",
        "(this.#lastSeq ?? 0) < this.#refillTo",
        "(this.#lastSeq ?? 0) <= this.#refillTo",
      ],
      [
        "The refill leaves to memory what memory has",
        "event.seq <= this.#refillTo)",
        "true)",
      ],
      [
        "The refill has the last event that memory lost",
        "event.seq <= this.#refillTo)",
        "event.seq < this.#refillTo)",
      ],
      [
        "What the log has lost too is given up",
        "      if (this.#buffer.length === 0) this.#refillTo = 0;\n",
        "",
      ],
      [
        "A lag of memory is refilled",
        'if (value.kind !== "Lagged") return value;',
        "return value;",
      ],
      [
        "The end of memory is the end",
        "        if (done) return undefined;\n",
        "        if (done) { this.#local = undefined; continue; }\n",
      ],
      [
        "No news is the end",
        "      if (news.length === 0) return undefined;\n",
        "      if (news.length === 0) continue;\n",
      ],
      [
        "Memory begins where it says",
        "    this.#lastSeq = local.after;\n",
        "",
      ],
      [
        "Memory that opens after the end is not read",
        "    if (this.#ended) this.cancel();\n",
        "",
      ],
      [
        "The registry can close the stream",
        "follow(() => this.#end(controller))",
        "follow(() => {})",
      ],
      [
        "The registry hears that an event has arrived",
        "    this.#followed?.onEvent();\n",
        "",
      ],
      [
        "The registry hears that the stream has ended",
        "    this.#followed?.onEnd();\n",
        "",
      ],
      [
        "Nothing is read ahead",
        "highWaterMark: 0",
        "highWaterMark: 1",
      ],
    ],
  ),
  ...mutationsOf("model/event.ts", ["postgres/log_stream_test.ts"], [
    [
      "Completed is the last event",
      'kind === "Completed" || kind === "Errored"',
      'kind === "Errored"',
    ],
    [
      "Errored is the last event",
      'kind === "Completed" || kind === "Errored"',
      'kind === "Completed"',
    ],
  ]),
  ...mutationsOf("postgres/log/postgres_run_log.ts", [
    "postgres/run_log_fence_test.ts",
  ], [
    [
      "A durable subscription reads the log",
      "options.durable ? undefined : local.unrecorded",
      "local.unrecorded",
    ],
    [
      "A subscription reads memory",
      "options.durable ? undefined : local.unrecorded",
      "undefined",
    ],
    [
      "A run in memory needs no notifications",
      "if (unrecorded === undefined) this.#notifications.start();",
      "this.#notifications.start();",
    ],
    [
      "Another instance's run needs notifications",
      "if (unrecorded === undefined) this.#notifications.start();",
      "",
    ],
    [
      "requestAbort() knows unknown runs",
      'if (status === undefined) return "unknown";',
      'if (status === undefined) return "requested";',
    ],
    [
      "requestAbort() knows ended runs",
      'status.ended ? "ended" : "requested"',
      '"requested"',
    ],
    [
      "A sweep renews this instance's leases first",
      "    await this.#leases.renew();\n",
      "",
    ],
    [
      "Infinite retention prunes nothing",
      "this.#logRetention === Infinity ? 0 : await",
      "await",
    ],
    [
      "Pruning goes on while there is more",
      "if (count < PRUNED_AT_ONCE) return pruned;",
      "return pruned;",
    ],
    [
      "Pruning counts what all its statements deleted",
      "pruned += count;",
      "pruned = count;",
    ],
    [
      "One statement deletes 5,000 events at most",
      "PRUNED_AT_ONCE = 5_000;",
      "PRUNED_AT_ONCE = 5_000_000;",
    ],
    [
      "close() ends the readers",
      "    this.#follower.close();\n",
      "",
    ],
    [
      "close() stops renewing",
      "    this.#leases.close();\n",
      "",
    ],
  ]),
];
