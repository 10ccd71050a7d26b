import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { z } from "zod";
import {
  definePipeline,
  PipelineRunRegistry,
  type RunContext,
} from "../../mod.ts";
import {
  type ClientRun,
  createRunClient,
  ProblemError,
  type RunClient,
  type RunClientOptions,
} from "../../src/http/client/mod.ts";
import {
  allowAll,
  createRunHandler,
  type RunHandlerOptions,
} from "../../src/http/mod.ts";
import {
  DATASET_ID,
  forever,
  KNOWN,
  noop,
  OTHER_RUN_ID,
  PIPELINE_ID,
  RUN_ID,
  SPEC,
} from "../known_run.ts";

const pipelines = [
  definePipeline({
    name: "ingest",
    input: z.object({ documents: z.array(z.string()) }),
    spec: () => ({ datasetId: DATASET_ID }),
    async *run({ documents }) {
      for (const document of documents) yield { document };
      return documents.length;
    },
  }),
  definePipeline({ name: "wait", run: forever }),
  definePipeline({
    name: "a/b?",
    run: (_, { publish }: RunContext<string>) => publish("odd"),
  }),
] as const;

/** A client of a handler, without a network, and what it has requested. */
interface Connected {
  client: RunClient<typeof pipelines>;
  requests: string[];
}

function connect(
  registry: PipelineRunRegistry,
  { origin = "https://example.com", ...options }: RunHandlerOptions & {
    origin?: string | URL;
  } = {},
): Connected {
  const handler = createRunHandler(registry, {
    pipelines,
    authorize: allowAll,
    ...options,
  });
  const requests: string[] = [];
  const client = createRunClient<typeof pipelines>(origin, {
    fetch: (url, init) => {
      requests.push(`${init.method ?? "GET"} ${url}`);
      return handler(new Request(url, init));
    },
  });
  return { client, requests };
}

/** The state of a run that is known to the server. */
async function known(
  { client }: Connected,
  runId: string = RUN_ID,
): Promise<ClientRun> {
  const run = await client.get(runId);
  if (run === undefined) throw new Error(`Run ${runId} is unknown`);
  return run;
}

Deno.test("RunClient.start() starts a run of a pipeline, and follow() its events to the last", async () => {
  await using registry = new PipelineRunRegistry();
  const { client, requests } = connect(registry);
  const run = await client.start("ingest", { documents: ["a.txt", "b.txt"] });
  assertEquals(run, { runId: run.runId, pipelineName: "ingest" });
  const events = await Array.fromAsync(client.follow(run));
  assertEquals(events.map(({ kind }) => kind), [
    "Started",
    "Yield",
    "Yield",
    "Completed",
  ]);
  assertEquals(
    events.flatMap((event) => event.kind === "Yield" ? [event.payload] : []),
    [{ document: "a.txt" }, { document: "b.txt" }],
  );
  assertEquals(requests, [
    "POST https://example.com/pipelines/ingest",
    `GET https://example.com/runs/${run.runId}/events`,
  ]);
});

Deno.test("RunClient.start() escapes the name of a pipeline", async () => {
  await using registry = new PipelineRunRegistry();
  const { client, requests } = connect(registry);
  const run = await client.start("a/b?", undefined);
  const [, event] = await Array.fromAsync(client.follow(run));
  assertEquals(event.kind === "Yield" && event.payload, "odd");
  assertEquals(requests[0], "POST https://example.com/pipelines/a%2Fb%3F");
});

Deno.test("RunClient.start() rejects with the issues of an input that the schema refuses", async () => {
  await using registry = new PipelineRunRegistry();
  const { client } = connect(registry);
  const problem = await assertRejects(
    () => client.start("ingest", { documents: ["a.txt", 1 as never] }),
    ProblemError,
    "The input of pipeline ingest is invalid",
  );
  assertEquals(problem.status, 422);
  assertEquals(problem.code, "invalid_input");
  assertEquals(problem.errors.map(({ pointer }) => pointer), ["#/documents/1"]);
  assertEquals(await client.list(), []);
});

Deno.test("RunClient.start() rejects with the reason of a signal that fires", async () => {
  const reason = new Error("enough");
  const client = createRunClient<typeof pipelines>("https://example.com", {
    fetch: (_, { signal }) => {
      signal!.throwIfAborted();
      return forever();
    },
  });
  const signal = AbortSignal.abort(reason);
  const error = await assertRejects(() => client.start("wait", {}, { signal }));
  assertEquals(error, reason);
});

