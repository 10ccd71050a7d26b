import { assert, assertEquals } from "@std/assert";
import { buildSync } from "esbuild";
import { gzipSync } from "node:zlib";

const ROOT = new URL("../../", import.meta.url).pathname;

/** The most that the client may take after gzip, in bytes. */
const MAX_BYTES = 4_000;

/**
 * The client in a bundle for browsers. It is built before the tests begin: esbuild
 * keeps the worker that it builds with.
 */
const { outputFiles: [BUNDLE], metafile: { inputs: FILES } } = buildSync({
  stdin: {
    contents: 'export { followRun } from "./src/http/client/follow_run.ts"',
    resolveDir: ROOT,
    loader: "ts",
  },
  absWorkingDir: ROOT,
  alias: { "@std/async": `${ROOT}tests/std/async` },
  bundle: true,
  minify: true,
  format: "esm",
  platform: "browser",
  write: false,
  metafile: true,
});

Deno.test("followRun is small in a bundle for browsers", () => {
  const bytes = gzipSync(BUNDLE.contents, { level: 9 }).length;
  assert(bytes <= MAX_BYTES, `it takes ${bytes} bytes, at most ${MAX_BYTES}`);
});

Deno.test("followRun brings nothing of the server into a bundle", () => {
  assert("src/http/client/follow_run.ts" in FILES);
  const ofServer = Object.keys(FILES).filter((file) =>
    /^src\/(http\/server|registry|postgres|json)\//.test(file)
  );
  assertEquals(ofServer, []);
});
