import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import fc from "fast-check";
import type { RunEvent } from "../../mod.ts";
import {
  RunEventDecoderStream,
  RunEventEncoderStream,
} from "../../src/http/mod.ts";
import { assertPending } from "../assert_pending.ts";
import { RUN_ID } from "../known_run.ts";

const AT = new Date("2026-01-02T03:04:05.678Z");

function event(seq: number, rest: Record<string, unknown> = {}): RunEvent {
  const kind = "Yield";
  const event = { runId: RUN_ID, seq, at: AT, kind, ...rest };
  return (event.kind === "Yield" && !("payload" in event)
    ? { ...event, payload: null }
    : event) as RunEvent;
}

/** What no field, line or event may be made of. */
const HOSTILE = [
  "\r",
  "\n",
  "\r\n",
  "\n\n",
  "id: 666",
  "\nid: 666\n",
  "\r\rid:666\r\r",
  "\nretry: 1\n\n",
  "\n\ndata: {}\n\nevent: Completed\n",
  "\u2028\u2029\u0085",
  "\0\ufeff",
  ": comment",
];

async function encoded(
  events: RunEvent[],
  options?: ConstructorParameters<typeof RunEventEncoderStream>[0],
): Promise<string> {
  return await new Response(
    ReadableStream.from(events).pipeThrough(new RunEventEncoderStream(options)),
  ).text();
}

async function decoded(
  ...chunks: (string | Uint8Array<ArrayBuffer>)[]
): Promise<RunEvent[]> {
  const bytes = chunks.map((chunk) =>
    typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk
  );
  return await Array.fromAsync(
    ReadableStream.from(bytes).pipeThrough(new RunEventDecoderStream()),
  );
}

/** The text cut into chunks of bytes, also within characters. */
function cut(
  text: string,
  sizes: readonly number[],
): Uint8Array<ArrayBuffer>[] {
  let rest = new TextEncoder().encode(text);
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  for (let i = 0; rest.length > 0; i++) {
    const size = sizes[i % sizes.length];
    chunks.push(rest.slice(0, size));
    rest = rest.slice(size);
  }
  return chunks;
}

Deno.test("RunEventEncoderStream writes the number, the kind and one line of data", async () => {
  const text = await encoded([
    event(7, { payload: { a: 1 } }),
    event(8, { kind: "Errored", code: "work", message: "boom" }),
    event(9, { kind: "Lagged", missed: 3 }),
  ]);
  const head = `data: {"pipeline_run_id":"${RUN_ID}","status":"PipelineRun`;
  const at = '"at":"2026-01-02T03:04:05.678Z"';
  assertEquals(
    text,
    `id: 7\nevent: Yield\n${head}Yield","payload":{"a":1},"seq":7,${at}}\n\n` +
      `id: 8\nevent: Errored\n${head}Errored","payload":null,"seq":8,${at},"code":"work","message":"boom"}\n\n` +
      `id: 9\nevent: Lagged\n${head}Lagged","payload":null,"seq":9,${at},"missed":3}\n\n`,
  );
});

Deno.test("RunEventEncoderStream sends lastEventId at once", async () => {
  const events = new ReadableStream<RunEvent>();
  const body = events.pipeThrough(
    new RunEventEncoderStream({ lastEventId: 41 }),
  );
  const reader = body.getReader();
  const { value } = await reader.read();
  assertEquals(new TextDecoder().decode(value), "id: 41\n\n");
  await assertPending(reader.read());
  await reader.cancel();
});

Deno.test("RunEventEncoderStream sends a comment as often as asked, and none to who does not read", async () => {
  using time = new FakeTime();
  const { readable, writable } = new RunEventEncoderStream({
    heartbeat: 1_000,
  });
  const reader = readable.getReader();
  const text = async () =>
    new TextDecoder().decode((await reader.read()).value);
  for (let beat = 0; beat < 3; beat++) {
    const next = text();
    time.tick(999);
    await assertPending(next);
    time.tick(1);
    assertEquals(await next, ":\n\n");
  }
  // One waits for who does not read; it does not become two.
  time.tick(60_000);
  const writer = writable.getWriter();
  writer.write(event(1));
  assertEquals(await text(), ":\n\n");
  assertEquals((await text()).startsWith("id: 1\n"), true);
  const last = text();
  writer.close();
  assertEquals(await last, "");
  assertEquals(time.next(), false, "a timer is left behind");
});

