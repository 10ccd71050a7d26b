import { assert, assertEquals } from "@std/assert";
import { gzipSync } from "node:zlib";
import { type Bundle, bundle } from "./bundle.ts";

const FOLLOW_RUN = bundle(
  'export { followRun } from "./src/http/client/mod.ts"',
);
const CLIENT = bundle('export * from "./src/http/client/mod.ts"');

function assertSmall({ code }: Bundle, most: number): void {
  const bytes = gzipSync(code, { level: 9 }).length;
  assert(bytes <= most, `it takes ${bytes} bytes, at most ${most}`);
}

/** The files of the server, and those that are not of this package, as npm's. */
function foreignFiles({ files }: Bundle): string[] {
  return files.filter((file) =>
    /^src\/(http\/server|registry|postgres|json)\//.test(file) ||
    !/^(src\/|tests\/vendor\/jsr\.io\/@std\/async\/|<stdin>$)/.test(file)
  );
}

Deno.test("followRun is small in a bundle for browsers", () => {
  assertSmall(FOLLOW_RUN, 4_000);
});

Deno.test("followRun brings nothing of the server into a bundle", () => {
  assert(FOLLOW_RUN.files.includes("src/http/client/follow_run.ts"));
  assertEquals(foreignFiles(FOLLOW_RUN), []);
});

Deno.test("createRunClient() is small in a bundle for browsers, with all of its entry", () => {
  assertSmall(CLIENT, 6_000);
});

Deno.test("createRunClient() brings nothing of the server or of npm into a bundle", () => {
  assert(CLIENT.files.includes("src/http/client/run_client.ts"));
  assertEquals(foreignFiles(CLIENT), []);
});
