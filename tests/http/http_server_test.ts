import { assert, assertEquals, assertMatch } from "@std/assert";
import { Hono } from "hono";
import {
  followRun,
  RunEventDecoderStream,
  type RunHandlerOptions,
} from "../../src/http/mod.ts";
import { forever, OTHER_RUN_ID, RUN_ID } from "../known_run.ts";
import { type Handler, openConnection, openSocket, serve } from "./serve.ts";

/** The bytes of a chunked body. */
function dechunked(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const text = new TextDecoder("latin1").decode(bytes);
  const out: number[] = [];
  let at = text.indexOf("\r\n\r\n") + 4;
  while (at < text.length) {
    const end = text.indexOf("\r\n", at);
    const size = parseInt(text.slice(at, end), 16);
    if (!(size > 0)) break;
    for (let i = end + 2; i < end + 2 + size; i++) out.push(bytes[i]);
    at = end + 2 + size + 2;
  }
  return new Uint8Array(out);
}

/** Waits for a turn of the event loop, in which others can read. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

Deno.test("createRunHandler() holds two events for a viewer who never reads, and slows nobody for it", async () => {
  await using served = serve({ channelCapacity: 64 });
  const yields = 2_000;
  const payload = "x".repeat(10_000);
  const watched = Promise.withResolvers<void>();
  const { outcome } = await served.registry.registerBackground(
    { pipelineName: "flood", runId: RUN_ID },
    async function* () {
      await watched.promise;
      for (let i = 0; i < yields; i++) {
        yield payload;
        await turn();
      }
    },
  );
  using stalled = await openConnection(served, RUN_ID);
  const events = followRun(`${served.origin}/runs/${RUN_ID}/events`);
  const counted = (async () => {
    const count = { received: 0, missed: 0, last: "" };
    for await (const event of events) {
      watched.resolve();
      if (event.kind === "Lagged") count.missed += event.missed;
      else count.received++;
      count.last = event.kind;
    }
    return count;
  })();
  assertEquals((await outcome).phase.name, "Completed");
  const { received, missed, last } = await counted;
  assertEquals(received + missed, yields + 2);
  assertEquals(last, "Completed");

  // The one who stalled wakes up: what it is given until Lagged is what was held
  // for it, by the system's buffers for the most part.
  const chunks: Uint8Array[] = [];
  const buffer = new Uint8Array(1 << 20);
  for (let tail = ""; !tail.endsWith("0\r\n\r\n");) {
    const length = (await stalled.read(buffer))!;
    chunks.push(buffer.slice(0, length));
    tail = new TextDecoder().decode(buffer.subarray(length - 5, length));
  }
  const body = dechunked(await new Blob(chunks as BlobPart[]).bytes());
  const woken = await Array.fromAsync(
    ReadableStream.from([body]).pipeThrough(new RunEventDecoderStream()),
  );
  const lag = woken.findIndex(({ kind }) => kind === "Lagged");
  assert(lag > 0, "it lagged");
  const lagged = woken[lag];
  assertEquals(
    woken.length - 1 + (lagged.kind === "Lagged" ? lagged.missed : 0),
    yields + 2,
  );
  assertEquals(woken.length - 1 - lag, 64, "the run's last events are held");
  assertEquals(woken.at(-1)?.kind, "Completed");
});

Deno.test("createRunHandler() serves 1,000 viewers of one run", async () => {
  await using served = serve({ channelCapacity: 1_024 });
  const yields = 100;
  const begin = Promise.withResolvers<void>();
  await served.registry.registerBackground(
    { pipelineName: "count", runId: RUN_ID },
    async function* () {
      await begin.promise;
      for (let i = 0; i < yields; i++) {
        yield i;
        await turn();
      }
    },
  );
  const watching = new Set<Deno.TcpConn>();
  const expected = Array.from({ length: yields + 2 }, (_, i) => String(i + 1));
  await Promise.all(Array.from({ length: 1_000 }, async () => {
    using viewer = await openConnection(served, RUN_ID);
    const buffer = new Uint8Array(65_536);
    const decoder = new TextDecoder();
    let text = "";
    while (!text.includes("PipelineRunCompleted")) {
      const length = await viewer.read(buffer);
      text += decoder.decode(buffer.subarray(0, length!), { stream: true });
      if (text.includes("id: 1\n")) watching.add(viewer);
      if (watching.size === 1_000) begin.resolve();
    }
    assertEquals(
      Array.from(text.matchAll(/^id: (\d+)\nevent/gm), ([, id]) => id),
      expected,
    );
  }));
});

Deno.test("createRunHandler() lets a server shut down within 5 s with 100 open streams", async () => {
  const served = serve();
  await served.registry.registerBackground(
    { pipelineName: "hold", runId: RUN_ID },
    forever,
  );
  const path = `/runs/${RUN_ID}/events`;
  const streams = Array.from({ length: 50 }, async () => {
    const response = await fetch(served.origin + path);
    return await response.text();
  });
  const open = Promise.withResolvers<void>();
  let opened = 0;
  const sockets = Array.from({ length: 50 }, () => {
    const socket = openSocket(served, path);
    let last = "";
    socket.onmessage = ({ data }) => {
      last = JSON.parse(data).status;
      if (++opened === 50) open.resolve();
    };
    return new Promise<string>((resolve) => {
      socket.onclose = () => resolve(last);
    });
  });
  await open.promise;

  const start = performance.now();
  await served.registry.shutdown({ timeout: 4_000 });
  await served.server.shutdown();
  const took = performance.now() - start;
  assert(took < 5_000, `it took ${took} ms`);
  for (const text of await Promise.all(streams)) {
    assertMatch(text, /event: Errored\n.*"message":"aborted"/);
  }
  assertEquals(
    new Set(await Promise.all(sockets)),
    new Set(["PipelineRunErrored"]),
  );
});

Deno.test("createRunHandler() lets go of a viewer who leaves, and the run goes on", async () => {
  const cancelled = Promise.withResolvers<unknown>();
  await using served = serve({}, (handler) => async (request) => {
    const response = await handler(request);
    const reader = response.body!.getReader();
    const body = new ReadableStream({
      async pull(controller) {
        const { done, value } = await reader.read();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => {
        cancelled.resolve(reason);
        return reader.cancel(reason);
      },
    });
    return new Response(body, response);
  });
  const { outcome } = await served.registry.registerBackground(
    { pipelineName: "hold", runId: RUN_ID },
    ({ signal }) =>
      new Promise((_, reject) =>
        signal.addEventListener("abort", () => reject(signal.reason))
      ),
  );
  const leaving = new AbortController();
  const url = `${served.origin}/runs/${RUN_ID}/events`;
  const response = await fetch(url, { signal: leaving.signal });
  await response.body!.getReader().read();
  leaving.abort();
  await cancelled.promise;
  assertEquals(served.registry.snapshotStatus(RUN_ID)?.name, "Running");
  await served.registry.abort(RUN_ID);
  assertEquals((await outcome).phase.name, "Errored");
});

Deno.test("createRunHandler() refuses a flood of bodies without starting a run", async () => {
  let started = 0;
  await using served = serve({
    maxBodyBytes: 1_000,
    pipelines: { ingest: () => ({ work: () => void started++ }) },
  });
  const flood = Array.from({ length: 50 }, async (_, i) => {
    const body = "x".repeat(200_000);
    const response = await fetch(`${served.origin}/pipelines/ingest`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: i % 2 === 0 ? body : new Blob([body]).stream(),
    });
    await response.body?.cancel();
    return response.status;
  });
  assertEquals(new Set(await Promise.all(flood)), new Set([413]));
  assertEquals(started, 0);
});

/** What a request is answered with, but for what differs each time. */
async function answer(origin: string, path: string, init: RequestInit = {}) {
  const response = await fetch(origin + path, init);
  const text = await response.text();
  return {
    status: response.status,
    type: response.headers.get("Content-Type"),
    cache: response.headers.get("Cache-Control"),
    location: response.headers.has("Location") &&
      new URL(response.headers.get("Location")!, origin + path).pathname
        .replace(/[-\da-f]{36}/, "UUID"),
    text: text
      .replaceAll(/"(created_at|at)":"[^"]*"/g, '"$1":""')
      .replaceAll(/"id":"[^"]*"/g, '"id":""')
      .replaceAll(/[-\da-f]{36}/g, "UUID"),
  };
}

