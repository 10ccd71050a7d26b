import { type Mutation, mutationsOf } from "./mutation.ts";

const TESTS = ["http/stream/stream_response_test.ts"];

/** Reading a run as a Durable Stream. */
export const STREAM_MUTATIONS: readonly Mutation[] = [
  ...mutationsOf("http/server/stream/stream_query.ts", TESTS, [
    [
      "Offsets sort as texts",
      'String(seq).padStart(DIGITS, "0")',
      "String(seq)",
    ],
    [
      "An offset has all its digits",
      "new RegExp(`^\\\\d{${DIGITS}}$`)",
      "/^\\d+$/",
    ],
    ["An offset is a safe integer", "Number.isSafeInteger(seq)", "seq >= 0"],
    [
      "An offset is given once",
      '  if (others.length > 0) throw invalid("offset must be given once");\n',
      "",
    ],
    [
      "live needs an offset",
      'live !== undefined && !searchParams.has("offset")',
      "false",
    ],
  ]),
  ...mutationsOf("http/server/stream/stream_cursor.ts", TESTS, [
    [
      "A cursor that is behind goes on to the present",
      "known < present",
      "false",
    ],
    [
      "A client gets another cursor than it has",
      "known < present",
      "known <= present",
    ],
    ["A cursor is counted from the epoch", "Date.now() - EPOCH", "Date.now()"],
    [
      "An early client is not sent far ahead",
      "MAX_JITTER = 180",
      "MAX_JITTER = 1e9",
    ],
  ]),
  ...mutationsOf("http/server/stream/event_batches.ts", TESTS, [
    ["A batch is bounded", " && length < MAX_LENGTH", ""],
    [
      "A batch has the events that follow at once",
      "isThere ? Infinity : 0",
      "Infinity",
    ],
  ]),
  ...mutationsOf("http/server/stream/stream_position.ts", TESTS, [
    ["A run that goes on is not closed", "isUpToDate && ended", "isUpToDate"],
    ["What is behind the tail is not up to date", "seq === lastSeq", "true"],
    [
      "The last event of a former attempt does not close the stream",
      "last.seq > status.lastSeq",
      "true",
    ],
    [
      "The last event closes the stream",
      "isClosed: isLast(last)",
      "isClosed: false",
    ],
  ]),
  ...mutationsOf("http/server/stream/server_sent_stream.ts", TESTS, [
    [
      "The stream closes after a minute",
      "() => this.#stop(), DURATION",
      "() => {}, DURATION",
    ],
    ["The stream sends heartbeats", "controller.desiredSize! > 0", "false"],
    [
      "A client that is up to date is told at once",
      "if (this.#position.isUpToDate) controller",
      "if (false) controller",
    ],
    [
      "A stream that is left is not closed again",
      "this.#cancelled = true;",
      "",
    ],
  ]),
  ...mutationsOf("http/server/stream/stream_response.ts", TESTS, [
    [
      "Events of this instance are shown once they are in the log",
      'lag: "skip", durable: true',
      'lag: "skip"',
    ],
    [
      "The tail is that of the log",
      "registry.status(runId, { durable: true })",
      "registry.status(runId)",
    ],
    ["Events that were pruned are gone", "ended && lastSeq === 0 || ", ""],
    ["An offset of another run is gone", " || after > lastSeq", ""],
    [
      "The wait is bounded",
      "() => batches.cancel(), timeout",
      "() => {}, timeout",
    ],
    [
      "What was read is cached",
      '? "max-age=60, stale-while-revalidate=300"',
      '? "no-store"',
    ],
    ["An empty answer is cached for a moment", '? "max-age=5"', '? "no-store"'],
    ["The tail is not cached", '    : "no-cache";', '    : "max-age=60";'],
    [
      "What follows offset=now is not cached",
      'offset === "now" ? "no-store" : ',
      "",
    ],
    [
      "Reading is bounded",
      "until, timeout: READ_TIMEOUT",
      "until, timeout: 2 ** 31 - 1",
    ],
    ["The tag is of this run", "`:${batch.last.at.getTime()}`", '""'],
    ["The tag changes with the end", 'isClosed ? ":c" : ""', '""'],
    ["A weak tag matches", 'each.replace(/^W\\//, "") === tag', "each === tag"],
    ["A star matches", 'each === "*" || ', ""],
  ]),
];
