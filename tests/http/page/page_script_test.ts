import { assert, assertEquals } from "@std/assert";
import { transformSync } from "esbuild";
import {
  PAGE_SCRIPT,
  PAGE_SOURCE,
} from "../../../src/http/page/page_script.ts";
import { PAGE_STYLE } from "../../../src/http/page/page_style.ts";

/** Before the tests begin: esbuild keeps the worker that it transforms with. */
const [minifiedScript, minifiedSource] = [PAGE_SCRIPT, PAGE_SOURCE]
  .map((code) => transformSync(code, { minify: true }).code);

const CONFIG = {
  compilerOptions: { checkJs: true, lib: ["dom", "dom.iterable", "esnext"] },
};

Deno.test("PAGE_SOURCE is formatted, has no lint, and its types are right", async () => {
  const folder = await Deno.makeTempDir({ prefix: "page_script_" });
  try {
    await Deno.writeTextFile(`${folder}/deno.json`, JSON.stringify(CONFIG));
    await Deno.writeTextFile(`${folder}/page.js`, PAGE_SOURCE.slice(1));
    for (const args of [["fmt", "--check"], ["lint"], ["check"]]) {
      const { success, stderr } = await new Deno.Command(Deno.execPath(), {
        args: [...args, "page.js"],
        cwd: folder,
        env: { NO_COLOR: "1" },
      }).output();
      assert(success, new TextDecoder().decode(stderr));
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("PAGE_SCRIPT and PAGE_STYLE are small", () => {
  const length = PAGE_SCRIPT.length + PAGE_STYLE.length;
  assert(length < 25_000, `they have ${length} characters`);
});

Deno.test("PAGE_SCRIPT is the source without comments and indentation", () => {
  assertEquals(PAGE_SCRIPT.match(/^ |^\/[/*]/m), null);
  assertEquals(minifiedScript, minifiedSource);
});
