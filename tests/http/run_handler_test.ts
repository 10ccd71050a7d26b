import {
  assertEquals,
  assertMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import {
  MemoryPipelineRunRepository,
  PipelineRunRegistry,
  RepositoryError,
} from "../../mod.ts";
import {
  allowAll,
  createRunHandler,
  ProblemError,
  type RunAction,
  type RunHandlerOptions,
} from "../../src/http/mod.ts";
import { assertPending } from "../assert_pending.ts";
import { recordingRepository } from "../repository/controlled_repository.ts";
import {
  forever,
  noop,
  OTHER_RUN_ID,
  registerHeld,
  RUN_ID,
  SPEC,
  SPELLINGS,
} from "../known_run.ts";
import { client } from "./client.ts";

const DATASET = "22222222-2222-4222-8222-222222222222";

function json(value: unknown): RequestInit {
  return {
    body: JSON.stringify(value),
    headers: { "Content-Type": "application/json" },
  };
}

async function assertProblem(
  response: Response,
  status: number,
): Promise<Record<string, unknown>> {
  assertEquals(response.status, status);
  assertEquals(
    response.headers.get("Content-Type"),
    "application/problem+json",
  );
  const problem = await response.json();
  assertEquals(problem.status, status);
  assertEquals(typeof problem.title, "string");
  return problem;
}

Deno.test("createRunHandler() lists the newest row of each run", async () => {
  await using registry = new PipelineRunRegistry();
  const request = client(registry);
  await registry.registerInline({ ...SPEC, runId: RUN_ID }, noop);
  await registry.registerInline(
    { ...SPEC, runId: OTHER_RUN_ID, datasetId: DATASET },
    () => Promise.reject(new Error("boom")),
  );
  const response = await request("GET", "/runs");
  assertEquals(response.status, 200);
  assertEquals(response.headers.get("Cache-Control"), "no-store");
  const rows = await response.json();
  assertEquals(
    rows.map((row: Record<string, unknown>) => {
      const { id: _id, created_at, pipeline_id: _pipeline, ...rest } = row;
      assertMatch(String(created_at), /^\d{4}-\d\d-\d\dT.*Z$/);
      return rest;
    }),
    [
      {
        status: "DATASET_PROCESSING_ERRORED",
        pipeline_run_id: OTHER_RUN_ID,
        pipeline_name: SPEC.pipelineName,
        dataset_id: DATASET,
        run_info: { data: "None", error: "boom" },
      },
      {
        status: "DATASET_PROCESSING_COMPLETED",
        pipeline_run_id: RUN_ID,
        pipeline_name: SPEC.pipelineName,
        dataset_id: null,
        run_info: { data: "None" },
      },
    ],
  );
  const ofDataset = await request("GET", `/runs?dataset_id={${DATASET}}`);
  assertEquals((await ofDataset.json()).length, 1);
  const one = await request("GET", "/runs?limit=1");
  assertEquals((await one.json())[0].pipeline_run_id, OTHER_RUN_ID);
});

Deno.test("createRunHandler() lists as many runs as asked for, however many rows they have", async () => {
  await using registry = new PipelineRunRegistry();
  const request = client(registry);
  await registry.registerInline({ ...SPEC, runId: OTHER_RUN_ID }, noop);
  for (let attempt = 0; attempt < 30; attempt++) {
    await registry.registerInline({ ...SPEC, runId: RUN_ID }, noop);
  }
  const rows = await (await request("GET", "/runs?limit=2")).json();
  assertEquals(
    rows.map((row: { pipeline_run_id: string }) => row.pipeline_run_id),
    [RUN_ID, OTHER_RUN_ID],
  );
});

Deno.test("createRunHandler() gives a run's phase, rows and payload", async () => {
  await using registry = new PipelineRunRegistry();
  const request = client(registry);
  await registry.registerInline({ ...SPEC, runId: RUN_ID }, async (run) => {
    await run.setPayload("chunks", 12);
    throw new Error("boom");
  });
  for (const spelling of [RUN_ID, ...SPELLINGS]) {
    const path = `/runs/${encodeURIComponent(spelling)}`;
    const { rows, ...run } = await (await request("GET", path)).json();
    assertEquals(run, {
      pipeline_run_id: RUN_ID,
      phase: "Errored",
      code: "work",
      message: "boom",
      last_seq: 2,
      payload: { chunks: 12 },
    });
    assertEquals(rows.map((row: { status: string }) => row.status), [
      "DATASET_PROCESSING_ERRORED",
      "DATASET_PROCESSING_STARTED",
    ]);
  }
});

Deno.test("createRunHandler() starts a run of a pipeline and says where it is", async () => {
  await using registry = new PipelineRunRegistry();
  const inputs: unknown[] = [];
  const request = client(registry, {
    prefix: "/api/v1",
    pipelines: {
      "in gest": (input) => {
        inputs.push(input);
        return { work: forever, datasetId: DATASET };
      },
    },
  });
  const path = "/api/v1/pipelines/in%20gest";
  const response = await request("POST", path, json({ text: "ü" }));
  assertEquals(response.status, 202);
  const run = await response.json();
  assertEquals(run, {
    pipeline_run_id: run.pipeline_run_id,
    pipeline_name: "in gest",
    dataset_id: DATASET,
    status: "PipelineRunStarted",
  });
  const location = new URL(
    response.headers.get("Location")!,
    `http://localhost${path}`,
  );
  assertEquals(location.pathname, `/api/v1/runs/${run.pipeline_run_id}`);
  const found = await request("GET", location.pathname);
  assertEquals((await found.json()).phase, "Running");
  const without = await request("POST", path);
  assertEquals(without.status, 202);
  assertEquals(inputs, [{ text: "ü" }, undefined]);
});

Deno.test("createRunHandler() waits for the end of a run where the client prefers to", async () => {
  await using registry = new PipelineRunRegistry();
  const request = client(registry, {
    pipelines: {
      good: () => ({ work: (run) => run.setPayload("chunks", 1) }),
      bad: () => ({ work: () => Promise.reject(new Error("boom")) }),
      long: () => ({ work: forever }),
    },
  });
  for (
    const Prefer of ["wait", "wait=10", "respond-async, wait=10", 'WAIT="9"']
  ) {
    const response = await request("POST", "/pipelines/good", {
      headers: { Prefer },
    });
    assertEquals(response.status, 200);
    assertEquals(response.headers.get("Preference-Applied"), "wait");
    const { pipeline_run_id, ...outcome } = await response.json();
    assertEquals(registry.snapshotStatus(pipeline_run_id)?.name, "Completed");
    assertEquals(outcome, {
      pipeline_name: "good",
      dataset_id: null,
      status: "PipelineRunCompleted",
      durable: true,
      payload: { chunks: 1 },
    });
  }
  const bad = await request("POST", "/pipelines/bad", {
    headers: { Prefer: "wait" },
  });
  assertEquals(bad.status, 200);
  const { status, message } = await bad.json();
  assertEquals([status, message], ["PipelineRunErrored", "boom"]);
  const long = await request("POST", "/pipelines/long", {
    headers: { Prefer: "wait=0" },
  });
  assertEquals(long.status, 202);
  for (const Prefer of ["await", "wait-not", "respond-async"]) {
    const other = await request("POST", "/pipelines/good", {
      headers: { Prefer },
    });
    assertEquals(other.status, 202, Prefer);
  }
});

Deno.test("createRunHandler() goes on with a run whose client has left (fault 16)", async () => {
  await using registry = new PipelineRunRegistry();
  const { promise, resolve } = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const work = () => {
    begun.resolve();
    return promise;
  };
  const request = client(registry, {
    pipelines: { ingest: () => ({ work, runId: RUN_ID }) },
  });
  const leaving = new AbortController();
  const response = request("POST", "/pipelines/ingest", {
    headers: { Prefer: "wait" },
    signal: leaving.signal,
  });
  await begun.promise;
  leaving.abort();
  await assertPending(response);
  assertEquals(registry.snapshotStatus(RUN_ID)?.name, "Running");
  resolve();
  assertEquals((await response).status, 200);
});

Deno.test("createRunHandler() refuses to start a run that is live", async () => {
  await using registry = new PipelineRunRegistry();
  const request = client(registry, {
    pipelines: { ingest: () => ({ work: forever, runId: RUN_ID }) },
  });
  assertEquals((await request("POST", "/pipelines/ingest")).status, 202);
  const again = await request("POST", "/pipelines/ingest");
  const problem = await assertProblem(again, 409);
  assertEquals(problem.pipeline_run_id, RUN_ID);
});

Deno.test("createRunHandler() aborts a run, once", async () => {
  await using registry = new PipelineRunRegistry();
  const request = client(registry);
  const { outcome } = await registerHeld(registry);
  const response = await request(
    "DELETE",
    `/runs/${RUN_ID}?reason=the%20user%20left`,
  );
  assertEquals(response.status, 202);
  assertEquals(await response.json(), { pipeline_run_id: RUN_ID });
  assertEquals((await outcome).phase, {
    name: "Errored",
    code: "aborted",
    message: "aborted: the user left",
  });
  await assertProblem(await request("DELETE", `/runs/${RUN_ID}`), 409);
  await assertProblem(await request("DELETE", `/runs/${OTHER_RUN_ID}`), 404);
});

Deno.test("createRunHandler() answers what makes no sense with 4xx, no run and no query (fault 44)", async () => {
  const { repository, calls } = recordingRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const authorized: RunAction[] = [];
  let started = 0;
  const request = client(registry, {
    maxBodyBytes: 100,
    pipelines: { ingest: () => ({ work: () => void started++ }) },
    authorize: (_, action) => authorized.push(action) > 0,
  });
  const before = calls.length;
  const id = RUN_ID;
  const bad: [number, string, string, RequestInit?][] = [
    [404, "GET", "/"],
    [404, "GET", "/run"],
    [400, "GET", "/runs/"],
    [404, "GET", "//runs"],
    [404, "GET", "/RUNS"],
    [404, "GET", `/runs/${id}/`],
    [404, "GET", `/runs/${id}/events/`],
    [404, "GET", `/runs/${id}/events/1`],
    [404, "GET", `/runs/${id}/payload`],
    [404, "GET", `/runs/../../etc/passwd`],
    [404, "GET", "/pipelines"],
    [404, "POST", "/pipelines/"],
    [404, "POST", "/pipelines/ingest/x"],
    [404, "POST", "/pipelines/constructor"],
    [404, "POST", "/pipelines/__proto__"],
    [404, "POST", "/pipelines/toString"],
    [400, "POST", "/pipelines/%E0%A4%A"],
    [404, "POST", "/pipelines/%2e%2e%2fruns"],
    [400, "GET", "/runs/x"],
    [400, "GET", "/runs/%00"],
    [400, "GET", `/runs/${id}%00`],
    [400, "GET", `/runs/${id}%2Fevents`],
    [400, "GET", `/runs/${"a".repeat(100_000)}`],
    [400, "DELETE", "/runs/*"],
    [400, "GET", "/runs/x/events"],
    [400, "GET", "/runs?dataset_id=x"],
    [400, "GET", "/runs?limit=0"],
    [400, "GET", "/runs?limit=101"],
    [400, "GET", "/runs?limit=1e1"],
    [400, "GET", "/runs?limit=-1"],
    [405, "POST", "/runs"],
    [405, "PROPFIND", "/runs"],
    [405, "PUT", `/runs/${id}`],
    [405, "POST", `/runs/${id}/events`],
    [405, "GET", "/pipelines/ingest"],
    [405, "PUT", "/pipelines/ingest"],
    ...["abc", "-1", "1e999", "1.5", "0x1", "+1", "", "9".repeat(17), " 1 2"]
      .flatMap((after): [number, string, string, RequestInit?][] => [
        [400, "GET", `/runs/${id}/events`, {
          headers: { "Last-Event-ID": after },
        }],
        [400, "GET", `/runs/${id}/events?after=${encodeURIComponent(after)}`],
      ]),
    [413, "POST", "/pipelines/ingest", json("x".repeat(100))],
    [415, "POST", "/pipelines/ingest", { body: "{}" }],
    [415, "POST", "/pipelines/ingest", {
      body: "{}",
      headers: { "Content-Type": "application/jsonp" },
    }],
    [400, "POST", "/pipelines/ingest", { ...json(0), body: "{" }],
    [400, "POST", "/pipelines/ingest", {
      ...json(0),
      body: new Uint8Array([0x22, 0xff, 0x22]),
    }],
  ];
  for (const [status, method, path, init] of bad) {
    const response = await request(method, path, init);
    assertEquals(response.status, status, `${method} ${path.slice(0, 80)}`);
    await assertProblem(response, status);
    if (status === 405) {
      assertMatch(response.headers.get("Allow")!, /^[A-Z, ]+$/);
    }
  }
  assertEquals(calls.slice(before), []);
  assertEquals(started, 0);
  assertEquals(
    authorized.filter(({ kind }) => kind !== "start"),
    [],
    "what makes no sense is refused before anybody is asked",
  );
});

Deno.test("createRunHandler() stops reading a body that is too large", async () => {
  await using registry = new PipelineRunRegistry();
  const request = client(registry, {
    maxBodyBytes: 1_000,
    pipelines: { ingest: () => ({ work: noop }) },
  });
  let sent = 0;
  let cancelled = false;
  const body = new ReadableStream({
    pull(controller) {
      sent += 100;
      controller.enqueue(new Uint8Array(100));
    },
    cancel() {
      cancelled = true;
    },
  });
  await assertProblem(
    await request("POST", "/pipelines/ingest", { body }),
    413,
  );
  assertEquals(cancelled, true);
  assertEquals(sent <= 1_300, true, `${sent} bytes were read`);
});

Deno.test("createRunHandler() asks before anything is read, and hides what is refused (fault 45)", async () => {
  const { repository, calls } = recordingRepository();
  await using registry = new PipelineRunRegistry({ repository });
  await registry.registerInline({ ...SPEC, runId: RUN_ID }, noop);
  const asked: RunAction[] = [];
  const request = client(registry, {
    pipelines: { ingest: () => ({ work: noop }) },
    authorize: (_, action) => {
      asked.push(action);
      return false;
    },
  });
  const before = calls.length;
  const refused = await request("GET", `/runs/${RUN_ID}`);
  const problem = await assertProblem(refused, 404);
  await assertProblem(await request("GET", `/runs/${RUN_ID}/events`), 404);
  await assertProblem(await request("DELETE", `/runs/${RUN_ID}`), 404);
  await assertProblem(await request("GET", "/runs"), 403);
  const body = new ReadableStream({ pull: forever }, { highWaterMark: 0 });
  await assertProblem(
    await request("POST", "/pipelines/ingest", { body }),
    403,
  );
  await assertProblem(await request("POST", "/pipelines/other"), 403);
  assertEquals(calls.slice(before), []);
  assertEquals(asked, [
    { kind: "read", runId: RUN_ID },
    { kind: "follow", runId: RUN_ID },
    { kind: "abort", runId: RUN_ID },
    { kind: "list" },
    { kind: "start", pipelineName: "ingest" },
    { kind: "start", pipelineName: "other" },
  ]);
  const unknown = await client(registry)("GET", `/runs/${OTHER_RUN_ID}`);
  assertEquals(
    JSON.stringify(await unknown.json()).replaceAll(OTHER_RUN_ID, RUN_ID),
    JSON.stringify(problem),
  );
  assertEquals([...unknown.headers], [...refused.headers]);
});

Deno.test("createRunHandler() leaves runs out of the list that may not be read (fault 45)", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline({ ...SPEC, runId: RUN_ID }, noop);
  await registry.registerInline({ ...SPEC, runId: OTHER_RUN_ID }, noop);
  const third = await registry.registerInline(SPEC, noop);
  const request = client(registry, {
    authorize: (_, action) => {
      if (action.kind === "list") return true;
      const { runId } = action as { runId: string };
      if (runId === third.runId) throw new ProblemError(403, "not yours");
      return runId === RUN_ID;
    },
  });
  const rows = await (await request("GET", "/runs")).json();
  assertEquals(
    rows.map((row: { pipeline_run_id: string }) => row.pipeline_run_id),
    [RUN_ID],
  );
});

