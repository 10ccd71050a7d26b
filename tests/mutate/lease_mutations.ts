import { type Mutation, mutationsOf } from "./mutation.ts";

/** The tests of leases without those in which half a minute of fake time passes. */
const QUICK =
  "/Leases |Leases\\.(renew|reap|on|close|claim)|requestAbort\\(\\) (requests|gives|warns)|Lease\\.(write|append|abandon|recordedEnding|claim\\(\\) (of|rejects if|ends|gives|begins|warns))/";

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
      "A claimed lease is held by its claim",
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
      "A lease begins once",
      'begins: !this.#hasBeginning && (event?.kind ?? "Started") === "Started"',
      'begins: (event?.kind ?? "Started") === "Started"',
    ],
    [
      "No step after the first event begins a lease",
      'begins: !this.#hasBeginning && (event?.kind ?? "Started") === "Started"',
      "begins: !this.#hasBeginning",
    ],
    [
      "A row before the first event begins a lease",
      '(event?.kind ?? "Started") === "Started"',
      'event?.kind === "Started"',
    ],
    [
      "The beginning of a run waits for its ending",
      "patience: this.#isWritten || this.isEnding ? 0 : PATIENCE",
      "patience: 0",
    ],
    [
      "The ending of a run waits for nothing",
      "patience: this.#isWritten || this.isEnding ? 0 : PATIENCE",
      "patience: this.#isWritten ? 0 : PATIENCE",
    ],
    [
      "A claimed run waits for nothing",
      "patience: this.#isWritten || this.isEnding ? 0 : PATIENCE",
      "patience: this.isEnding ? 0 : PATIENCE",
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
      "Renewing is tried again after a tenth of the interval",
      "RETRY_INTERVAL = 0.1",
      "RETRY_INTERVAL = 1",
    ],
    [
      "An expired run is reaped before it is claimed again",
      '          await this.reap("lease_expired", lease.runId);\n',
      "",
    ],
    [
      "A run is reaped once before a claim",
      "else if (isReaped) break;",
      'else if (isReaped && await this.reap("lease_expired", lease.runId) === 0) break;',
    ],
    [
      "A claim that fails is given up",
      "      this.#giveUp(lease, expected); // The claim may have succeeded.\n",
      "",
    ],
    [
      "A claim follows the generation that it finds",
      "if (generation !== undefined) expected = generation;",
      "if (generation !== undefined) break;",
    ],
    [
      "An abandoned claim is given up",
      "if (lease.isAbandoned) this.#giveUp(lease, expected);\n          else this.hold",
      "this.hold",
    ],
    [
      "An early request is passed on",
      "    if (early !== undefined) lease.requestAbort(early.reason);\n",
      "",
    ],
    [
      "Holding listens",
      "    if (this.#held.size === 0) this.#options.notifications.start();\n",
      "",
    ],
    [
      "Only the lease itself is released",
      "    if (this.#held.get(lease.runId) !== lease) return;\n",
      "",
    ],
    [
      "The first lease listens",
      "if (this.#held.size === 0) this.#options.notifications",
      "this.#options.notifications",
    ],
    [
      "Without leases nobody listens",
      "    this.#options.notifications.stop();\n",
      "",
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
      '    if (state.lease === "expired") this.#reapLater(runId);\n',
      "",
    ],
    [
      "A live run that is aborted is not ended",
      'if (state.lease === "expired") this.#reapLater',
      'if (state.lease !== "ended") this.#reapLater',
    ],
    [
      "Nothing is renewed without leases",
      "    if (this.#held.size === 0) return;\n",
      "",
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
      "      await delay(1.02 * notice, { signal: this.#closed.signal });\n",
      "",
    ],
    [
      "close() ends that wait",
      "await delay(1.02 * notice, { signal: this.#closed.signal });",
      "await delay(1.02 * notice);",
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
      "        this.onLogged(runId);\n        const code",
      "        const code",
    ],
    [
      "Reaping announces nothing if there is nothing",
      "      if (count > 0) {\n        this.onLogged(runId);",
      "      {\n        this.onLogged(runId);",
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
        "next = RETRY_INTERVAL * this.#options.renewInterval;",
        "next = 1_000;",
      ],
      [
        "A renewal at its time is tried once",
        'await this.renew("once");',
        "await this.renew();",
      ],
    ],
  ),
];
