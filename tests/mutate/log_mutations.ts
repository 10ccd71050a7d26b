import { type Mutation, mutationsOf } from "./mutation.ts";

/** Readers of the log. */
export const LOG_MUTATIONS: readonly Mutation[] = [
  ...mutationsOf("postgres/log/log_follower.ts", [
    "postgres/log_follower_test.ts",
  ], [
    ["One query reads 100 positions", "MAX_READ = 100;", "MAX_READ = 99;"],
    ["One query reads 100 at most", "MAX_READ = 100;", "MAX_READ = 101;"],
    ["A query bounds the events", "MAX_EVENTS = 200;", "MAX_EVENTS = 201;"],
    [
      "A query bounds the bytes",
      "MAX_BYTES = 64 * 1024;",
      "MAX_BYTES = 64 * 1023;",
    ],
    ["One poll is for 1,000 runs", "MAX_POLLED = 1_000;", "MAX_POLLED = 999;"],
    [
      "One poll is for 1,000 at most",
      "MAX_POLLED = 1_000;",
      "MAX_POLLED = 1_001;",
    ],
    ["The first wait is short", "FIRST_WAIT = 5;", "FIRST_WAIT = 6;"],
    [
      "Writers notify for a minute",
      "MIN_INTEREST = 60_000;",
      "MIN_INTEREST = 59_000;",
    ],
    [
      "Writers notify for four poll intervals",
      "Math.max(MIN_INTEREST, 4 * pollInterval)",
      "MIN_INTEREST",
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
      "A run needs notifications",
      "if (!run.needsNotifications) this.#options.notifications.start();",
      "",
    ],
    [
      "A run needs notifications once",
      "if (!run.needsNotifications) this.#options.notifications.start();",
      "this.#options.notifications.start();",
    ],
    [
      "A run that was read needs none",
      "    if (!isAwaited(run)) return;\n    if (!run.needs",
      "    if (!run.needs",
    ],
    [
      "A run without readers needs none",
      "    if (run.needsNotifications) this.#options.notifications.stop();\n",
      "",
    ],
    [
      "A run keeps its other readers",
      "    if (run.readers.size > 0) return;\n",
      "",
    ],
    [
      "A run without readers is not polled",
      "    clearTimeout(run.timer);\n    this.#polled.delete(run);\n",
      "    this.#polled.delete(run);\n",
    ],
    [
      "wake() without a run polls all",
      "for (const run of this.#runs.values()) this.#polled.add(run);",
      "",
    ],
    [
      "wake() reads the run",
      "      this.#read(run);\n    }\n    this",
      "    }\n    this",
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
      "close() ends the polling",
      "      clearTimeout(timer);\n      for (const reader",
      "      for (const reader",
    ],
    [
      "close() rejects who waits",
      "        reader.waiting?.reject(closedError());\n",
      "",
    ],
    [
      "After close() nobody waits",
      "        reader.waiting = undefined;\n      }\n    }",
      "      }\n    }",
    ],
    [
      "close() sends nothing more",
      "    this.#runs.clear();\n    this.#due.clear();\n",
      "",
    ],
    [
      "Only who waits is read",
      "if (reader.waiting !== undefined) this.#due.add(reader);",
      "this.#due.add(reader);",
    ],
    [
      "One query is under way at a time",
      "if (this.#querying || this.#due",
      "if (this.#due",
    ],
    [
      "Reading does not hold up polling",
      "        if (this.#polled.size > 0) await this.#poll();\n",
      "        else await this.#poll();\n",
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
      "      this.#due.clear();\n      this.#polled.clear();\n      for",
      "      for",
    ],
    [
      "A failure is followed by a poll",
      "        this.#pollLater(run, this.#options.pollInterval);\n",
      "",
    ],
    [
      "A poll after a failure waits long",
      "this.#pollLater(run, this.#options.pollInterval)",
      "this.#pollLater(run)",
    ],
    [
      "Reading is followed by a poll",
      "    for (const run of new Set(runs)) this.#pollLater(run);\n",
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
      "A reader that has news waits no longer",
      "    reader.waiting?.resolve(events);\n    reader.waiting = undefined;\n",
      "    reader.waiting?.resolve(events);\n",
    ],
    [
      "A run that had news is polled soon",
      "    reader.run.wait = 0;\n",
      "",
    ],
    [
      "A reader that is forgotten is not read",
      "    reader.run.wait = 0;\n    this.#due.delete(reader);\n",
      "    reader.run.wait = 0;\n",
    ],
    [
      "Without notifications nobody is asked for them",
      "interest: notifications.arrive ? interest : undefined",
      "interest",
    ],
    [
      "A writer that does not know notifies of nothing",
      "run.isNotified = !unfollowed.has(run.runId);",
      "run.isNotified = true;",
    ],
    [
      "A run that has moved is read",
      "if (moved.has(run.runId)) this.#read(run);\n      else",
      "",
    ],
    [
      "A run that has not moved is polled again",
      "      else this.#pollLater(run);\n",
      "",
    ],
    [
      "A poll asks for something",
      "    if (runs.length === 0) return;\n",
      "",
    ],
    [
      "A reader is forgotten once",
      "if (!run.readers.delete(reader)) return; // It was forgotten before.",
      "run.readers.delete(reader);",
    ],
    [
      "Only who is waited for is polled",
      "if (isAwaited(run)) taken.push(run);",
      "taken.push(run);",
    ],
    [
      "A run has one timer",
      "    clearTimeout(run.timer);\n    if (!isAwaited(run)) return;\n",
      "    if (!isAwaited(run)) return;\n",
    ],
    [
      "Nobody is polled for nobody",
      "    if (!isAwaited(run)) return;\n",
      "",
    ],
    ["Waits grow", "    run.wait = wait;\n", ""],
    ["Waits end together", "wait - Date.now() % wait", "wait"],
    [
      "A writer's notifications must arrive",
      "this.#options.notifications.arrive && isNotified",
      "isNotified",
    ],
    ["Waits double", "2 * run.wait), this", "3 * run.wait), this"],
    [
      "A writer that notifies has time",
      "this.#isNotified(run) ? FIRST_NOTIFIED_WAIT : FIRST_WAIT",
      "FIRST_WAIT",
    ],
    [
      "A writer that does not notify has none",
      "this.#isNotified(run) ? FIRST_NOTIFIED_WAIT : FIRST_WAIT",
      "FIRST_NOTIFIED_WAIT",
    ],
    [
      "After a notification there will be others",
      "run.wait === 0 && this.#isNotified(run)",
      "false",
    ],
    [
      "Other notified runs are polled together",
      "run.wait === 0 && this.#isNotified(run)",
      "this.#isNotified(run)",
    ],
    [
      "Waits end at the poll interval",
      "Math.min(Math.max(first, 2 * run.wait), this.#options.pollInterval)",
      "Math.max(first, 2 * run.wait)",
    ],
    [
      "A reader that does not wait has no position",
      "      waiting !== undefined && after !== undefined\n",
      "      after !== undefined\n",
    ],
    [
      "A reader that knows nothing has no position",
      "      waiting !== undefined && after !== undefined\n",
      "      waiting !== undefined\n",
    ],
    [
      "The first position counts",
      "Math.min(...positions)",
      "Math.max(...positions)",
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
        "if (this.#reader !== undefined) this.#options.follower.forget(this.#reader);",
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
      "requestAbort() knows unknown runs",
      'if (status === undefined) return "unknown";',
      'if (status === undefined) return "requested";',
    ],
    [
      "requestAbort() knows ended runs",
      '    if (status.ended) return "ended";\n',
      "",
    ],
    [
      "A sweep renews this instance's leases first",
      "    await this.#leases.renew();\n",
      "",
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
  ...mutationsOf("postgres/log/log_stream.ts", ["postgres/reader_test.ts"], [
    [
      "The reader has old events",
      "await this.#readOld() ?? await this.#readLog()",
      "await this.#readLog()",
    ],
    [
      "The reader is asked for old events only",
      "Date.now() - last.at.getTime() < OLD",
      "false",
    ],
    [
      "Events of 11 s ago are old",
      "const OLD = 10_000;",
      "const OLD = 12_000;",
    ],
    ["Events of 5 s ago are not", "const OLD = 10_000;", "const OLD = 4_000;"],
    [
      "The reader must know the last event",
      "return isSame && events",
      "return events",
    ],
    [
      "The reader may have nothing more yet",
      "isSame && events.length > 0 ? events",
      "isSame ? events",
    ],
    ["The last event is read again", "after: last.seq - 1", "after: last.seq"],
    [
      "The same number may be of another life",
      "known.at.getTime() === last.at.getTime()",
      "true",
    ],
    ["The first events are not the reader's", "    this.#last = event;\n", ""],
  ]),
  ...mutationsOf("postgres/client/replica.ts", ["postgres/reader_test.ts"], [
    [
      "A reader that failed is not asked",
      "    if (performance.now() < this.#pausedUntil) return undefined;\n",
      "",
    ],
    ["It is asked again after 10 s", "PAUSE = 10_000", "PAUSE = 10_001"],
    ["It is not asked for 10 s", "PAUSE = 10_000", "PAUSE = 9_999"],
    [
      "It is told once",
      "if (!this.#inTrouble) this.#warn",
      "this.#warn",
    ],
    [
      "It is told again after a success",
      "      this.#inTrouble = false;\n",
      "",
    ],
  ]),
  ...mutationsOf("postgres/postgres_repository.ts", [
    "postgres/reader_test.ts",
  ], [
    [
      "The reader lists rows",
      "const rows = await this.#replica?.query(statement, values);",
      "const rows = undefined as unknown[] | undefined;",
    ],
    [
      "The client lists what the reader does not",
      "rows?.map(sql.toRow) ?? await this.#list(statement, values)",
      "rows?.map(sql.toRow) ?? []",
    ],
  ]),
];
