import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  MemoryPipelineRunRepository,
  PipelineRunRegistry,
  type PipelineRunRow,
} from "../../../mod.ts";
import {
  allowAll,
  createRunPage,
  ProblemError,
  type RunAction,
  type RunPageOptions,
} from "../../../src/http/mod.ts";
import { assertPending } from "../../assert_pending.ts";
import {
  DATASET_ID,
  type HeldRun,
  noop,
  registerHeld,
  RUN_ID,
} from "../../known_run.ts";
import { PageViewer } from "./page_viewer.ts";

/** Counts the listings of the newest rows, and fails them on demand. */
class ListedRepository extends MemoryPipelineRunRepository {
  listings = 0;
  isDown = false;
  /** How many times the newest row of a run cannot be read. */
  failures = 0;
  /** Until when the newest row of a run, which is read at once, is not answered. */
  isAnswered: Promise<void> = Promise.resolve();

  override async listRecent(
    datasetId: string | undefined,
    limit: number,
  ): Promise<PipelineRunRow[]> {
    this.listings++;
    if (this.isDown) throw new Error("down");
    return await super.listRecent(datasetId, limit);
  }

  override async getPipelineRun(
    runId: string,
  ): Promise<PipelineRunRow | undefined> {
    if (this.failures-- > 0) throw new Error("down");
    const row = await super.getPipelineRun(runId);
    await this.isAnswered;
    return row;
  }
}

/** A page that everybody may see, unless the options say otherwise. */
function pageOf(registry: PipelineRunRegistry, options?: RunPageOptions) {
  return createRunPage(registry, { authorize: allowAll, ...options });
}

async function registerMany(
  registry: PipelineRunRegistry,
  count: number,
): Promise<HeldRun[]> {
  return await Promise.all(
    Array.from(
      { length: count },
      () => registerHeld(registry, { pipelineName: "ingest" }),
    ),
  );
}

async function sha256(text: string): Promise<string> {
  const bytes = new TextEncoder().encode(text);
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return `'sha256-${btoa(String.fromCharCode(...new Uint8Array(digest)))}'`;
}

Deno.test("createRunPage() serves a page that allows its own script and style only, by their hashes", async () => {
  await using registry = new PipelineRunRegistry();
  const page = pageOf(registry, { prefix: "/ops" });
  for (const path of ["/ops", "/ops/", "/ops?status=nonsense&dataset=x"]) {
    const response = await page(new Request(`http://localhost${path}`));
    const { status, headers } = response;
    const html = await response.text();
    assertEquals(status, 200);
    const [, style] = /<style>([^]*?)<\/style>/.exec(html)!;
    const [, script] = /<script type="module">([^]*?)<\/script>/.exec(html)!;
    assertEquals(
      headers.get("Content-Security-Policy"),
      "default-src 'none'; connect-src 'self'; img-src data:; " +
        `script-src ${await sha256(script)}; ` +
        `style-src ${await sha256(style)}; ` +
        "require-trusted-types-for 'script'; trusted-types 'none'; " +
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    );
    headers.delete("Content-Security-Policy");
    assertEquals(Object.fromEntries(headers), {
      "cache-control": "no-store",
      "content-type": "text/html; charset=utf-8",
      "referrer-policy": "no-referrer",
      "x-content-type-options": "nosniff",
    });
    assert(html.length < 32_000, `the page has ${html.length} characters`);
  }
});

Deno.test("createRunPage() writes its options into the page as text", async () => {
  await using registry = new PipelineRunRegistry();
  const page = pageOf(registry, {
    title: 'Runs of "A" & <b>B</b>',
    pipelines: { '"><script>': "</script>" },
  });
  const response = await page(new Request("http://localhost/"));
  const html = await response.text();
  assertEquals(html.match(/<\/?script/g), ["<script", "</script"]);
  assertMatch(html, /<h1>Runs of &quot;A&quot; &amp; &lt;b>B&lt;\/b><\/h1>/);
});

