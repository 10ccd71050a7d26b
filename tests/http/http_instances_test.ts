import { assert, assertEquals } from "@std/assert";
import { PipelineRunRegistry, type RunEvent } from "../../mod.ts";
import { followRun } from "../../src/http/mod.ts";
import {
  connect,
  PostgresPipelineRunRepository,
} from "../../src/postgres/mod.ts";
import { assertPending } from "../assert_pending.ts";
import type { InstanceOptions } from "../postgres/instance.ts";
import { InstanceProcess } from "../postgres/instance_process.ts";
import { startPostgresServer } from "../../bench/postgres_server.ts";
import { gatedRepository } from "../postgres/gated_repository.ts";
import { openDatabase } from "../postgres/open_database.ts";
import { client } from "./client.ts";
import { statementName } from "../postgres/statement_name.ts";

const YIELDS = 60;

interface Shared extends AsyncDisposable {
  readonly options: InstanceOptions;
}

/** A server of its own, on which instances find one another. */
async function openShared(): Promise<Shared> {
  const server = await startPostgresServer();
  return {
    options: { url: server.url, leaseDuration: 1_500, renewInterval: 300 },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** Starts an instance that serves the runs. */
async function serve(
  { options }: Shared,
  port = 0,
): Promise<{ instance: InstanceProcess; port: number }> {
  const instance = await InstanceProcess.start({ ...options, port });
  const ready = await instance.told("ready");
  return { instance, port: ready.port! };
}

function urlOf(port: number, runId: string): string {
  return `http://127.0.0.1:${port}/runs/${runId}/events`;
}

/** The numbers in server-sent events, each once it is whole. */
function idsOf(text: string): number[] {
  return Array.from(
    text.matchAll(/^id: (\d+)\nevent: .*\ndata: .*\n\n/gm),
    ([, id]) => Number(id),
  );
}

function upTo(last: number): number[] {
  return Array.from({ length: last }, (_, i) => i + 1);
}

const withCurl = await new Deno.Command("curl", {
  args: ["--version"],
  stdout: "null",
  stderr: "null",
}).output().then(({ success }) => success, () => false);

/** Reads events with curl until the connection ends, or there are enough. */
async function curl(
  url: string,
  headers: Record<string, string>,
  enough = Infinity,
): Promise<{ text: string; status: number }> {
  const child = new Deno.Command("curl", {
    args: [
      "--no-buffer",
      "--silent",
      ...Object.entries(headers).flatMap(([name, value]) => [
        "--header",
        `${name}: ${value}`,
      ]),
      "--write-out",
      "%{stderr}%{http_code}",
      url,
    ],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let text = "";
  for await (
    const chunk of child.stdout.pipeThrough(new TextDecoderStream())
  ) {
    text += chunk;
    if (idsOf(text).length >= enough) break;
  }
  if (idsOf(text).length >= enough) child.kill("SIGKILL");
  await child.status;
  return { text, status: Number(await new Response(child.stderr).text()) };
}

Deno.test({
  name:
    "curl resumes at another instance when the server is killed in the middle",
  ignore: !withCurl,
  async fn() {
    await using shared = await openShared();
    const owner = await serve(shared);
    await using _owner = owner.instance;
    const killed = await serve(shared);
    await using _killed = killed.instance;
    const runId = crypto.randomUUID();
    await owner.instance.tell({ do: "run", runId, yields: YIELDS, pace: 20 });
    await owner.instance.told("began");

    const before = curl(urlOf(killed.port, runId), {});
    const seen = followRun(urlOf(owner.port, runId)).getReader();
    for (let i = 0; i < 15; i++) await seen.read();
    await seen.cancel();
    killed.instance.kill("SIGKILL");
    const first = (await before).text;
    assert(first.startsWith("id: 0\n\n"), first.slice(0, 100));
    const ids = idsOf(first);
    assert(ids.length > 5 && ids.length < YIELDS, `${ids.length} events came`);

    const rest = await curl(urlOf(owner.port, runId), {
      "Last-Event-ID": String(ids.at(-1)),
    });
    assertEquals([...ids, ...idsOf(rest.text)], upTo(YIELDS + 2));
    const over = await curl(urlOf(owner.port, runId), {
      "Last-Event-ID": String(YIELDS + 2),
    });
    assertEquals(over, { text: "", status: 204 });
  },
});

Deno.test("followRun() continues at another instance when the one it reads from, and then the run's own, are killed", async () => {
  await using shared = await openShared();
  const owner = await serve(shared);
  await using _owner = owner.instance;
  const first = await serve(shared);
  await using _first = first.instance;
  const second = await serve(shared);
  await using _second = second.instance;
  const runId = crypto.randomUUID();
  await owner.instance.tell({ do: "run", runId, yields: 10_000, pace: 10 });
  await owner.instance.told("began");

  // A load balancer: whoever lives.
  let ports = [first.port, second.port];
  const events: RunEvent[] = [];
  const stream = followRun(urlOf(0, runId), {
    minBackoff: 20,
    maxBackoff: 200,
    fetch: (url, init) => {
      url.port = String(ports[0]);
      return fetch(url, init);
    },
  });
  for await (const event of stream) {
    events.push(event);
    if (event.seq === 30) {
      first.instance.kill("SIGKILL");
      ports = [second.port];
    }
    if (event.seq === 60) {
      owner.instance.kill("SIGKILL");
      await sweepUntilReaped(second.instance);
    }
  }
  assertEquals(events.map(({ seq }) => seq), upTo(events.length));
  const last = events.at(-1)!;
  assertEquals(last.kind, "Errored");
  assertEquals(last.kind === "Errored" && last.message, "lease_expired");
});

Deno.test("createRunHandler() shows of its own runs, too, only what outlives its instance", async () => {
  await using database = await openDatabase();
  const gate = Promise.withResolvers<void>();
  await using repository = gatedRepository(database, gate.promise);
  await repository.migrate();
  await using registry = new PipelineRunRegistry({ repository });
  const request = client(registry, {
    pipelines: { ingest: () => ({ work: (run) => run.publish("hello") }) },
  });
  const started = await request("POST", "/pipelines/ingest");
  const { pipeline_run_id: id } = await started.json();
  const { body } = await request("GET", `/runs/${id}/events`);
  const reader = body!.pipeThrough(new TextDecoderStream()).getReader();
  assertEquals((await reader.read()).value, "id: 0\n\n");
  // The memory of this instance has the event, as others may not.
  for await (const { kind } of registry.subscribe(id)) {
    if (kind === "Yield") break;
  }
  const next = reader.read();
  await assertPending(next);
  gate.resolve();
  assertEquals((await next).value?.split("\n")[0], "id: 1");
  await reader.cancel();
});

Deno.test("createRunHandler() lets any instance read, follow and abort what one has answered for", async () => {
  await using database = await openDatabase();
  await using repository = await connect(database.url);
  await using here = new PipelineRunRegistry({ repository });
  await using otherRepository = await connect(database.url);
  await using there = new PipelineRunRegistry({ repository: otherRepository });
  const { promise: held, resolve } = Promise.withResolvers<void>();
  const starts = client(here, {
    pipelines: { ingest: () => ({ work: () => held }) },
  });
  const reads = client(there);
  for (let i = 0; i < 20; i++) {
    const started = await starts("POST", "/pipelines/ingest");
    const { pipeline_run_id: id } = await started.json();
    const [read, followed] = await Promise.all([
      reads("GET", `/runs/${id}`),
      reads("GET", `/runs/${id}/events`),
    ]);
    assertEquals([read.status, followed.status], [200, 200]);
    const aborted = await reads("DELETE", `/runs/${id}?reason=enough`);
    assertEquals(aborted.status, 202);
    const text = await followed.text();
    assert(/"message":"aborted: enough"/.test(text), text);
    const again = await reads("DELETE", `/runs/${id}`);
    assertEquals(again.status, 409);
    await read.body?.cancel();
    await aborted.body?.cancel();
    await again.body?.cancel();
  }
  resolve();
});

Deno.test("createRunHandler() serves 1,000 viewers of another instance's run with a query for all", async () => {
  await using database = await openDatabase();
  await using repository = await connect(database.url);
  await using here = new PipelineRunRegistry({ repository });
  const { sql } = database;
  let queries = 0;
  await using otherRepository = new PostgresPipelineRunRepository({
    unsafe(query: string, ...rest) {
      if (statementName(query) === "read events") queries++;
      return sql.unsafe(query, ...rest);
    },
    listen: (...rest) => sql.listen(...rest),
  });
  await using there = new PipelineRunRegistry({ repository: otherRepository });
  const request = client(there);
  const begin = Promise.withResolvers<void>();
  const { runId } = await here.registerBackground(
    { pipelineName: "count", runId: crypto.randomUUID() },
    async function* () {
      await begin.promise;
      for (let i = 0; i < 100; i++) {
        yield i;
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    },
  );
  let watching = 0;
  await Promise.all(Array.from({ length: 1_000 }, async () => {
    const { body } = await request("GET", `/runs/${runId}/events`);
    let text = "";
    for await (const chunk of body!.pipeThrough(new TextDecoderStream())) {
      if (text === "" && ++watching === 1_000) begin.resolve();
      text += chunk;
    }
    assertEquals(idsOf(text), upTo(102));
  }));
  assert(queries < 1_000, `${queries} queries were sent`);
});

/** Sweeps until the lease of a run has run out, and the run is ended. */
async function sweepUntilReaped(instance: InstanceProcess): Promise<void> {
  const { length: before } = await instance.toldTimes("swept", 0);
  for (let sweeps = before + 1;; sweeps++) {
    await instance.tell({ do: "sweep" });
    const swept = await instance.toldTimes("swept", sweeps);
    if (swept.at(-1)!.reaped > 0) return;
  }
}