Deno.test("createRunHandler() lists as many runs as may be read, although others are newer", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline({ ...SPEC, runId: RUN_ID }, noop);
  for (let i = 0; i < 60; i++) await registry.registerInline(SPEC, noop);
  const request = client(registry, {
    authorize: (_, action) =>
      action.kind === "list" ||
      "runId" in action && action.runId === RUN_ID,
  });
  const rows = await (await request("GET", "/runs?limit=5")).json();
  assertEquals(rows.length, 1);
  assertEquals(rows[0].pipeline_run_id, RUN_ID);
});

Deno.test("createRunHandler() takes from a page of a browser nothing that a foreign page can send", async () => {
  await using registry = new PipelineRunRegistry();
  let started = 0;
  const request = client(registry, {
    pipelines: { ingest: () => ({ work: () => void started++ }) },
  });
  const Origin = "https://evil.example";
  const foreign: RequestInit[] = [
    { headers: { Origin } },
    { headers: { Origin, "Content-Type": "text/plain" } },
    { headers: { Origin, "Content-Type": "text/plain" }, body: "{}" },
  ];
  for (const init of foreign) {
    await assertProblem(await request("POST", "/pipelines/ingest", init), 415);
  }
  assertEquals(started, 0);
  const allowed = await request("POST", "/pipelines/ingest", {
    headers: { Origin, "Content-Type": "application/json", Prefer: "wait" },
  });
  assertEquals([allowed.status, started], [200, 1]);
});