Deno.test("createRunPage() answers GET and HEAD at its own paths only", async () => {
  await using registry = new PipelineRunRegistry();
  const page = pageOf(registry, { prefix: "/ops" });
  const answer = async (method: string, path: string) => {
    const url = `http://localhost${path}`;
    const response = await page(new Request(url, { method }));
    const type = response.headers.get("Content-Type");
    const text = method === "HEAD" ? await response.text() : undefined;
    await response.body?.cancel();
    return [response.status, type, text];
  };
  const problem = "application/problem+json";
  assertEquals(await answer("HEAD", "/ops"), [
    200,
    "text/html; charset=utf-8",
    "",
  ]);
  assertEquals(await answer("HEAD", "/ops/events"), [
    200,
    "text/event-stream",
    "",
  ]);
  assertEquals(await answer("POST", "/ops"), [405, problem, undefined]);
  for (const path of ["/", "/opsy", "/ops/runs", "/ops/events/", "/events"]) {
    assertEquals(await answer("GET", path), [404, problem, undefined]);
  }
  for (const query of ["?dataset=x", "?status=nonsense", "?status=toString"]) {
    assertEquals(await answer("GET", `/ops/events${query}`), [
      400,
      problem,
      undefined,
    ]);
  }
});

Deno.test("createRunPage() refuses options that cannot be right", async () => {
  await using registry = new PipelineRunRegistry();
  for (const api of ["//elsewhere", "http://elsewhere/api", "data:,"]) {
    assertThrows(
      () => pageOf(registry, { api }),
      TypeError,
      `Cannot create page: api must be a URL path, received "${api}"`,
    );
  }
  assertThrows(() => pageOf(registry, { prefix: "ops" }), TypeError);
  assertThrows(() => pageOf(registry, { heartbeat: 0 }), RangeError);
  assertThrows(
    () => pageOf(registry, { pipelines: { greet: undefined } }),
    TypeError,
    "the example of pipeline greet must be JSON, received undefined",
  );
});

Deno.test("createRunPage() asks authorize before it shows anything", async () => {
  await using registry = new PipelineRunRegistry();
  const actions: RunAction[] = [];
  const page = pageOf(registry, {
    authorize(request, action) {
      actions.push(action);
      if (request.headers.has("Cookie")) return false;
      throw new ProblemError(401, "Sign in", {
        headers: { "WWW-Authenticate": "Basic" },
      });
    },
  });
  for (const path of ["/", `/events?dataset=${DATASET_ID}`]) {
    const url = `http://localhost${path}`;
    const asked = await page(new Request(url));
    assertEquals(asked.status, 401);
    assertEquals(asked.headers.get("WWW-Authenticate"), "Basic");
    await asked.body?.cancel();
    const headers = { Cookie: "a=b" };
    const refused = await page(new Request(url, { headers }));
    assertEquals(refused.status, 403);
    await refused.body?.cancel();
  }
  assertEquals(actions, [
    { kind: "list" },
    { kind: "list" },
    { kind: "list", datasetId: DATASET_ID },
    { kind: "list", datasetId: DATASET_ID },
  ]);
});

Deno.test("createRunPage() reports an error of authorize, and tells nothing of it", async () => {
  await using registry = new PipelineRunRegistry();
  const errors: unknown[] = [];
  const failure = new Error("secret");
  const page = pageOf(registry, {
    authorize: () => Promise.reject(failure),
    onError: (error) => errors.push(error),
  });
  const response = await page(new Request("http://localhost/"));
  assertEquals(response.status, 500);
  assert(!(await response.text()).includes("secret"));
  assertEquals(errors, [failure]);
});