Deno.test("RunEventEncoderStream leaves no timer behind, however it ends", async () => {
  using time = new FakeTime();
  const cancelled = new RunEventEncoderStream();
  await cancelled.readable.cancel();
  assertEquals(time.next(), false);
  const aborted = new RunEventEncoderStream();
  const read = assertRejects(() => aborted.readable.getReader().read());
  await aborted.writable.abort(new Error("boom"));
  await read;
  assertEquals(time.next(), false);
  const failing = ReadableStream.from([event(1, { at: new Date(NaN) })])
    .pipeThrough(new RunEventEncoderStream());
  await assertRejects(() => Array.fromAsync(failing), RangeError);
  assertEquals(time.next(), false);
});

Deno.test("RunEventEncoderStream cancels its source with its reader", async () => {
  const { promise, resolve } = Promise.withResolvers<unknown>();
  const source = new ReadableStream<RunEvent>({ cancel: resolve });
  const body = source.pipeThrough(new RunEventEncoderStream());
  await body.cancel("gone");
  assertEquals(await promise, "gone");
});

Deno.test("RunEventEncoderStream takes two events for a reader who does not read", async () => {
  let pulled = 0;
  const source = new ReadableStream<RunEvent>({
    pull: (controller) => controller.enqueue(event(++pulled)),
  }, { highWaterMark: 0 });
  const body = source.pipeThrough(new RunEventEncoderStream());
  const reader = body.getReader();
  await assertPending(reader.closed);
  assertEquals(pulled, 2);
  await reader.cancel();
});

Deno.test("RunEventEncoderStream reports a payload that is not JSON, and continues", async () => {
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  const [first, second] = (await encoded([
    event(1, { payload: cycle }),
    event(2, { payload: () => {} }),
  ])).split("\n\n").map((text) =>
    JSON.parse(text.split("data: ")[1] ?? "null")
  );
  assertEquals(first.payload, null);
  assertEquals(/circular/.test(first.payload_error), true);
  assertEquals(second.payload, null);
  assertEquals(second.payload_error, "Cannot send payload: it is a function");
});

Deno.test("RunEventEncoderStream and RunEventDecoderStream refuse options that make no sense", () => {
  for (const heartbeat of [0, -1, NaN, 2 ** 31]) {
    assertThrows(() => new RunEventEncoderStream({ heartbeat }), RangeError);
  }
  for (const lastEventId of [-1, 1.5, NaN, Infinity]) {
    assertThrows(() => new RunEventEncoderStream({ lastEventId }), RangeError);
  }
  for (const maxEventLength of [0, 1.5, NaN]) {
    assertThrows(
      () => new RunEventDecoderStream({ maxEventLength }),
      RangeError,
    );
  }
});