Deno.test("RunClient.follow() follows a run by its id, after an event", async () => {
  await using registry = new PipelineRunRegistry();
  const { client, requests } = connect(registry);
  await registry.registerInline(KNOWN, () => [1, 2].values());
  const events = client.follow(RUN_ID, { after: 2 });
  assertEquals(
    (await Array.fromAsync(events)).map(({ seq, kind }) => `${seq} ${kind}`),
    ["3 Yield", "4 Completed"],
  );
  assertEquals(requests, [
    `GET https://example.com/runs/${RUN_ID}/events?after=2`,
  ]);
});

Deno.test("RunClient.follow() errors with the problem of an unknown run", async () => {
  await using registry = new PipelineRunRegistry();
  const { client } = connect(registry);
  const problem = await assertRejects(
    () => Array.fromAsync(client.follow(RUN_ID)),
    ProblemError,
  );
  assertEquals([problem.status, problem.code], [404, "unknown_run"]);
  assertEquals(problem.runId, RUN_ID);
});

Deno.test("RunClient.abort() aborts a run, and says that it has ended after that", async () => {
  await using registry = new PipelineRunRegistry();
  const connected = connect(registry);
  const { client } = connected;
  const run = await client.start("wait", {});
  assertEquals(await client.abort(run), "requested");
  await Array.fromAsync(client.follow(run));
  assertEquals((await known(connected, run.runId)).phase, {
    name: "Errored",
    code: "aborted",
    message: "aborted",
  });
  assertEquals(await client.abort(run), "ended");
  assertEquals(await client.abort(run.runId), "ended");
});

Deno.test("RunClient.abort() gives the reason", async () => {
  await using registry = new PipelineRunRegistry();
  const connected = connect(registry);
  await registry.registerBackground(KNOWN, forever);
  const reason = "a & b? é #1";
  assertEquals(await connected.client.abort(RUN_ID, reason), "requested");
  const { phase, rows } = await known(connected);
  assertEquals(phase, {
    name: "Errored",
    code: "aborted",
    message: `aborted: ${reason}`,
  });
  assertEquals(rows[0].runInfo?.error, reason);
});

Deno.test("RunClient.abort() rejects with the problem of an unknown run", async () => {
  await using registry = new PipelineRunRegistry();
  const { client } = connect(registry);
  const problem = await assertRejects(() => client.abort(RUN_ID), ProblemError);
  assertEquals([problem.status, problem.code], [404, "unknown_run"]);
});

Deno.test("RunClient.get() reads a run with its rows, payload fields and result", async () => {
  await using registry = new PipelineRunRegistry();
  const connected = connect(registry);
  await registry.registerInline(
    { ...KNOWN, datasetId: DATASET_ID },
    async ({ setPayload, publish }) => {
      await setPayload("path", "docs");
      publish(1);
      return { documents: 2 };
    },
  );
  assertEquals(await known(connected), {
    runId: RUN_ID,
    phase: { name: "Completed" },
    lastSeq: 3,
    rows: await registry.repository.listByRun(RUN_ID, 50),
    payload: { path: "docs" },
    result: { documents: 2 },
  });
});

Deno.test("RunClient.get() reads a run by the reference that start() gave", async () => {
  await using registry = new PipelineRunRegistry();
  const { client } = connect(registry);
  const run = await client.start("wait", {});
  const found = await client.get(run);
  assertEquals(found?.runId, run.runId);
  assertEquals(found?.phase, { name: "Running" });
  assertEquals("result" in found!, false);
});

Deno.test("RunClient.get() is undefined for an unknown run", async () => {
  await using registry = new PipelineRunRegistry();
  const { client } = connect(registry);
  assertEquals(await client.get(RUN_ID), undefined);
});

Deno.test("RunClient.get() rejects if there is no handler at the origin", async () => {
  await using registry = new PipelineRunRegistry();
  const { client } = connect(registry, { prefix: "/api" });
  const problem = await assertRejects(
    () => client.get(RUN_ID),
    ProblemError,
    "There is nothing here",
  );
  assertEquals([problem.status, problem.code], [404, "problem"]);
});

