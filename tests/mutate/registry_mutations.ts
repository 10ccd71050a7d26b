import { type Mutation, mutationsOf } from "./mutation.ts";

/** The streams that a registry closes at its end. */
export const REGISTRY_MUTATIONS: readonly Mutation[] = [
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
      "    this.#close(({ runId }) => !isOwn(runId));\n",
      "",
    ],
    [
      "drain() leaves streams of runs that have ended",
      "!isOwn(runId)",
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