Deno.test("createRunHandler() reports that a run has ended, even if its payload cannot be read", async () => {
  const repository = new MemoryPipelineRunRepository();
  repository.getPayload = () => Promise.reject(new RepositoryError("gone"));
  await using registry = new PipelineRunRegistry({ repository });
  const told: unknown[] = [];
  const request = client(registry, {
    pipelines: { ingest: () => ({ work: noop }) },
    onError: (error) => told.push(error),
  });
  const response = await request("POST", "/pipelines/ingest", {
    headers: { Prefer: "wait" },
  });
  assertEquals(response.status, 200);
  const { status, payload } = await response.json();
  assertEquals([status, payload], ["PipelineRunCompleted", undefined]);
  assertEquals(told.length, 1);
});

Deno.test("createRunHandler() begins at the start for a number that the run has not reached (fault 44)", async () => {
  await using registry = new PipelineRunRegistry();
  const request = client(registry);
  const held = await registerHeld(registry);
  const response = await request("GET", `/runs/${RUN_ID}/events?after=50`);
  held.complete();
  const ids = Array.from(
    (await response.text()).matchAll(/^id: (\d+)$/gm),
    ([, id]) => id,
  );
  assertEquals(ids, ["0", "1", "2"]);
});

Deno.test("createRunHandler() answers 400 to a URL that is none, and to a body that breaks off", async () => {
  await using registry = new PipelineRunRegistry();
  const errors: unknown[] = [];
  const handler = createRunHandler(registry, {
    pipelines: { ingest: () => ({ work: noop }) },
    authorize: allowAll,
    onError: (error) => errors.push(error),
  });
  const bad = { url: "http://[/runs", method: "GET", headers: new Headers() };
  await assertProblem(await handler(bad as unknown as Request), 400);
  const body = new ReadableStream({
    pull: (controller) => controller.error(new Error("reset")),
  });
  const broken = new Request("http://localhost/pipelines/ingest", {
    method: "POST",
    body,
  });
  await assertProblem(await handler(broken), 400);
  assertEquals(errors, []);
});

