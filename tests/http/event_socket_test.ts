import { assert, assertEquals } from "@std/assert";
import { PipelineRunRegistry, RegistryShutdownError } from "../../mod.ts";
import type { RunHandlerOptions, RunSocket } from "../../src/http/mod.ts";
import { runMicrotasks } from "../assert_pending.ts";
import {
  noop,
  OTHER_RUN_ID,
  registerHeld,
  RUN_ID,
  SPEC,
} from "../known_run.ts";
import { client } from "./client.ts";
import { openConnection, openSocket, serve, type Served } from "./serve.ts";

/** What a socket was sent until it closed. */
interface Received {
  frames: unknown[];
  code: number;
  reason: string;
}

/** Opens a socket and reads it until it closes. */
async function receive(
  served: Served,
  path: string,
  onFrame: (frame: unknown, socket: WebSocket) => void = noop,
): Promise<Received> {
  const socket = openSocket(served, path);
  const frames: unknown[] = [];
  socket.onmessage = ({ data }) => {
    frames.push(JSON.parse(data));
    onFrame(frames.at(-1), socket);
  };
  const { promise, resolve } = Promise.withResolvers<CloseEvent>();
  socket.onclose = resolve;
  const { code, reason } = await promise;
  return { frames, code, reason };
}

const events = `/runs/${RUN_ID}/events`;
const UPGRADE: RequestInit = { headers: { Upgrade: "websocket" } };

function frame(status: string, payload: unknown = null): unknown {
  return { pipeline_run_id: RUN_ID, status: `PipelineRun${status}`, payload };
}

Deno.test("createRunHandler() sends cognee's frames over a WebSocket and closes it after the last", async () => {
  await using served = serve();
  const { registry } = served;
  await registry.registerInline({ ...SPEC, runId: RUN_ID }, async function* () {
    yield { a: [1, "ü"] };
  });
  assertEquals(await receive(served, events), {
    frames: [
      frame("Started"),
      frame("Yield", { a: [1, "ü"] }),
      frame("Completed"),
    ],
    code: 1000,
    reason: "The run has ended",
  });
  const behind = await receive(served, `${events}?after=2`);
  assertEquals(behind.frames, [frame("Completed")]);
  const over = await receive(served, `${events}?after=3`);
  assertEquals([over.frames, over.code], [[], 1000]);
});

Deno.test("createRunHandler() sends the frames of a live run as they come", async () => {
  await using served = serve();
  const held = await registerHeld(served.registry);
  const { frames, code } = await receive(served, events, (received) => {
    const { status } = received as { status: string };
    if (status === "PipelineRunStarted") held.run.publish(1);
    if (status === "PipelineRunYield") held.complete();
  });
  assertEquals(frames, [
    frame("Started"),
    frame("Yield", 1),
    frame("Completed"),
  ]);
  assertEquals(code, 1000);
});

Deno.test("createRunHandler() sends what is held to a WebSocket that comes late", async () => {
  await using served = serve();
  await served.registry.registerInline(
    { ...SPEC, runId: RUN_ID },
    ({ publish }) => {
      for (let n = 0; n < 200; n++) publish(n);
    },
  );
  const { frames, code } = await receive(served, events);
  assertEquals(frames.length, 64);
  assertEquals([frames[0], frames.at(-1)], [
    frame("Yield", 137),
    frame("Completed"),
  ]);
  assertEquals(code, 1000);
});

Deno.test("createRunHandler() closes a WebSocket after Errored, unless closeAfterErrored is false", async () => {
  const fail = () => Promise.reject(new Error("boom"));
  await using closing = serve();
  await closing.registry.registerInline({ ...SPEC, runId: RUN_ID }, fail);
  const closed = await receive(closing, events);
  assertEquals(closed.frames, [frame("Started"), frame("Errored", "boom")]);
  assertEquals(closed.code, 1000);

  await using staying = serve({ closeAfterErrored: false });
  await staying.registry.registerInline({ ...SPEC, runId: RUN_ID }, fail);
  const left = await receive(staying, events, (received, socket) => {
    const { status } = received as { status: string };
    // The server has nothing more to do for it: who closes it is the client.
    if (status === "PipelineRunErrored") {
      setTimeout(() => socket.close(4000, "enough"), 50);
    }
  });
  assertEquals(left.frames, closed.frames);
  assertEquals([left.code, left.reason], [4000, "enough"]);
});

