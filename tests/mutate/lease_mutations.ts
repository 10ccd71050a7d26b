import { type Mutation, mutationsOf } from "./mutation.ts";

/** The tests of leases without those in which half a minute of fake time passes. */
const QUICK =
  "/Leases |Leases\\.(renew|reap|on|close|claim)|requestAbort\\(\\) (requests|ends|stays)|Lease\\.(write|append|abandon|recordedEnding|claim\\(\\) (of|rejects if|ends|gives|begins|warns))/";

/** What an instance does with its leases. */
export const LEASE_MUTATIONS: readonly Mutation[] = [
  ...mutationsOf("postgres/leases/leases.ts", ["postgres/leases_test.ts"], [
    [
      "A claim is repeated for 30 s",
      "PERSISTENCE = 30_000",
      "PERSISTENCE = 20_000",
    ],
  ], "30 s"),
  ...mutationsOf("postgres/leases/lease.ts", ["postgres/leases_test.ts"], [
    [
      "A random id needs no claim",
      "    if (!this.#run.given) return 0;\n",
      "",
    ],
    [
      "The generation is the claim's",
      "    this.#claim = { ...this.#claim, generation };\n",
      "",
    ],
    [
      "A claimed lease is written",
      "    this.#isWritten = true;\n    this.#firstSeq",
      "    this.#firstSeq",
    ],
    [
      "The attempt begins after the last event",
      "    this.#firstSeq = lastSeq + 1;\n",
      "",
    ],
    [
      "A lost lease writes nothing",
      "    if (this.#lost !== undefined) throw this.#lost;\n",
      "",
    ],
    [
      "A lost lease appends nothing",
      "    if (this.#lost !== undefined) return;\n    const claim",
      "    const claim",
    ],
    [
      "A lease that ends is not renewed",
      "    if (ends) this.isEnding = true;\n",
      "",
    ],
    [
      "A lease that is written does not begin",
      'begins: !this.#isWritten && (event?.kind ?? "Started") === "Started"',
      'begins: (event?.kind ?? "Started") === "Started"',
    ],
    [
      "Only the first steps begin a lease",
      'begins: !this.#isWritten && (event?.kind ?? "Started") === "Started"',
      "begins: !this.#isWritten",
    ],
    [
      "A row before the first event begins a lease",
      '(event?.kind ?? "Started") === "Started"',
      'event?.kind === "Started"',
    ],
    [
      "Only the ending has the id of an ending",
      "endingId: ends ? transition?.id ?? crypto.randomUUID() : undefined",
      "endingId: transition?.id ?? crypto.randomUUID()",
    ],
    [
      "The ending has the id of its row",
      "endingId: ends ? transition?.id ?? crypto.randomUUID() : undefined",
      "endingId: ends ? crypto.randomUUID() : undefined",
    ],
    [
      "A step is not droppable",
      "this.#itemOf(step, false)",
      "this.#itemOf(step, true)",
    ],
    [
      "An event is droppable",
      "this.#itemOf(step, true)",
      "this.#itemOf(step, false)",
    ],
    [
      "An ending stops the renewal",
      "      if (ends) this.#holder.release(this);\n",
      "",
    ],
    [
      "Another step does not",
      "      if (ends) this.#holder.release(this);\n",
      "      this.#holder.release(this);\n",
    ],
    [
      "A refused step may mean that the lease is lost",
      "      this.#onRefused(error);\n",
      "",
    ],
    [
      "abandon() stops the renewal",
      "    this.isAbandoned = true;\n    this.#holder.release(this);\n",
      "    this.isAbandoned = true;\n",
    ],
    [
      "A request is passed on once",
      "    if (this.#abortRequested) return;\n",
      "",
    ],
    [
      "A lease is lost once",
      "    if (this.#lost !== undefined) return;\n    this.#lost = new",
      "    this.#lost = new",
    ],
    [
      "A lost lease is not renewed",
      "    this.#lost = new LeaseLostError(this.runId);\n    this.#holder.release(this);\n",
      "    this.#lost = new LeaseLostError(this.runId);\n",
    ],
    [
      "A lease that is ending is not held",
      "if (!this.isEnding && !this.isAbandoned) this",
      "if (!this.isAbandoned) this",
    ],
    [
      "A lease that is abandoned is not held",
      "if (!this.isEnding && !this.isAbandoned) this",
      "if (!this.isEnding) this",
    ],
    [
      "A written step is announced",
      "    this.#holder.onLogged(this.runId);\n",
      "",
    ],
    [
      "Only a lost lease is lost",
      "if (error instanceof LeaseLostError) this.lose();",
      "this.lose();",
    ],
  ], QUICK),
  ...mutationsOf("postgres/leases/leases.ts", ["postgres/leases_test.ts"], [
    [
      "500 runs are reaped at once",
      "REAPED_AT_ONCE = 500",
      "REAPED_AT_ONCE = 499",
    ],
    [
      "The notice is two renewals",
      "RENEWALS_UNDER_NOTICE = 2",
      "RENEWALS_UNDER_NOTICE = 1",
    ],
    [
      "Renewing is tried again after 1 s",
      "RETRY_INTERVAL = 1_000",
      "RETRY_INTERVAL = 10_000",
    ],
    [
      "An expired run is reaped before it is claimed again",
      '        claimed === undefined &&\n        await this.reap("lease_expired", lease.runId) > 0\n',
      "        false\n",
    ],
    [
      "Only a refused claim reaps",
      "        claimed === undefined &&\n        await this.reap",
      "        await this.reap",
    ],
    [
      "A run that was not reaped is not claimed again",
      'await this.reap("lease_expired", lease.runId) > 0\n',
      'await this.reap("lease_expired", lease.runId) >= 0\n',
    ],
    [
      "A claim that fails is given up",
      "      this.#giveUp(lease); // The claim may have succeeded.\n",
      "",
    ],
    [
      "A claim that is refused is an error",
      "    if (claimed === undefined) throw new RunAlreadyActiveError(lease.runId);\n",
      "",
    ],
    [
      "An abandoned claim is given up",
      "    if (lease.isAbandoned) this.#giveUp(lease);\n    else this",
      "    this",
    ],
    [
      "An early request is passed on",
      "    if (early !== undefined) lease.requestAbort(early.reason);\n",
      "",
    ],
    [
      "Holding listens",
      "    this.#options.notifications.start();\n",
      "",
    ],
    [
      "Only the lease itself is released",
      "if (this.#held.get(lease.runId) === lease) this.#held",
      "this.#held",
    ],
    [
      "Renewing goes on for the others",
      "    if (this.#held.size > 0) return;\n",
      "",
    ],
    [
      "Renewing ends with the last",
      "    clearTimeout(this.#timer);\n    this.#timer = undefined;\n",
      "    this.#timer = undefined;\n",
    ],
    [
      "Renewing begins again after the last",
      "    clearTimeout(this.#timer);\n    this.#timer = undefined;\n",
      "    clearTimeout(this.#timer);\n",
    ],
    [
      "An aborted run that has expired is ended",
      'if (state.lease === "expired") await this.#reap("lease_expired", 0, runId);',
      "",
    ],
    [
      "A live run that is aborted is not ended",
      'if (state.lease === "expired") await',
      'if (state.lease !== "ended") await',
    ],
    [
      "An aborted run that has expired has no notice",
      'this.#reap("lease_expired", 0, runId)',
      'this.#reap("lease_expired", 20_000, runId)',
    ],
    [
      "Nothing is renewed without leases",
      "    if (this.#held.size === 0) return;\n",
      "",
    ],
    [
      "A lease that is ending is not renewed",
      "filter(({ isEnding }) => !isEnding)",
      "filter(() => true)",
    ],
    [
      "A requested abort is passed on",
      "      if (found?.isRequested) lease.requestAbort(found.reason);\n",
      "",
    ],
    [
      "No other abort is",
      "if (found?.isRequested) lease.requestAbort(found.reason);",
      "if (found) lease.requestAbort(found.reason);",
    ],
    [
      "A lease that is not renewed is lost",
      "      if (found === undefined && !lease.isEnding) lease.lose();\n",
      "",
    ],
    [
      "A lease that began to end is not lost",
      "found === undefined && !lease.isEnding",
      "found === undefined",
    ],
    [
      "A lease that is renewed is not lost",
      "found === undefined && !lease.isEnding",
      "!lease.isEnding",
    ],
    [
      "Reaping looks again if any is left",
      "    if (!first.isAnyLeft) return first.reaped;\n",
      "    return first.reaped;\n",
    ],
    [
      "Reaping does not look again if none is left",
      "    if (!first.isAnyLeft) return first.reaped;\n",
      "",
    ],
    [
      "Reaping waits for the notice",
      "      await delay(notice, { signal: this.#closed.signal });\n",
      "",
    ],
    [
      "close() ends that wait",
      "await delay(notice, { signal: this.#closed.signal });",
      "await delay(notice);",
    ],
    [
      "Reaping counts both times",
      "return first.reaped + second.reaped;",
      "return second.reaped;",
    ],
    [
      "Only requests to this instance are read",
      "if (payload === `abort ${this.#options.owner}`) this",
      'if (payload.startsWith("abort ")) this',
    ],
    [
      "Requests are read when listening begins",
      "  onListen(): void {\n    this.#readRequests();\n",
      "  onListen(): void {\n",
    ],
    [
      "close() stops renewing",
      "    this.#closed.abort();\n    clearTimeout(this.#timer);\n",
      "    this.#closed.abort();\n",
    ],
    [
      "Reaping counts what all its statements ended",
      "reaped += count;",
      "reaped = count;",
    ],
    [
      "Reaping announces new events",
      "      if (count > 0) this.onLogged(runId);\n",
      "",
    ],
    [
      "Reaping announces nothing if there is nothing",
      "if (count > 0) this.onLogged(runId);",
      "this.onLogged(runId);",
    ],
    [
      "Reaping goes on while there is more",
      "if (count < REAPED_AT_ONCE) return { reaped",
      "return { reaped",
    ],
    [
      "Nothing is renewed after close()",
      "    if (this.#closed.signal.aborted) return;\n    this.#timer ??=",
      "    this.#timer ??=",
    ],
    [
      "There is one timer",
      "this.#timer ??= setTimeout",
      "this.#timer = setTimeout",
    ],
    [
      "The timer may be set again",
      "      this.#timer = undefined;\n      let next",
      "      let next",
    ],
    [
      "Trouble is told again after a success",
      "        this.#inTrouble = false;\n",
      "",
    ],
    [
      "Trouble is told once",
      "        if (!this.#inTrouble) {\n",
      "        {\n",
    ],
    [
      "Renewing goes on while there are leases",
      "if (this.#held.size > 0) this.#arm(next);",
      "",
    ],
    [
      "Renewing does not go on without leases",
      "if (this.#held.size > 0) this.#arm(next);",
      "this.#arm(next);",
    ],
    [
      "Requests are read by one query at a time",
      "    if (this.#readingRequests) return;\n",
      "",
    ],
    [
      "Requests that come meanwhile are read",
      "    this.#requestsDue = true;\n",
      "    this.#requestsDue ||= !this.#readingRequests;\n",
    ],
    [
      "No requests are read after close()",
      "this.#requestsDue && !this.#closed.signal.aborted",
      "this.#requestsDue",
    ],
    [
      "An early request is forgotten at the next read",
      "        this.#earlyRequests.clear();\n",
      "",
    ],
    [
      "A request is for one claim",
      "if (lease?.claimId === claimId) lease",
      "if (lease !== undefined) lease",
    ],
    [
      "Requests can be read after a failure",
      "      this.#readingRequests = false;\n",
      "",
    ],
    [
      "Nothing is warned of after close()",
      "    if (this.#closed.signal.aborted) return;\n    this.#options.warn",
      "    this.#options.warn",
    ],
  ], QUICK),
  ...mutationsOf("postgres/leases/lease.ts", ["postgres/lease_fence_test.ts"], [
    [
      "Steps of a run are written in order",
      "      key: this.runId,\n",
      "      key: crypto.randomUUID(),\n",
    ],
    [
      "A step is retried until it succeeds",
      "timeout: Infinity,",
      "timeout: 20,",
    ],
    [
      "A lease is held once",
      "    if (!this.#isWritten) {\n",
      "    if (true) {\n",
    ],
  ]),
  ...mutationsOf(
    "postgres/leases/leases.ts",
    ["postgres/lease_fence_test.ts"],
    [
      [
        "Renewing is tried again sooner than the interval",
        "next = Math.min(RETRY_INTERVAL, this.#options.renewInterval / 2);",
        "next = RETRY_INTERVAL;",
      ],
      [
        "A renewal at its time is tried once",
        'await this.renew("once");',
        "await this.renew();",
      ],
    ],
  ),
  ...mutationsOf("postgres/client/database.ts", ["postgres/database_test.ts"], [
    [
      "A persistent statement is repeated until its time is over",
      "error.transient && !isOver",
      "error.transient",
    ],
    [
      "A persistent statement is repeated after a missed deadline",
      "(persistence !== undefined || !(error.cause instanceof DOMException))",
      "!(error.cause instanceof DOMException)",
    ],
    [
      "A persistent statement has no bound of attempts",
      "persistence ? Number.MAX_SAFE_INTEGER : ATTEMPTS",
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
      "(persistence !== undefined || !(error.cause instanceof DOMException))",
      "true",
    ],
    [
      "The last error is the statement's",
      "throw error instanceof RetryError ? error.cause : error;",
      "throw error;",
    ],
  ]),
  ...mutationsOf("postgres/client/notifications.ts", [
    "postgres/notifications_fence_test.ts",
    "postgres/notifications_test.ts",
  ], [
    [
      "Nothing listens after close()",
      "if (!this.#closed) this.#listening ??= this.#listen();",
      "this.#listening ??= this.#listen();",
    ],
    [
      "Listening begins once",
      "this.#listening ??= this.#listen()",
      "this.#listening = this.#listen()",
    ],
    [
      "close() ends the wait for the echo",
      "    this.#closed = true;\n    clearTimeout(this.#timer);\n",
      "    this.#closed = true;\n",
    ],
    [
      "close() stops listening",
      "    clearTimeout(this.#timer);\n    await this.#unlisten();\n",
      "    clearTimeout(this.#timer);\n",
    ],
    [
      "Listening anew stops listening first",
      "    await this.#unlisten();\n    if",
      "    if",
    ],
    [
      "Nothing listens anew after close()",
      "if (!this.#closed) this.#listening = this.#listen();",
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
      "    if (payload === this.#echo) this.#onEcho();\n",
      "",
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
      "    this.#echoed = true;\n    this.#warned = false;\n    this.#patience = 0;\n",
      "    this.#echoed = true;\n    this.#warned = false;\n",
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
      "    clearTimeout(this.#timer);\n    if (this.#closed) return;\n",
      "    if (this.#closed) return;\n",
    ],
    [
      "Nothing waits after close()",
      "    clearTimeout(this.#timer);\n    if (this.#closed) return;\n",
      "    clearTimeout(this.#timer);\n",
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
  ...mutationsOf("registry/followed_streams.ts", [
    "registry/followed_streams_test.ts",
  ], [
    [
      "Streams of known runs do not wait",
      "let isAwaiting = !isKnown;",
      "let isAwaiting = true;",
    ],
    [
      "The bound is for streams that wait",
      "if (isAwaiting && this.#awaiting >= this.#maxAwaiting)",
      "if (this.#awaiting >= this.#maxAwaiting)",
    ],
    [
      "The bound is exact",
      "this.#awaiting >= this.#maxAwaiting",
      "this.#awaiting > this.#maxAwaiting",
    ],
    [
      "Streams that wait are counted",
      "    if (isAwaiting) this.#awaiting++;\n",
      "",
    ],
    [
      "Streams that have an event are counted out",
      "      if (isAwaiting) this.#awaiting--;\n",
      "",
    ],
    [
      "Streams are counted out once",
      "      isAwaiting = false;\n",
      "",
    ],
    [
      "Streams that end are counted out",
      "      onEvent();\n      this.#open.delete(stream);\n",
      "      this.#open.delete(stream);\n",
    ],
    [
      "Streams that end are forgotten",
      "      this.#open.delete(stream);\n",
      "",
    ],
    [
      "drain() waits for the last stream",
      "if (this.#open.size === 0) this.#onEmpty?.();",
      "this.#onEmpty?.();",
    ],
    [
      "drain() ends with the last stream",
      "      if (this.#open.size === 0) this.#onEmpty?.();\n",
      "",
    ],
    [
      "drain() closes streams of runs that go on",
      "    this.#close(({ runId }) => !hasEnded(runId));\n",
      "",
    ],
    [
      "drain() leaves streams of runs that have ended",
      "!hasEnded(runId)",
      "true",
    ],
    [
      "drain() waits for nothing if nothing is left",
      "    if (this.#open.size === 0) return;\n",
      "",
    ],
    [
      "close() closes what is left",
      "    this.#close(() => true);\n",
      "",
    ],
  ]),
];