Deno.test("createRunHandler() answers with the problem that authorize or a pipeline throws", async () => {
  await using registry = new PipelineRunRegistry();
  const request = client(registry, {
    pipelines: {
      ingest: () => {
        throw new ProblemError(422, "text is missing", { title: "No text" });
      },
    },
    authorize: (request) => {
      if (request.headers.has("Authorization")) return true;
      throw new ProblemError(401, "Who are you?", {
        headers: { "WWW-Authenticate": "Bearer" },
      });
    },
  });
  const anonymous = await request("GET", "/runs");
  assertEquals(anonymous.headers.get("WWW-Authenticate"), "Bearer");
  await assertProblem(anonymous, 401);
  const known = await request("POST", "/pipelines/ingest", {
    headers: { Authorization: "Bearer x" },
  });
  assertEquals(await assertProblem(known, 422), {
    status: 422,
    title: "No text",
    code: "problem",
    detail: "text is missing",
  });
});

Deno.test("createRunHandler() passes internal errors to onError and hides them from clients", async () => {
  const told: unknown[] = [];
  const secret = new Error("password=hunter2");
  const failing = new MemoryPipelineRunRepository();
  failing.getPayload = () =>
    Promise.reject(new RepositoryError("secret", { cause: secret }));
  failing.listRecent = () =>
    Promise.reject(
      new RepositoryError("secret", { cause: secret, transient: false }),
    );
  await using registry = new PipelineRunRegistry({ repository: failing });
  const request = client(registry, {
    pipelines: {
      ingest: () => {
        throw secret;
      },
      spec: () => ({ work: noop, runId: "secret" }),
    },
    onError: (error) => {
      told.push(error);
      throw new Error("onError fails, too");
    },
  });
  for (
    const [status, method, path] of [
      [503, "GET", `/runs/${RUN_ID}`],
      [500, "GET", "/runs"],
      [500, "POST", "/pipelines/ingest"],
      [500, "POST", "/pipelines/spec"],
    ] as const
  ) {
    const response = await request(method, path);
    assertEquals(response.headers.has("Retry-After"), status === 503);
    const problem = await assertProblem(response, status);
    assertEquals(/secret|hunter|password/.test(JSON.stringify(problem)), false);
  }
  assertEquals(told.length, 4);
  assertEquals(told[2], secret);
});

