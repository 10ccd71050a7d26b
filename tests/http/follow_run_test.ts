import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { PipelineRunRegistry, type RunEvent } from "../../mod.ts";
import {
  allowAll,
  createRunHandler,
  followRun,
  type FollowRunOptions,
  ProblemError,
  RunEventEncoderStream,
} from "../../src/http/mod.ts";
import { assertPending, runMicrotasks } from "../assert_pending.ts";
import { eventsOf, noop, registerHeld, RUN_ID, SPEC } from "../known_run.ts";

const URL_OF_RUN = `http://localhost/runs/${RUN_ID}/events`;

type Answer = () => Response | Promise<Response>;

/** A server that gives one answer after the other. */
class Server {
  readonly #answers: Answer[];
  /** The last event id that each request gave. */
  readonly lastEventIds: (string | null)[] = [];
  readonly signals: AbortSignal[] = [];

  constructor(...answers: Answer[]) {
    this.#answers = answers;
  }

  readonly fetch: NonNullable<FollowRunOptions["fetch"]> = async (
    url,
    init,
  ) => {
    this.lastEventIds.push(url.searchParams.get("after"));
    this.signals.push(init.signal!);
    const answer = this.#answers.shift();
    if (answer === undefined) throw new Error("There are no more answers");
    return await answer();
  };
}

function event(seq: number, kind: RunEvent["kind"] = "Yield"): RunEvent {
  const at = new Date(0);
  return { runId: RUN_ID, seq, at, payload: seq, kind } as RunEvent;
}

/** An answer with events, which then ends as the connection does. */
function events(
  sent: RunEvent[],
  end: (controller: ReadableStreamDefaultController<Uint8Array>) => void,
  lastEventId?: number,
): Answer {
  return async () => {
    const encoder = new RunEventEncoderStream({ lastEventId });
    const encoded = ReadableStream.from(sent).pipeThrough(encoder);
    const bytes = await new Response(encoded).bytes();
    const body = new ReadableStream({
      start: (controller) => controller.enqueue(bytes),
      pull: end,
    }, { highWaterMark: 0 });
    return new Response(body, {
      headers: { "Content-Type": "text/event-stream; charset=utf-8" },
    });
  };
}

const closes = (controller: ReadableStreamDefaultController) =>
  controller.close();
const resets = (controller: ReadableStreamDefaultController) =>
  controller.error(new Error("Connection reset"));
const stalls = noop;

function problem(status: number, headers: HeadersInit = {}): Answer {
  return () =>
    new Response(JSON.stringify({ status, detail: "no", title: "No" }), {
      status,
      headers: { "Content-Type": "application/problem+json", ...headers },
    });
}

function fails(): never {
  throw new TypeError("Connection refused");
}

function follow(
  server: Server,
  options: FollowRunOptions = {},
): ReadableStream<RunEvent> {
  return followRun(URL_OF_RUN, {
    fetch: server.fetch,
    minBackoff: 1,
    maxBackoff: 2,
    ...options,
  });
}

/** Lets time pass in small steps: a timer may be set when another has fired. */
async function passBy(time: FakeTime, ms: number): Promise<void> {
  for (let step = 0; step < 200; step++) await time.tickAsync(ms / 200);
}

async function seqs(stream: ReadableStream<RunEvent>): Promise<number[]> {
  return (await Array.fromAsync(stream)).map(({ seq }) => seq);
}

Deno.test("followRun() gives the events of a handler's run as they are", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline({ ...SPEC, runId: RUN_ID }, async function* () {
    yield { a: "ü" };
    yield null;
  });
  const handler = createRunHandler(registry, { authorize: allowAll });
  const followed = await Array.fromAsync(
    followRun(URL_OF_RUN, {
      fetch: (url, init) => handler(new Request(url, init)),
    }),
  );
  assertEquals(followed, await eventsOf(registry, RUN_ID));
});

Deno.test("followRun() connects again behind the last event when a connection ends", async () => {
  const server = new Server(
    events([], closes),
    events([event(1, "Started"), event(2)], closes),
    fails,
    problem(503),
    problem(429),
    events([event(3)], resets),
    events([event(4), event(5, "Completed")], stalls),
  );
  assertEquals(await seqs(follow(server)), [1, 2, 3, 4, 5]);
  assertEquals(server.lastEventIds, [null, null, "2", "2", "2", "2", "3"]);
});

Deno.test("followRun() keeps an id that came without an event", async () => {
  const server = new Server(
    events([], closes, 41),
    events([event(42, "Completed")], stalls),
  );
  assertEquals(await seqs(follow(server)), [42]);
  assertEquals(server.lastEventIds, [null, "41"]);
});

Deno.test("followRun() begins behind after", async () => {
  const server = new Server(events([event(8, "Errored")], stalls));
  assertEquals(await seqs(follow(server, { after: 7 })), [8]);
  assertEquals(server.lastEventIds, ["7"]);
});

Deno.test("followRun() closes when the server says that nothing will follow", async () => {
  const server = new Server(
    events([event(1)], closes),
    () => new Response(null, { status: 204 }),
  );
  assertEquals(await seqs(follow(server)), [1]);
});

