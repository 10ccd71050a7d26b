/**
 * A registry, a handler and a client in one page.
 *
 * @module
 */
import {
  definePipeline,
  pipelineId,
  PipelineRunRegistry,
} from "@pipeline/run-registry";
import { createRunClient } from "@pipeline/run-registry/client";
import { allowAll, createRunHandler } from "@pipeline/run-registry/http";

const pipelines = [
  definePipeline({
    name: "ingest",
    async *run() {
      yield { document: "a.txt" };
      return { total: 1 };
    },
  }),
  definePipeline({
    name: "wait",
    async run(_input, { signal }) {
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    },
  }),
];

async function kindsOf(
  events: ReadableStream<{ kind: string }>,
): Promise<string[]> {
  const reader = events.getReader();
  const kinds = [];
  while (true) {
    const { done, value } = await reader.read();
    if (done) return kinds;
    kinds.push(value.kind);
  }
}

/** What a page sees of runs, without a server. */
export interface Seen {
  pipelineId: string;
  registered: { kinds: string[]; phase: unknown };
  started: { kinds: string[]; result: unknown };
  aborted: { answer: string; kinds: string[]; phase: unknown };
  listed: number;
}

/** Makes an id, and registers, follows and aborts runs, on the registry and through the handler. */
export async function seeRuns(userId: string): Promise<Seen> {
  const registry = new PipelineRunRegistry();
  const run = await registry.registerBackground(
    { pipelineName: "count" },
    function* () {
      yield 1;
      yield 2;
    },
  );
  const registered = {
    kinds: await kindsOf(run.subscribe()),
    phase: (await run.outcome).phase,
  };

  const handler = createRunHandler(registry, {
    pipelines,
    authorize: allowAll,
  });
  const client = createRunClient<typeof pipelines>(location.origin, {
    fetch: (...target) => handler(new Request(...target)),
  });
  const ingested = await client.start("ingest", undefined);
  const started = {
    kinds: await kindsOf(client.follow(ingested)),
    result: (await client.get(ingested))?.result,
  };

  const waiting = await client.start("wait", undefined);
  const following = kindsOf(client.follow(waiting));
  const answer = await client.abort(waiting, "enough");
  const aborted = {
    answer,
    kinds: await following,
    phase: (await client.get(waiting))?.phase,
  };

  const listed = (await client.list()).length;
  await registry.shutdown();
  return {
    pipelineId: await pipelineId(userId, undefined, "ingest"),
    registered,
    started,
    aborted,
    listed,
  };
}