Deno.test("createRunHandler() passes failing events to onError, but not viewers that leave", async () => {
  await using registry = new PipelineRunRegistry();
  const told: unknown[] = [];
  const request = client(registry, { onError: (error) => told.push(error) });
  await registerHeld(registry);
  const failing = new AbortController();
  const { subscribe } = registry;
  registry.subscribe = (runId, options) =>
    subscribe.call(registry, runId, { ...options, signal: failing.signal }) as // deno-lint-ignore no-explicit-any -- as of any payload
    ReadableStream<any>;
  const leaver = await request("GET", `/runs/${RUN_ID}/events`);
  await leaver.body!.cancel("enough");
  const { body } = await request("GET", `/runs/${RUN_ID}/events`);
  const failure = new RepositoryError("The repository was closed");
  failing.abort(failure);
  const error = await assertRejects(() => new Response(body).text());
  assertEquals([error, told], [failure, [failure]]);
});

Deno.test("createRunHandler() answers with 503 while the registry is full or shut down", async () => {
  const registry = new PipelineRunRegistry({ maxInMemoryRuns: 1 });
  const request = client(registry, {
    pipelines: { ingest: () => ({ work: forever }) },
    onError: noop,
  });
  assertEquals((await request("POST", "/pipelines/ingest")).status, 202);
  const full = await request("POST", "/pipelines/ingest");
  assertEquals(full.headers.get("Retry-After"), "1");
  await assertProblem(full, 503);
  await registry.shutdown();
  await assertProblem(await request("POST", "/pipelines/ingest"), 503);
});

