import { assertEquals, assertMatch } from "@std/assert";
import type { Browser, Page } from "playwright-core";
import { testInBrowser } from "../browser.ts";
import { Demo } from "./demo_process.ts";
import { InstanceProcess } from "../postgres/instance_process.ts";
import { startPostgresServer } from "../../bench/postgres_server.ts";
import { openDatabase } from "../postgres/open_database.ts";

/** A text whose indexing takes some seconds in slow mode. */
const TEXT = Array.from({ length: 60 }, (_, i) => `line number ${i}`)
  .join("\n");

/** A demo that serves its page. */
class ServedDemo implements AsyncDisposable {
  readonly #demo: Demo;
  readonly #folder = Deno.makeTempDirSync({ prefix: "demo_page_" });
  readonly url: Promise<string>;

  constructor(databaseUrl?: string) {
    this.#demo = new Demo(
      "--serve",
      "--port=0",
      databaseUrl === undefined
        ? `--data=${this.#folder}`
        : `--database-url=${databaseUrl}`,
      this.#folder,
    );
    Deno.writeTextFileSync(`${this.#folder}/sample.txt`, "alpha beta gamma");
    this.url = this.#demo.printed(/Open (http:\S+)/).then(([, url]) => url);
  }

  /** Opens the page; an error on it fails the test. */
  async open(browser: Browser): Promise<Page> {
    const page = await browser.newPage();
    page.on("pageerror", (error) => {
      throw error;
    });
    await page.goto(await this.url);
    return page;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#demo.kill("SIGINT");
    const { code, stderr } = await this.#demo.ended();
    assertEquals({ code, stderr }, { code: 130, stderr: "" });
    await Deno.remove(this.#folder, { recursive: true });
  }
}

/** Starts a run of the text from the page. */
async function start(page: Page, text = TEXT): Promise<void> {
  if (!await page.getByLabel("Input, as JSON").isVisible()) {
    await page.getByText("Start a run").click();
  }
  await page.locator("#start").getByLabel("Pipeline")
    .selectOption("index_text");
  const input = JSON.stringify({ text, pause: 50 });
  await page.getByLabel("Input, as JSON").fill(input);
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
}

/** Opens the details of the only run on the page. */
async function openDetails(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Details of run" }).click();
}

/** Reads the numbers and kinds of the events that the page shows. */
async function shownEvents(
  page: Page,
): Promise<{ seqs: number[]; kinds: string[] }> {
  const events = await page.locator(".events li").evaluateAll((items) =>
    items.map((item) => [
      item.getAttribute("data-seq")!,
      item.getAttribute("data-kind")!,
    ])
  );
  return {
    seqs: events.map(([seq]) => Number(seq)),
    kinds: events.map(([, kind]) => kind),
  };
}

async function hasEvents(page: Page, count: number): Promise<void> {
  await page.locator(".events li").nth(count - 1).waitFor();
}

testInBrowser(
  "the demo's page starts a run by keyboard, shows its progress, survives a reload, and shows the end",
  async (browser) => {
    await using demo = new ServedDemo();
    const page = await demo.open(browser);
    await start(page);
    await page.locator('[data-status="running"]').waitFor();
    await openDetails(page);
    await hasEvents(page, 10);
    assertMatch(
      await page.locator(".last").innerText(),
      /^{"file":"part \d+","files":60,/,
    );

    await page.reload();
    await page.locator('[data-status="running"]').waitFor();
    await openDetails(page);
    await page.locator('[data-status="completed"]').waitFor();
    await page.locator('.events [data-kind="Completed"]').waitFor();
    const { seqs, kinds } = await shownEvents(page);
    assertEquals(seqs, seqs.map((_, index) => index + 1));
    assertEquals(kinds, [
      "Started",
      ...kinds.slice(1, -1).map(() => "Yield"),
      "Completed",
    ]);
    assertMatch(
      await page.locator(".last").innerText(),
      /"files":60,"done":60,"skipped":0,"terms":120}$/,
    );
    await page.reload();
    await openDetails(page);
    await hasEvents(page, seqs.length);
    assertEquals((await shownEvents(page)).seqs, seqs);
  },
);