Deno.test("createRunPage() shows no run that authorize refuses to read, and no events of one that it refuses to follow", async () => {
  await using registry = new PipelineRunRegistry();
  const [hidden, quiet, shown] = await registerMany(registry, 3);
  const page = pageOf(registry, {
    authorize: (_, action) =>
      !("runId" in action) ||
      action.runId === shown.runId ||
      action.runId === quiet.runId && action.kind === "read",
  });
  await using viewer = await PageViewer.open(page);
  const runs = await viewer.find("snapshot");
  assertEquals(
    runs.map(({ run }: { run: string }) => run).sort(),
    [quiet.runId, shown.runId].sort(),
  );
  for (const run of [hidden, quiet, shown]) run.complete();
  const late = await registerHeld(registry, { pipelineName: "hidden as well" });
  const ended = new Set<string>();
  while (!ended.has(quiet.runId) || !ended.has(shown.runId)) {
    const { name, data } = (await viewer.next())!;
    if (name === "event") assertEquals(data.run, shown.runId);
    if (name === "run") {
      assert(data.run !== hidden.runId && data.run !== late.runId);
      if (data.status === "completed") ended.add(data.run);
    }
  }
  await registry.shutdown();
  assertEquals(
    (await viewer.rest()).filter(({ data }) => data?.run === late.runId),
    [],
  );
});

Deno.test("createRunPage() tells all of a run: how it stands, its events, and how it ended", async () => {
  await using registry = new PipelineRunRegistry({ payloads: "any" });
  const run = await registerHeld(registry, {
    pipelineName: "ingest",
    runId: RUN_ID,
    datasetId: DATASET_ID,
  });
  run.run.publish({ document: "a".repeat(1_000) });
  run.run.publish("text");
  run.run.publish(undefined);
  const page = pageOf(registry);
  await using viewer = await PageViewer.open(page);
  const [{ began, ...rest }] = await viewer.find("snapshot");
  assertEquals(Number.isNaN(Date.parse(began)), false);
  assertEquals(rest, {
    run: RUN_ID,
    pipeline: "ingest",
    dataset: DATASET_ID,
    status: "running",
  });
  run.reject(new Error("no such file"));
  const events = [];
  for (let seq = 1; seq <= 5; seq++) {
    const { run, at: _at, ...event } = await viewer.find("event");
    assertEquals(run, RUN_ID);
    events.push(event);
  }
  assertEquals(events, [
    { seq: 1, kind: "Started" },
    {
      seq: 2,
      kind: "Yield",
      text: `{"document":"${"a".repeat(300 - 13)}…`,
    },
    { seq: 3, kind: "Yield", text: "text" },
    { seq: 4, kind: "Yield", text: "undefined" },
    { seq: 5, kind: "Errored", code: "work", text: "no such file" },
  ]);
  const ended = await viewer.find("run", ({ status }) => status === "work");
  assertEquals(ended.error, "no such file");
  assertEquals(ended.began, began);
  assert(Date.parse(ended.ended) >= Date.parse(began));
});

Deno.test("createRunPage() shows the runs that the filters ask for", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline(
    { pipelineName: "Parse pages", datasetId: DATASET_ID },
    noop,
  );
  await registry.registerInline({ pipelineName: "parse" }, () => {
    throw new Error("no");
  });
  const aborted = await registerHeld(registry, { pipelineName: "fetch" });
  await aborted.abort();
  await registerHeld(registry, { pipelineName: "ingest" });
  const page = pageOf(registry);
  const shown = async (query: string) => {
    await using viewer = await PageViewer.open(page, query);
    const runs = await viewer.find("snapshot");
    return runs.map(({ pipeline }: { pipeline: string }) => pipeline).join();
  };
  assertEquals(await shown(""), "ingest,fetch,parse,Parse pages");
  assertEquals(await shown("?pipeline=%20PARSE"), "parse,Parse pages");
  assertEquals(await shown(`?dataset={${DATASET_ID}}`), "Parse pages");
  assertEquals(await shown("?status=live"), "ingest");
  assertEquals(await shown("?status=running"), "ingest");
  assertEquals(await shown("?status=errored"), "fetch,parse");
  assertEquals(await shown("?status=aborted"), "fetch");
  assertEquals(await shown("?status=work&pipeline=f"), "");
});