Deno.test("RunClient.get() rejects if the id is no UUID, and escapes it", async () => {
  await using registry = new PipelineRunRegistry();
  const { client } = connect(registry);
  for (const runId of ["a/events", "a?b", "a/b"]) {
    await assertRejects(
      () => client.get(runId),
      ProblemError,
      "The run id must be a UUID",
    );
  }
  await assertRejects(() => client.get(".."), ProblemError);
});

Deno.test("RunClient.get() rejects with a problem of another kind", async () => {
  await using registry = new PipelineRunRegistry();
  const { client } = connect(registry, {
    authorize: () => {
      throw new ProblemError(401, "Who are you?", { code: "anonymous" });
    },
  });
  const problem = await assertRejects(
    () => client.get(RUN_ID),
    ProblemError,
    "Who are you?",
  );
  assertEquals([problem.status, problem.code], [401, "anonymous"]);
});

Deno.test("RunClient.get() says why a run failed", async () => {
  await using registry = new PipelineRunRegistry();
  const connected = connect(registry);
  const failures = [
    {
      work: () => Promise.reject(new Error("boom")),
      phase: { name: "Errored", code: "work", message: "boom" },
    },
    {
      work: () => Promise.reject(new RangeError("too far")),
      phase: {
        name: "Errored",
        code: "work",
        message: "too far",
        errorName: "RangeError",
      },
    },
  ] as const;
  for (const { work, phase } of failures) {
    const { runId } = await registry.registerInline(SPEC, work);
    assertEquals((await known(connected, runId)).phase, phase);
  }
  const { runId, outcome } = await registry.registerBackground(SPEC, forever);
  await registry.shutdown();
  await outcome;
  assertEquals((await known(connected, runId)).phase, {
    name: "Errored",
    code: "shutdown",
    message: "aborted",
  });
});

Deno.test("RunClient.get() says why a result is not stored, and that the run completed", async () => {
  await using registry = new PipelineRunRegistry();
  const connected = connect(registry);
  for (const value of [new Date(0), { at: new Set([1]) }]) {
    const { runId } = await registry.registerInline(SPEC, () => value);
    const run = await known(connected, runId);
    assertEquals(run.phase, { name: "Completed" });
    assertEquals("result" in run, false);
    assertEquals(typeof run.resultError, "string");
    assertEquals(
      run.resultError,
      (await registry.getResult(runId) as {
        error: string;
      }).error,
    );
  }
});

Deno.test("RunClient.get() tells a result that is null from none", async () => {
  await using registry = new PipelineRunRegistry();
  const connected = connect(registry);
  const { runId } = await registry.registerInline(SPEC, () => null);
  await registry.registerInline(KNOWN, noop);
  assertEquals((await known(connected, runId)).result, null);
  assertEquals("result" in await known(connected), false);
});

Deno.test("RunClient.list() lists the newest runs, of one dataset or of all", async () => {
  await using registry = new PipelineRunRegistry();
  const { client, requests } = connect(registry);
  await registry.registerInline({ ...KNOWN, datasetId: DATASET_ID }, noop);
  await registry.registerInline(
    { ...SPEC, runId: OTHER_RUN_ID },
    () => Promise.reject(new Error("boom")),
  );
  const [{ datasetId: _none, ...newest }] = await registry.repository
    .listByRun(OTHER_RUN_ID, 1);
  const [oldest] = await registry.repository.listByRun(RUN_ID, 1);
  assertEquals(await client.list(), [newest, oldest]);
  assertEquals(await client.list({ limit: 1 }), [newest]);
  assertEquals(await client.list({ datasetId: DATASET_ID }), [oldest]);
  assertEquals(
    await client.list({ datasetId: OTHER_RUN_ID, limit: 1 }),
    [],
  );
  assertEquals(
    requests.at(-1),
    `GET https://example.com/runs?dataset_id=${OTHER_RUN_ID}&limit=1`,
  );
});

Deno.test("RunClient.list() leaves out what a row does not have", async () => {
  await using registry = new PipelineRunRegistry();
  const { client } = connect(registry);
  const row = {
    id: OTHER_RUN_ID,
    status: "DATASET_PROCESSING_INITIATED",
    pipelineRunId: RUN_ID,
    pipelineName: "ingest",
    pipelineId: PIPELINE_ID,
  } as const;
  await registry.repository.logPipelineRun(row);
  const [{ createdAt: _at, ...listed }] = await client.list();
  assertEquals(listed, row);
});

