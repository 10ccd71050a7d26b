import { assert, assertEquals, assertMatch } from "@std/assert";
import axe from "axe-core";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import type { PipelineRunRegistry, RunContext } from "../../../mod.ts";
import { testInBrowser } from "../../browser.ts";
import { forever, registerHeld } from "../../known_run.ts";
import { type ServedPage, servePage } from "./serve_page.ts";

const DATASET = "0f14d0ab-9605-4a62-a9e4-5ed26688389b";

/** Opens the page; an error on it fails the test. */
async function open(
  browser: Browser,
  { url }: ServedPage,
  options: BrowserContextOptions = {},
): Promise<Page> {
  const page = await browser.newPage(options);
  page.on("pageerror", (error) => {
    throw error;
  });
  await page.goto(url);
  await page.getByText("Live", { exact: true }).first().waitFor();
  return page;
}

/** What has the focus: the name of its element and its label. */
async function focused(page: Page): Promise<string> {
  return await page.evaluate(`
    document.activeElement.tagName + " " +
      document.activeElement.getAttribute("aria-label")
  `);
}

function statusOf(page: Page, runId: string) {
  return page.locator(`[data-run="${runId}"] .word`);
}

async function hasStatus(
  page: Page,
  runId: string,
  word: string,
): Promise<void> {
  await statusOf(page, runId).getByText(word, { exact: true }).waitFor();
}

/** Registers one run for each ending, and a live one. */
async function registerAll(registry: PipelineRunRegistry): Promise<void> {
  await registry.registerInline(
    { pipelineName: "cognify", datasetId: DATASET },
    async function* () {
      yield { document: "a.txt" };
    },
  );
  await registry.registerInline({ pipelineName: "parse" }, () => {
    throw new TypeError("a-name-that-nobody-breaks-".repeat(8));
  });
  await registry.registerInline(
    { pipelineName: "fetch", timeout: 1 },
    () => forever(),
  );
  const run = await registerHeld(registry, { pipelineName: "reindex" });
  await run.abort("the user left");
  const live = await registerHeld(registry, { pipelineName: "ingest" });
  live.run.publish({ document: "a-long-name-".repeat(20) });
}

testInBrowser(
  "createRunPage() follows ten live runs at once, and shows each event as it happens",
  async (browser) => {
    await using served = servePage();
    const runs = await Promise.all(
      Array.from(
        { length: 10 },
        () => registerHeld(served.registry, { pipelineName: "ingest" }),
      ),
    );
    const page = await open(browser, served);
    const requests: string[] = [];
    page.on("request", (request) => requests.push(request.url()));
    for (const step of ["first", "second"]) {
      for (const [index, { run }] of runs.entries()) {
        run.publish(`${step} of ${index}`);
      }
      for (const index of runs.keys()) {
        await page.getByText(`${step} of ${index}`, { exact: true }).waitFor();
      }
    }
    const late = await registerHeld(served.registry, { pipelineName: "late" });
    await hasStatus(page, late.runId, "Running");
    late.run.publish("late as well");
    await page.getByText("late as well").waitFor();
    assertEquals(requests, []);
    for (const run of runs) run.complete();
    for (const { runId } of runs) await hasStatus(page, runId, "Completed");
  },
);

testInBrowser(
  "createRunPage() aborts a run by keyboard, keeps the focus, and announces the ending",
  async (browser) => {
    await using served = servePage();
    const run = await registerHeld(served.registry, {
      pipelineName: "ingest",
    });
    const short = run.runId.slice(0, 8);
    const page = await open(browser, served);
    await hasStatus(page, run.runId, "Running");
    const button = page.getByRole("button", {
      name: `Abort run ingest ${short}`,
    });
    while (await focused(page) !== `BUTTON Abort run ingest ${short}`) {
      await page.keyboard.press("Tab");
    }
    await page.keyboard.press("Enter");
    await hasStatus(page, run.runId, "Aborted");
    const endings = page.getByRole("log", { name: "Endings" });
    await endings.getByText(`Run ingest ${short} aborted.`).waitFor();
    assertEquals(await focused(page), `BUTTON Abort run ingest ${short}`);
    assertEquals(await button.getAttribute("aria-disabled"), "true");
    await page.keyboard.press("Tab");
    await button.waitFor({ state: "hidden" });
    assertEquals(
      await page.locator(`[data-run="${run.runId}"] .last`).innerText(),
      "aborted: aborted on the page",
    );
  },
);

