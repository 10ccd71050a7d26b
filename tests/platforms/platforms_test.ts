import { assert, assertEquals, assertMatch } from "@std/assert";
import { pipelineId } from "../../mod.ts";
import { testInBrowser } from "../browser.ts";
import { noop, RUN_ID } from "../known_run.ts";
import { openDatabase } from "../postgres/open_database.ts";
import { PackageFolder } from "./package_folder.ts";
import type { Seen } from "./programs/page.ts";

/** How long a program may take, and how long to exit once it has said "ok". */
const TIMEOUT = 20_000;
const EXIT_TIMEOUT = 5_000;

let folder: PackageFolder;

Deno.test.beforeAll(async () => {
  folder = await PackageFolder.make();
  for (const name of ["memory", "http", "run_page", "postgres", "page"]) {
    await folder.addModule(name, await readText(`programs/${name}.ts`));
  }
  const options = await readText(
    "../../src/http/server/run_handler_options.ts",
  );
  await folder.addModule("server", exampleOf("UpgradeWebSocket", options));
  folder.bundle("postgres", "node_bundle", "node");
  folder.bundle("page", "page_bundle", "browser");
});

Deno.test.afterAll(async () => await folder[Symbol.asyncDispose]());

async function readText(path: string): Promise<string> {
  return await Deno.readTextFile(new URL(path, import.meta.url));
}

/** The example in the doc comment of a symbol. */
function exampleOf(symbol: string, source: string): string {
  const before = source.split(new RegExp(`^export \\w+ ${symbol}\\b`, "m"))[0];
  const comment = before.slice(before.lastIndexOf("/**"));
  const [, code] = comment.split(/^ \* ```.*\n/m);
  return code.replace(/^ \* ?/gm, "");
}

/** Runs a module of the folder, which must say "ok" and then exit by itself. */
async function run(
  program: string,
  module: string,
  env: Record<string, string> = {},
): Promise<void> {
  const child = new Deno.Command(program, {
    args: [`${module}.js`],
    cwd: folder.path,
    env,
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(TIMEOUT),
  }).spawn();
  const errors = new Response(child.stderr).text();
  let output = "";
  let ended = Infinity;
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    output += text;
    if (output.endsWith("ok\n")) ended = performance.now();
  }
  const { code } = await child.status;
  const took = performance.now() - ended;
  assertEquals([code, await errors], [0, ""]);
  assertMatch(output, /^ok\n$/m);
  assert(took < EXIT_TIMEOUT, `it took ${took} ms to exit`);
}

for (const platform of ["node", "bun"] as const) {
  Deno.test(`PipelineRunRegistry runs in ${platform}`, async () => {
    await run(folder[platform], "memory");
  });

  Deno.test(`createRunHandler() and createRunClient() run in ${platform}`, async () => {
    await run(folder[platform], "http", { HOST: "127.0.0.1", PORT: "0" });
  });

  Deno.test(`createRunPage() runs in ${platform}`, async () => {
    await run(folder[platform], "run_page");
  });

  Deno.test(`connect() runs in ${platform}`, async () => {
    await using database = await openDatabase();
    await run(folder[platform], "postgres", { DATABASE_URL: database.url });
  });

  Deno.test(`connect() runs in ${platform} from a bundle`, async () => {
    await using database = await openDatabase();
    await run(folder[platform], "node_bundle", { DATABASE_URL: database.url });
  });
}

testInBrowser(
  "PipelineRunRegistry and createRunHandler() run in a browser",
  async (browser) => {
    const code = await Deno.readTextFile(`${folder.path}/page_bundle.js`);
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: noop },
      ({ url }) =>
        url.endsWith("/page.js")
          ? new Response(code, {
            headers: { "Content-Type": "text/javascript" },
          })
          : new Response("<!doctype html>", {
            headers: { "Content-Type": "text/html" },
          }),
    );
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${server.addr.port}/`);
    const seen = await page.evaluate<Seen>(
      `import("/page.js").then(({ seeRuns }) => seeRuns("${RUN_ID}"))`,
    );
    assertEquals(seen, {
      pipelineId: await pipelineId(RUN_ID, undefined, "ingest"),
      registered: {
        kinds: ["Started", "Yield", "Yield", "Completed"],
        phase: { name: "Completed" },
      },
      started: {
        kinds: ["Started", "Yield", "Completed"],
        result: { total: 1 },
      },
      aborted: {
        answer: "requested",
        kinds: ["Started", "Errored"],
        phase: { name: "Errored", code: "aborted", message: "aborted: enough" },
      },
      listed: 3,
    });
  },
);
