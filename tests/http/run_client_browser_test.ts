import { assertEquals, assertMatch } from "@std/assert";
import type { Browser, Page } from "playwright-core";
import { z } from "zod";
import { definePipeline, type RunContext, type RunEvent } from "../../mod.ts";
import type { ClientRun } from "../../src/http/client/mod.ts";
import { testInBrowser } from "../browser.ts";
import { forever } from "../known_run.ts";
import { bundle } from "./bundle.ts";
import { type Handler, serve, type Served } from "./serve.ts";

const CLIENT = bundle('export * from "./src/http/client/mod.ts"');

const pipelines = [
  definePipeline({
    name: "ingest",
    input: z.object({ documents: z.array(z.string()) }),
    async *run({ documents }) {
      for (const document of documents) yield { document };
      return { total: documents.length };
    },
  }),
  definePipeline({
    name: "wait",
    async run(_, { publish }: RunContext<string>) {
      publish("waiting");
      await forever();
    },
  }),
];

/** Serves the pipelines under `/api`, a page, and the client that it imports. */
function servePage(wrap: (handler: Handler) => Handler = (api) => api): Served {
  return serve({ pipelines, prefix: "/api" }, (handler) => {
    const api = wrap(handler);
    return (request) => {
      switch (new URL(request.url).pathname) {
        case "/":
          return new Response("<!doctype html><title>Runs</title>", {
            headers: { "Content-Type": "text/html" },
          });
        case "/client.js":
          return new Response(CLIENT.code, {
            headers: { "Content-Type": "text/javascript" },
          });
        default:
          return api(request);
      }
    };
  });
}

/** Opens the page; an error on it fails the test. */
async function open(browser: Browser, { origin }: Served): Promise<Page> {
  const page = await browser.newPage();
  page.on("pageerror", (error) => {
    throw error;
  });
  await page.goto(`${origin}/`);
  return page;
}

/**
 * Runs statements in the page, which have a client and a function that reads a stream
 * to its end. They are a string, since this file is checked without the types of a
 * browser.
 */
async function inPage<T>(page: Page, statements: string): Promise<T> {
  return await page.evaluate(`(async () => {
    const { createRunClient, ProblemError } = await import("/client.js");
    const client = createRunClient("/api");
    const readAll = async (stream) => {
      const reader = stream.getReader();
      const chunks = [];
      while (true) {
        const { done, value } = await reader.read();
        if (done) return chunks;
        chunks.push(value);
      }
    };
    ${statements}
  })()`);
}

/** The numbers, kinds and payloads of events. */
function summary(events: RunEvent[]): unknown[] {
  return events.map((event) =>
    event.kind === "Yield"
      ? [event.seq, event.kind, event.payload]
      : [event.seq, event.kind]
  );
}

const INGESTED = [
  [1, "Started"],
  [2, "Yield", { document: "a.txt" }],
  [3, "Yield", { document: "b.txt" }],
  [4, "Completed"],
];

testInBrowser(
  "createRunClient() starts, follows, reads and lists runs in a browser",
  async (browser) => {
    await using served = servePage();
    const page = await open(browser, served);
    const { run, events, found, unknown, rows } = await inPage<{
      run: { runId: string; pipelineName: string };
      events: RunEvent[];
      found: ClientRun;
      unknown: unknown;
      rows: ClientRun["rows"];
    }>(
      page,
      `
      const run = await client.start("ingest", { documents: ["a.txt", "b.txt"] });
      const events = await readAll(client.follow(run));
      const found = await client.get(run);
      const unknown = await client.get(crypto.randomUUID());
      return { run, events, found, unknown, rows: await client.list() };`,
    );
    assertEquals(run.pipelineName, "ingest");
    assertEquals(summary(events), INGESTED);
    assertEquals(events.every(({ at }) => at instanceof Date), true);
    assertEquals(found.runId, run.runId);
    assertEquals(found.phase, { name: "Completed" });
    assertEquals(found.result, { total: 2 });
    assertEquals(found.lastSeq, 4);
    assertEquals(unknown, undefined);
    assertEquals(rows, found.rows.slice(0, 1));
  },
);

testInBrowser(
  "createRunClient() aborts a run in a browser",
  async (browser) => {
    await using served = servePage();
    const page = await open(browser, served);
    const { answers, events, found } = await inPage<{
      answers: string[];
      events: RunEvent[];
      found: ClientRun;
    }>(
      page,
      `
      const done = await client.start("ingest", { documents: [] });
      await readAll(client.follow(done));
      const run = await client.start("wait", {});
      const following = readAll(client.follow(run));
      const answers = [
        await client.abort(done),
        await client.abort(run, "enough"),
      ];
      const events = await following;
      return { answers, events, found: await client.get(run) };`,
    );
    assertEquals(answers, ["ended", "requested"]);
    assertEquals(summary(events), [
      [1, "Started"],
      [2, "Yield", "waiting"],
      [3, "Errored"],
    ]);
    assertEquals(found.phase, {
      name: "Errored",
      code: "aborted",
      message: "aborted: enough",
    });
  },
);

testInBrowser(
  "createRunClient() rejects with the issues of a bad input in a browser",
  async (browser) => {
    await using served = servePage();
    const page = await open(browser, served);
    const problem = await inPage<{
      isProblem: boolean;
      status: number;
      code: string;
      message: string;
      errors: { detail: string; pointer: string }[];
    }>(
      page,
      `
      try {
        await client.start("ingest", { documents: ["a.txt", 1] });
      } catch (error) {
        const isProblem = error instanceof ProblemError;
        const { status, code, message, errors } = error;
        return { isProblem, status, code, message, errors };
      }`,
    );
    const { errors: [{ detail, pointer }, ...others], ...rest } = problem;
    assertEquals(rest, {
      isProblem: true,
      status: 422,
      code: "invalid_input",
      message: "The input of pipeline ingest is invalid",
    });
    assertEquals(pointer, "#/documents/1");
    assertMatch(detail, /string/);
    assertEquals(others, []);
  },
);

testInBrowser(
  "createRunClient() follows a run through a dropped connection in a browser",
  async (browser) => {
    const after: (string | null)[] = [];
    await using served = servePage((api) => async (request) => {
      const response = await api(request);
      const url = new URL(request.url);
      if (!url.pathname.endsWith("/events")) return response;
      after.push(url.searchParams.get("after"));
      return after.length === 1 ? droppedAfterEvent(response) : response;
    });
    const page = await open(browser, served);
    const events = await inPage<RunEvent[]>(
      page,
      `
      const run = await client.start("ingest", { documents: ["a.txt", "b.txt"] });
      return await readAll(client.follow(run, { minBackoff: 1 }));`,
    );
    assertEquals(after, [null, "1"]);
    assertEquals(summary(events), INGESTED);
  },
);

/** A response with events that ends after the first of them. */
function droppedAfterEvent(response: Response): Response {
  const decoder = new TextDecoder();
  const dropped = response.body!.pipeThrough(
    new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform(chunk, controller) {
        controller.enqueue(chunk);
        // A chunk has one event, a heartbeat or the last event id.
        if (/^event:/m.test(decoder.decode(chunk))) controller.terminate();
      },
    }),
  );
  return new Response(dropped, response);
}
