import { PipelineRunRegistry, type Telemetry } from "../mod.ts";
import { connect } from "../src/postgres/mod.ts";
import { createTelemetry } from "../src/telemetry/mod.ts";
import type { Contender, Contest, Figures, MeasureOptions } from "./contest.ts";
import { openDatabase } from "./database.ts";
import { NoRepository, perSecond } from "./registry_bench.ts";

const SPEC = { pipelineName: "noop" };
/** How many durable runs there are at once. */
const DURABLE = 64;

function noop(): void {}

async function measure(
  { quick }: MeasureOptions,
  telemetry?: Telemetry,
): Promise<Figures> {
  const time = quick ? 500 : 2_000;
  const figures: Record<string, number> = {};
  {
    await using registry = new PipelineRunRegistry({
      repository: new NoRepository(),
      telemetry,
    });
    const register = () => registry.registerInline(SPEC, noop);
    await perSecond(time / 2, register); // to warm up
    figures.memory = await perSecond(time, register);
  }
  await using database = await openDatabase();
  await using repository = await connect(database.url, { telemetry });
  await using registry = new PipelineRunRegistry({ repository, telemetry });
  const register = () => registry.registerInline(SPEC, noop);
  await perSecond(time / 2, register, DURABLE);
  figures.durable = await perSecond(time, register, DURABLE);
  return figures;
}

let collector: Deno.HttpServer<Deno.NetAddr> | undefined;

/** The environment of a Deno that exports to a collector which forgets it. */
function exporting(): Record<string, string> {
  collector ??= Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    async (request) => {
      await request.bytes();
      return new Response();
    },
  );
  return {
    OTEL_DENO: "true",
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.addr.port}`,
  };
}

const given: Omit<Contender, "name" | "includes"> = {
  measure: (options) => measure(options, createTelemetry()),
};

/** What telemetry costs. */
export const contests: readonly Contest[] = [{
  name: "telemetry",
  needsPostgres: true,
  contenders: [
    {
      name: "without",
      includes: "no telemetry is given",
      measure: (options) => measure(options),
    },
    {
      ...given,
      name: "given, OTEL off",
      includes: "createTelemetry(), whose API has no SDK",
    },
    {
      ...given,
      name: "given, OTEL on",
      includes:
        "a span for each run and the metrics, exported every 5 s and 60 s",
      env: exporting,
    },
  ],
  tables: [{
    title: "no-op runs/s",
    better: "more",
    columns: {
      memory: "in memory, 1,000 at once",
      durable: `durable, ${DURABLE} at once`,
    },
  }],
}];