Deno.test("createRunPage() tells of a run that comes to be what the filters ask for", async () => {
  await using registry = new PipelineRunRegistry();
  const page = pageOf(registry);
  await using viewer = await PageViewer.open(page, "?status=aborted");
  assertEquals(await viewer.find("snapshot"), []);
  const [completed, aborted] = await registerMany(registry, 2);
  completed.complete();
  await aborted.abort();
  const { run } = await viewer.find("run");
  assertEquals(run, aborted.runId);
});

Deno.test("createRunPage() tells of new runs of the dataset that is asked for only", async () => {
  await using registry = new PipelineRunRegistry();
  const page = pageOf(registry);
  await using viewer = await PageViewer.open(page, `?dataset=${DATASET_ID}`);
  assertEquals(await viewer.find("snapshot"), []);
  await registerHeld(registry, { pipelineName: "ingest" });
  await registerHeld(registry, {
    pipelineName: "ingest",
    datasetId: crypto.randomUUID(),
  });
  const asked = await registerHeld(registry, {
    pipelineName: "ingest",
    datasetId: DATASET_ID,
  });
  const runs = new Set();
  while (runs.size < 2) {
    // The second one is told of in a listing after that of the first one.
    const { run, status } = await viewer.find("run");
    runs.add(`${run} ${status}`);
    asked.complete();
  }
  assertEquals(
    [...runs],
    [`${asked.runId} running`, `${asked.runId} completed`],
  );
});

Deno.test("createRunPage() tells when a run began whose first row is not among the newest", async () => {
  await using registry = new PipelineRunRegistry();
  const long = await registerHeld(registry, { pipelineName: "long" });
  const [first] = await registry.repository.listByRun(long.runId, 1);
  for (let n = 0; n < 600; n++) {
    await registry.registerInline({ pipelineName: "short" }, noop);
  }
  long.complete();
  await long.outcome;
  const page = pageOf(registry);
  await using viewer = await PageViewer.open(page, "?pipeline=long");
  const [run] = await viewer.find("snapshot");
  assertEquals(run.began, first.createdAt.toISOString());
});

Deno.test("createRunPage() follows 100 runs, tells how many wait, and follows those when others end", async () => {
  await using registry = new PipelineRunRegistry();
  const runs = await registerMany(registry, 103);
  const page = pageOf(registry);
  await using viewer = await PageViewer.open(page);
  const shown = (await viewer.find("snapshot"))
    .map(({ run }: { run: string }) => run);
  assertEquals(shown.length, 100);
  assertEquals(await viewer.find("waiting"), 3);
  const waiting = runs.filter(({ runId }) => !shown.includes(runId));
  for (const { run } of waiting) run.publish("heard");
  runs.find(({ runId }) => runId === shown[0])!.complete();
  assertEquals(await viewer.find("waiting"), 2);
  const { run } = await viewer.find("event", ({ text }) => text === "heard");
  assert(waiting.some(({ runId }) => runId === run));
});

Deno.test("createRunPage() shows a run that begins, within a second", async () => {
  await using registry = new PipelineRunRegistry();
  const page = pageOf(registry);
  await using viewer = await PageViewer.open(page);
  await viewer.find("snapshot");
  const run = await registerHeld(registry, { pipelineName: "ingest" });
  assertEquals((await viewer.find("run")).run, run.runId);
  run.run.publish("first");
  assertEquals((await viewer.find("event")).kind, "Started");
  assertEquals((await viewer.find("event")).text, "first");
});

Deno.test("createRunPage() follows a run that could not be read, a second later", async () => {
  const repository = new ListedRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const run = await registerHeld(registry);
  const errors: unknown[] = [];
  const onError = (error: unknown) => errors.push(error);
  const page = pageOf(registry, { onError });
  repository.failures = 1;
  await using viewer = await PageViewer.open(page);
  await viewer.find("snapshot");
  run.run.publish("heard");
  await viewer.find("event", ({ text }) => text === "heard");
  assertEquals(errors.length, 1);
});

