import {
  type Attributes,
  type BatchObservableResult,
  type Context,
  context,
  type Counter,
  type Exception,
  type Histogram,
  metrics,
  type Observable,
  type Span,
  SpanStatusCode,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import type { RunPhase } from "../model/phase.ts";
import type {
  Gauges,
  ReapedRuns,
  RunSpan,
  Telemetry,
  TracedRun,
} from "../model/telemetry.ts";
import { formatTraceparent, parseTraceparent } from "./traceparent.ts";

const SCOPE = "@pipeline/run-registry";

/** From no-op runs to those that take hours, in seconds. */
const RUN_SECONDS = [0.01, 0.1, 1, 10, 60, 300, 1_800, 3_600, 21_600];
const COMMIT_SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5];
const COMMIT_ITEMS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000];

/**
 * Makes the telemetry of registries and repositories, by the OpenTelemetry API. Where no
 * SDK is registered with the API, it does nothing.
 *
 * Metrics need an SDK that was started before this is called; Deno's is.
 *
 * @returns What to pass as the option `telemetry`; once for the whole process.
 *
 * @example Usage
 * ```ts
 * import { PipelineRunRegistry } from "@pipeline/run-registry";
 * import { createTelemetry } from "@pipeline/run-registry/telemetry";
 *
 * const telemetry = createTelemetry();
 * await using registry = new PipelineRunRegistry({ telemetry });
 * ```
 */
export function createTelemetry(): Telemetry {
  return new OpenTelemetry();
}

class OpenTelemetry implements Telemetry {
  readonly #tracer: Tracer;
  readonly #instruments: Instruments;
  readonly #observed = new Set<() => Gauges>();

  constructor() {
    const meter = metrics.getMeter(SCOPE);
    this.#tracer = trace.getTracer(SCOPE);
    this.#instruments = {
      begun: meter.createCounter("pipeline.runs.begun", {
        description: "Runs that have begun",
        unit: "{run}",
      }),
      duration: meter.createHistogram("pipeline.run.duration", {
        description: "How long runs took, with the writing of their ending",
        unit: "s",
        advice: { explicitBucketBoundaries: RUN_SECONDS },
      }),
      notDurable: meter.createCounter("pipeline.endings.not_durable", {
        description: "Runs that ended before their ending was durable",
        unit: "{ending}",
      }),
      reaped: meter.createCounter("pipeline.runs.reaped", {
        description: "Runs of other instances that this one ended",
        unit: "{run}",
      }),
      leasesLost: meter.createCounter("pipeline.leases.lost", {
        description: "Leases of live runs that another instance has ended",
        unit: "{lease}",
      }),
      missed: meter.createCounter("pipeline.events.missed", {
        description: "Events that subscribers were told to have missed",
        unit: "{event}",
      }),
      commitDuration: meter.createHistogram("pipeline.commit.duration", {
        description: "How long group commits took",
        unit: "s",
        advice: { explicitBucketBoundaries: COMMIT_SECONDS },
      }),
      commitItems: meter.createHistogram("pipeline.commit.items", {
        description: "How many rows, events and fields a group commit wrote",
        unit: "{item}",
        advice: { explicitBucketBoundaries: COMMIT_ITEMS },
      }),
    };
    const gauges: Record<keyof Gauges, Observable> = {
      activeRuns: meter.createObservableUpDownCounter("pipeline.runs.active", {
        description: "Runs whose ending is not written yet",
        unit: "{run}",
      }),
      subscriptions: meter.createObservableUpDownCounter(
        "pipeline.subscriptions.active",
        { description: "Subscriptions to events", unit: "{subscription}" },
      ),
      pendingBytes: meter.createObservableUpDownCounter(
        "pipeline.writes.pending",
        { description: "What waits to be written", unit: "By" },
      ),
    };
    meter.addBatchObservableCallback(
      (result) => this.#collect(result, gauges),
      Object.values(gauges),
    );
  }

  beginRun(run: TracedRun, former: string | undefined): RunSpan {
    const attempt = parseTraceparent(former);
    const span = this.#tracer.startSpan(`run ${run.pipelineName}`, {
      attributes: attributesOf(run),
      links: attempt && [{ context: attempt }],
    });
    this.#instruments.begun.add(1, { "pipeline.name": run.pipelineName });
    return new OpenRunSpan(span, run.pipelineName, this.#instruments);
  }

  onAbortRequest(run: TracedRun, reason: string | undefined): void {
    const attributes = { "pipeline.abort.reason": reason };
    this.#spanOf("abort", run, attributes).end();
  }

  onReaped({ code, count, runs }: ReapedRuns): void {
    const attributes = { "error.type": code };
    this.#instruments.reaped.add(count, attributes);
    for (const run of runs) {
      const span = this.#spanOf("reap", run, attributes);
      span.setStatus({ code: SpanStatusCode.ERROR, message: code });
      span.end();
    }
  }

  onLeaseLost(): void {
    this.#instruments.leasesLost.add(1);
  }

  onMissed(events: number): void {
    this.#instruments.missed.add(events);
  }

  onCommit(items: number, milliseconds: number): void {
    this.#instruments.commitItems.record(items);
    this.#instruments.commitDuration.record(milliseconds / 1_000);
  }

  observe(read: () => Gauges): () => void {
    this.#observed.add(read);
    return () => this.#observed.delete(read);
  }

  /** A span in the trace of a run, which another instance may have begun. */
  #spanOf(action: string, run: TracedRun, attributes: Attributes): Span {
    const active = context.active();
    const parent = parseTraceparent(run.traceparent);
    const here = trace.getSpanContext(active);
    return this.#tracer.startSpan(
      `${action} ${run.pipelineName}`,
      {
        attributes: { ...attributesOf(run), ...attributes },
        links: parent && here && [{ context: here }],
      },
      parent === undefined ? active : trace.setSpanContext(active, parent),
    );
  }

  #collect(
    result: BatchObservableResult,
    gauges: Record<keyof Gauges, Observable>,
  ): void {
    const read = [...this.#observed].map((read) => read());
    for (const name of Object.keys(gauges) as (keyof Gauges)[]) {
      const figures = read.flatMap((figures) => figures[name] ?? []);
      if (figures.length === 0) continue;
      result.observe(gauges[name], figures.reduce((sum, each) => sum + each));
    }
  }
}