Deno.test("createRunHandler() closes a WebSocket with 1008 for a run that is refused or unknown, alike (fault 45)", async () => {
  await using served = serve({
    authorize: (request) => !new URL(request.url).searchParams.has("refused"),
  });
  await served.registry.registerInline({ ...SPEC, runId: RUN_ID }, noop);
  const refused = await receive(served, `${events}?refused`);
  assertEquals(refused, { frames: [], code: 1008, reason: "Unknown run" });
  assertEquals(await receive(served, `/runs/${OTHER_RUN_ID}/events`), refused);
});

Deno.test("createRunHandler() sends the ending of a run that a shutdown aborts", async () => {
  await using served = serve();
  await registerHeld(served.registry);
  const { frames, code } = await receive(
    served,
    events,
    () => void served.registry.shutdown(),
  );
  assertEquals(frames.at(-1), frame("Errored", "aborted"));
  assertEquals(code, 1000);
});

Deno.test("createRunHandler() leaves the run alone when a WebSocket closes", async () => {
  await using served = serve();
  const held = await registerHeld(served.registry);
  const { code } = await receive(served, events, (_, socket) => socket.close());
  assertEquals(code, 1005);
  assertEquals(served.registry.snapshotStatus(RUN_ID)?.name, "Running");
  held.complete();
  assertEquals((await held.outcome).phase.name, "Completed");
});

/** Asks for a WebSocket, as a client that will never answer anything. */
function openMuteSocket(served: Served): Promise<Deno.TcpConn> {
  return openConnection(
    served,
    RUN_ID,
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  );
}

Deno.test("createRunHandler() pings WebSockets as often as it sends heartbeats, and drops who does not answer", async () => {
  await using served = serve({ heartbeat: 100 });
  await registerHeld(served.registry);
  using connection = await openMuteSocket(served);
  const bytes: number[] = [];
  for await (const chunk of connection.readable) bytes.push(...chunk);
  const PING = [0x89, 0x00];
  assert(
    bytes.some((_, i) => PING.every((byte, j) => bytes[i + j] === byte)),
    "there was no ping before the connection ended",
  );
});

Deno.test("createRunHandler() answers a bad upgrade with 400, and one that cannot be with 501", async () => {
  await using served = serve();
  await registerHeld(served.registry);
  const request = client(served.registry);
  assertEquals((await request("GET", events, UPGRADE)).status, 400);
  const { upgradeWebSocket } = Deno;
  Object.assign(Deno, { upgradeWebSocket: undefined });
  try {
    const without = client(served.registry);
    assertEquals((await without("GET", events, UPGRADE)).status, 501);
  } finally {
    Object.assign(Deno, { upgradeWebSocket });
  }
});

Deno.test("createRunHandler() keeps the server up when a subscription is refused to a WebSocket", async () => {
  await using served = serve();
  const { runId } = await served.registry.registerInline(
    { ...SPEC, runId: RUN_ID },
    noop,
  );
  served.registry.subscribe = () => {
    throw new RegistryShutdownError();
  };
  const { frames } = await receive(served, `/runs/${runId}/events`);
  assertEquals(frames, []);
  const response = await fetch(`${served.origin}/runs`);
  assertEquals((await response.json()).length, 1);
});

Deno.test("createRunHandler() makes no WebSocket for a client that has left", async () => {
  const asked = Promise.withResolvers<void>();
  const decided = Promise.withResolvers<boolean>();
  const noticed = Promise.withResolvers<void>();
  const answered = Promise.withResolvers<void>();
  let upgraded = 0;
  await using served = serve({
    authorize: ({ signal }) => {
      signal.addEventListener("abort", () => noticed.resolve());
      asked.resolve();
      return decided.promise;
    },
    upgradeWebSocket: (request, options) => {
      upgraded++;
      return Deno.upgradeWebSocket(request, options);
    },
  }, (handler) => async (request) => {
    const response = await handler(request);
    answered.resolve();
    return response;
  });
  await registerHeld(served.registry);
  const connection = await openMuteSocket(served);
  await asked.promise;
  connection.close();
  await noticed.promise;
  decided.resolve(true);
  await answered.promise;
  assertEquals(upgraded, 0);
});

