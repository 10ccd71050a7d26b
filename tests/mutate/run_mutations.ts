import { type Mutation, mutationsOf } from "./mutation.ts";

/** One run: its one ending, and its rows before its events. */
export const RUN_MUTATIONS: readonly Mutation[] = [
  ...mutationsOf("run/run.ts", ["run/run_lease_test.ts"], [
    [
      "Nothing is published after the ending",
      "        if (this.#ended) return;\n        const json",
      "        const json",
    ],
    [
      "Nothing is published if serializing it ends the run",
      "        if (this.#ended) return; // Serializing may call code that ends the run.\n",
      "",
    ],
    [
      "The row goes before the event",
      "    live.recorder.ended(toRecord,",
      "    this.events.enqueue(last);\n    live.recorder.ended(toRecord,",
    ],
    [
      "An ending that another instance logged counts",
      "        : { ...instead, seq: last.seq };\n",
      "        : last;\n",
    ],
    [
      "Another's ending does not go back in number",
      "        : { ...instead, seq: last.seq };\n",
      "        : instead;\n",
    ],
    [
      "The numbers continue after the former attempt",
      "    if (lastSeq !== undefined) this.events.continueAfter(lastSeq);\n",
      "",
    ],
    [
      "An initiated run has a row that says so",
      "    if (this.#initiated) recorder.initiated();\n",
      "",
    ],
    [
      "A run has that row only if it was initiated",
      "if (this.#initiated) recorder.initiated();",
      "recorder.initiated();",
    ],
    [
      "AlreadyCompleted is not published if the run ends meanwhile",
      "      if (this.#ended) return;\n      const event",
      "      const event",
    ],
    [
      "abandon() refuses only a run that is pending",
      "this.#live?.recorder.abandon() && this.#phase === PENDING",
      "this.#live?.recorder.abandon()",
    ],
    [
      "abandon() refuses only a run whose lease says so",
      "this.#live?.recorder.abandon() && this.#phase === PENDING",
      "(this.#live?.recorder.abandon(), this.#phase === PENDING)",
    ],
    [
      "A refused run ends its timeout",
      "    live.disarm?.();\n    this.events.close();\n",
      "    this.events.close();\n",
    ],
    [
      "A refused run ends its streams",
      "    live.disarm?.();\n    this.events.close();\n",
      "    live.disarm?.();\n",
    ],
    [
      "A refused run gives its place back",
      "    this.#dependencies.onRefused(this);\n",
      "",
    ],
    [
      "A run that ends before it begins waits for its beginning",
      "if (this.#phase !== PENDING) return this.#conclude",
      "return this.#conclude",
    ],
    [
      "A run that was abandoned does not begin",
      "    if (this.#live === undefined) throw new RegistryShutdownError();\n",
      "",
    ],
    [
      "A finished run has nothing unrecorded",
      "    if (this.finished) return undefined;\n",
      "",
    ],
    [
      "Memory begins after the position of the reader",
      "const from = after ?? this.events.firstSeq - 1;",
      "const from = this.events.firstSeq - 1;",
    ],
    [
      "Memory begins with the attempt",
      "after ?? this.events.firstSeq - 1",
      "after ?? 0",
    ],
    [
      "Memory reports what it has lost and goes on",
      'after: from, lag: "skip"',
      'after: from, lag: "close"',
    ],
    [
      "The phase goes before the event",
      "      this.events.enqueue(event);\n      this.events.close();\n",
      "      this.events.close();\n",
    ],
    [
      "The broadcast closes after the ending",
      "      this.events.enqueue(event);\n      this.events.close();\n",
      "      this.events.enqueue(event);\n",
    ],
    [
      "An abort writes a row if it shall",
      "writesRow: this.#dependencies.abortWritesErroredRow",
      "writesRow: true",
    ],
  ]),
  ...mutationsOf("run/run.ts", ["registry/registry_shutdown_test.ts"], [
    [
      "A run ends once",
      "  #end(ending: RunEnding): void {\n    if (this.#ended) return;\n",
      "  #end(ending: RunEnding): void {\n",
    ],
    [
      "The ending is claimed at once",
      "    live.throttle?.flush();\n    this.#ended = true;\n",
      "    live.throttle?.flush();\n",
    ],
    [
      "The ending stops the work",
      "    live.execution.stop(ending.reason);\n",
      "",
    ],
    [
      "A run is finished once everything is written",
      "live.recorder.whenIdle(() => this.#finish(live));",
      "this.#finish(live);",
    ],
  ]),
  ...mutationsOf("run/run.ts", ["run/run_events_test.ts"], [
    [
      "The latest Yield goes before the ending",
      "    live.throttle?.flush();\n",
      "",
    ],
    [
      "Without a log the numbers are the registry's",
      "if (lastSeq !== undefined) this.events.continueAfter(lastSeq);",
      "this.events.continueAfter(lastSeq ?? 0);",
    ],
    [
      "AlreadyCompleted is not published after the ending",
      "    if (this.#ended) return false;\n",
      "",
    ],
    [
      "AlreadyCompleted waits for Started",
      "if (this.#phase === PENDING) this.#live!.begun!",
      "if (false) this.#live!.begun!",
    ],
  ]),
  ...mutationsOf("run/run.ts", ["run/run_spec_test.ts"], [
    [
      "The ending ends the timeout",
      "    this.#ended = true;\n    live.disarm?.();\n    live.execution",
      "    this.#ended = true;\n    live.execution",
    ],
    [
      "A timeout writes a row",
      "      this.#end({ failure, writesRow: true, reason });\n    }, timeout)",
      "      this.#end({ failure, writesRow: false, reason });\n    }, timeout)",
    ],
    [
      "The timer ends with a signal that has fired",
      "    live.disarm = () => clearTimeout(timer);\n",
      "",
    ],
    [
      "The timer ends with the run",
      "      clearTimeout(timer);\n      stopListening();\n",
      "      stopListening();\n",
    ],
    [
      "The signal's listener ends with the run",
      "      clearTimeout(timer);\n      stopListening();\n",
      "      clearTimeout(timer);\n",
    ],
    [
      "An abort without a reason has no text",
      'reason instanceof DOMException && reason.name === "AbortError"',
      "false",
    ],
    [
      "The text of another DOMException counts",
      'reason instanceof DOMException && reason.name === "AbortError"',
      "reason instanceof DOMException",
    ],
  ]),
  ...mutationsOf("run/run.ts", ["run/run_context_test.ts"], [
    [
      "No payload is set after the ending",
      "    if (this.#ended) return;\n    try {\n      // Parsed",
      "    try {\n      // Parsed",
    ],
  ]),
  ...mutationsOf("run/run.ts", ["registry/registry_abort_test.ts"], [
    [
      "A run that has ended calls no work",
      "    if (this.#ended) return;\n    try {\n      const { execution, span } = live",
      "    try {\n      const { execution, span } = live",
    ],
    [
      "An abort has a text",
      "failure: abortFailure(code, text)",
      "failure: abortFailure(code, undefined)",
    ],
  ]),
  ...mutationsOf("run/run_recorder.ts", [
    "run/run_recorder_test.ts",
    "run/run_lease_test.ts",
  ], [
    [
      "An ending that is written in time ends its deadline",
      "      if (!this.#endings.cancel(deadline)) return;\n",
      "",
    ],
    [
      "The outcome says whether the ending is written",
      "this.#tell(isWritten && writesRow,",
      "this.#tell(writesRow,",
    ],
    [
      "An ending that misses its deadline is not durable",
      "this.#tell(false,",
      "this.#tell(true,",
    ],
    [
      "An ending without a row is not durable",
      "this.#tell(isWritten && writesRow,",
      "this.#tell(isWritten,",
    ],
    [
      "A lost run has the ending of another",
      "    if (!this.#lost) return",
      "    return",
    ],
    [
      "A lost run whose ending cannot be read is not durable",
      "durable: instead !== undefined, instead",
      "durable: true, instead",
    ],
    [
      "Only a lost lease makes a run lost",
      "if (cause instanceof LeaseLostError) this.#lost = true;",
      "this.#lost = true;",
    ],
    [
      "A lost lease makes a run lost",
      "    if (cause instanceof LeaseLostError) this.#lost = true;\n",
      "",
    ],
    [
      "Nothing is warned of once it was abandoned",
      "    if (this.#abandoned) return;\n",
      "",
    ],
    [
      "abandon() warns only of what is pending",
      "    if (!this.idle) {\n",
      "    if (true) {\n",
    ],
    [
      "An ending ends the lease",
      "transition, event, result, ends: true",
      "transition, event, result",
    ],
    [
      "Only a row that shall be written is",
      "const transition = writesRow ? this.#endingRow(failure) : undefined;",
      "const transition = this.#endingRow(failure);",
    ],
    [
      "A failure settles the step",
      "        this.#settle(false, onSettled);\n",
      "",
    ],
    [
      "A lease that throws is a failure",
      "      return Promise.reject(error);\n",
      "      throw error;\n",
    ],
    [
      "whenIdle() waits for the last step",
      "    if (this.idle) this.#onIdle?.();\n",
      "    this.#onIdle?.();\n",
    ],
    [
      "whenIdle() calls back at once",
      "    if (this.idle) callback();\n    else this",
      "    this",
    ],
  ]),
  ...mutationsOf("run/work_execution.ts", [
    "run/work_execution_test.ts",
    "registry/registry_abort_test.ts",
  ], [
    [
      "Work that has settled is not stopped",
      "if (this.#settled || this.signal.aborted) return;",
      "if (this.signal.aborted) return;",
    ],
    [
      "Stopping ends the iteration",
      "    this.#endIteration();\n",
      "",
    ],
    [
      "A result of an iterator is an object",
      "if (Object(result) !== result) {",
      "if (false) {",
    ],
  ]),
  ...mutationsOf("run/run_events.ts", [
    "registry/registry_subscribe_test.ts",
    "run/run_events_test.ts",
  ], [
    [
      "The first number follows the former attempt",
      "this.#firstSeq = lastSeq + 1;\n  }\n\n  /** The number of the attempt",
      "this.#firstSeq = lastSeq;\n  }\n\n  /** The number of the attempt",
    ],
    [
      "The last number counts from the first",
      "this.#firstSeq + this.enqueued - 1",
      "this.#firstSeq + this.enqueued",
    ],
    [
      "A position follows a number",
      "after - this.#firstSeq + 1",
      "after - this.#firstSeq",
    ],
    [
      "A lag has the number of the last event missed",
      "seq: this.#firstSeq + position - 1",
      "seq: this.#firstSeq + position",
    ],
    [
      "A subscription that ends is counted out",
      "        this.#subscriptions--;\n",
      "",
    ],
  ]),
  ...mutationsOf("async/deadlines.ts", ["async/deadlines_test.ts"], [
    [
      "A deadline that has expired is not cancelled",
      "    if (group[place] !== deadline) return false;\n",
      "",
    ],
    [
      "The last of a group takes the place of a cancelled one",
      "    group[place] = last;\n",
      "",
    ],
    ["It knows its new place", "    last.place = place;\n", ""],
    [
      "A group is complete after 2% of the time",
      "this.#timeout * COARSENESS",
      "this.#timeout",
    ],
    [
      "What is added after the end expires at once",
      "    if (this.#closed) this.#expire(group);\n",
      "",
    ],
    [
      "What has expired expires once",
      "group.splice(0)",
      "group",
    ],
  ]),
];
