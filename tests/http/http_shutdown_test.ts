import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import {
  PipelineRunRegistry,
  type PipelineRunRegistryOptions,
  RegistryFullError,
  type RunEvent,
} from "../../mod.ts";
import { allowAll, createRunHandler } from "../../src/http/mod.ts";
import { connect } from "../../src/postgres/mod.ts";
import { openDatabase } from "../postgres/open_database.ts";

const onWarning = (): void => {};

/** A registry on a database of its own, behind a server. */
interface Served extends AsyncDisposable {
  readonly registry: PipelineRunRegistry;
  /** Registers a run that yields once and goes on. */
  begin(): Promise<string>;
  path(runId: string, scheme: "http" | "ws"): string;
}

async function serve(
  options: PipelineRunRegistryOptions = {},
): Promise<Served> {
  const stack = new AsyncDisposableStack();
  const database = stack.use(await openDatabase());
  const repository = stack.use(await connect(database.url, { onWarning }));
  const registry = stack.use(
    new PipelineRunRegistry({ ...options, repository, onWarning }),
  );
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    createRunHandler(registry, { authorize: allowAll, onError: () => {} }),
  );
  stack.defer(() => server.shutdown());
  return {
    registry,
    async begin() {
      const { runId } = await registry.registerBackground(
        { pipelineName: "work" },
        async function* ({ signal }) {
          yield "one";
          await new Promise((go) => signal.addEventListener("abort", go));
        },
      );
      return runId;
    },
    path: (runId, scheme) =>
      `${scheme}://127.0.0.1:${server.addr.port}/runs/${runId}/events`,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

const seqAndKind = ({ seq, kind }: RunEvent) => `${seq} ${kind}`;

/** Reads a stream up to its end; calls back when the second event is there. */
async function follow(
  events: ReadableStream<RunEvent>,
  onSecond: () => void,
): Promise<string[]> {
  const kinds: string[] = [];
  for await (const event of events) {
    kinds.push(seqAndKind(event));
    if (event.seq === 2) onSecond();
  }
  return kinds;
}

async function followSse(url: string, onSecond: () => void): Promise<string> {
  const { body } = await fetch(url);
  let text = "";
  for await (const chunk of body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    if (text.includes("id: 2\n")) onSecond();
  }
  return text;
}

function followSocket(url: string, onSecond: () => void): Promise<string[]> {
  const socket = new WebSocket(url);
  const statuses: string[] = [];
  const { promise, resolve } = Promise.withResolvers<string[]>();
  socket.onmessage = ({ data }) => {
    if (statuses.push(JSON.parse(data).status) === 2) onSecond();
  };
  socket.onclose = () => resolve(statuses);
  return promise;
}

Deno.test("PipelineRunRegistry.shutdown() lets those who follow the log see the ending before their streams close", async () => {
  await using served = await serve();
  const { registry } = served;
  const runId = await served.begin();
  const seen = [1, 2, 3, 4].map(() => Promise.withResolvers<void>());
  const [local, durable, sse, socket] = [
    follow(registry.subscribe(runId), seen[0].resolve),
    follow(registry.subscribe(runId, { durable: true }), seen[1].resolve),
    followSse(served.path(runId, "http"), seen[2].resolve),
    followSocket(served.path(runId, "ws"), seen[3].resolve),
  ] as const;
  await Promise.all(seen.map(({ promise }) => promise));
  await registry.shutdown();
  const expected = ["1 Started", "2 Yield", "3 Errored"];
  assertEquals(await local, expected);
  assertEquals(await durable, expected);
  assertMatch(await sse, /\nid: 3\nevent: Errored\n/);
  assertEquals(await socket, [
    "PipelineRunStarted",
    "PipelineRunYield",
    "PipelineRunErrored",
  ]);
});

Deno.test("PipelineRunRegistry.shutdown() waits for a viewer who does not read no longer than its timeout", async () => {
  await using served = await serve();
  const { registry } = served;
  const runId = await served.begin();
  const reader = registry.subscribe(runId, { durable: true }).getReader();
  await reader.read();
  await registry.shutdown({ timeout: 300 });
  assertEquals(await reader.read(), { done: true, value: undefined });
});

Deno.test("PipelineRunRegistry.shutdown() closes the streams of runs that go on elsewhere at once", async () => {
  await using served = await serve();
  const { registry } = served;
  const reader = registry.subscribe(crypto.randomUUID()).getReader();
  const read = reader.read();
  await registry.shutdown({ timeout: 60_000 });
  assertEquals(await read, { done: true, value: undefined });
});

Deno.test("PipelineRunRegistry.subscribe() refuses to follow more unknown runs than maxAwaitedSubscriptions, also with a log (fault 40)", async () => {
  await using served = await serve({ maxAwaitedSubscriptions: 2 });
  const { registry } = served;
  const [first] = [1, 2].map(() => registry.subscribe(crypto.randomUUID()));
  const another = () => registry.subscribe(crypto.randomUUID());
  assertThrows(another, RegistryFullError);
  const runId = await served.begin();
  await registry.subscribe(runId).cancel();
  await first.cancel();
  await another().cancel();
});
