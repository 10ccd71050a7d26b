/**
 * Checks the documentation: `deno check` must accept each block of TypeScript or
 * JavaScript in the README, and each in a doc comment that `deno test --doc` leaves out
 * (`ts ignore`); JSON must parse; links within the repository must lead somewhere; and
 * the first program must run with the configuration of "Install", without a warning.
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

/** What the first program of the README prints. */
const PRINTED = "2 a.txt\n3 b.txt\ndone\n";

/** Files of Markdown whose links are checked. */
const PAGES = [
  "README.md",
  ".github/CONTRIBUTING.md",
  "bench/README.md",
  "bench/FLEET.md",
];

interface Block {
  readonly file: string;
  readonly line: number;
  readonly language: string;
  readonly code: string;
}

const problems: string[] = [];

/** The blocks of a file in Markdown. */
function blocksOf(file: string, text: string): Block[] {
  const fences = [...text.matchAll(/^ *(?:`{3,}|~{3,})(.*)\n?/gm)];
  if (fences.length % 2 > 0) problems.push(`${file}: a block is not closed`);
  const blocks: Block[] = [];
  for (let i = 0; i + 1 < fences.length; i += 2) {
    const { 0: fence, 1: language, index } = fences[i];
    const code = text.slice(index + fence.length, fences[i + 1].index);
    const line = text.slice(0, index).split("\n").length;
    blocks.push({ file, line, language, code });
  }
  return blocks;
}

/** The text of a file's doc comments; its lines keep their numbers. */
function docOf(source: string): string {
  return source.split("\n")
    .map((line) => /^ *\* ?(?!\/)(.*)$/.exec(line)?.[1] ?? "")
    .join("\n");
}

async function* sources(folder: string): AsyncGenerator<string> {
  for await (
    const { name, isDirectory } of Deno.readDir(new URL(folder, ROOT))
  ) {
    if (isDirectory) yield* sources(`${folder}${name}/`);
    else if (name.endsWith(".ts")) yield `${folder}${name}`;
  }
}

async function deno(
  args: string[],
  cwd?: string,
): Promise<{ success: boolean; stdout: string; stderr: string }> {
  const command = new Deno.Command(Deno.execPath(), {
    args,
    cwd,
    env: { NO_COLOR: "1" },
  });
  const { success, stdout, stderr } = await command.output();
  const decoder = new TextDecoder();
  return {
    success,
    stdout: decoder.decode(stdout),
    stderr: decoder.decode(stderr),
  };
}

async function checkBlocks(blocks: Block[], folder: string): Promise<void> {
  const files = [`${folder}/prelude.ts`];
  await Deno.writeTextFile(files[0], PRELUDE);
  for (const [index, { file, line, language, code }] of blocks.entries()) {
    if (["ts", "ts ignore", "tsx", "js"].includes(language)) {
      files.push(`${folder}/${index}.${language.split(" ")[0]}`);
      // The lines keep their numbers; the comment has JavaScript checked as well.
      const module = `// @ts-check${"\n".repeat(line)}${code}export {};\n`;
      await Deno.writeTextFile(files.at(-1)!, module);
    } else if (language === "json") {
      try {
        JSON.parse(code);
      } catch (error) {
        problems.push(`The block at ${file}:${line} fails: ${error}`);
      }
    } else if (!["sh", "sql", "text"].includes(language)) {
      problems.push(`The block at ${file}:${line} is of no known language`);
    }
  }
  const config = new URL("deno.json", ROOT).pathname;
  const { success, stderr } = await deno([
    "check",
    "--config",
    config,
    ...files,
  ]);
  if (success) return;
  const place = /file:\S*\/(\d+)\.(?:tsx?|js):(\d+)/g;
  problems.push(
    stderr.replace(/^Check .*\n/gm, "").replace(
      place,
      (_, index, line) => `${blocks[index].file}:${line}`,
    ),
  );
}

/** The anchors that GitHub makes of headings. */
function anchorsOf(text: string): Set<string> {
  const headings = text.matchAll(/^#+ (.*)$/gm);
  return new Set(
    headings.map(([, heading]) =>
      heading.toLowerCase().replace(/[^\w -]/g, "").replaceAll(" ", "-")
    ),
  );
}

async function checkLinks(file: string): Promise<void> {
  const text = await Deno.readTextFile(new URL(file, ROOT));
  const anchors = anchorsOf(text);
  for (const [link, target] of text.matchAll(/\]\((?!https?:)([^)]*)\)/g)) {
    const exists = target.startsWith("#")
      ? anchors.has(target.slice(1))
      : await Deno.stat(new URL(target, new URL(file, ROOT)))
        .then(() => true, () => false);
    if (!exists) problems.push(`${file}: ${link.slice(1)} leads nowhere`);
  }
}

/** Runs the first program, and checks all imports, next to a checkout. */
async function checkInstall(blocks: Block[], folder: string): Promise<void> {
  const config = blocks.find(({ language }) => language === "json")!.code;
  const program = blocks.find(({ language }) => language === "ts")!.code;
  const names = Object.keys(JSON.parse(config).imports)
    .filter((name) => name.startsWith("@pipeline/"));
  await Deno.symlink(ROOT.pathname, `${folder}/run-registry`);
  await Deno.writeTextFile(`${folder}/deno.json`, config);
  await Deno.writeTextFile(`${folder}/first.ts`, program);
  await Deno.writeTextFile(
    `${folder}/all.ts`,
    names.map((name) => `import "${name}";\n`).join(""),
  );
  const ran = await deno(["run", "first.ts"], folder);
  if (ran.stdout !== PRINTED || /^Warning/m.test(ran.stderr)) {
    problems.push(`README.md: first.ts printed ${ran.stdout}${ran.stderr}`);
  }
  const checked = await deno(["check", "--quiet", "all.ts"], folder);
  if (!checked.success) problems.push(`README.md, Install: ${checked.stderr}`);
}

const readme = blocksOf(
  "README.md",
  await Deno.readTextFile(new URL("README.md", ROOT)),
);
const ignored: Block[] = [];
for (const file of ["mod.ts", ...await Array.fromAsync(sources("src/"))]) {
  const doc = docOf(await Deno.readTextFile(new URL(file, ROOT)));
  ignored.push(
    ...blocksOf(file, doc).filter(({ language }) => language === "ts ignore"),
  );
}
const folder = await Deno.makeTempDir();
try {
  for (const name of ["blocks", "install"]) {
    await Deno.mkdir(`${folder}/${name}`);
  }
  await checkBlocks([...readme, ...ignored], `${folder}/blocks`);
  await checkInstall(readme, `${folder}/install`);
  for (const file of PAGES) await checkLinks(file);
} finally {
  await Deno.remove(folder, { recursive: true });
}
console.log(
  `Checked ${readme.length} blocks of README.md and ${ignored.length} of doc comments`,
);
for (const problem of problems) console.error(problem);
if (problems.length > 0) Deno.exit(1);