Deno.test("createRunPage() follows a run that could not be read, although 300 rows are newer", async () => {
  const repository = new ListedRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const run = await registerHeld(registry);
  for (let n = 0; n < 150; n++) {
    await registry.registerInline({ pipelineName: "short" }, noop);
  }
  const page = pageOf(registry, { onError: noop });
  repository.failures = 1;
  await using viewer = await PageViewer.open(page);
  await viewer.find("snapshot");
  run.run.publish("heard");
  await viewer.find("event", ({ text }) => text === "heard");
});

Deno.test("createRunPage() follows no run twice that has waited and has a new row", async () => {
  await using registry = new PipelineRunRegistry();
  const runs = await registerMany(registry, 101);
  const page = pageOf(registry, { heartbeat: 1_500 });
  await using viewer = await PageViewer.open(page);
  const shown = (await viewer.find("snapshot"))
    .map(({ run }: { run: string }) => run);
  assertEquals(await viewer.find("waiting"), 1);
  const waiting = runs.find(({ runId }) => !shown.includes(runId))!;
  for (const { runId, complete } of runs) if (runId === shown[0]) complete();
  await viewer.find("event", ({ kind }) => kind === "Completed");
  const [row] = await registry.repository.listByRun(waiting.runId, 1);
  await registry.repository.logPipelineRun({ ...row, id: undefined });
  assertEquals(await viewer.find("waiting"), 0);
  waiting.complete();
  let completed = 0;
  for (let beats = 0; beats < 1;) {
    const { name, data } = (await viewer.next())!;
    if (name === "beat") beats++;
    if (data?.run === waiting.runId && data.kind === "Completed") completed++;
  }
  assertEquals(completed, 1);
});

Deno.test("createRunPage() tells the end of a live run that may not be followed, although it is live runs that are asked for", async () => {
  await using registry = new PipelineRunRegistry();
  const run = await registerHeld(registry);
  const page = pageOf(registry, {
    heartbeat: 1_500,
    authorize: (_request, { kind }) => kind !== "follow",
  });
  await using viewer = await PageViewer.open(page, "?status=live");
  await viewer.find("snapshot");
  for (let n = 0; n < 150; n++) {
    await registry.registerInline({ pipelineName: "short" }, noop);
  }
  await viewer.find("beat");
  run.complete();
  assertEquals((await viewer.find("run")).status, "completed");
});

Deno.test("createRunPage() tells once of an abort that no row tells", async () => {
  await using registry = new PipelineRunRegistry({
    abortWritesErroredRow: false,
  });
  const run = await registerHeld(registry);
  const page = pageOf(registry, { heartbeat: 1_500 });
  await using viewer = await PageViewer.open(page);
  await viewer.find("event");
  await run.abort();
  await viewer.find("event", ({ kind }) => kind === "Errored");
  assertEquals((await viewer.next())?.name, "beat");
});

Deno.test("createRunPage() tells again how a run has ended, if it was read as live before", async () => {
  const repository = new ListedRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const row = {
    pipelineName: "foreign",
    pipelineRunId: RUN_ID,
    pipelineId: crypto.randomUUID(),
  };
  const status = "DATASET_PROCESSING_STARTED";
  await repository.logPipelineRun({ ...row, status });
  const { promise, resolve } = Promise.withResolvers<void>();
  repository.isAnswered = promise;
  const page = pageOf(registry);
  await using viewer = await PageViewer.open(page);
  await viewer.find("snapshot");
  await repository.logPipelineRun({
    ...row,
    status: "DATASET_PROCESSING_COMPLETED",
  });
  const statuses = [(await viewer.find("run")).status];
  resolve();
  statuses.push((await viewer.find("run")).status);
  statuses.push((await viewer.find("run")).status);
  assertEquals(statuses, ["completed", "running", "completed"]);
});

