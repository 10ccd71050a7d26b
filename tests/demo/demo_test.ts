import { cpSync } from "node:fs";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Demo } from "./demo_process.ts";
import type { Ending } from "../program_process.ts";
import { startPostgresServer } from "../../bench/postgres_server.ts";
import { openDatabase } from "../postgres/open_database.ts";

function demo(...args: string[]): Promise<Ending> {
  return new Demo(...args).ended();
}

/** A folder for one test, with files in it. */
class TemporaryFolder implements AsyncDisposable {
  readonly path: string = Deno.makeTempDirSync({ prefix: "demo_" });

  constructor(files: Record<string, string | Uint8Array<ArrayBuffer>> = {}) {
    for (const [name, content] of Object.entries(files)) {
      const file = `${this.path}/${name}`;
      Deno.mkdirSync(file.slice(0, file.lastIndexOf("/")), { recursive: true });
      if (typeof content === "string") Deno.writeTextFileSync(file, content);
      else Deno.writeFileSync(file, content);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}

let firstData: Promise<string> | undefined;

/** Makes a database once; that takes seconds, so tests work on copies. */
async function makeData(): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "demo_" });
  addEventListener("unload", () => {
    Deno.removeSync(folder, { recursive: true });
  });
  const ending = await demo(`--data=${folder}/new/data`, "missing");
  assertEquals(rows(ending, "STARTED").length, 1);
  assertEquals(rows(ending, "ERRORED").length, 1);
  return `${folder}/new/data`;
}

/** Copies a database in which one run has failed. */
async function usedData(): Promise<TemporaryFolder> {
  firstData ??= makeData();
  const data = new TemporaryFolder();
  cpSync(await firstData, data.path, { recursive: true });
  return data;
}

/** A folder so big that its indexing outlasts a test. */
function bigFolder(): TemporaryFolder {
  const files: Record<string, string> = {};
  for (let file = 0; file < 2_000; file++) {
    const terms = Array.from({ length: 500 }, (_, term) => `f${file}t${term}`);
    files[`${file}.txt`] = terms.join(" ");
  }
  return new TemporaryFolder(files);
}

/** Returns the printed rows of the audit trail with a status. */
function rows({ stdout }: Ending, status: string): string[] {
  return stdout.split("\n").filter((line) =>
    line.match(/^[-\d]{10} [:\d]{8} {2}[\da-f]{8} {2}(\w+)/)?.[1] === status
  );
}

function assertOneLineErrors({ stderr }: Ending): void {
  assert(!/^ {4}at |Uncaught/m.test(stderr), stderr);
}

Deno.test("demo indexes folders and files, and shows the audit trail and the top terms", async () => {
  await using data = await usedData();
  await using input = new TemporaryFolder({
    "docs/a.txt": "alpha alpha beta",
    "docs/sub/b.md": "Alpha, Beta-gamma; of 42",
    "docs/picture.png": new Uint8Array([137, 80, 78, 71, 0, 1]),
    "docs/latin1.txt": new Uint8Array([0x67, 0x72, 0xfc, 0x6e]),
    "docs/.git/config": "hidden",
    "docs/node_modules/c.txt": "module",
    "long.txt": "omega ".repeat(20_000),
  });
  await Deno.symlink("..", `${input.path}/docs/sub/loop`);
  const [docs, long] = [`${input.path}/docs`, `${input.path}/long.txt`];

  const first = await demo(`--data=${data.path}`, docs, long);
  assertEquals(first.stderr, "");
  assertEquals(first.code, 0);
  assertMatch(first.stdout, /docs +done {2}4\/4 files {2}6 terms {2}2 skipped/);
  assertMatch(first.stdout, /long\.txt +done {2}1\/1 files {2}20,000 terms/);
  assertEquals(rows(first, "STARTED").length, 3);
  assertEquals(rows(first, "COMPLETED").length, 2);
  assertMatch(
    first.stdout,
    /\nomega +20,000 +1\nalpha +3 +2\nbeta +2 +2\ngamma +1 +1\n$/,
  );
  assert(first.stdout.split("\n").every((line) => line.length <= 80));

  const second = await demo("--data", data.path, docs);
  assertEquals(second.stderr, "");
  assertEquals(second.code, 0);
  assertEquals(rows(second, "COMPLETED").length, 3);
  assertMatch(second.stdout, /TERM.*\nalpha +3 +2\nbeta +2 +2\ngamma +1 +1\n$/);
});

Deno.test("demo ends in order on SIGINT", async () => {
  await using data = await usedData();
  await using input = bigFolder();
  const interrupted = new Demo("--data", data.path, input.path);
  await interrupted.printed(/files/);
  const start = performance.now();
  interrupted.kill("SIGINT");
  const ending = await interrupted.ended();
  assert(performance.now() - start < 5_000);
  assertEquals(ending.code, 130);
  assertMatch(ending.stderr, /^Run .* aborted: interrupted by SIGINT\n$/);

  const next = await demo("--data", data.path, "missing");
  const [_, errored] = rows(next, "ERRORED");
  assertMatch(errored, /interrupted by SIGINT$/);
});