Deno.test("followRun() gives up a connection on which nothing comes", async () => {
  using time = new FakeTime();
  const server = new Server(
    () => new Promise(() => {}),
    events([event(1)], stalls),
    events([event(2, "Completed")], stalls),
  );
  const all = seqs(follow(server, { idleTimeout: 15_000 }));
  await time.tickAsync(14_999);
  assertEquals(server.lastEventIds, [null]);
  await passBy(time, 1_000);
  assertEquals(server.lastEventIds, [null, null]);
  assertEquals(server.signals[0].aborted, true);
  await passBy(time, 16_000);
  assertEquals(server.lastEventIds, [null, null, "1"]);
  assertEquals(await all, [1, 2]);
});

Deno.test("followRun() waits longer with every failure in a row, up to a bound, at random", async () => {
  using time = new FakeTime();
  const { random } = Math;
  Math.random = () => 0.5;
  try {
    const server = new Server(
      ...Array.from({ length: 5 }, () => fails),
      events([event(1)], closes),
      events([event(2, "Completed")], stalls),
    );
    const requested: number[] = [];
    const all = seqs(follow(server, {
      minBackoff: 1_000,
      maxBackoff: 5_000,
      fetch: (url, init) => {
        requested.push(time.now);
        return server.fetch(url, init);
      },
    }));
    await passBy(time, 20_000);
    assertEquals(await all, [1, 2]);
    const waits = requested.slice(1).map((at, index) => at - requested[index]);
    assertEquals(waits, [500, 1_000, 2_000, 2_500, 2_500, 500]);
  } finally {
    Math.random = random;
  }
});

Deno.test("followRun() leaves a server alone for as long as that asks", async () => {
  using time = new FakeTime();
  const server = new Server(
    problem(503, { "Retry-After": "7" }),
    events([event(1, "Completed")], stalls),
  );
  const all = seqs(follow(server, { maxBackoff: 10_000 }));
  await time.tickAsync(6_999);
  assertEquals(server.lastEventIds.length, 1);
  await time.tickAsync(1);
  assertEquals(await all, [1]);
});

Deno.test("followRun() errors with the problem where the server refuses", async () => {
  for (const status of [400, 401, 403, 404, 409]) {
    const server = new Server(problem(status));
    const error = await assertRejects(
      () => seqs(follow(server)),
      ProblemError,
      "no",
    );
    assertEquals([error.status, error.title], [status, "No"]);
  }
  const page = new Server(() =>
    new Response("<h1>Not found</h1>", {
      status: 404,
      headers: { "Content-Type": "text/html" },
    })
  );
  const error = await assertRejects(() => seqs(follow(page)), ProblemError);
  assertEquals(error.message, "The server answered with 404");
});

Deno.test("followRun() errors on what are no events", async () => {
  const page = new Server(() =>
    new Response("<h1>Log in</h1>", {
      headers: { "Content-Type": "text/html" },
    })
  );
  await assertRejects(() => seqs(follow(page)), TypeError, "text/html");
  const garbage = new Server(() =>
    new Response("data: {}\n\n", {
      headers: { "Content-Type": "text/event-stream" },
    })
  );
  await assertRejects(() => seqs(follow(garbage)), TypeError, "Cannot decode");
});

Deno.test("followRun() gives what came before what it errors on", async () => {
  const encoder = new RunEventEncoderStream();
  const good = await new Response(
    ReadableStream.from([event(1), event(2)]).pipeThrough(encoder),
  ).text();
  const server = new Server(() =>
    new Response(`${good}data: {}\n\n`, {
      headers: { "Content-Type": "text/event-stream" },
    })
  );
  const given: number[] = [];
  await assertRejects(
    async () => {
      for await (const { seq } of follow(server)) given.push(seq);
    },
    TypeError,
    "Cannot decode",
  );
  assertEquals(given, [1, 2]);
});

Deno.test("followRun() errors with the last failure after as many as were allowed", async () => {
  const server = new Server(
    fails,
    fails,
    events([event(1)], closes),
    fails,
    fails,
    fails,
  );
  const stream = follow(server, { maxFailures: 3 });
  const given: number[] = [];
  await assertRejects(
    async () => {
      for await (const { seq } of stream) given.push(seq);
    },
    TypeError,
    "Connection refused",
  );
  assertEquals(given, [1]);
  assertEquals(server.lastEventIds.length, 6);
});

Deno.test("followRun() takes its run's connection with it when it is cancelled", async () => {
  await using registry = new PipelineRunRegistry();
  const { run } = await registerHeld(registry);
  const handler = createRunHandler(registry, { authorize: allowAll });
  const left = Promise.withResolvers<void>();
  const stream = followRun(URL_OF_RUN, {
    fetch: async (url, init) => {
      const { body, headers } = await handler(new Request(url, init));
      const { readable, writable } = new TransformStream();
      body!.pipeTo(writable).catch(() => left.resolve());
      return new Response(readable, { headers });
    },
  });
  for await (const { kind } of stream) {
    assertEquals(kind, "Started");
    break;
  }
  await left.promise;
  assertEquals(registry.snapshotStatus(run.runId)?.name, "Running");
});

