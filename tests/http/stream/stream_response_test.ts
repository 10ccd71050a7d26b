import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import {
  MemoryPipelineRunRepository,
  PipelineRunRegistry,
  type RunContext,
} from "../../../mod.ts";
import type { WireEvent } from "../../../src/http/mod.ts";
import { PostgresPipelineRunRepository } from "../../../src/postgres/mod.ts";
import { assertPending } from "../../assert_pending.ts";
import { FakeClock } from "../../fake_clock.ts";
import {
  forever,
  noop,
  OTHER_RUN_ID,
  registerHeld,
  RUN_ID,
  SPEC,
} from "../../known_run.ts";
import { gatedRepository } from "../../postgres/gated_repository.ts";
import { openDatabase } from "../../postgres/open_database.ts";
import { turn } from "../../postgres/turn.ts";
import { client } from "../client.ts";

const PATH = `/runs/${RUN_ID}/stream`;

/** The headers of a response that the protocol is about. */
function streamHeaders({ headers }: Response): Record<string, string> {
  const names = [...headers.keys()].filter((name) =>
    name.startsWith("stream-")
  );
  return Object.fromEntries(
    names.map((name) => [name.slice("stream-".length), headers.get(name)!]),
  );
}

async function seqsOf(response: Response): Promise<number[]> {
  assertEquals(response.headers.get("Content-Type"), "application/json");
  return (await response.json() as WireEvent[]).map(({ seq }) => seq);
}

function publishes(count: number): (run: RunContext) => void {
  return ({ publish }) => {
    for (let i = 0; i < count; i++) publish(i);
  };
}

Deno.test("GET /runs/:id/stream reads the wire events of a run that has ended", async () => {
  await using registry = new PipelineRunRegistry();
  const request = client(registry);
  await registry.registerInline({ ...SPEC, runId: RUN_ID }, publishes(1));
  const response = await request("GET", PATH);
  assertEquals(response.status, 200);
  assertEquals(streamHeaders(response), {
    "next-offset": "0000000000000003",
    "up-to-date": "true",
    "closed": "true",
  });
  const events = await response.json() as WireEvent[];
  assertEquals(
    events.map(({ seq, status, payload }) => [seq, status, payload]),
    [
      [1, "PipelineRunStarted", null],
      [2, "PipelineRunYield", 0],
      [3, "PipelineRunCompleted", null],
    ],
  );
});

Deno.test("GET /runs/:id/stream reads what a live run has published, and is not closed", async () => {
  await using registry = new PipelineRunRegistry();
  const request = client(registry);
  const { run } = await registerHeld(registry);
  run.publish("a");
  const response = await request("GET", `${PATH}?offset=-1`);
  assertEquals(streamHeaders(response), {
    "next-offset": "0000000000000002",
    "up-to-date": "true",
  });
  assertEquals(await seqsOf(response), [1, 2]);
  const tail = await request("GET", `${PATH}?offset=0000000000000002`);
  assertEquals(tail.headers.get("Cache-Control"), "public, no-cache");
  assertEquals(streamHeaders(tail), streamHeaders(response));
  assertEquals(await seqsOf(tail), []);
});

Deno.test("GET /runs/:id/stream reads 64 KiB at a time, and is up to date with the last of it", async () => {
  await using registry = new PipelineRunRegistry();
  const request = client(registry);
  const payload = "x".repeat(30_000);
  await registry.registerInline({ ...SPEC, runId: RUN_ID }, ({ publish }) => {
    for (let i = 0; i < 4; i++) publish(payload);
  });
  const first = await request("GET", PATH);
  assertEquals(streamHeaders(first), { "next-offset": "0000000000000004" });
  assertEquals(await seqsOf(first), [1, 2, 3, 4]);
  const second = await request("GET", `${PATH}?offset=0000000000000004`);
  assertEquals(streamHeaders(second).closed, "true");
  assertEquals(await seqsOf(second), [5, 6]);
});

Deno.test("GET /runs/:id/stream tells of events that memory holds no longer", async () => {
  await using registry = new PipelineRunRegistry({ channelCapacity: 4 });
  const request = client(registry);
  await registry.registerInline({ ...SPEC, runId: RUN_ID }, publishes(10));
  const [lagged, ...events] = await (await request("GET", PATH))
    .json() as WireEvent[];
  assertEquals([lagged.status, lagged.missed], ["PipelineRunLagged", 8]);
  assertEquals(events.map(({ seq }) => seq), [9, 10, 11, 12]);
});