Deno.test("RunClient.list() rejects with the problem of a limit that is out of range", async () => {
  await using registry = new PipelineRunRegistry();
  const { client } = connect(registry);
  const problem = await assertRejects(
    () => client.list({ limit: 101 }),
    ProblemError,
    "limit must be from 1 to 100",
  );
  assertEquals([problem.status, problem.code], [400, "problem"]);
  assertEquals(problem.errors, []);
});

Deno.test("createRunClient() takes an origin with a path, with or without a slash at its end", async () => {
  await using registry = new PipelineRunRegistry();
  const origins = [
    "https://example.com/api/v1",
    "https://example.com/api/v1/",
    new URL("https://example.com/api/v1/"),
  ];
  for (const origin of origins) {
    const { client, requests } = connect(registry, {
      origin,
      prefix: "/api/v1",
    });
    const run = await client.start("ingest", { documents: [] });
    await Array.fromAsync(client.follow(run));
    assertEquals((await client.get(run))?.result, 0);
    await client.list();
    assertEquals(await client.abort(run), "ended");
    const mount = "https://example.com/api/v1";
    assertEquals(requests, [
      `POST ${mount}/pipelines/ingest`,
      `GET ${mount}/runs/${run.runId}/events`,
      `GET ${mount}/runs/${run.runId}`,
      `GET ${mount}/runs`,
      `DELETE ${mount}/runs/${run.runId}`,
    ]);
  }
});

Deno.test("createRunClient() does not change a URL that it is given", () => {
  const origin = new URL("https://example.com/api");
  createRunClient(origin);
  assertEquals(origin.href, "https://example.com/api");
});

Deno.test("createRunClient() refuses an origin that is no URL, and a fetch that is no function", () => {
  assertThrows(() => createRunClient("nowhere"), TypeError);
  for (const fetch of [null, "fetch", {}]) {
    const options = { fetch } as unknown as RunClientOptions;
    assertThrows(
      () => createRunClient("https://example.com", options),
      TypeError,
      "Cannot create client: fetch must be a function",
    );
  }
});

Deno.test("RunClient has methods that work when destructured", async () => {
  await using registry = new PipelineRunRegistry();
  const { client: { start, follow, abort, get, list } } = connect(registry);
  const run = await start("ingest", { documents: [] });
  await Array.fromAsync(follow(run));
  assertEquals(await abort(run), "ended");
  assertEquals((await get(run))?.rows[0], (await list())[0]);
});

Deno.test("RunClient rejects as fetch does if the server cannot be reached", async () => {
  const unreachable = new TypeError("unreachable");
  const client = createRunClient<typeof pipelines>("https://example.com", {
    fetch: () => Promise.reject(unreachable),
  });
  const calls = [
    () => client.start("wait", {}),
    () => client.abort(RUN_ID),
    () => client.get(RUN_ID),
    () => client.list(),
  ];
  for (const call of calls) {
    assertEquals(await assertRejects(call), unreachable);
  }
});

Deno.test("RunClient asks the server, not a cache", async () => {
  await using registry = new PipelineRunRegistry();
  const handler = createRunHandler(registry, {
    pipelines,
    authorize: allowAll,
  });
  const caches: (string | undefined)[] = [];
  const client = createRunClient<typeof pipelines>("https://example.com", {
    fetch: (url, init) => {
      caches.push(init.cache);
      return handler(new Request(url, init));
    },
  });
  const run = await client.start("ingest", { documents: [] });
  await Array.fromAsync(client.follow(run));
  await client.get(run);
  await client.list();
  await client.abort(run);
  assertEquals(caches, Array(5).fill("no-store"));
});

Deno.test("RunClient tells of a server that answers with a page of its own", async () => {
  const client = createRunClient<typeof pipelines>("https://example.com", {
    fetch: () => Promise.resolve(new Response("<h1>Bad</h1>", { status: 502 })),
  });
  const problem = await assertRejects(
    () => client.list(),
    ProblemError,
    "The server answered with 502",
  );
  assertEquals([problem.status, problem.code], [502, "problem"]);
});
