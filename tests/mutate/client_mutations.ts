import { type Mutation, mutationsOf } from "./mutation.ts";

/** Connections, statements that are repeated, and notifications. */
export const CLIENT_MUTATIONS: readonly Mutation[] = [
  ...mutationsOf("postgres/client/connection_pool.ts", [
    "postgres/connection_pool_test.ts",
    "postgres/connection_test.ts",
  ], [
    [
      "A statement goes to the quietest connection",
      "each.pending < quietest.pending ? each : quietest",
      "quietest",
    ],
    [
      "A statement goes to the first of the quietest",
      "each.pending < quietest.pending",
      "each.pending <= quietest.pending",
    ],
    [
      "Statements are prepared if that is possible",
      "prepare && this.#prepare",
      "prepare",
    ],
    [
      "Statements are not prepared behind a pooler",
      "this.#prepare = pid === given;",
      "this.#prepare = true;",
    ],
    [
      "Statements are prepared on a direct connection",
      "this.#prepare = pid === given;",
      "this.#prepare = false;",
    ],
    [
      "A silent connection is replaced",
      "connection === silent || isIdle",
      "isIdle",
    ],
    [
      "end() closes the connections",
      "    await Promise.all(open.map((each) => each.close(CLOSE_TIMEOUT)));\n",
      "",
    ],
  ]),
  ...mutationsOf("postgres/client/connection.ts", [
    "postgres/connection_test.ts",
  ], [
    [
      "A request to cancel goes to the host of the statement",
      "if (!this.#isCancelling) this.#host",
      "this.#host",
    ],
    [
      "A statement that missed its deadline is cancelled",
      "      statement.isOverdue = true;\n      this.#cancelOverdue();\n",
      "      statement.isOverdue = true;\n",
    ],
    [
      "A statement that nobody waits for is cancelled at its turn",
      "      this.#cancelOverdue();\n    }\n  }\n",
      "    }\n  }\n",
    ],
    [
      "Only a statement that missed its deadline is cancelled",
      "head === undefined || !head.isOverdue || head.isCancelled",
      "head === undefined || head.isCancelled",
    ],
    [
      "A statement that is answered no longer waits",
      "      this.#pending.splice(this.#pending.indexOf(statement), 1);\n",
      "",
    ],
    [
      "Silence is told of",
      "    onSilence(sentAt);\n",
      "",
    ],
    [
      "A statement that is sent late is cancelled",
      "while (!isSent && query.active)",
      "while (false)",
    ],
    [
      "A closed connection does not connect again",
      '    if (this.#closed) throw new Error("The connection was closed");\n',
      "",
    ],
  ]),
  ...mutationsOf("postgres/client/database.ts", ["postgres/database_test.ts"], [
    [
      "A persistent statement is repeated until its time is over",
      "error.transient && !isOver",
      "error.transient",
    ],
    [
      "A persistent statement is repeated after a missed deadline",
      "(isPersistent || !(error.cause instanceof DOMException))",
      "!(error.cause instanceof DOMException)",
    ],
    [
      "A closed database is not persistent",
      "persistence !== undefined && !signal.aborted",
      "persistence !== undefined",
    ],
    [
      "A persistent statement has no bound of attempts",
      "isPersistent ? Number.MAX_SAFE_INTEGER : ATTEMPTS",
      "ATTEMPTS",
    ],
    [
      "The timer of a persistent statement ends with it",
      "      clearTimeout(timer);\n",
      "",
    ],
  ], "persistent"),
  ...mutationsOf("postgres/client/database.ts", ["postgres/database_test.ts"], [
    [
      "close() ends the retries",
      "signal: signal.aborted ? undefined : signal",
      "signal: undefined",
    ],
    [
      "Reads are answered after close()",
      "signal: signal.aborted ? undefined : signal",
      "signal",
    ],
    [
      "A closed repository is not transient",
      "{ transient: false });\n}\n\n/** Takes the only",
      "{});\n}\n\n/** Takes the only",
    ],
  ], "close"),
  ...mutationsOf("postgres/client/database.ts", ["postgres/database_test.ts"], [
    [
      "The empty places of an answer are left out",
      "rows.filter(() => true).map(parseRow)",
      "rows.map(parseRow)",
    ],
  ], "empty places"),
  ...mutationsOf("postgres/client/database.ts", ["postgres/database_test.ts"], [
    [
      "Only a RepositoryError is repeated",
      "error instanceof RepositoryError && error.transient && !isOver",
      "(error as RepositoryError).transient !== false && !isOver",
    ],
  ], "values cannot be sent"),
  ...mutationsOf("postgres/client/database.ts", ["postgres/database_test.ts"], [
    ["08 is transient", '  "08", //', "  //"],
    ["25006 is transient", '  "25006", //', "  //"],
    ["Not all of 25 is transient", '  "25006", //', '  "25", //'],
    ["40 is transient", '  "40", //', "  //"],
    ["53 is transient", '  "53", //', "  //"],
    ["55P03 is transient", '  "55P03", //', "  //"],
    ["Not all of 55 is transient", '  "55P03", //', '  "55", //'],
    ["57 is transient", '  "57", //', "  //"],
    ["58 is transient", '  "58", //', "  //"],
    [
      "An error without a code is transient",
      'typeof code !== "string" || !/',
      'typeof code === "string" && !/',
    ],
    [
      "A code that is no SQLSTATE is transient",
      "!/^(?=.*[0-9])[0-9A-Z]{5}$/.test(code) ||\n",
      "false ||\n",
    ],
    ["A SQLSTATE has a digit", "(?=.*[0-9])", ""],
    ["A SQLSTATE is whole", "[0-9A-Z]{5}$/", "[0-9A-Z]{5}/"],
    [
      "A class is a prefix",
      "code.startsWith(prefix)",
      "code === prefix",
    ],
  ], "error for the code"),
  ...mutationsOf("postgres/client/database.ts", ["postgres/database_test.ts"], [
    [
      "23505 is a duplicate",
      'cause?.code === "23505"',
      'cause?.code === "23514"',
    ],
    [
      "Only 23505 is",
      'return cause?.code === "23505";',
      "return cause !== undefined;",
    ],
  ], "isDuplicate"),
  ...mutationsOf("postgres/client/database.ts", ["postgres/database_test.ts"], [
    [
      "A missed deadline fires the signal",
      "        missed.abort(cause);\n",
      "",
    ],
    [
      "Only a TimeoutError is a missed deadline",
      'cause instanceof DOMException && cause.name === "TimeoutError"',
      "cause instanceof DOMException",
    ],
    [
      "Only a DOMException is a missed deadline",
      'cause instanceof DOMException && cause.name === "TimeoutError"',
      '(cause as Error)?.name === "TimeoutError"',
    ],
    ["A statement is tried 8 times", "ATTEMPTS = 8", "ATTEMPTS = 7"],
    ["The first retry is after 50 ms", "minTimeout: 50,", "minTimeout: 51,"],
    [
      "Retries are at most 1 s apart",
      "maxTimeout: 1_000,",
      "maxTimeout: 1_001,",
    ],
    ["Retries have jitter", "jitter: 0.5,", "jitter: 0.4,"],
    [
      "Only a transient error is repeated",
      "error.transient && !isOver",
      "!isOver",
    ],
    [
      "A missed deadline is not repeated",
      "(isPersistent || !(error.cause instanceof DOMException))",
      "true",
    ],
    [
      "The last error is the statement's",
      "throw error instanceof RetryError ? error.cause : error;",
      "throw error;",
    ],
  ]),
  ...mutationsOf("postgres/client/notifier.ts", ["postgres/notifier_test.ts"], [
    [
      "A notification lists 200 runs",
      "MAX_NOTIFIED = 200;",
      "MAX_NOTIFIED = 199;",
    ],
    [
      "A notification lists 200 at most",
      "MAX_NOTIFIED = 200;",
      "MAX_NOTIFIED = 201;",
    ],
    [
      "close() waits a second",
      "CLOSE_TIMEOUT = 1_000;",
      "CLOSE_TIMEOUT = 900;",
    ],
    [
      "close() waits no longer",
      "CLOSE_TIMEOUT = 1_000;",
      "CLOSE_TIMEOUT = 1_100;",
    ],
    [
      "Nothing is sent for no runs",
      "if (this.#runIds.size > 0) this.#notifying",
      "this.#notifying",
    ],
    [
      "One statement is under way at a time",
      "this.#notifying ??= this.#notifyAll()",
      "this.#notifying = this.#notifyAll()",
    ],
    [
      "A run is notified of once",
      "        this.#runIds.clear();\n        const",
      "        const",
    ],
    [
      "Trouble is told again after a success",
      "        this.#inTrouble = false;\n",
      "",
    ],
    [
      "It rests three times as long as it works",
      "const REST = 3;",
      "const REST = 2;",
    ],
    ["It rests no longer", "const REST = 3;", "const REST = 4;"],
    ["It rests a second at most", "Math.min(rest, MAX_REST)", "rest"],
    ["It rests a second", "MAX_REST = 1_000", "MAX_REST = 999"],
    ["close() ends a rest", "    this.#closing.abort();\n", ""],
    ["Trouble is told once", "if (!this.#inTrouble) warn", "warn"],
    ["Notifying goes on", "    this.#notifying = undefined;\n", ""],
  ]),
  ...mutationsOf("postgres/client/notifications.ts", [
    "postgres/notifications_fence_test.ts",
    "postgres/notifications_test.ts",
  ], [
    [
      "Nothing listens after close()",
      "    if (this.#closed) return;\n    this.#rests",
      "    this.#rests",
    ],
    [
      "What others notify of spares a probe",
      "    if (this.#heard) return this.#onEcho();\n",
      "",
    ],
    [
      "Only what others notify of spares a probe",
      "    else this.#heard = true;",
      "    this.#heard = true;",
    ],
    [
      "What was heard before listening begins spares no probe",
      "    this.#heard = false;\n    this.#probe();",
      "    this.#probe();",
    ],
    [
      "What was heard spares one probe",
      "    this.#heard = false;\n    this.#arrive",
      "    this.#arrive",
    ],
    ["Listening goes on for 20 s", "LINGER = 20_000;", "LINGER = 19_000;"],
    ["Listening ends after 20 s", "LINGER = 20_000;", "LINGER = 21_000;"],
    [
      "start() goes on listening",
      "    clearTimeout(this.#lingering);\n    if",
      "    if",
    ],
    ["Needs are counted", "if (--this.#needs > 0 || this.#closed) return;", ""],
    [
      "Nothing waits after close()",
      "if (--this.#needs > 0 || this.#closed) return;",
      "if (--this.#needs > 0) return;",
    ],
    [
      "close() ends the wait",
      "    clearTimeout(this.#lingering);\n    await this.#rest",
      "    await this.#rest",
    ],
    [
      "Without listening, nothing arrives",
      "    this.#arrive = false;\n    const unlistened",
      "    const unlistened",
    ],
    [
      "Who does not listen waits for nothing",
      "    if (this.#rests) return;\n",
      "",
    ],
    [
      "Listening begins once",
      "this.#listening ??= this.#listen()",
      "this.#listening = this.#listen()",
    ],
    [
      "close() ends the wait for the echo",
      "    clearTimeout(this.#timer);\n    this.#arrive = false;\n",
      "    this.#arrive = false;\n",
    ],
    [
      "close() stops listening",
      "    await this.#rest();\n",
      "",
    ],
    [
      "Listening anew stops listening first",
      "    await this.#unlisten();\n    if",
      "    if",
    ],
    [
      "Nothing listens anew after close()",
      "if (this.#listening === former) this.#listening = this.#listen();",
      "this.#listening = this.#listen();",
    ],
    [
      "A client that cannot listen is not asked",
      "    if (client?.listen === undefined) return undefined;\n",
      "",
    ],
    [
      "LISTEN that failed is tried again",
      "      this.#after(PROBE_INTERVAL, this.#listenAnew);\n",
      "",
    ],
    [
      "The echo ends the wait for it",
      "if (payload === this.#echo) this.#onEcho();\n    else",
      "if (payload !== this.#echo)",
    ],
    [
      "Another's echo does not",
      "if (payload === this.#echo) this.#onEcho();",
      'if (payload.startsWith("echo ")) this.#onEcho();',
    ],
    [
      "Echoes are not passed on",
      '    if (payload.startsWith("echo ")) return;\n',
      "",
    ],
    [
      "Notifications are passed on",
      "    for (const listener of this.#listeners) listener.onNotify(payload);\n",
      "",
    ],
    [
      "Listeners hear that listening has begun",
      "    for (const listener of this.#listeners) listener.onListen();\n",
      "",
    ],
    [
      "Nothing is told after close()",
      "    if (this.#closed) return;\n    for",
      "    for",
    ],
    [
      "A probe waits for its echo",
      "    this.#echoed = false;\n",
      "",
    ],
    [
      "The echo may be faster than the answer",
      "if (!this.#echoed) this.#after",
      "this.#after",
    ],
    [
      "A missing echo is noticed",
      "if (!this.#echoed) this.#after(ECHO_TIMEOUT, this.#onSilence);",
      "",
    ],
    [
      "NOTIFY that failed is tried again",
      "      this.#after(PROBE_INTERVAL, this.#probe);\n    }\n",
      "    }\n",
    ],
    [
      "Trouble is told again after an echo",
      "    this.#warned = false;\n",
      "",
    ],
    [
      "An echo gives patience back",
      "    this.#warned = false;\n    this.#patience = 0;\n",
      "    this.#warned = false;\n",
    ],
    [
      "Notifications arrive once the echo did",
      "    this.#arrive = true;\n",
      "",
    ],
    [
      "They do not without it",
      "    this.#arrive = false;\n    if",
      "    if",
    ],
    [
      "The next probe follows the echo",
      "    this.#patience = 0;\n    this.#after(PROBE_INTERVAL, this.#probe);\n",
      "    this.#patience = 0;\n",
    ],
    [
      "A missing echo is told",
      '    this.#warn("NOTIFY does not arrive: news arrives by polling");\n',
      "",
    ],
    [
      "A missing echo listens anew",
      "    this.#after(this.#patience, this.#listenAnew);\n",
      "",
    ],
    [
      "Listening anew has more and more patience",
      "Math.max(PROBE_INTERVAL, 2 * this.#patience)",
      "PROBE_INTERVAL",
    ],
    [
      "Listening anew has patience from the second time on",
      "Math.max(PROBE_INTERVAL, 2 * this.#patience)",
      "2 * this.#patience",
    ],
    [
      "Patience has an end",
      "      LONGEST_PROBE_INTERVAL,\n",
      "      Infinity,\n",
    ],
    [
      "A new wait replaces the one before",
      "    clearTimeout(this.#timer);\n    if (this.#rests) return;\n",
      "    if (this.#rests) return;\n",
    ],
    [
      "Trouble is told once",
      "if (this.#warned || this.#closed) return;",
      "if (this.#closed) return;",
    ],
    [
      "Trouble is not told after close()",
      "if (this.#warned || this.#closed) return;",
      "if (this.#warned) return;",
    ],
  ]),
];