for (
  const [way, wrap] of [
    ["by its prefix", (handler: Handler): Handler => {
      const app = new Hono();
      app.get("/", (context) => context.text("app"));
      app.all("/api/*", (context) => handler(context.req.raw));
      return (request) => app.fetch(request);
    }],
    ["with mount()", (handler: Handler): Handler => {
      const app = new Hono();
      app.mount("/api", handler, { replaceRequest: false });
      return (request) => app.fetch(request);
    }],
  ] as const
) {
  Deno.test(`createRunHandler() behaves the same mounted in Hono ${way}`, async () => {
    const options: RunHandlerOptions = {
      prefix: "/api",
      pipelines: {
        count: () => ({
          runId: RUN_ID,
          work: async function* () {
            yield 1;
          },
        }),
        hold: () => ({ work: forever, runId: OTHER_RUN_ID }),
      },
    };
    await using bare = serve(options);
    await using mounted = serve(options, wrap);
    const post = { method: "POST", headers: { Prefer: "wait" } };
    const requests: [string, RequestInit?][] = [
      ["/api/pipelines/count", post],
      ["/api/pipelines/hold", { method: "POST" }],
      ["/api/pipelines/hold", { method: "POST" }],
      ["/api/pipelines/count", { method: "POST", body: "{" }],
      ["/api/pipelines/none", post],
      ["/api/runs"],
      [`/api/runs/${RUN_ID}`],
      [`/api/runs/${RUN_ID}/events`],
      [`/api/runs/${RUN_ID}/events`, { headers: { "Last-Event-ID": "2" } }],
      [`/api/runs/${RUN_ID}/events`, { headers: { "Last-Event-ID": "3" } }],
      [`/api/runs/${RUN_ID}/events`, { headers: { "Last-Event-ID": "x" } }],
      [`/api/runs/${OTHER_RUN_ID}?reason=enough`, { method: "DELETE" }],
      [`/api/runs/${OTHER_RUN_ID}`, { method: "DELETE" }],
      [`/api/runs/${OTHER_RUN_ID}/events`],
      ["/api/runs/x"],
      ["/api/nothing"],
      ["/api/runs", { method: "PUT" }],
      ["/api/runs", { method: "HEAD" }],
    ];
    for (const [path, init] of requests) {
      assertEquals(
        await answer(mounted.origin, path, init),
        await answer(bare.origin, path, init),
        path,
      );
    }
    const frames: string[] = [];
    const socket = openSocket(mounted, `/api/runs/${RUN_ID}/events`);
    socket.onmessage = ({ data }) => frames.push(JSON.parse(data).status);
    const code = await new Promise<number>((resolve) => {
      socket.onclose = ({ code }) => resolve(code);
    });
    assertEquals(frames, [
      "PipelineRunStarted",
      "PipelineRunYield",
      "PipelineRunCompleted",
    ]);
    assertEquals(code, 1000);
  });
}