Deno.test("createRunPage() begins a run that has many events with its last ones", async () => {
  await using registry = new PipelineRunRegistry();
  const run = await registerHeld(registry);
  for (let n = 1; n <= 50; n++) run.run.publish(n);
  const page = pageOf(registry);
  await using viewer = await PageViewer.open(page);
  assertEquals((await viewer.find("event")).seq, 32);
});

Deno.test("createRunPage() leaves out events of a run that has too many, but not its end", async () => {
  await using registry = new PipelineRunRegistry();
  const run = await registerHeld(registry);
  const page = pageOf(registry);
  await using viewer = await PageViewer.open(page);
  await viewer.find("event");
  let isOver = false;
  const publishing = (async () => {
    while (!isOver) {
      run.run.publish("again");
      await new Promise((go) => setTimeout(go));
    }
    run.complete();
  })();
  const seqs: number[] = [1];
  while (seqs.length < 500 && seqs.at(-1)! - seqs.length < 20) {
    seqs.push((await viewer.find("event")).seq);
  }
  isOver = true;
  await publishing;
  const end = await viewer.find("event", ({ kind }) => kind !== "Yield");
  assertEquals(end.kind, "Completed");
  // The first second brings 50 events; the next one begins with the last 20.
  const gap = seqs.findIndex((seq, index) => seq !== index + 1);
  assert(gap >= 50 && gap < 100, `there is a gap after ${gap} events`);
});

Deno.test("createRunPage() keeps little for a viewer that does not read, and tells it of what it has missed", async () => {
  await using registry = new PipelineRunRegistry();
  const runs = await registerMany(registry, 20);
  const page = pageOf(registry);
  await using viewer = await PageViewer.open(page);
  await viewer.find("snapshot");
  for (let n = 0; n < 2_000; n++) {
    for (const { run } of runs) run.publish("x".repeat(1_000));
    if (n % 10 === 0) await new Promise((go) => setTimeout(go));
  }
  for (const run of runs) run.complete();
  const before = viewer.bytes;
  await viewer.find("event", ({ kind }) => kind === "Lagged");
  const waited = viewer.bytes - before;
  assert(waited < 80_000, `${waited} bytes waited for the viewer`);
  const ended = new Set();
  while (ended.size < runs.length) {
    const { kind, run } = await viewer.find("event");
    if (kind === "Completed") ended.add(run);
  }
});

Deno.test("createRunPage() gives a viewer that has missed a listing all runs anew", async () => {
  using time = new FakeTime();
  await using registry = new PipelineRunRegistry();
  const [run] = await registerMany(registry, 1);
  const page = pageOf(registry);
  await using viewer = await PageViewer.open(page);
  await viewer.find("snapshot");
  const others = await registerMany(registry, 80);
  for (let n = 0; n < 20; n++) {
    for (const { run } of others) run.publish("x".repeat(1_000));
    await time.tickAsync(100);
  }
  run.complete();
  const late = await registry.registerInline({ pipelineName: "late" }, noop);
  const found = viewer.find("snapshot");
  await time.tickAsync(1_000);
  const runs = await found;
  const statuses = new Map(
    runs.map(({ run, status }: Record<string, string>) => [run, status]),
  );
  assertEquals(statuses.get(late.runId), "completed");
  assertEquals(statuses.get(run.runId), "completed");
});

Deno.test("createRunPage() lists the rows once a second, for all viewers together, while there are any", async () => {
  using time = new FakeTime();
  const repository = new ListedRepository();
  const registry = new PipelineRunRegistry({ repository });
  const page = pageOf(registry);
  const viewers = await Promise.all([1, 2, 3].map(() => PageViewer.open(page)));
  for (const viewer of viewers) await viewer.find("snapshot");
  assertEquals(repository.listings, 3);
  for (let listed = 4; listed <= 7; listed++) {
    await time.tickAsync(999);
    assertEquals(repository.listings, listed - 1);
    await time.tickAsync(1);
    assertEquals(repository.listings, listed);
  }
  await viewers[0][Symbol.asyncDispose]();
  await time.tickAsync(1_000);
  assertEquals(repository.listings, 8);
  for (const viewer of viewers) await viewer[Symbol.asyncDispose]();
  for (let second = 0; second < 4; second++) await time.tickAsync(1_000);
  assertEquals(repository.listings, 8);
  await registry.shutdown();
});

