/**
 * A handler behind the server of the example of `UpgradeWebSocket`: starts, follows
 * and resumes, over server-sent events and a WebSocket.
 *
 * @module
 */
import assert from "node:assert/strict";
import {
  definePipeline,
  PipelineRunRegistry,
  type RunEvent,
} from "@pipeline/run-registry";
import { createRunClient } from "@pipeline/run-registry/client";
import { allowAll } from "@pipeline/run-registry/http";

const registry = new PipelineRunRegistry();
// The server must notice that a viewer leaves.
let cancelled = Promise.withResolvers<void>();
const { subscribe } = registry;
registry.subscribe = ((...target: Parameters<typeof subscribe>) => {
  const reader = subscribe.apply(registry, target).getReader();
  return new ReadableStream<RunEvent>({
    async pull(controller) {
      const { done, value } = await reader.read();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    async cancel(reason) {
      await reader.cancel(reason);
      cancelled.resolve();
    },
  }, { highWaterMark: 0 });
}) as typeof subscribe;

const released = Promise.withResolvers<void>();
const pipelines = [
  definePipeline({
    name: "ingest",
    async *run() {
      yield "a.txt";
      yield "b.txt";
      return { total: 2 };
    },
  }),
  definePipeline({
    name: "wait",
    async run(_input, { publish }) {
      publish("waiting");
      await released.promise;
    },
  }),
];
Object.assign(globalThis, { registry, pipelines, authorize: allowAll });
const { server } = await import(new URL("server.js", import.meta.url).href);
await server.ready();
const origin = server.url.replace(/\/$/, "");

const INGESTED = [
  [1, "Started"],
  [2, "Yield"],
  [3, "Yield"],
  [4, "Completed"],
];

async function summary(events: ReadableStream<RunEvent>): Promise<unknown[]> {
  const seen = [];
  for await (const { seq, kind } of events) seen.push([seq, kind]);
  return seen;
}

// The first stream of events breaks off after two of them.
let connections = 0;
const client = createRunClient<typeof pipelines>(origin, {
  async fetch(...target: Parameters<typeof fetch>): Promise<Response> {
    const response = await fetch(...target);
    const type = response.headers.get("Content-Type");
    if (type !== "text/event-stream" || connections++ > 0) return response;
    let events = 0;
    const cut = new TransformStream<string, string>({
      transform(chunk, controller) {
        for (const part of chunk.split(/(?<=\n\n)/)) {
          controller.enqueue(part);
          if (/^event:/m.test(part) && ++events === 2) controller.terminate();
        }
      },
    });
    const body = response.body!
      .pipeThrough(new TextDecoderStream()).pipeThrough(cut)
      .pipeThrough(new TextEncoderStream());
    return new Response(body, response);
  },
});

const run = await client.start("ingest", undefined);
assert.deepEqual(
  await summary(client.follow(run, { minBackoff: 1 })),
  INGESTED,
);
assert.equal(connections, 2);
assert.deepEqual((await client.get(run))?.result, { total: 2 });
assert.equal(
  (await fetch(`${origin}/runs/${crypto.randomUUID()}`)).status,
  404,
);

const waited = await fetch(`${origin}/pipelines/ingest`, {
  method: "POST",
  headers: { Prefer: "wait", "Content-Type": "application/json" },
  body: "null",
});
assert.equal(waited.status, 200);
assert.deepEqual((await waited.json()).result, { total: 2 });

const live = await client.start("wait", undefined);
const path = `/runs/${live.runId}/events`;
cancelled = Promise.withResolvers();
const viewer = new AbortController();
const response = await fetch(`${origin}${path}`, { signal: viewer.signal });
await response.body!.getReader().read();
viewer.abort();
await cancelled.promise;

cancelled = Promise.withResolvers();
const socket = new WebSocket(`${origin.replace("http", "ws")}${path}`);
await new Promise((resolve) => socket.onmessage = resolve);
socket.close();
await cancelled.promise;

const followed = summary(client.follow(live));
assert.equal(await client.abort(live, "enough"), "requested");
assert.deepEqual(await followed, [[1, "Started"], [2, "Yield"], [
  3,
  "Errored",
]]);
assert.equal(await client.abort(live), "ended");
released.resolve();

function receive(path: string): Promise<{ statuses: string[]; code: number }> {
  const socket = new WebSocket(`${origin.replace("http", "ws")}${path}`);
  const statuses: string[] = [];
  return new Promise((resolve) => {
    socket.onmessage = ({ data }) => statuses.push(JSON.parse(data).status);
    socket.onclose = ({ code }) => resolve({ statuses, code });
    // Node 22 does not close a socket whose upgrade is refused.
    socket.onerror = () => resolve({ statuses, code: 1006 });
  });
}

const frames = await receive(`/runs/${run.runId}/events`);
assert.deepEqual(frames.statuses, [
  "PipelineRunStarted",
  "PipelineRunYield",
  "PipelineRunYield",
  "PipelineRunCompleted",
]);
assert.equal(frames.code, 1000);
const over = await receive(`/runs/${run.runId}/events?after=4`);
assert.deepEqual(over, { statuses: [], code: 1000 });
const unknown = await receive(`/runs/${crypto.randomUUID()}/events`);
assert.deepEqual(unknown, { statuses: [], code: 1008 });
const refused = await receive(`/runs/${run.runId}/events?after=x`);
assert.deepEqual(refused, { statuses: [], code: 1006 });

await registry.shutdown();
await server.close(true);
console.log("ok");
