import { type Mutation, mutationsOf } from "./mutation.ts";

const INSTANCES = ["telemetry/instances_telemetry_test.ts"];
const ONE = ["telemetry/create_telemetry_test.ts"];
const PORT = ["telemetry/telemetry_port_test.ts"];

/** The spans and metrics of runs, and where they are told of. */
export const TELEMETRY_MUTATIONS: readonly Mutation[] = [
  ...mutationsOf("telemetry/create_telemetry.ts", ONE, [
    [
      "The span is active in the work",
      "return context.with(this.#context, call);",
      "return call();",
    ],
    [
      "A failure has the status of one",
      "      this.#span.setStatus({ code: SpanStatusCode.ERROR, message });\n",
      "",
    ],
    [
      "Only a failure of the work has an exception",
      'if (code === "work") this.#span',
      "this.#span",
    ],
    [
      "Endings that are durable are not counted as others",
      "if (!durable) notDurable",
      "notDurable",
    ],
    [
      "The figures of all registries are added",
      "sum + each",
      "each",
    ],
  ], "createTelemetry"),
  ...mutationsOf("telemetry/create_telemetry.ts", INSTANCES, [
    [
      "A new attempt links to the former",
      "      links: attempt && [{ context: attempt }],\n",
      "",
    ],
    [
      "A span of another instance is in the run's trace",
      "parent === undefined ? active : trace.setSpanContext(active, parent)",
      "active",
    ],
    [
      "A span of another instance links to what was active there",
      "        links: parent && here && [{ context: here }],\n",
      "",
    ],
    [
      "A reaped run has the status of a failure",
      "      span.setStatus({ code: SpanStatusCode.ERROR, message: code });\n",
      "",
    ],
  ]),
  ...mutationsOf(
    "telemetry/traceparent.ts",
    ["telemetry/traceparent_test.ts"],
    [
      [
        "Flags have two digits",
        '.padStart(2, "0")',
        "",
      ],
      [
        "A span that is not traced has no traceparent",
        "  if (!isSpanContextValid(span)) return undefined;\n",
        "",
      ],
      [
        "A traceparent of zeros is none",
        "traceId && isSpanContextValid(span) ? span",
        "traceId ? span",
      ],
      [
        "A traceparent is a string",
        'typeof text !== "string"',
        "text === undefined",
      ],
    ],
  ),
  ...mutationsOf("run/run.ts", INSTANCES, [
    [
      "A lost lease is told",
      "    this.#dependencies.telemetry?.onLeaseLost();\n",
      "",
    ],
  ], "lost lease"),
  ...mutationsOf("run/run.ts", INSTANCES, [
    [
      "The row of the beginning has the traceparent",
      ", span?.traceparent);",
      ");",
    ],
  ], "killed"),
  ...mutationsOf("run/run.ts", ONE, [
    [
      "The span ends with the run",
      "    live.span?.end(ended.phase, durable);\n",
      "",
    ],
  ], "a child of the request"),
  ...mutationsOf("run/run.ts", PORT, [
    [
      "A run with a random id has no former attempt",
      "telemetry !== undefined && this.given && lastSeq",
      "telemetry !== undefined && lastSeq",
    ],
  ]),
  ...mutationsOf("run/former_traceparent.ts", INSTANCES, [
    [
      "The row of the beginning may be before that of the ending",
      "repository.listByRun(runId, 2)",
      "repository.listByRun(runId, 1)",
    ],
  ], "attempt"),
  ...mutationsOf("run/former_traceparent.ts", PORT, [
    [
      "Rows that cannot be read are warned of",
      '    warn({ kind: "log", runId, message, cause });\n',
      "",
    ],
  ]),
  ...mutationsOf("registry/registry.ts", ONE, [
    [
      "A warning has the trace of its run",
      "else span.within(warn);",
      "else warn();",
    ],
    [
      "An abort by the same instance has a span",
      "      if (!wasEnded) {\n",
      "      if (false as boolean) {\n",
    ],
  ]),
  ...mutationsOf("registry/registry.ts", PORT, [
    [
      "With a log the followed streams are the subscriptions",
      "? this.#followed.size",
      "? 0",
    ],
    [
      "Awaited runs have subscriptions",
      "        this.#awaited.subscriptions,\n",
      "        0,\n",
    ],
    [
      "Nothing is observed after shutdown",
      "    this.#stopObserving?.();\n",
      "",
    ],
  ]),
  ...mutationsOf("postgres/log/log_stream.ts", PORT, [
    [
      "What the log has lost is missed",
      "      this.#options.onMissed?.(lagged.missed);\n",
      "",
    ],
  ]),
  ...mutationsOf("run/run_events.ts", ONE, [
    [
      "What memory has lost is missed",
      "        onMissed?.(missed);\n",
      "",
    ],
  ], "counts runs"),
  ...mutationsOf("postgres/postgres_repository.ts", PORT, [
    [
      "What is pending is not observed after close()",
      "    this.#stopObserving?.();\n",
      "",
    ],
    [
      "No orphans are none that were reaped",
      "      if (count > 0) {\n        this.#telemetry",
      "      {\n        this.#telemetry",
    ],
  ]),
  ...mutationsOf("postgres/log/postgres_run_log.ts", INSTANCES, [
    [
      "An abort of another instance's run is told",
      "if (state.row !== null) {",
      "if (false as boolean && state.row !== null) {",
    ],
  ], "an abort by another"),
  ...mutationsOf("postgres/log/postgres_run_log.ts", PORT, [
    [
      "An abort of a run that has ended is not told",
      '    if (status.ended) return "ended";\n',
      "",
    ],
  ]),
  ...mutationsOf("postgres/leases/leases.ts", INSTANCES, [
    [
      "What was reaped is told with its code",
      'reason === LEASE_EXPIRED.code ? reason : "orphan"',
      '"orphan"',
    ],
  ], "killed"),
  ...mutationsOf("postgres/sql/leases.ts", INSTANCES, [
    [
      "REAP answers the traceparent",
      "        'traceparent', (r.run_info::json) ->> 'traceparent'\n",
      "        'traceparent', null\n",
    ],
  ], "killed"),
];
