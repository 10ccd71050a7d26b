import type { Equivalent, Mutation } from "./mutation.ts";

/** What the tests need of the project. */
const PARTS = ["deno.json", "deno.lock", "mod.ts", "src", "bench", "tests"];

/** How long a mutation is tried, in milliseconds. Tests that hang notice it, too. */
const TIMEOUT = 15_000;

/** An edit that does not compile is noticed by any test, and so proves nothing. */
const NOT_COMPILED =
  /syntax error|SyntaxError|is not defined|(column|operator|function) .* does not exist|ambiguous|missing FROM-clause/;

/** How the tests took a mutation. */
export interface Verdict {
  readonly kind: "caught" | "SURVIVED" | "DOES NOT COMPILE" | "TOO SLOW";
  /** The first test that failed, or what the tests printed. */
  readonly by: string;
}

/** A copy of the project, whose sources are changed and whose tests are run. */
export class ProjectCopy implements Disposable {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Copies the project to a temporary folder. */
  static async make(): Promise<ProjectCopy> {
    const copy = new ProjectCopy(await Deno.makeTempDir());
    // Tests start programs as another user.
    await Deno.chmod(copy.#folder, 0o755);
    const root = new URL("../../", import.meta.url);
    for (const part of PARTS) {
      await copyAll(new URL(part, root).pathname, `${copy.#folder}/${part}`);
    }
    await copyAll(`${copy.#folder}/tests/vendor`, `${copy.#folder}/vendor`);
    return copy;
  }

  /** The number of times that the text to replace occurs in its file. */
  async occurrences({ file, find }: Mutation | Equivalent): Promise<number> {
    const source = await Deno.readTextFile(this.#pathOf(file));
    return source.split(find).length - 1;
  }

  /** Makes an edit, runs its tests, and undoes the edit. */
  async try(mutation: Mutation, timeout = TIMEOUT): Promise<Verdict> {
    const { file, find, replace, tests, filter } = mutation;
    const path = this.#pathOf(file);
    const source = await Deno.readTextFile(path);
    await Deno.writeTextFile(path, source.split(find).join(replace));
    let verdict: Verdict;
    try {
      verdict = await this.test(tests, timeout, filter);
    } finally {
      await Deno.writeTextFile(path, source);
    }
    if (verdict.kind !== "TOO SLOW") return verdict;
    const unchanged = await this.test(tests, timeout / 2, filter);
    return unchanged.kind === "SURVIVED"
      ? { kind: "caught", by: verdict.by }
      : verdict;
  }

  /**
   * Runs test files until the first failure.
   *
   * @param files The files, in `tests`.
   * @param timeout How long they may take, in milliseconds.
   * @param filter Which of their tests to run.
   */
  async test(
    files: readonly string[],
    timeout: number,
    filter?: string,
  ): Promise<Verdict> {
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "test",
        "--allow-all",
        "--no-check",
        "--fail-fast",
        ...filter === undefined ? [] : [`--filter=${filter}`],
        ...files.map((file) => `tests/${file}`),
      ],
      cwd: this.#folder,
      env: { NO_COLOR: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill("SIGKILL");
    }, timeout);
    const { success, stdout, stderr } = await child.output();
    clearTimeout(timer);
    if (success) return { kind: "SURVIVED", by: "" };
    if (timedOut) {
      const by = `the tests took more than ${timeout / 1_000} s`;
      return { kind: "TOO SLOW", by };
    }
    const decoder = new TextDecoder();
    const output = decoder.decode(stdout) + decoder.decode(stderr);
    return {
      kind: NOT_COMPILED.test(output) ? "DOES NOT COMPILE" : "caught",
      by: /^(.*) \.\.\. FAILED/m.exec(output)?.[1] ??
        /^error: .*/m.exec(output)?.[0] ?? output,
    };
  }

  /** Removes the copy. */
  [Symbol.dispose](): void {
    Deno.removeSync(this.#folder, { recursive: true });
  }

  #pathOf(file: string): string {
    return `${this.#folder}/src/${file}`;
  }
}

async function copyAll(from: string, to: string): Promise<void> {
  if ((await Deno.stat(from)).isFile) return await Deno.copyFile(from, to);
  await Deno.mkdir(to);
  for await (const { name } of Deno.readDir(from)) {
    await copyAll(`${from}/${name}`, `${to}/${name}`);
  }
}
