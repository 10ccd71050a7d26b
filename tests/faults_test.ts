import { assertEquals } from "@std/assert";

/** How many faults and bad inputs are numbered. */
const FAULTS = 48;

/** A mark in the name of a test, or a comment that says why there is no test. */
const MARK = /\(fault (\d+)\)|\/\/.*\bfault (\d+)\b/g;

/** The sources of the tests, but for this one. */
async function* testSources(folder: URL): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) yield* testSources(new URL(`${name}/`, folder));
    const isTest = name.endsWith("_test.ts") || name.endsWith("_contract.ts");
    if (!isTest || name === "faults_test.ts") continue;
    yield await Deno.readTextFile(new URL(name, folder));
  }
}

Deno.test("tests show what comes of each numbered fault", async () => {
  const shown = new Set<number>();
  for await (const text of testSources(new URL("./", import.meta.url))) {
    for (const [, test, comment] of text.matchAll(MARK)) {
      shown.add(Number(test ?? comment));
    }
  }
  assertEquals(
    [...shown].sort((a, b) => a - b),
    Array.from({ length: FAULTS }, (_, i) => i + 1),
  );
});