Deno.test("GET /runs/:id/stream has an ETag, which changes when the run ends without a new event to read", async () => {
  await using registry = new PipelineRunRegistry();
  const request = client(registry);
  const held = await registerHeld(registry);
  const open = await request("GET", PATH);
  const tag = open.headers.get("ETag")!;
  assertMatch(tag, new RegExp(`^"${RUN_ID}:0:1:\\d+"$`));
  for (
    const known of [tag, `W/${tag}`, `"other", ${tag}`, "*"]
  ) {
    const same = await request("GET", PATH, {
      headers: { "If-None-Match": known },
    });
    assertEquals([same.status, same.body], [304, null]);
    assertEquals(same.headers.get("ETag"), tag);
    assertEquals(same.headers.get("Stream-Next-Offset"), "0000000000000001");
  }
  held.complete();
  await held.outcome;
  const closed = await request("GET", PATH, {
    headers: { "If-None-Match": tag },
  });
  assertEquals(closed.status, 200);
  assertMatch(
    closed.headers.get("ETag")!,
    new RegExp(`^"${RUN_ID}:0:2:\\d+:c"$`),
  );
  const atTail = await request("GET", `${PATH}?offset=0000000000000002`);
  assertEquals(atTail.headers.get("ETag"), `"${RUN_ID}:2:2:c"`);
  assertNotEquals(atTail.headers.get("ETag"), tag);
});

Deno.test("GET /runs/:id/stream has another ETag for another run with the id", async () => {
  using time = new FakeClock();
  const tags: (string | null)[] = [];
  for (let life = 0; life < 2; life++) {
    await using registry = new PipelineRunRegistry();
    await registry.registerInline({ ...SPEC, runId: RUN_ID }, noop);
    const { headers } = await client(registry)("GET", PATH);
    tags.push(headers.get("ETag"));
    time.tick(1);
  }
  assertNotEquals(tags[0], tags[1]);
});

Deno.test("GET /runs/:id/stream is for private caches, unless everybody may read", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline({ ...SPEC, runId: RUN_ID }, noop);
  const caching = async (options: Parameters<typeof client>[1]) => {
    const response = await client(registry, options)("GET", PATH);
    return response.headers.get("Cache-Control");
  };
  const rest = "max-age=60, stale-while-revalidate=300";
  assertEquals(await caching({}), `public, ${rest}`);
  const authorize = () => true;
  assertEquals(await caching({ authorize }), `private, ${rest}`);
  assertEquals(
    await caching({ authorize, caching: "public" }),
    `public, ${rest}`,
  );
});

Deno.test("GET /runs/:id/stream skips what there is with offset=now", async () => {
  await using registry = new PipelineRunRegistry();
  const request = client(registry);
  const { run, complete } = await registerHeld(registry);
  run.publish("a");
  const response = await request("GET", `${PATH}?offset=now`);
  assertEquals(response.headers.get("Cache-Control"), "no-store");
  assertEquals(response.headers.get("ETag"), null);
  assertEquals(streamHeaders(response), {
    "next-offset": "0000000000000002",
    "up-to-date": "true",
  });
  assertEquals(await response.text(), "[]");
  const waiting = request("GET", `${PATH}?offset=now&live=long-poll`);
  await assertPending(waiting);
  run.publish("b");
  assertEquals(await seqsOf(await waiting), [3]);
  complete();
});

Deno.test("HEAD /runs/:id/stream gives the tail", async () => {
  await using registry = new PipelineRunRegistry();
  const request = client(registry);
  const { complete, outcome } = await registerHeld(registry);
  const open = await request("HEAD", `${PATH}?offset=-1`);
  assertEquals([open.status, open.body], [200, null]);
  assertEquals(open.headers.get("Cache-Control"), "no-store");
  assertEquals(open.headers.get("Content-Type"), "application/json");
  assertEquals(streamHeaders(open), { "next-offset": "0000000000000001" });
  complete();
  await outcome;
  assertEquals(streamHeaders(await request("HEAD", PATH)), {
    "next-offset": "0000000000000002",
    "closed": "true",
  });
});