/** A socket that drains when a test says so. */
class FakeSocket extends EventTarget implements RunSocket {
  readyState: number = WebSocket.OPEN;
  bufferedAmount = 0;
  readonly sent: { status: string; payload: unknown }[] = [];
  closing: { code: number; reason: string } | undefined;

  send(text: string): void {
    this.sent.push(JSON.parse(text));
    this.bufferedAmount += text.length;
  }

  close(code: number, reason: string): void {
    this.closing = { code, reason };
    this.dispatchEvent(new Event("close"));
  }
}

/** Follows the known run over a socket that a test drains. */
async function followSlowly(
  registry: PipelineRunRegistry,
  socket: FakeSocket = new FakeSocket(),
  onError?: RunHandlerOptions["onError"],
): Promise<FakeSocket> {
  const request = client(registry, {
    maxBufferedBytes: 1_000,
    onError,
    upgradeWebSocket: () => ({
      socket,
      response: new Response(),
    }),
  });
  await request("GET", events, UPGRADE);
  return socket;
}

Deno.test("createRunHandler() reads no more for a WebSocket that does not drain, and closes it with 1011 on lag", async () => {
  await using registry = new PipelineRunRegistry({ channelCapacity: 4 });
  const held = await registerHeld(registry);
  const socket = await followSlowly(registry);
  await runMicrotasks();
  const payload = "x".repeat(1_000);
  for (let i = 0; i < 10; i++) {
    held.run.publish(payload);
    await runMicrotasks();
  }
  assertEquals(socket.sent.length, 2, "Started, and one that fills the buffer");
  assertEquals(socket.closing, undefined);
  const closed = new Promise((resolve) =>
    socket.addEventListener("close", resolve)
  );
  socket.bufferedAmount = 0;
  await closed;
  assertEquals(socket.closing, {
    code: 1011,
    reason: "Too slow: 5 events were missed",
  });
  assertEquals(registry.snapshotStatus(RUN_ID)?.name, "Running");
});

Deno.test("createRunHandler() continues with a WebSocket that has drained in time", async () => {
  await using registry = new PipelineRunRegistry();
  const held = await registerHeld(registry);
  const socket = await followSlowly(registry);
  const closed = new Promise((resolve) =>
    socket.addEventListener("close", resolve)
  );
  held.run.publish("x".repeat(2_000));
  held.complete();
  await held.outcome;
  assertEquals(socket.sent.length, 2);
  socket.bufferedAmount = 0;
  await closed;
  assertEquals(socket.sent.map(({ status }) => status), [
    "PipelineRunStarted",
    "PipelineRunYield",
    "PipelineRunCompleted",
  ]);
});

Deno.test("createRunHandler() sends nothing to a WebSocket of another platform before it is open", async () => {
  await using registry = new PipelineRunRegistry();
  const held = await registerHeld(registry);
  held.complete();
  await held.outcome;
  const socket = new FakeSocket();
  socket.readyState = WebSocket.CONNECTING;
  await followSlowly(registry, socket);
  await runMicrotasks();
  assertEquals(socket.sent, []);
  const closed = new Promise((resolve) =>
    socket.addEventListener("close", resolve)
  );
  socket.readyState = WebSocket.OPEN;
  socket.dispatchEvent(new Event("open"));
  await closed;
  assertEquals(socket.sent.length, 2);
});

Deno.test("createRunHandler() closes a WebSocket with nothing to send that is open from the start", async () => {
  await using registry = new PipelineRunRegistry();
  const socket = await followSlowly(registry);
  await runMicrotasks();
  assertEquals(socket.closing, { code: 1008, reason: "Unknown run" });
});

Deno.test("createRunHandler() cancels the events of a WebSocket that does not open in time", async () => {
  await using registry = new PipelineRunRegistry();
  await registerHeld(registry);
  const cancelled = Promise.withResolvers<void>();
  registry.subscribe = () => new ReadableStream({ cancel: cancelled.resolve });
  const errors: unknown[] = [];
  const { timeout } = AbortSignal;
  AbortSignal.timeout = () => AbortSignal.abort("it took too long");
  try {
    const socket = new FakeSocket();
    socket.readyState = WebSocket.CONNECTING;
    await followSlowly(registry, socket, (error) => errors.push(error));
    await cancelled.promise;
    await runMicrotasks();
    assertEquals(socket.closing?.code, 1011);
    assertEquals(errors, ["it took too long"]);
  } finally {
    AbortSignal.timeout = timeout;
  }
});