testInBrowser(
  "the demo's page aborts a run, and tells what is refused",
  async (browser) => {
    await using demo = new ServedDemo();
    const page = await demo.open(browser);
    await start(page, "");
    await page.getByText("There is no text to index").waitFor();
    await start(page);
    await openDetails(page);
    await hasEvents(page, 5);
    await page.getByRole("button", { name: "Abort run index_text" }).click();
    await page.locator('[data-status="aborted"]').waitFor();
    assertEquals(
      await page.locator(".last").innerText(),
      "aborted: aborted on the page",
    );
    assertEquals((await shownEvents(page)).kinds.at(-1), "Errored");
  },
);

testInBrowser(
  "the demo's page follows and aborts the run of another demo on its database",
  async (browser) => {
    await using database = await openDatabase();
    await using here = new ServedDemo(database.url);
    await using there = new ServedDemo(database.url);
    const starting = await here.open(browser);
    const watching = await there.open(browser);
    await start(starting);
    await openDetails(watching);
    await hasEvents(watching, 5);
    await watching.getByRole("button", { name: "Abort run index_text" })
      .click();
    for (const page of [starting, watching]) {
      await page.locator('[data-status="aborted"]').waitFor();
    }
    const { seqs } = await shownEvents(watching);
    assertEquals(seqs, seqs.map((_, index) => index + 1));

    await starting.locator("#start").getByLabel("Pipeline")
      .selectOption("index_files");
    await starting.getByRole("button", { name: "Start", exact: true }).click();
    await watching.locator('[data-status="completed"]').waitFor();
  },
);

Deno.test("demo serves nobody who knows it by another name, and ends although an upload hangs", async () => {
  await using demo = new ServedDemo();
  const { port } = new URL(await demo.url);
  const request = async (text: string) => {
    const connection = await Deno.connect({ port: Number(port) });
    await connection.write(new TextEncoder().encode(text));
    return connection;
  };
  using foreign = await request("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
  const buffer = new Uint8Array(1_000);
  const length = await foreign.read(buffer);
  assertMatch(
    new TextDecoder().decode(buffer.subarray(0, length!)),
    /^HTTP\/1.1 421 /,
  );
  using _upload = await request(
    "POST /pipelines/index_text HTTP/1.1\r\nHost: localhost\r\n" +
      "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
  );
});

testInBrowser(
  "an EventSource resumes at another instance when the server is killed in the middle",
  async (browser) => {
    await using server = await startPostgresServer();
    const options = { url: server.url };
    await using owner = await InstanceProcess.start({ ...options, port: 0 });
    await using killed = await InstanceProcess.start({ ...options, port: 0 });
    const port = (await killed.told("ready")).port!;
    const runId = crypto.randomUUID();
    await owner.tell({ do: "run", runId, yields: 150, pace: 20 });
    await owner.told("began");

    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${port}/runs`);
    // As strings, since this file is checked without the types of a browser.
    await page.evaluate(`
    globalThis.seen = [];
    const source = new EventSource("/runs/${runId}/events");
    for (const kind of ["Started", "Yield", "Completed", "Errored", "Lagged"]) {
      source.addEventListener(kind, (event) => {
        seen.push([Number(event.lastEventId), kind]);
        if (kind === "Completed") globalThis.isOver = true;
      });
    }
    // Not closed here: the server must end it.
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) globalThis.isClosed = true;
    };
  `);
    await page.waitForFunction("seen.length > 20");
    killed.kill("SIGKILL");
    await using successor = await InstanceProcess.start({ ...options, port });
    await page.waitForFunction("globalThis.isOver");
    await page.waitForFunction("globalThis.isClosed");
    const seen = await page.evaluate("seen") as [number, string][];
    assertEquals(seen.map(([seq]) => seq), seen.map((_, index) => index + 1));
    assertEquals(seen.length, 152);
    assertEquals(seen.at(-1)?.[1], "Completed");
    await successor.told("ready");
  },
);