Deno.test("GET /runs/:id/stream?live=long-poll answers with what is there, or with the next events", async () => {
  await using registry = new PipelineRunRegistry();
  const request = client(registry);
  const { run, complete } = await registerHeld(registry);
  const present = await request("GET", `${PATH}?offset=-1&live=long-poll`);
  assertMatch(present.headers.get("Stream-Cursor")!, /^\d+$/);
  assertEquals(await seqsOf(present), [1]);
  const waiting = request(
    "GET",
    `${PATH}?offset=0000000000000001&live=long-poll`,
  );
  await assertPending(waiting);
  run.publish("a");
  run.publish("b");
  const next = await waiting;
  assertEquals(next.headers.get("Stream-Up-To-Date"), "true");
  assertEquals(next.headers.get("Stream-Closed"), null);
  assertEquals(await seqsOf(next), [2, 3]);
  const ending = request(
    "GET",
    `${PATH}?offset=0000000000000003&live=long-poll`,
  );
  await assertPending(ending);
  complete();
  const last = await ending;
  assertEquals(streamHeaders(last), {
    "next-offset": "0000000000000004",
    "up-to-date": "true",
    "closed": "true",
  });
  assertEquals(await seqsOf(last), [4]);
  const over = await request(
    "GET",
    `${PATH}?offset=0000000000000004&live=long-poll`,
  );
  assertEquals([over.status, over.body], [204, null]);
  assertEquals(streamHeaders(over), streamHeaders(last));
});

Deno.test("GET /runs/:id/stream?live=long-poll answers 204 with a later cursor when no event comes in time", async () => {
  using time = new FakeClock();
  await using registry = new PipelineRunRegistry();
  const request = client(registry);
  await registerHeld(registry);
  const path = `${PATH}?offset=0000000000000001&live=long-poll`;
  const first = request("GET", path);
  await time.tickAsync(19_999);
  await assertPending(first);
  await time.tickAsync(1);
  const { status, headers } = await first;
  assertEquals(status, 204);
  assertEquals(headers.get("Cache-Control"), "public, max-age=5");
  const cursor = Number(headers.get("Stream-Cursor"));
  assertEquals(
    cursor,
    Math.floor((Date.now() - Date.UTC(2024, 9, 9)) / 20_000),
  );
  const second = request("GET", `${path}&cursor=${cursor}`);
  await time.tickAsync(19_000);
  await assertPending(second);
  await time.tickAsync(1_000);
  const later = Number((await second).headers.get("Stream-Cursor"));
  assertEquals(later, cursor + 1);
  const again = await request(
    "GET",
    `${PATH}?offset=-1&live=long-poll&cursor=${later}`,
  );
  assertEquals(Number(again.headers.get("Stream-Cursor")) > later, true);
  const ahead = request("GET", `${path}&cursor=${later + 1_000}`);
  await time.tickAsync(20_000);
  const furthest = Number((await ahead).headers.get("Stream-Cursor"));
  assertEquals(
    furthest > later + 1_000 && furthest <= later + 1_180,
    true,
  );
});

Deno.test("GET /runs/:id/stream?live=sse sends batches, each with a control event", async () => {
  await using registry = new PipelineRunRegistry();
  const request = client(registry);
  const { run, complete } = await registerHeld(registry);
  run.publish("a");
  const response = await request("GET", `${PATH}?offset=-1&live=sse`);
  assertEquals(response.headers.get("Content-Type"), "text/event-stream");
  const reader = response.body!.pipeThrough(new TextDecoderStream())
    .getReader();
  const next = async () => {
    const { value = "" } = await reader.read();
    const [, data, control] =
      /^(?:event: data\ndata:(.*)\n\n)?event: control\ndata:(.*)\n\n$/
        .exec(value)!;
    const { streamCursor, ...rest } = JSON.parse(control);
    const events: WireEvent[] = JSON.parse(data ?? "[]");
    return [events.map(({ seq }) => seq), rest, typeof streamCursor];
  };
  assertEquals(await next(), [
    [1, 2],
    { streamNextOffset: "0000000000000002", upToDate: true },
    "string",
  ]);
  run.publish("b");
  assertEquals(await next(), [
    [3],
    { streamNextOffset: "0000000000000003", upToDate: true },
    "string",
  ]);
  complete();
  assertEquals(await next(), [
    [4],
    {
      streamNextOffset: "0000000000000004",
      upToDate: true,
      streamClosed: true,
    },
    "undefined",
  ]);
  assertEquals((await reader.read()).done, true);
  const over = await request(
    "GET",
    `${PATH}?offset=0000000000000004&live=sse`,
  );
  assertEquals(
    await over.text(),
    'event: control\ndata:{"streamNextOffset":"0000000000000004","upToDate":true,"streamClosed":true}\n\n',
  );
});