interface Instruments {
  readonly begun: Counter;
  readonly duration: Histogram;
  readonly notDurable: Counter;
  readonly reaped: Counter;
  readonly leasesLost: Counter;
  readonly missed: Counter;
  readonly commitDuration: Histogram;
  readonly commitItems: Histogram;
}

class OpenRunSpan implements RunSpan {
  readonly traceparent: string | undefined;
  readonly #span: Span;
  readonly #context: Context;
  readonly #pipelineName: string;
  readonly #instruments: Instruments;
  readonly #begunAt = performance.now();

  constructor(span: Span, pipelineName: string, instruments: Instruments) {
    this.traceparent = formatTraceparent(span.spanContext());
    this.#span = span;
    this.#context = trace.setSpan(context.active(), span);
    this.#pipelineName = pipelineName;
    this.#instruments = instruments;
  }

  within<T>(call: () => T): T {
    return context.with(this.#context, call);
  }

  end(phase: RunPhase, durable: boolean): void {
    const { duration, notDurable } = this.#instruments;
    const attributes: Attributes = { "pipeline.name": this.#pipelineName };
    if (phase.name === "Errored") {
      const { code, message } = phase;
      attributes["error.type"] = code;
      this.#span.setAttribute("error.type", code);
      if (code === "work") this.#span.recordException(exceptionOf(phase));
      this.#span.setStatus({ code: SpanStatusCode.ERROR, message });
    }
    this.#span.setAttribute("pipeline.run.durable", durable);
    this.#span.end();
    duration.record((performance.now() - this.#begunAt) / 1_000, attributes);
    if (!durable) notDurable.add(1, attributes);
  }
}

function attributesOf({ runId, pipelineName, datasetId }: TracedRun) {
  return {
    "pipeline.name": pipelineName,
    "pipeline.run.id": runId,
    "pipeline.dataset.id": datasetId,
  };
}

/** What the work threw may be anything, with getters that throw. */
function exceptionOf(
  { errorName = "Error", message, cause }: RunPhase & { name: "Errored" },
): Exception {
  let stack: unknown;
  try {
    stack = (cause as Error | undefined)?.stack;
  } catch {
    // It has none, then.
  }
  return typeof stack === "string"
    ? { name: errorName, message, stack }
    : { name: errorName, message };
}
