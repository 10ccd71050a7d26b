/**
 * Checks the code in the README: `deno check` must accept each block of TypeScript or
 * JavaScript as a module, and each block of JSON must parse.
 *
 * @module
 */
const ROOT = new URL("../", import.meta.url);

/** What blocks use without declaring it. What a block declares itself hides it. */
const PRELUDE = `
import type { Pipeline, PipelineRunRegistry } from "@pipeline/run-registry";
import type { RunHandlerOptions } from "@pipeline/run-registry/http";
declare global {
  const registry: PipelineRunRegistry;
  const pipelines: readonly Pipeline[];
  const authorize: RunHandlerOptions["authorize"];
  const runId: string;
  const datasetId: string;
}`;

const readme = await Deno.readTextFile(new URL("README.md", ROOT));
const fences = [...readme.matchAll(/^ *(?:`{3,}|~{3,})(.*)\n?/gm)];
const problems: string[] = [];
if (fences.length % 2 > 0) problems.push("README.md: a block is not closed");
const folder = await Deno.makeTempDir();
try {
  const files = [`${folder}/prelude.ts`];
  await Deno.writeTextFile(files[0], PRELUDE);
  for (let i = 0; i + 1 < fences.length; i += 2) {
    const { 0: fence, 1: info, index } = fences[i];
    const code = readme.slice(index + fence.length, fences[i + 1].index);
    const line = readme.slice(0, index).split("\n").length;
    const [language] = info.split(" ");
    if (["ts", "tsx", "js"].includes(language)) {
      files.push(`${folder}/${line}.${language}`);
      // The lines keep their numbers; the comment has JavaScript checked as well.
      const module = `// @ts-check${"\n".repeat(line)}${code}export {};\n`;
      await Deno.writeTextFile(files.at(-1)!, module);
    } else if (language === "json") {
      try {
        JSON.parse(code);
      } catch (error) {
        problems.push(`The block at README.md:${line} fails: ${error}`);
      }
    } else if (!["sh", "sql"].includes(language)) {
      problems.push(`The block at README.md:${line} is of no known language`);
    }
  }
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["check", "--config", new URL("deno.json", ROOT).pathname, ...files],
    env: { NO_COLOR: "1" },
  }).output();
  if (!success) {
    const place = /file:\S*\/(\d+)\.(?:tsx?|js):(\d+)/g;
    const told = new TextDecoder().decode(stderr).replace(/^Check .*\n/gm, "");
    const failing = new Set([...told.matchAll(place)].map(([, line]) => line));
    for (const line of failing) {
      problems.push(`The block at README.md:${line} fails:`);
    }
    problems.push(told.replace(place, "README.md:$2"));
  }
  console.log(`README.md: checked ${files.length - 1} blocks`);
} finally {
  await Deno.remove(folder, { recursive: true });
}
for (const problem of problems) console.error(problem);
if (problems.length > 0) Deno.exit(1);