Deno.test("GET /runs/:id/stream?live=sse closes after a minute, with heartbeats until then", async () => {
  using time = new FakeClock();
  await using registry = new PipelineRunRegistry();
  const request = client(registry);
  await registerHeld(registry);
  const path = `${PATH}?offset=0000000000000001&live=sse`;
  const { body } = await request("GET", path);
  const read = Array.fromAsync(body!.pipeThrough(new TextDecoderStream()));
  for (let second = 0; second < 56; second += 4) await time.tickAsync(4_000);
  await time.tickAsync(3_999);
  await assertPending(read);
  await time.tickAsync(1);
  const [control, ...heartbeats] = await read;
  assertMatch(control, /^event: control\n/);
  // The last one is due when the stream closes.
  assertEquals(heartbeats.slice(0, 14), Array(14).fill(":\n\n"));
});

Deno.test("GET /runs/:id/stream?live=sse can be left while it waits", async () => {
  await using registry = new PipelineRunRegistry();
  const errors: unknown[] = [];
  const request = client(registry, { onError: (error) => errors.push(error) });
  const { run } = await registerHeld(registry);
  const { body } = await request("GET", `${PATH}?offset=now&live=sse`);
  const reader = body!.getReader();
  await reader.read();
  await reader.cancel();
  run.publish("a");
  await turn();
  assertEquals(errors, []);
});

Deno.test("GET /runs/:id/stream ends with the registry", async () => {
  const registry = new PipelineRunRegistry();
  const request = client(registry);
  // A run of another instance: it has a row, and nobody here knows its events.
  await registry.repository.logPipelineRun({
    status: "DATASET_PROCESSING_STARTED",
    pipelineRunId: RUN_ID,
    pipelineId: OTHER_RUN_ID,
    pipelineName: "ingest",
  });
  const polled = request(
    "GET",
    `${PATH}?offset=0000000000000000&live=long-poll`,
  );
  const sent = await request(
    "GET",
    `${PATH}?offset=0000000000000000&live=sse`,
  );
  await assertPending(polled);
  await registry.shutdown();
  assertEquals((await polled).status, 204);
  assertMatch(await sent.text(), /upToDate":true}\n\n$/);
});

Deno.test("GET /runs/:id/stream answers 503 if the run is forgotten before its events are read", async () => {
  using time = new FakeClock();
  const gate = Promise.withResolvers<void>();
  class SlowRepository extends MemoryPipelineRunRepository {
    override async getPipelineRun(runId: string) {
      await gate.promise;
      return await super.getPipelineRun(runId);
    }
  }
  await using registry = new PipelineRunRegistry({
    repository: new SlowRepository(),
    maxInMemoryRuns: 1,
  });
  const request = client(registry);
  await registry.registerInline({ ...SPEC, runId: RUN_ID }, noop);
  const reading = request("GET", PATH);
  await assertPending(reading);
  await registry.registerInline({ ...SPEC, runId: OTHER_RUN_ID }, noop);
  gate.resolve();
  await time.tickAsync(9_999);
  await assertPending(reading);
  await time.tickAsync(1);
  const response = await reading;
  assertEquals(response.status, 503);
  assertEquals(response.headers.get("Retry-After"), "1");
  assertEquals((await request("GET", PATH)).status, 410);
});

Deno.test("GET /runs/:id/stream refuses a query that the protocol does not know", async () => {
  await using registry = new PipelineRunRegistry();
  const request = client(registry);
  await registry.registerInline({ ...SPEC, runId: RUN_ID }, noop);
  const queries: [string, string][] = [
    ["offset=", 'offset must be "-1", "now" or a Stream-Next-Offset'],
    ["offset=1", 'offset must be "-1", "now" or a Stream-Next-Offset'],
    [
      "offset=9999999999999999",
      'offset must be "-1", "now" or a Stream-Next-Offset',
    ],
    ["offset=-1&offset=now", "offset must be given once"],
    ["live=sse", "live needs an offset"],
    ["offset=-1&live=true", 'live must be "long-poll" or "sse"'],
  ];
  for (const [query, detail] of queries) {
    const response = await request("GET", `${PATH}?${query}`);
    assertEquals(response.status, 400);
    assertEquals((await response.json()).detail, detail);
  }
});

Deno.test("GET /runs/:id/stream hides a run that the client may not follow", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline({ ...SPEC, runId: RUN_ID }, noop);
  const asked: unknown[] = [];
  const request = client(registry, {
    authorize: (_, action) => {
      asked.push(action);
      return false;
    },
  });
  const response = await request("GET", PATH);
  assertEquals(response.status, 404);
  assertEquals((await response.json()).code, "unknown_run");
  assertEquals(asked, [{ kind: "follow", runId: RUN_ID }]);
});