Deno.test("demo has its database to itself, and ends the runs of a killed one", async () => {
  await using data = await usedData();
  await using input = bigFolder();
  await using small = new TemporaryFolder({ "a.txt": "alpha" });
  const killed = new Demo("--data", data.path, input.path);
  await killed.printed(/\d%/);

  const refused = await demo("--data", data.path, small.path);
  assertEquals(refused.code, 1);
  assertMatch(refused.stderr, /^Cannot use folder .* another process uses it/);
  assertOneLineErrors(refused);

  killed.kill("SIGKILL");
  await killed.ended();
  const next = await demo("--data", data.path, small.path);
  assertEquals(next.stderr, "");
  assertEquals(next.code, 0);
  const [_, orphan] = rows(next, "ERRORED");
  assertMatch(orphan, /server_restart_orphan$/);
  assertEquals(rows(next, "COMPLETED").length, 1);
});

Deno.test("demo uses a server, and reports what cannot be indexed", async () => {
  await using database = await openDatabase();
  await using input = new TemporaryFolder({
    "binary.dat": new Uint8Array([1, 0, 2]),
    "empty/.keep/a.txt": "hidden",
    "good/a.txt": "alpha",
  });
  const paths = ["missing", "binary.dat", "empty", "good"]
    .map((name) => `${input.path}/${name}`);

  const ending = await demo("--database-url", database.url, ...paths);
  assertEquals(ending.code, 1);
  assertOneLineErrors(ending);
  assertMatch(ending.stderr, /^Run .* failed: .*\/missing does not exist$/m);
  assertMatch(ending.stderr, /\/binary.dat is not a text file$/m);
  assertMatch(ending.stderr, /no text files in .*\/empty$/m);
  assertEquals(rows(ending, "ERRORED").length, 3);
  assertEquals(rows(ending, "COMPLETED").length, 1);
  assertMatch(ending.stdout, /\nalpha +1 +1\n$/);

  const stored = await database.sql`
    select r.status, (select json_object_agg(key, value)
      from pipeline_run_payload_fields p
      where p.pipeline_run_id = r.pipeline_run_id) as payload
    from pipeline_runs r join demo_term_counts c
      on c.run_id = r.pipeline_run_id and c.file = 'a.txt'
    order by r.created_at`;
  const payload = { path: paths[3], files: 1, terms: 1, skipped: 0 };
  assertEquals([...stored], [
    { status: "DATASET_PROCESSING_STARTED", payload },
    { status: "DATASET_PROCESSING_COMPLETED", payload },
  ]);
});

Deno.test("demo indexes its repository by default", async () => {
  await using database = await openDatabase();
  const ending = await demo(`--database-url=${database.url}`);
  assertEquals(ending.stderr, "");
  assertEquals(ending.code, 0);
  assertMatch(ending.stdout, /done {2}(\d+)\/\1 files/);
});

Deno.test("demo leaves a database that hangs behind on SIGINT", async () => {
  await using server = await startPostgresServer();
  await using input = bigFolder();
  const interrupted = new Demo("--database-url", server.url, input.path);
  await interrupted.printed(/files/);
  await server.suspend();
  const start = performance.now();
  interrupted.kill("SIGINT");
  const ending = await interrupted.ended();
  assert(performance.now() - start < 5_000);
  assertEquals(ending.code, 130);
  assertMatch(ending.stderr, /The database did not answer/);
  assertOneLineErrors(ending);
});

Deno.test("demo reports a database that cannot be used", async () => {
  await using folder = new TemporaryFolder({ file: "" });
  const url = "postgres://user:secret@127.0.0.1:1/none";
  const endings = await Promise.all([
    demo("--database-url", url),
    demo("--data", `${folder.path}/file`),
  ]);
  for (const ending of endings) {
    assertEquals(ending.code, 1);
    assertMatch(ending.stderr, /^.+\n$/);
    assert(!ending.stderr.includes("secret"));
    assertOneLineErrors(ending);
  }
});

Deno.test("demo explains how it is used", async () => {
  const mistakes = [
    { args: ["--nonsense"], message: "Unknown option: --nonsense" },
    { args: ["--data"], message: "Missing value of option: --data" },
    { args: ["--data="], message: "Missing value of option: --data" },
    { args: ["--data=a", "--data=b"], message: "Option given twice: --data" },
    {
      args: ["--data=a", "--database-url=postgres://b"],
      message: "Only one of --data and --database-url can be given",
    },
    {
      args: ["--database-url", "http://example.com"],
      message: "The --database-url must begin with postgres://",
    },
    { args: [""], message: "A PATH must not be empty" },
    { args: ["--port=80"], message: "--port needs --serve" },
    {
      args: ["--serve", "--port=65536"],
      message: "The --port must be a number from 0 to 65535",
    },
    {
      args: ["--serve", "a", "b"],
      message: "At most one PATH can be given with --serve",
    },
  ];
  const endings = await Promise.all(mistakes.map(({ args }) => demo(...args)));
  for (const [index, { message }] of mistakes.entries()) {
    assertEquals(endings[index].stderr, `${message}\nTry --help\n`);
    assertEquals(endings[index].code, 2);
  }
  const help = await demo("--help");
  assertEquals(help.code, 0);
  assertMatch(help.stdout, /^Usage: deno task demo/);
});
