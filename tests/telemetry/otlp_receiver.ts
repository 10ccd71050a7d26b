import { abortable } from "@std/async/abortable";

type Value = string | number | boolean;

/** Attributes, by name. */
export type Attributes = Readonly<Record<string, Value>>;

/** A span, as an instance exported it. */
export interface ReceivedSpan {
  /** The `service.name` of the instance. */
  readonly service: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the root of a trace. */
  readonly parentSpanId: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: Attributes;
  readonly events: readonly { name: string; attributes: Attributes }[];
  readonly links: readonly { traceId: string; spanId: string }[];
  /** 0 is unset, 2 is an error. */
  readonly status: { readonly code: number; readonly message: string };
}

/** A log record, as an instance exported it. */
export interface ReceivedLog {
  readonly text: string;
  readonly severity: string;
  readonly traceId: string;
  readonly spanId: string;
}

/** The newest point of a metric. */
export interface ReceivedPoint {
  readonly service: string;
  readonly name: string;
  readonly unit: string;
  readonly attributes: Attributes;
  /** Its value; of a histogram, how many values it has. */
  readonly value: number;
  /** The sum of a histogram's values. */
  readonly sum?: number;
}

type OtlpAttributes = { key: string; value: Record<string, Value> }[];

interface OtlpResource {
  attributes: OtlpAttributes;
}

interface OtlpPoint {
  attributes: OtlpAttributes;
  count?: string;
  asDouble?: number;
  asInt?: number | string;
  sum?: number;
}

interface OtlpMetric {
  name: string;
  unit: string;
  sum?: { dataPoints: OtlpPoint[] };
  gauge?: { dataPoints: OtlpPoint[] };
  histogram?: { dataPoints: OtlpPoint[] };
}

/** The parts of an export that are read here. */
interface OtlpBody {
  resourceSpans?: {
    resource: OtlpResource;
    scopeSpans: {
      spans: (Omit<ReceivedSpan, "service" | "attributes" | "events"> & {
        attributes: OtlpAttributes;
        events: { name: string; attributes: OtlpAttributes }[];
      })[];
    }[];
  }[];
  resourceLogs?: {
    scopeLogs: {
      logRecords: {
        body: { stringValue: string };
        severityText: string;
        traceId: string;
        spanId: string;
      }[];
    }[];
  }[];
  resourceMetrics?: {
    resource: OtlpResource;
    scopeMetrics: { metrics: OtlpMetric[] }[];
  }[];
}

/** Receives what Deno exports as OTLP in JSON over HTTP. */
export class OtlpReceiver implements AsyncDisposable {
  readonly spans: ReceivedSpan[] = [];
  readonly logs: ReceivedLog[] = [];
  readonly #points = new Map<string, ReceivedPoint>();
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  #onReceived = Promise.withResolvers<void>();