Deno.test("createRunPage() tells that the rows cannot be read, and when they can again", async () => {
  using time = new FakeTime();
  const repository = new ListedRepository();
  const registry = new PipelineRunRegistry({ repository });
  const errors: unknown[] = [];
  const onError = (error: unknown) => errors.push(error);
  const page = pageOf(registry, { onError });
  repository.isDown = true;
  const viewer = await PageViewer.open(page);
  await viewer.find("trouble");
  await time.tickAsync(1_000);
  await time.tickAsync(1_000);
  assertEquals(errors.length, 1);
  repository.isDown = false;
  await time.tickAsync(1_000);
  assertEquals((await viewer.next())?.name, "snapshot");
  assertEquals((await viewer.next())?.name, "fine");
  repository.isDown = true;
  await time.tickAsync(1_000);
  await viewer.find("trouble");
  assertEquals(errors.length, 2);
  await viewer[Symbol.asyncDispose]();
  await registry.shutdown();
});

Deno.test("createRunPage() sends a heartbeat to a viewer that reads, and nothing while nothing changes", async () => {
  using time = new FakeTime();
  const registry = new PipelineRunRegistry();
  await registry.registerInline({ pipelineName: "ingest" }, noop);
  const page = pageOf(registry, { heartbeat: 300 });
  const viewer = await PageViewer.open(page);
  await viewer.find("snapshot");
  const beat = viewer.next();
  await time.tickAsync(299);
  await assertPending(beat);
  await time.tickAsync(1);
  assertEquals(await beat, { name: "beat", data: null });
  for (let listing = 0; listing < 3; listing++) await time.tickAsync(1_000);
  for (let beats = 1; beats < 11; beats++) {
    assertEquals((await viewer.next())?.name, "beat");
  }
  await registry.shutdown();
  assertEquals(await viewer.next(), undefined);
});

Deno.test("createRunPage() closes its streams at the shutdown, once they have told the endings", async () => {
  const registry = new PipelineRunRegistry();
  const runs = await registerMany(registry, 3);
  const page = pageOf(registry);
  const viewer = await PageViewer.open(page);
  await viewer.find("snapshot");
  for (const _ of runs) await viewer.find("event");
  const rest = viewer.rest();
  await registry.shutdown();
  assertEquals(
    (await rest).filter(({ name }) => name === "event")
      .map(({ data: { kind, code } }) => `${kind} ${code}`),
    runs.map(() => "Errored shutdown"),
  );
  const late = await page(new Request("http://localhost/events"));
  assertEquals(late.status, 503);
  assertEquals(late.headers.get("Retry-After"), "1");
  await late.body?.cancel();
});

Deno.test("createRunPage() refuses viewers after the shutdown, although another one has not been told all", async () => {
  const registry = new PipelineRunRegistry();
  const runs = await registerMany(registry, 80);
  const page = pageOf(registry);
  await using viewer = await PageViewer.open(page);
  await viewer.find("snapshot");
  for (let n = 0; n < 60; n++) {
    for (const { run } of runs) run.publish("x".repeat(1_000));
    await new Promise((go) => setTimeout(go));
  }
  await registry.shutdown();
  const late = await page(new Request("http://localhost/events"));
  assertEquals(late.status, 503);
  await late.body?.cancel();
  const rest = await viewer.rest();
  assertEquals(
    new Set(
      rest.filter(({ data }) => data?.kind === "Errored")
        .map(({ data }) => data.run),
    ).size,
    runs.length,
  );
});
