import { type Mutation, mutationsOf } from "./mutation.ts";

const TESTS = ["http/page/run_page_test.ts"];

/** The page for operators, its stream and its feed. */
export const PAGE_MUTATIONS: readonly Mutation[] = [
  ...mutationsOf("http/page/listed_run.ts", ["http/page/listed_run_test.ts"], [
    [
      "An earlier attempt says nothing of when a run began",
      "else if (!isLive) whole.add(runId);",
      "",
    ],
    [
      "A first row is the beginning of an attempt",
      'if (phase.name === "Pending") whole.add(runId);',
      "",
    ],
  ]),
  ...mutationsOf("http/page/page_filter.ts", TESTS, [
    ["Names are compared without case", ".trim().toLowerCase();", ".trim();"],
    [
      "A run is of the dataset",
      "return row.datasetId === datasetId &&",
      "return datasetId === datasetId &&",
    ],
    [
      "Live runs are asked for",
      'this.#status === "live" && isLive ||',
      "",
    ],
    [
      "Live runs have not ended with an error",
      '"errored" && !isLive && status',
      '"errored" && status',
    ],
    [
      "Completed runs have not ended with an error",
      '!isLive && status !== "completed"',
      "!isLive",
    ],
    [
      "A status is not what every object has",
      "!Object.hasOwn(STATUS_FILTERS, this.#status)",
      "!(this.#status in STATUS_FILTERS)",
    ],
  ], "/filters|own paths|dataset/"),
  ...mutationsOf("http/page/run_feed.ts", TESTS, [
    [
      "One listing serves all",
      "this.#stop ??= this.#start();",
      "this.#stop = this.#start();",
    ],
    [
      "Nothing is listed for nobody",
      "if (this.#listeners.size > 0) return;",
      "return;",
    ],
    [
      "It lists for those who stay",
      "if (this.#listeners.size > 0) return;",
      "",
    ],
    [
      "It lists once a second",
      "const INTERVAL = 1_000;",
      "const INTERVAL = 900;",
    ],
    [
      "It lists again after a failure",
      "onFailure(error);\n",
      "onFailure(error);\n        return;\n",
    ],
    ["A shutdown is told", "listener.onShutdown();", "listener;"],
    [
      "Nobody is taken after a shutdown",
      "      this.#stop = undefined; // So that",
      "      // So that",
    ],
  ], "/lists the rows|rows cannot|shutdown|within a second/"),
  ...mutationsOf("http/page/run_page_stream.ts", TESTS, [
    [
      "100 runs are followed",
      "const MAX_FOLLOWED = 100;",
      "const MAX_FOLLOWED = 101;",
    ],
    [
      "Those that are shown are those that are followed",
      "const free = MAX_FOLLOWED - followed.size;",
      "const free = Infinity;",
    ],
    [
      "A run that waits is followed when another one has ended",
      "    this.#followWaiting();\n    if",
      "    if",
    ],
    [
      "How many wait is told",
      'this.#send("waiting", this.#toldWaiting);',
      "",
    ],
  ], "/follows 100/"),
  ...mutationsOf("http/page/run_page_stream.ts", TESTS, [
    [
      "It begins with the last events",
      "firstSeq - 1, lastSeq - TAIL",
      "firstSeq - 1",
    ],
    ["The tail has 20 events", "const TAIL = 20;", "const TAIL = 19;"],
    [
      "A run that has too many events is left for the rest of the second",
      "while (sent < MAX_PACE)",
      "while (true)",
    ],
    [
      "50 events a second are not too many",
      "const MAX_PACE = 50;",
      "const MAX_PACE = 40;",
    ],
  ], "/last ones|too many/"),
  ...mutationsOf("http/page/run_page_stream.ts", TESTS, [
    [
      "Events wait for a viewer that does not read",
      "while (!this.#hasLeft && !this.#hasRoom) await",
      "if (false) await",
    ],
    [
      "Reading goes on when the viewer reads",
      "this.#drained.resolve();\n    this.#drained = Promise",
      "this.#drained = Promise",
    ],
    [
      "64 KiB wait",
      "const MAX_BUFFERED = 65_536;",
      "const MAX_BUFFERED = 165_536;",
    ],
    [
      "A missed listing is made up for",
      "      this.#isStale = true;\n      return;",
      "      return;",
    ],
  ], "/does not read|missed a listing/"),
  ...mutationsOf("http/page/run_page_stream.ts", TESTS, [
    [
      "A viewer needs one snapshot",
      "    this.#isStale = false;\n",
      "",
    ],
    [
      "Trouble is told once",
      "    if (this.#isTroubled) return;\n",
      "",
    ],
    [
      "The end of trouble is told",
      'if (this.#isTroubled) this.#send("fine");',
      "",
    ],
    [
      "There can be trouble again",
      "    this.#isTroubled = false;\n",
      "",
    ],
    [
      "What was told is not told again",
      "if (told?.rowId === row.id) {",
      "if (false) {",
    ],
    [
      "A viewer that leaves stops its heartbeat and its listing",
      "      remove();\n      stop();\n",
      "",
    ],
  ], "/lists the rows|rows cannot|heartbeat/"),
  ...mutationsOf("http/page/run_page_stream.ts", TESTS, [
    [
      "A snapshot has what may be read only",
      "readable.push(...some.filter((_, index) => answers[index]));",
      "readable.push(...some);",
    ],
    [
      "A change is told of what may be read only",
      '        await may("read", runId);',
      "        true;",
    ],
    [
      "Events are sent of what may be followed only",
      'if (!await this.#options.may("follow", run.runId)) return false;',
      "",
    ],
    [
      "A change is told of what is asked for only",
      "(told?.isShown || filter.matches(run))",
      "true",
    ],
  ], "/authorize|filters|dataset|second later/"),
  ...mutationsOf("http/page/run_page_stream.ts", TESTS, [
    [
      "A missing beginning is looked up",
      "run.began = whole?.began;",
      "",
    ],
    [
      "Payloads are cut",
      "return text.length > PREVIEW",
      "return false",
    ],
  ], "/began|tells all/"),
  ...mutationsOf("http/page/run_page_stream.ts", TESTS, [
    [
      "A run that could not be read is followed again",
      "        this.#waiting.set(runId, run); // After the next listing.\n",
      "",
    ],
    [
      "A run that is followed no longer waits",
      "    this.#waiting.delete(runId);\n    this.#followed.set",
      "    this.#followed.set",
    ],
    [
      "The end of a run that is shown as live is told",
      "const isLive = told.isShown && told.isLive ||\n",
      "const isLive =\n",
    ],
    [
      "An end that no row tells is told once",
      "{ rowId: row.id, isShown: true, isLive: false }",
      '{ rowId: "", isShown: true, isLive: false }',
    ],
  ], "/could not be read|twice|tells once|tells again|may not be followed/"),
  ...mutationsOf("http/page/run_page_stream.ts", TESTS, [
    [
      "What was told of a run with an older row is told again",
      "      this.#told.set(runId, { rowId: row.id, isShown: true, isLive: false });\n",
      "",
    ],
  ], "/tells again/"),
  ...mutationsOf("http/page/run_page_stream.ts", TESTS, [
    [
      "A stream is open until the last run has ended",
      " || this.#followed.size > 0) return;",
      ") return;",
    ],
    [
      "A stream closes with the last run",
      "      this.#closeIfOver();\n    }\n  }",
      "    }\n  }",
    ],
  ], "/shutdown/"),
  ...mutationsOf("http/page/run_page.ts", TESTS, [
    [
      "authorize is asked",
      "if (!await this.#settings.authorize(request, list)) {",
      "if (false) {",
    ],
    [
      "A dataset is named to authorize",
      ': { kind: "list", datasetId };',
      ': { kind: "list" };',
    ],
    [
      "The page comes with any filters",
      "if (isPage) return new PageFilter(new URLSearchParams());",
      "",
    ],
    [
      "Only the page comes with any filters",
      "if (isPage) return new PageFilter(new URLSearchParams());",
      "return new PageFilter(new URLSearchParams());",
    ],
    [
      "HEAD opens no stream",
      'if (request.method === "HEAD") return new Response(null, { headers });',
      "",
    ],
    [
      "Errors are reported",
      "toProblem(error, () => onError(error, request))",
      "toProblem(error, () => {})",
    ],
  ], "/authorize|filters|own paths|allows its own|dataset/"),
];