testInBrowser(
  "createRunPage() announces each ending once, in one sentence",
  async (browser) => {
    await using served = servePage();
    const page = await open(browser, served);
    const [failed, completed] = await Promise.all([
      registerHeld(served.registry, { pipelineName: "parse" }),
      registerHeld(served.registry, { pipelineName: "ingest" }),
    ]);
    await hasStatus(page, failed.runId, "Running");
    await hasStatus(page, completed.runId, "Running");
    failed.reject(new Error("no such file"));
    completed.complete();
    await hasStatus(page, failed.runId, "Failed");
    await hasStatus(page, completed.runId, "Completed");
    // A run that begins afterwards comes with a later listing.
    const next = await registerHeld(served.registry, { pipelineName: "next" });
    await hasStatus(page, next.runId, "Running");
    const sentences = page.getByRole("log", { name: "Endings" }).locator("p");
    await sentences.nth(1).waitFor({ state: "attached" });
    assertEquals((await sentences.allTextContents()).sort(), [
      `Run ingest ${completed.runId.slice(0, 8)} completed.`,
      `Run parse ${failed.runId.slice(0, 8)} failed: no such file.`,
    ]);
  },
);

testInBrowser(
  "createRunPage() shows how each run ended, its facts, and its events on demand",
  async (browser) => {
    await using served = servePage();
    await registerAll(served.registry);
    const page = await open(browser, served);
    const shown = await page.locator("tbody").evaluateAll((bodies) =>
      bodies.map((body) =>
        ["pipeline", "word"].map((name) =>
          body.querySelector(`.${name}`)!.textContent
        ).join(" ")
      )
    );
    assertEquals(shown.sort(), [
      "cognify Completed",
      "fetch Timed out",
      "ingest Running",
      "parse Failed",
      "reindex Aborted",
    ]);
    await page.getByRole("button", { name: "Details of run parse" }).click();
    const details = page.locator(".details:visible");
    await details.getByText("TypeError: a-name-that-nobody").waitFor();
    await details.getByRole("listitem").nth(1).waitFor();
    assertMatch(
      (await details.getByRole("listitem").allInnerTexts()).join("\n"),
      /^1 .* Started\s*\n2 .* Errored a-name/,
    );
  },
);

testInBrowser(
  "createRunPage() shows the events that came before the page, and those that follow, in order",
  async (browser) => {
    await using served = servePage();
    const run = await registerHeld(served.registry);
    for (let n = 1; n <= 40; n++) run.run.publish(n);
    const page = await open(browser, served);
    await hasStatus(page, run.runId, "Running");
    await page.getByRole("button", { name: "Details of run" }).click();
    const items = page.locator(".events li");
    await items.nth(40).waitFor();
    run.run.publish(41);
    run.complete();
    await items.nth(42).waitFor();
    const seqs = await items.evaluateAll((all) =>
      all.map((item) => Number(item.getAttribute("data-seq")))
    );
    assertEquals(seqs, Array.from({ length: 43 }, (_, index) => index + 1));
  },
);

testInBrowser(
  "createRunPage() tells that the server is gone, and recovers when it is back",
  async (browser) => {
    const former = servePage();
    const { port } = former;
    const run = await registerHeld(former.registry);
    const page = await open(browser, former);
    await hasStatus(page, run.runId, "Running");
    await page.getByRole("button", { name: "Details of run" }).focus();
    await former.registry.shutdown();
    await hasStatus(page, run.runId, "Shut down");
    await former[Symbol.asyncDispose]();
    await page.getByRole("status").getByText("The server is gone").waitFor();

    await using served = servePage({ port });
    const next = await registerHeld(served.registry, { pipelineName: "next" });
    await page.getByText("Live", { exact: true }).first().waitFor();
    await hasStatus(page, next.runId, "Running");
    next.run.publish("it goes on");
    await page.getByText("it goes on").waitFor();
    // The new server does not know the run, but it has the focus.
    assertMatch(await focused(page), /^BUTTON Details of run/);
  },
);