Deno.test("GET /runs/:id/stream is gone with the run's events", async () => {
  const repository = new MemoryPipelineRunRepository();
  {
    await using former = new PipelineRunRegistry({ repository });
    await former.registerInline({ ...SPEC, runId: RUN_ID }, publishes(3));
  }
  await using registry = new PipelineRunRegistry({ repository });
  const request = client(registry);
  for (const method of ["GET", "HEAD"]) {
    assertEquals((await request(method, PATH)).status, 410);
  }
  // Another run with the id has fewer events.
  await registerHeld(registry);
  const outdated = await request("GET", `${PATH}?offset=0000000000000002`);
  assertEquals(outdated.status, 410);
  assertEquals((await outdated.json()).title, "Gone");
  assertEquals((await request("GET", PATH)).status, 200);
});

Deno.test("GET /runs/:id/stream cannot be written", async () => {
  await using registry = new PipelineRunRegistry();
  const request = client(registry);
  for (const method of ["POST", "PUT", "DELETE", "PATCH"]) {
    const response = await request(method, PATH);
    assertEquals(response.status, 405);
    assertEquals(response.headers.get("Allow"), "GET, HEAD, OPTIONS");
    await response.body?.cancel();
  }
});

Deno.test("GET /runs/:id/stream goes on with a new attempt behind the last event of the former", async () => {
  await using database = await openDatabase();
  await using repository = new PostgresPipelineRunRepository(database.sql);
  await repository.migrate();
  await using registry = new PipelineRunRegistry({ repository });
  const request = client(registry);
  await registry.registerInline({ ...SPEC, runId: RUN_ID }, noop);
  const { complete, outcome } = await registerHeld(registry);
  const logged = registry.subscribe(RUN_ID, { after: 2, durable: true });
  for await (const { seq } of logged) {
    assertEquals(seq, 3);
    break;
  }
  const former = await request("GET", `${PATH}?offset=0000000000000001`);
  assertEquals(streamHeaders(former), { "next-offset": "0000000000000002" });
  assertEquals(await seqsOf(former), [2]);
  const present = await request("GET", PATH);
  assertEquals(await seqsOf(present), [3]);
  complete();
  await outcome;
  const rest = await request("GET", `${PATH}?offset=0000000000000003`);
  assertEquals(streamHeaders(rest).closed, "true");
  assertEquals(await seqsOf(rest), [4]);
});

Deno.test("GET /runs/:id/stream answers 503 after a shutdown instead of what memory has of the log", async () => {
  await using database = await openDatabase();
  await using repository = new PostgresPipelineRunRepository(database.sql);
  await repository.migrate();
  const registry = new PipelineRunRegistry({ repository, channelCapacity: 4 });
  const request = client(registry);
  await registry.registerInline({ ...SPEC, runId: RUN_ID }, publishes(10));
  await registry.shutdown();
  const response = await request("GET", PATH);
  assertEquals(response.status, 503);
  assertEquals((await response.json()).code, "registry_shutdown");
  const tail = `${PATH}?offset=0000000000000012`;
  const over = await request("GET", `${tail}&live=long-poll`);
  assertEquals([over.status, streamHeaders(over).closed], [204, "true"]);
});

Deno.test("GET /runs/:id/stream shows of its own runs, too, only what outlives the instance", async () => {
  await using database = await openDatabase();
  const gate = Promise.withResolvers<void>();
  await using repository = gatedRepository(database, gate.promise);
  await repository.migrate();
  await using registry = new PipelineRunRegistry({ repository });
  const request = client(registry);
  const { runId } = await registry.registerBackground(SPEC, (run) => {
    run.publish("a");
    return forever();
  });
  const path = `/runs/${runId}/stream`;
  const { headers } = await request("HEAD", path);
  assertEquals(headers.get("Stream-Next-Offset"), "0000000000000000");
  const { body } = await request("GET", `${path}?offset=-1&live=sse`);
  const reader = body!.pipeThrough(new TextDecoderStream()).getReader();
  assertMatch((await reader.read()).value!, /^event: control\n/);
  const next = reader.read();
  await registry.status(runId); // The database answers; the log has nothing.
  await assertPending(next);
  gate.resolve();
  assertMatch((await next).value!, /"seq":1,.*"seq":2,/);
  await reader.cancel();
});