Deno.test("createRunHandler() answers HEAD as GET, without the body", async () => {
  await using registry = new PipelineRunRegistry();
  const request = client(registry);
  await registerHeld(registry);
  for (const path of ["/runs", `/runs/${RUN_ID}`, `/runs/${RUN_ID}/events`]) {
    const response = await request("HEAD", path);
    assertEquals(response.status, 200);
    assertEquals(await response.text(), "");
  }
  assertEquals((await request("HEAD", `/runs/${OTHER_RUN_ID}`)).status, 404);
});

Deno.test("createRunHandler() refuses options that make no sense", async () => {
  await using registry = new PipelineRunRegistry();
  const bad: [unknown, typeof TypeError | typeof RangeError][] = [
    [{ prefix: "api" }, TypeError],
    [{ prefix: "/api/" }, TypeError],
    [{ prefix: "/a?b" }, TypeError],
    [{ prefix: "/a b" }, TypeError],
    [{ prefix: "/ü" }, TypeError],
    [{ prefix: "/." }, TypeError],
    [{ upgradeWebSocket: 5 }, TypeError],
    [{ closeAfterErrored: "no" }, TypeError],
    [{ heartbeat: 0 }, RangeError],
    [{ heartbeat: "4" }, TypeError],
    [{ maxBodyBytes: 0 }, RangeError],
    [{ maxBodyBytes: 1.5 }, RangeError],
    [{ maxBodyBytes: "5" }, TypeError],
    [{ maxBufferedBytes: -1 }, RangeError],
    [{ authorize: true }, TypeError],
    [{ onError: "log" }, TypeError],
    [{ pipelines: { ingest: {} } }, TypeError],
    [{ caching: "never" }, TypeError],
    [{ longPollTimeout: "20" }, TypeError],
    [{ longPollTimeout: -1 }, RangeError],
    [{ cors: "*" }, TypeError],
    [{ cors: null }, TypeError],
    [{ cors: {} }, TypeError],
    [{ cors: { origins: "https://example.com" } }, TypeError],
    [{ cors: { origins: ["example.com"] } }, TypeError],
    [{ cors: { origins: ["https://example.com/"] } }, TypeError],
    [{ cors: { origins: ["*"] } }, TypeError],
    [{ cors: { origins: "*", credentials: true } }, TypeError],
    [{ cors: { origins: [], credentials: 1 } }, TypeError],
  ];
  for (const [options, error] of bad) {
    assertThrows(
      () =>
        createRunHandler(registry, {
          authorize: allowAll,
          ...options as RunHandlerOptions,
        }),
      error,
      "Cannot create handler",
    );
  }
});