testInBrowser(
  "createRunPage() filters, and keeps the filters in the URL",
  async (browser) => {
    await using served = servePage();
    await registerAll(served.registry);
    const page = await open(browser, served);
    const names = page.locator(".pipeline");
    await page.getByLabel("Status").first().selectOption("Ended with an error");
    await page.getByText("0 live · 3 ended").waitFor();
    assertEquals(
      (await names.allInnerTexts()).sort(),
      ["fetch", "parse", "reindex"],
    );
    await page.getByLabel("Pipeline").fill("par");
    await page.keyboard.press("Enter");
    await page.getByText("0 live · 1 ended").waitFor();
    assertEquals(new URL(page.url()).search, "?pipeline=par&status=errored");
    await page.reload();
    await page.locator(".run").waitFor();
    assertEquals(await names.allInnerTexts(), ["parse"]);
    assertEquals(await page.getByLabel("Pipeline").inputValue(), "par");
    await page.getByRole("button", { name: "Clear filters" }).click();
    await page.getByText("1 live · 4 ended").waitFor();
    assertEquals(new URL(page.url()).search, "");
    await page.getByLabel("Dataset").fill("no id");
    await page.keyboard.press("Enter");
    await page.getByRole("status").getByText("A dataset is given by its UUID")
      .waitFor();
    await page.getByLabel("Dataset").fill(DATASET);
    await page.keyboard.press("Enter");
    await page.getByText("0 live · 1 ended").waitFor();
    assertEquals(await names.allInnerTexts(), ["cognify"]);
  },
);

testInBrowser(
  "createRunPage() starts a run, and tells what is refused",
  async (browser) => {
    await using served = servePage({
      pipelines: { greet: { name: "Ada" }, unknown: null },
      requested: {
        greet: (input) => ({
          work: (run: RunContext) => {
            run.publish(`Hello, ${Object(input).name}`);
            return forever();
          },
        }),
      },
    });
    const page = await open(browser, served);
    await page.getByText("Start a run").click();
    await page.getByRole("button", { name: "Start", exact: true }).click();
    await page.getByText("Hello, Ada").waitFor();
    await page.getByLabel("Input, as JSON").fill("{");
    await page.getByRole("button", { name: "Start", exact: true }).click();
    await page.getByRole("status").getByText("The run was not started")
      .waitFor();
    await page.getByLabel("Pipeline").first().selectOption("unknown");
    await page.getByRole("button", { name: "Start", exact: true }).click();
    await page.getByRole("status").getByText("There is no pipeline")
      .waitFor();
  },
);

for (const colorScheme of ["light", "dark"] as const) {
  for (const width of [1280, 375]) {
    testInBrowser(
      `createRunPage() is accessible in the ${colorScheme} scheme at ${width} px, without horizontal scroll`,
      async (browser) => {
        await using served = servePage({ pipelines: { ingest: {} } });
        await registerAll(served.registry);
        const page = await open(browser, served, {
          colorScheme,
          reducedMotion: "reduce",
          viewport: { width, height: 900 },
        });
        await page.getByText("Start a run").click();
        for (
          const toggle of await page.getByRole("button", { name: "Details of" })
            .all()
        ) await toggle.click();
        await page.locator(".details:visible li").nth(10).waitFor();
        assertEquals(
          await page.evaluate("document.documentElement.scrollWidth"),
          width,
        );
        const small = await page.locator(
          "button:visible, input:visible, select:visible, summary",
        )
          .evaluateAll((all) =>
            all.filter((element) => {
              const { width, height } = (element as unknown as {
                getBoundingClientRect(): { width: number; height: number };
              }).getBoundingClientRect();
              return width < 44 || height < 44;
            }).map(({ outerHTML }) => outerHTML)
          );
        assertEquals(small, []);
        await page.evaluate(axe.source);
        const { violations, passes } = await page.evaluate(
          "axe.run()",
        ) as axe.AxeResults;
        assert(passes.length > 20, `axe made ${passes.length} checks`);
        assertEquals(
          violations.map((
            { id, nodes },
          ) => [id, nodes.map(({ html }) => html)]),
          [],
        );
      },
    );
  }
}

testInBrowser(
  "createRunPage() shows what a run publishes as text",
  async (browser) => {
    await using served = servePage();
    const html = "<img src=x onerror=alert(1)>";
    const run = await registerHeld(served.registry, { pipelineName: html });
    run.run.publish(html);
    const page = await open(browser, served);
    await page.locator(".last").getByText(html).waitFor();
    assertEquals(await page.locator("img").count(), 0);
    assert(await page.locator(".pipeline").getByText(html).isVisible());
  },
);
