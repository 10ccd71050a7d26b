/**
 * An instance with telemetry in a process of its own, which serves its registry. It stops
 * when its input ends.
 *
 * @module
 */
import { trace } from "@opentelemetry/api";
import {
  PipelineRunRegistry,
  type PipelineRunRegistryOptions,
  type PipelineWork,
} from "../../mod.ts";
import { createRunHandler } from "../../src/http/mod.ts";
import { connect, type ConnectOptions } from "../../src/postgres/mod.ts";
import { createTelemetry } from "../../src/telemetry/mod.ts";

/** How an instance is set up. */
export interface InstanceOptions extends ConnectOptions {
  /** Its Postgres; by default it has none. */
  url?: string;
  registry?: PipelineRunRegistryOptions;
}

/** What a pipeline is started with. */
export interface Input {
  runId?: string;
  timeout?: number;
}

const tracer = trace.getTracer("tests");

const PIPELINES: Record<string, PipelineWork> = {
  async *ingest() {
    for (let i = 0; i < 10; i++) yield i;
    await Promise.resolve();
    tracer.startSpan("index").end();
  },
  fail() {
    throw new TypeError("boom");
  },
  hold({ signal }) {
    tracer.startSpan("index").end();
    return new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  },
};

async function main(): Promise<void> {
  const { url, registry: given, ...options }: InstanceOptions = JSON.parse(
    Deno.args[0],
  );
  const telemetry = createTelemetry();
  await using repository = url === undefined
    ? undefined
    : await connect(url, { ...options, telemetry });
  await using registry = new PipelineRunRegistry({
    ...given,
    repository,
    telemetry,
  });
  // Its figures are added to those of the other one.
  await using _idle = new PipelineRunRegistry({ telemetry });
  const pipelines = Object.entries(PIPELINES).map(([name, work]) =>
    [name, (input: unknown) => ({ ...input as Input, work })] as const
  );
  const handler = createRunHandler(registry, {
    pipelines: Object.fromEntries(pipelines),
    heartbeat: 500,
  });
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    async (request) => {
      const { pathname } = new URL(request.url);
      if (pathname !== "/sweep") return await handler(request);
      return Response.json(await registry.sweep());
    },
  );
  console.log(JSON.stringify(server.addr));
  for await (const _ of Deno.stdin.readable);
}

if (import.meta.main) await main();