  constructor() {
    this.#server = Deno.serve(
      { port: 0, hostname: "127.0.0.1", onListen: () => {} },
      async (request) => {
        this.#receive(await request.json());
        return Response.json({});
      },
    );
  }

  /** The environment of a Deno that exports to it at once. */
  envOf(service: string): Record<string, string> {
    return {
      OTEL_DENO: "true",
      OTEL_SERVICE_NAME: service,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${this.#server.addr.port}`,
      OTEL_BSP_SCHEDULE_DELAY: "20",
      OTEL_BLRP_SCHEDULE_DELAY: "20",
      OTEL_METRIC_EXPORT_INTERVAL: "100",
    };
  }

  /** The newest points of the metrics. */
  get points(): ReceivedPoint[] {
    return [...this.#points.values()];
  }

  /** Waits until something that was received is found. */
  async received<T>(find: () => T | undefined): Promise<T> {
    const deadline = AbortSignal.timeout(8_000);
    while (true) {
      const found = find();
      if (found !== undefined) return found;
      await abortable(this.#onReceived.promise, deadline);
    }
  }

  /** Waits for a span. */
  span(isIt: (span: ReceivedSpan) => boolean): Promise<ReceivedSpan> {
    return this.received(() => this.spans.find(isIt));
  }

  /** Waits until a metric has a value: the sum of its points with the attributes. */
  async metric(
    name: string,
    value: number,
    attributes: Attributes = {},
  ): Promise<ReceivedPoint> {
    return await this.received(() => {
      const points = this.points.filter((point) =>
        point.name === name &&
        Object.entries(attributes)
          .every(([key, each]) => point.attributes[key] === each)
      );
      const total = points.reduce((sum, point) => sum + point.value, 0);
      return total === value ? points[0] : undefined;
    });
  }

  /** A trace as a tree, a line for each span. */
  format(traceId: string): string {
    const spans = this.spans.filter((span) => span.traceId === traceId)
      .toSorted((a, b) =>
        Number(BigInt(a.startTimeUnixNano) - BigInt(b.startTimeUnixNano))
      );
    const lines = [`trace ${traceId}`];
    const add = (parent: string, depth: number) => {
      for (const span of spans.filter((span) => span.parentSpanId === parent)) {
        lines.push("  ".repeat(depth) + lineOf(span));
        add(span.spanId, depth + 1);
      }
    };
    add("", 1);
    const known = new Set(spans.map(({ spanId }) => spanId));
    const lost = spans.map((span) => span.parentSpanId)
      .filter((parent) => parent !== "" && !known.has(parent));
    for (const parent of new Set(lost)) {
      lines.push(`  (${parent} was never exported)`);
      add(parent, 2);
    }
    return lines.join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }

  #receive(body: OtlpBody): void {
    for (const { resource, scopeSpans } of body.resourceSpans ?? []) {
      const service = serviceOf(resource);
      for (const span of scopeSpans.flatMap(({ spans }) => spans)) {
        const attributes = toAttributes(span.attributes);
        const events = span.events.map((event) => ({
          name: event.name,
          attributes: toAttributes(event.attributes),
        }));
        this.spans.push({ ...span, service, attributes, events });
      }
    }
    for (const { scopeLogs } of body.resourceLogs ?? []) {
      for (const log of scopeLogs.flatMap(({ logRecords }) => logRecords)) {
        const { body, severityText, traceId, spanId } = log;
        const text = body.stringValue;
        this.logs.push({ text, severity: severityText, traceId, spanId });
      }
    }
    for (const { resource, scopeMetrics } of body.resourceMetrics ?? []) {
      const service = serviceOf(resource);
      for (const metric of scopeMetrics.flatMap(({ metrics }) => metrics)) {
        const { name, unit, sum, gauge, histogram } = metric;
        for (const point of (sum ?? gauge ?? histogram)!.dataPoints) {
          const attributes = toAttributes(point.attributes);
          this.#points.set(JSON.stringify([service, name, attributes]), {
            service,
            name,
            unit,
            attributes,
            value: Number(point.count ?? point.asDouble ?? point.asInt),
            sum: point.sum,
          });
        }
      }
    }
    this.#onReceived.resolve();
    this.#onReceived = Promise.withResolvers();
  }
}

function lineOf(span: ReceivedSpan): string {
  const { service, name, spanId, status, links } = span;
  const code = ["", " OK", " ERROR"][status.code];
  const message = status.message && ` "${status.message}"`;
  const type = span.attributes["error.type"];
  const took =
    Number(BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)) / 1e6;
  return [
    `${service}: ${name} [${spanId}] ${took.toFixed(1)} ms${code}${message}`,
    type === undefined ? "" : ` error.type=${type}`,
    ...links.map((link) =>
      ` → linked to ${link.spanId} of trace ${link.traceId}`
    ),
  ].join("");
}

function serviceOf({ attributes }: OtlpResource): string {
  return String(toAttributes(attributes)["service.name"]);
}

function toAttributes(attributes: OtlpAttributes): Attributes {
  return Object.fromEntries(
    attributes.map(({ key, value }) => [key, Object.values(value)[0]]),
  );
}