Deno.test("followRun() errors with the reason of its signal, whatever it waits for", async () => {
  for (
    const answer of [
      () => new Promise<Response>(() => {}),
      events([], stalls),
      fails,
    ]
  ) {
    const server = new Server(answer);
    const controller = new AbortController();
    const reader = follow(server, {
      signal: controller.signal,
      minBackoff: 60_000,
      maxBackoff: 60_000,
    }).getReader();
    const read = reader.read();
    await assertPending(read);
    const reason = new Error("enough");
    controller.abort(reason);
    assertEquals(await assertRejects(() => read), reason);
    assertEquals(server.lastEventIds.length, 1);
  }
  const aborted = follow(new Server(), { signal: AbortSignal.abort("early") });
  await assertRejects(() =>
    seqs(aborted).catch((reason) => {
      assertEquals(reason, "early");
      throw new Error("rejected");
    })
  );
});

Deno.test("followRun() asks no more once it is cancelled, although an answer comes", async () => {
  const answering = Promise.withResolvers<void>();
  const unread = Promise.withResolvers<void>();
  const server = new Server(async () => {
    await answering.promise;
    return new Response(
      new ReadableStream({ cancel: () => unread.resolve() }),
      {
        headers: { "Content-Type": "text/event-stream" },
      },
    );
  });
  const stream = follow(server);
  const reader = stream.getReader();
  const read = reader.read();
  await assertPending(read);
  await reader.cancel();
  answering.resolve();
  await unread.promise;
  await runMicrotasks();
  assertEquals(server.lastEventIds.length, 1);
  assertEquals((await read).done, true);
});

Deno.test("followRun() bounds the time and the length of a problem that it reads", async () => {
  let sent = 0;
  const endless = () =>
    new Response(
      new ReadableStream({
        pull: (controller) =>
          controller.enqueue(new Uint8Array(++sent && 1_000)),
      }),
      { status: 404, headers: { "Content-Type": "application/problem+json" } },
    );
  await assertRejects(() => seqs(follow(new Server(endless))), ProblemError);
  assertEquals(sent < 100, true, `${sent} kB were read`);
  const stalled = () =>
    new Response(new ReadableStream(), {
      status: 404,
      headers: { "Content-Type": "application/problem+json" },
    });
  await assertRejects(
    () => seqs(follow(new Server(stalled), { idleTimeout: 10 })),
    ProblemError,
    "answered with 404",
  );
});

Deno.test("followRun() does not count a connection that was of use for long as failed", async () => {
  const server = new Server(
    ...Array.from({ length: 5 }, () => (): Response => {
      let beats = 0;
      const body = new ReadableStream({
        async pull(controller) {
          await new Promise((resolve) => setTimeout(resolve, 10));
          if (++beats > 2) return controller.close();
          controller.enqueue(new TextEncoder().encode(":\n\n"));
        },
      });
      return new Response(body, {
        headers: { "Content-Type": "text/event-stream" },
      });
    }),
    events([event(1, "Completed")], stalls),
  );
  assertEquals(await seqs(follow(server, { maxFailures: 1 })), [1]);
});

Deno.test("followRun() takes no headers from a problem but Retry-After", async () => {
  const server = new Server(
    problem(404, { "Set-Cookie": "a=secret", "Retry-After": "1" }),
  );
  const { headers } = await assertRejects(
    () => seqs(follow(server)),
    ProblemError,
  );
  assertEquals([...headers], [["retry-after", "1"]]);
});

Deno.test("followRun() calls fetch as a browser wants it: of no object", async () => {
  const answer = events([event(1, "Completed")], stalls);
  let caller: unknown = "nobody yet";
  const stream = followRun(URL_OF_RUN, {
    fetch: async function (this: unknown) {
      caller = this;
      return await answer();
    },
  });
  assertEquals(await seqs(stream), [1]);
  assertEquals(caller, undefined);
});

Deno.test("followRun() asks for nothing until it is read", async () => {
  const server = new Server();
  const stream = follow(server);
  await assertPending(stream.getReader().closed);
  assertEquals(server.lastEventIds, []);
});

Deno.test("followRun() refuses arguments that make no sense", () => {
  assertThrows(() => followRun("not a url"), TypeError);
  assertThrows(() => followRun("ftp://localhost/"), TypeError, "HTTP");
  const bad: [FollowRunOptions, typeof TypeError | typeof RangeError][] = [
    [{ after: -1 }, RangeError],
    [{ after: 1.5 }, RangeError],
    [{ minBackoff: 0 }, RangeError],
    [{ maxBackoff: 2 ** 31 }, RangeError],
    [{ idleTimeout: NaN }, RangeError],
    [{ maxFailures: -1 }, RangeError],
    [{ maxFailures: "3" as unknown as number }, TypeError],
    [{ signal: {} as AbortSignal }, TypeError],
    [{ fetch: 5 as unknown as FollowRunOptions["fetch"] }, TypeError],
  ];
  for (const [options, error] of bad) {
    assertThrows(() => followRun(URL_OF_RUN, options), error, "Cannot follow");
  }
});
