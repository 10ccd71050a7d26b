import { type Mutation, mutationsOf } from "./mutation.ts";

/** The ring of events and its readers. */
export const BROADCAST_MUTATIONS: readonly Mutation[] = [
  ...mutationsOf("broadcast/ring.ts", [
    "broadcast/ring_test.ts",
    "broadcast/cursor_test.ts",
    "broadcast/broadcast_controller_test.ts",
  ], [
    [
      "A ring holds as many chunks as it says",
      "if (length === this.capacity) {",
      "if (length === this.capacity + 1) {",
    ],
    [
      "A ring is woken once for several chunks",
      "if (this.#handingOff || this.#parked === undefined) return;",
      "if (this.#parked === undefined) return;",
    ],
    [
      "Closing ends the members",
      "    for (const member of members) member.end();\n",
      "",
    ],
    [
      "A member that joins late is ended",
      "    if (this.#closed) return member.end();\n",
      "",
    ],
    [
      "Members are ended once",
      "    this.#members = undefined;\n",
      "    this.#closed = false;\n",
    ],
    [
      "A member that left is not ended",
      "    this.#members?.delete(member);\n",
      "",
    ],
    [
      "A chunk wakes",
      "    this.#end++;\n    this.#wakeAll();\n",
      "    this.#end++;\n",
    ],
    [
      "A waiter knows its place",
      "this.#parked.push(waiter) - 1",
      "this.#parked.push(waiter)",
    ],
    [
      "A waiter that is not parked is not removed",
      "    if (waiter.parkedAt < 0) return;\n",
      "",
    ],
    [
      "The last waiter takes the place of the one removed",
      "      last.parkedAt = waiter.parkedAt;\n",
      "",
    ],
    [
      "A removed waiter is not parked",
      "    waiter.parkedAt = -1;\n  }\n\n  #wakeAll",
      "  }\n\n  #wakeAll",
    ],
    [
      "A woken waiter is not parked",
      "    for (const waiter of parked) waiter.parkedAt = -1;\n",
      "",
    ],
  ]),
  ...mutationsOf("broadcast/cursor.ts", [
    "broadcast/cursor_test.ts",
    "broadcast/broadcast_controller_test.ts",
    "broadcast/broadcast_branch_test.ts",
  ], [
    [
      "A cursor is over at the end",
      "return this.#position >= this.#ring.end &&",
      "return this.#position > this.#ring.end &&",
    ],
    [
      "A cursor is not over before the ring closes",
      "(this.#ring.closed || this.#released)",
      "true",
    ],
    [
      "A released cursor is over",
      "(this.#ring.closed || this.#released)",
      "this.#ring.closed",
    ],
    [
      "A cursor is ready before the end",
      "return this.#position < this.#ring.end &&",
      "return this.#position <= this.#ring.end &&",
    ],
    [
      "A cursor that lags is not ready",
      " &&\n      this.#position >= this.#ring.oldest;",
      ";",
    ],
    [
      "A cursor at the oldest chunk does not lag",
      "this.#position >= this.#ring.oldest;",
      "this.#position > this.#ring.oldest;",
    ],
    [
      "A released cursor gives nothing",
      "    if (this.#released) return OVER;\n",
      "",
    ],
    [
      "A cursor that has read all leaves the ring",
      "    this.release();\n    return OVER;",
      "    return OVER;",
    ],
    [
      "A cursor parks once",
      "if (this.parkedAt < 0) this.#ring.park(this);",
      "this.#ring.park(this);",
    ],
    [
      "An owner is woken once",
      "    this.#owner = undefined;\n    owner?.wake();",
      "    owner?.wake();",
    ],
    [
      "An owner that stopped waiting is not woken",
      "    this.#ring.unpark(this);\n    this.#owner = undefined;\n",
      "    this.#ring.unpark(this);\n",
    ],
    [
      "A cursor is released once",
      "    if (this.#released) return;\n",
      "",
    ],
    [
      "A released cursor leaves the ring",
      "    this.#ring.unpark(this);\n    try",
      "    try",
    ],
    [
      "A released cursor wakes its owner",
      "    } finally {\n      this.wake();\n",
      "    } finally {\n",
    ],
    [
      "A lag is counted exactly",
      "const missed = oldest - this.#position;",
      "const missed = oldest - this.#position - 1;",
    ],
    [
      "A lag goes on with the oldest chunk",
      "    this.#position = oldest;\n",
      "    this.#position = oldest + 1;\n",
    ],
    [
      "A lag closes",
      'if (then === "close") this.release();',
      "",
    ],
    [
      "A lag may be skipped",
      'if (then === "close") this.release();',
      "this.release();",
    ],
    [
      "A first lag has a rule of its own",
      "this.#position === position ? initialLag : lag",
      "lag",
    ],
    [
      "Only the first lag has a rule of its own",
      "this.#position === position ? initialLag : lag",
      "initialLag",
    ],
  ]),
  ...mutationsOf("broadcast/branch_reads.ts", [
    "broadcast/broadcast_branch_test.ts",
    "broadcast/broadcast_controller_test.ts",
    "broadcast/broadcast_branch_property_test.ts",
  ], [
    [
      "The chunk left in the stream comes first",
      "source.holdsChunk ? readStream : undefined",
      "undefined",
    ],
    [
      "A read waits behind others",
      "if (this.#direct && this.#cursor.ready)",
      "if (this.#cursor.ready)",
    ],
    [
      "A new lock settles the pull of the last one",
      "    source.settlePull();\n",
      "",
    ],
    [
      "Releasing rejects pending reads",
      "    for (const { reject } of this.#waiting.splice(0)) {\n      reject(",
      "    for (const { reject } of []) {\n      reject(",
    ],
    [
      "Reads wait on while there is nothing",
      "if (result === undefined) return this.#cursor.wait(this);",
      "if (result === undefined) return;",
    ],
    [
      "An iterator throws once",
      "if (this.#onOver !== undefined) this.settle();",
      "",
    ],
    [
      "A reader rejects each read",
      "if (this.#onOver !== undefined) this.settle();",
      "this.settle();",
    ],
    [
      "Reads are direct again once none waits",
      "    }\n    this.#direct = true;\n  }\n\n  /** The oldest",
      "    }\n  }\n\n  /** The oldest",
    ],
    [
      "The oldest read is answered first",
      "      : this.#waiting.shift();",
      "      : this.#waiting.pop();",
    ],
    [
      "A stream that errored gives no chunk",
      "if (this.#source.failure === undefined) return readStream();",
      "return readStream();",
    ],
    [
      "The stream closes with its last chunk",
      "    if (this.#cursor.over) this.#source.close();\n",
      "",
    ],
    [
      "A stream that errored rejects",
      "    if (source.failure !== undefined) throw source.failure.error;\n",
      "",
    ],
    [
      "The stream closes with a lag that closes",
      "        if (this.#cursor.over) source.close();\n",
      "",
    ],
    [
      "An iterator is over at the end",
      "    this.#onOver?.();\n",
      "",
    ],
  ]),
  ...mutationsOf("broadcast/branch_source.ts", [
    "broadcast/broadcast_branch_test.ts",
    "broadcast/broadcast_controller_test.ts",
    "broadcast/broadcast_branch_property_test.ts",
  ], [
    [
      "A stream holds a chunk or not",
      "this.#controller.desiredSize! < 0",
      "this.#controller.desiredSize! <= 0",
    ],
    [
      "The signal's listener ends with the cursor",
      "      stopListening();\n      onRelease?.();",
      "      onRelease?.();",
    ],
    [
      "A source that is cancelled at once does not join",
      "    if (!this.#closed) this.#ring.join(this);\n",
      "    this.#ring.join(this);\n",
    ],
    [
      "A source that is cancelled leaves its ring",
      "    this.#ring.leave(this);\n    this.settlePull();\n",
      "    this.settlePull();\n",
    ],
    [
      "A source that closes leaves its ring",
      "    this.#ring.leave(this);\n    this.#controller.close();\n",
      "    this.#controller.close();\n",
    ],
    [
      "A source joins its ring",
      "    if (!this.#closed) this.#ring.join(this);\n",
      "",
    ],
    [
      "A signal is heard before the end",
      "    this.#listen();\n    if (!this.#closed) this.#ring.join(this);\n",
      "    if (!this.#closed) this.#ring.join(this);\n    this.#listen();\n",
    ],
    [
      "A stream that is behind does not close",
      "    if (this.cursor.over) this.close();\n  }\n\n  /** Called by the cursor",
      "    this.close();\n  }\n\n  /** Called by the cursor",
    ],
    [
      "A signal that is given is heard",
      "if (this.#signal === undefined) return;",
      "return;",
    ],
    [
      "Cancelling releases the cursor",
      "    this.settlePull();\n    this.cursor.release();\n",
      "    this.settlePull();\n",
    ],
    [
      "A pull waits on while there is nothing",
      "    if (this.#deliver()) this.settlePull();\n    else this.cursor.wait(this);",
      "    if (this.#deliver()) this.settlePull();",
    ],
    [
      "A settled pull waits no longer",
      "    this.cursor.stopWaiting();\n",
      "",
    ],
    [
      "A stream closes once",
      "    if (this.#closed) return;\n",
      "",
    ],
    [
      "A closed stream releases the cursor",
      "    this.#controller.close();\n    this.cursor.release();\n",
      "    this.#controller.close();\n",
    ],
    [
      "A pull of the last chunk closes",
      "      if (this.cursor.over) this.close();\n",
      "",
    ],
  ]),
  ...mutationsOf("broadcast/broadcast_branch.ts", [
    "broadcast/broadcast_branch_test.ts",
  ], [
    [
      "return() gives the chunks that are there first",
      "    this.#reads.wake();\n",
      "",
    ],
    [
      "A call after return() is answered after it",
      "    await this.#cancelled?.catch(() => {});\n",
      "",
    ],
    [
      "A call after return() does not reject",
      "this.#cancelled?.catch(() => {})",
      "this.#cancelled",
    ],
    [
      "getReader() refuses what are no options",
      "if (!isDictionary(options) || options?.mode !== undefined)",
      "if (options?.mode !== undefined)",
    ],
    [
      "values() refuses what are no options",
      "    if (!isDictionary(options)) return super.values(options);\n",
      "",
    ],
    [
      "An iterator has the platform's prototype",
      "    Object.getPrototypeOf(async function* () {}.prototype),\n",
      "    async function* () {}.prototype,\n",
    ],
  ]),
];