Deno.test("RunEventDecoderStream gives back what was encoded, cut anywhere", async () => {
  const text = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.array(fc.constantFrom(...HOSTILE, "a", "é", "😀"))
      .map((parts) => parts.join("")),
  );
  const payload = fc.oneof(
    text,
    fc.dictionary(text, text),
    fc.array(text),
    fc.jsonValue(),
  );
  const events = fc.array(
    fc.oneof(
      fc.record({ payload }),
      fc.record({
        kind: fc.constant("Errored"),
        code: fc.constantFrom("work", "aborted"),
        message: text,
        name: text,
      }),
      fc.record({ kind: fc.constant("Lagged"), missed: fc.nat() }),
      fc.record({
        kind: fc.constantFrom("Started", "AlreadyCompleted", "Completed"),
      }),
    ),
    { maxLength: 5 },
  );
  await fc.assert(
    fc.asyncProperty(
      events,
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }),
      fc.constantFrom("\n", "\r\n", "\r"),
      async (rests, sizes, lineEnd) => {
        const given = rests.map((rest, index) => event(index + 1, rest))
          // What JSON makes of it, such as 0 of -0.
          .map((each) =>
            each.kind === "Yield"
              ? { ...each, payload: JSON.parse(JSON.stringify(each.payload)) }
              : each
          );
        const sent = (await encoded(given)).replaceAll("\n", lineEnd);
        assertEquals(await decoded(...cut(sent, sizes)), given);
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("RunEventEncoderStream lets nothing in an event become a field of its own (fault 43)", async () => {
  for (const text of HOSTILE) {
    const sent = await encoded([
      event(1, { payload: { [text]: [text] } }),
      event(2, { kind: "Errored", code: "work", message: text }),
    ]);
    assertEquals(
      sent.split(/\r\n|\n|\r/).map((line) => line.split(":")[0]),
      ["id", "event", "data", "", "id", "event", "data", "", ""],
    );
  }
});

Deno.test("RunEventDecoderStream understands every form of the standard", async () => {
  const json = (seq: number) =>
    `{"pipeline_run_id":"${RUN_ID}","status":"PipelineRunYield","payload":${seq},` +
    `"seq":${seq},"at":"${AT.toISOString()}"}`;
  const given = event(1, { payload: 1 });
  for (
    const text of [
      `data: ${json(1)}\n\n`,
      `data:${json(1)}\n\n`,
      `\ufeffdata: ${json(1)}\n\n`,
      `: hello\nevent: x\nid: 1\ndata: ${json(1)}\nunknown: 1\nunknown\n\n`,
      `data: ${json(1).replace(",", "\ndata:,\ndata\ndata: ")}\n\n`,
      `id: 1\n\ndata: ${json(1)}\n\n:\n\n`,
      `data: ${json(1)}\n\ndata: ${json(2)}\n`,
    ]
  ) assertEquals(await decoded(text), [given], text);
});

Deno.test("RunEventDecoderStream joins a line end that an empty chunk parts", async () => {
  const data = (await encoded([event(1)])).replace(
    /"payload"/,
    '\r\ndata: "payload"',
  );
  const at = data.indexOf("\n", data.indexOf("\r"));
  assertEquals(
    await decoded(data.slice(0, at), "", data.slice(at)),
    [event(1)],
  );
});

Deno.test("RunEventDecoderStream.lastEventId is that of the last whole event or id", async () => {
  const stream = new RunEventDecoderStream();
  const events = Array.fromAsync(stream.readable);
  const writer = stream.writable.getWriter();
  const write = (text: string) => writer.write(new TextEncoder().encode(text));
  assertEquals(stream.lastEventId, undefined);
  await write("id: 41\n\n");
  assertEquals(stream.lastEventId, 41);
  await write(await encoded([event(42)]));
  assertEquals(stream.lastEventId, 42);
  await write("id: 43\ndata: {");
  assertEquals(stream.lastEventId, 42);
  await write("\nid: abc\nid: 4\0\n");
  await writer.abort();
  await assertRejects(() => events);
  assertEquals(stream.lastEventId, 42);
});

Deno.test("RunEventDecoderStream errors on what is no event of a run", async () => {
  for (
    const data of [
      "x",
      "1",
      "[]",
      "null",
      "{}",
      `{"pipeline_run_id":"${RUN_ID}","status":"PipelineRunExploded","seq":1,"at":"${AT.toISOString()}"}`,
      `{"pipeline_run_id":"${RUN_ID}","status":"PipelineRunYield","seq":1.5,"at":"${AT.toISOString()}"}`,
      `{"pipeline_run_id":"${RUN_ID}","status":"PipelineRunYield","seq":1,"at":"soon"}`,
    ]
  ) {
    await assertRejects(
      () => decoded(`data: ${data}\n\n`),
      TypeError,
      "Cannot decode event",
    );
  }
});

Deno.test("RunEventDecoderStream gives what came before what it errors on", async () => {
  const good = await encoded([event(1), event(2)]);
  for (const chunks of [[`${good}data: x\n\n`], [`${good}data: x\n\n`, good]]) {
    const given: number[] = [];
    const stream = ReadableStream.from(chunks)
      .pipeThrough(new TextEncoderStream())
      .pipeThrough(new RunEventDecoderStream());
    await assertRejects(
      async () => {
        for await (const { seq } of stream) given.push(seq);
      },
      TypeError,
      "Cannot decode event",
    );
    assertEquals(given, [1, 2]);
  }
});

Deno.test("RunEventDecoderStream errors on an event that is too long, with or without line ends", async () => {
  for (const text of ["x".repeat(600), `data: ${"x".repeat(200)}\n`]) {
    const chunks = Array.from(
      { length: 10 },
      () => new TextEncoder().encode(text),
    );
    await assertRejects(
      () =>
        Array.fromAsync(
          ReadableStream.from(chunks).pipeThrough(
            new RunEventDecoderStream({ maxEventLength: 1_000 }),
          ),
        ),
      RangeError,
      "more than 1000 characters",
    );
  }
});
