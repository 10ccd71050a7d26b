import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { InvalidArgumentError } from "commander";
import type { PipelineRunRegistry } from "../../mod.ts";
import { connect, migrations } from "../../src/postgres/mod.ts";
import type { WireEvent, WireRow } from "../../src/http/mod.ts";
import { serve, type Served } from "../http/serve.ts";
import {
  DATASET_ID,
  forever,
  noop,
  OTHER_RUN_ID,
  registerHeld,
  RUN_ID,
  SPELLINGS,
} from "../known_run.ts";
import { parseRun, parseUuid } from "../../src/cli/find_run.ts";
import { type Database, openDatabase } from "../postgres/open_database.ts";
import { ProgramProcess } from "../program_process.ts";
import { Cli, cli } from "./cli_process.ts";

/** What a terminal would obey: sequences that set the title and colours, and bidi. */
const HOSTILE = "\x1b]0;owned\x07\x9b31m\u202e\r\n";

/** A database with its tables, and a server of runs in it. */
interface Opened extends AsyncDisposable {
  readonly database: Database;
  readonly served: Served;
  readonly registry: PipelineRunRegistry;
  /** The options for each source of the same runs. */
  readonly sources: readonly (readonly string[])[];
}

async function open(): Promise<Opened> {
  const stack = new AsyncDisposableStack();
  const database = stack.use(await openDatabase());
  const repository = stack.use(await connect(database.url));
  const served = stack.use(serve({ repository, onWarning: noop }));
  return {
    database,
    served,
    registry: served.registry,
    sources: [["--database-url", database.url], ["--url", served.origin]],
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** Runs the command with both sources, and returns what both print. */
async function both(
  { sources }: Opened,
  ...args: string[]
): Promise<{ code: number; stdout: string; stderr: string }> {
  const [first, second] = await Promise.all(
    sources.map((source) => cli(...args, ...source)),
  );
  assertEquals(second, first);
  return first;
}

/** The values of lines of JSON. */
function values<T>(stdout: string): T[] {
  return stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
}

async function fetchJson({ served }: Opened, path: string): Promise<unknown> {
  return await (await fetch(served.origin + path)).json();
}

Deno.test("ls prints the newest runs of a database and of a server alike", async () => {
  await using opened = await open();
  const { registry } = opened;
  await registry.registerInline(
    { pipelineName: "ingest", runId: RUN_ID },
    noop,
  );
  await registry.registerInline({
    pipelineName: "fetch",
    runId: OTHER_RUN_ID,
    datasetId: DATASET_ID,
  }, () => {
    throw new Error("boom");
  });
  await registerHeld(registry, { pipelineName: "ingest" });

  const { code, stdout, stderr } = await both(opened, "ls");
  assertEquals([code, stderr], [0, ""]);
  const lines = stdout.split("\n").map((line) => line.split(/ {2,}/));
  assertEquals(
    lines.map(([run, , ...rest]) => [run, ...rest]),
    [
      ["RUN", "STATUS", "PIPELINE", "ERROR"],
      [lines[1][0], "STARTED", "ingest"],
      [OTHER_RUN_ID.slice(0, 8), "ERRORED", "fetch", "boom"],
      [RUN_ID.slice(0, 8), "COMPLETED", "ingest"],
      [""],
    ],
  );

  const json = await both(opened, "ls", "--json");
  assertEquals(values(json.stdout), await fetchJson(opened, "/runs"));

  const listed = async (...args: string[]) => {
    const { stdout } = await both(opened, "ls", "--json", ...args);
    return values<WireRow>(stdout).map(({ status }) => status.slice(19));
  };
  assertEquals(await listed("--pipeline", "ingest"), ["STARTED", "COMPLETED"]);
  assertEquals(await listed("--limit=2"), ["STARTED", "ERRORED"]);
  assertEquals(await listed("--status=completed"), ["COMPLETED"]);
  assertEquals(await listed("--pipeline=ingest", "--limit=1"), ["STARTED"]);
  assertEquals(await listed(`--dataset={${DATASET_ID}}`), ["ERRORED"]);
});

Deno.test("ls prints nothing but a heading if there are no runs", async () => {
  await using opened = await open();
  const human = await both(opened, "ls");
  assertEquals([human.code, human.stdout.split("\n").length], [0, 2]);
  const json = await both(opened, "ls", "--json");
  assertEquals(json, { code: 0, stdout: "", stderr: "" });
});

Deno.test("ls tells that there are more runs than it has searched", async () => {
  await using opened = await open();
  const { registry, sources: [_, server] } = opened;
  await Promise.all(Array.from(
    { length: 101 },
    (_, i) => registry.registerInline({ pipelineName: `${i}` }, noop),
  ));
  const ending = await cli("ls", "--pipeline=none", "--json", ...server);
  assertEquals(ending, {
    code: 0,
    stdout: "",
    stderr: "run-registry: Only the newest 100 runs were searched\n",
  });
  const refused = await cli("ls", "--limit=101", ...server);
  assertEquals(refused.code, 2);
  assertMatch(refused.stderr, /^run-registry: .*at most 100.*\n$/);
});

Deno.test("show tells all of a run, whichever way it is named", async () => {
  await using opened = await open();
  await opened.registry.registerInline(
    { pipelineName: "ingest", runId: RUN_ID, datasetId: DATASET_ID },
    async ({ setPayload }) => {
      await setPayload("path", "/data");
      return { documents: 2 };
    },
  );
  const human = await both(opened, "show", RUN_ID);
  assertEquals([human.code, human.stderr], [0, ""]);
  const parts = [
    ["Run", RUN_ID],
    ["Phase", "Completed"],
    ["Pipeline", "ingest"],
    ["Dataset", DATASET_ID],
    ["Events", "2"],
    ["Payload", 'path = "/data"'],
    ["Result", '{"documents":2}'],
  ];
  const text = parts.map(([name, fact]) => `${name.padEnd(10)}${fact}\n`);
  assert(human.stdout.startsWith(text.join("")), human.stdout);
  assertMatch(human.stdout, /\nRow .*_COMPLETED\nRow .*_STARTED\n$/);

  const json = await both(opened, "show", RUN_ID, "--json");
  assertEquals(values(json.stdout), [
    await fetchJson(opened, `/runs/${RUN_ID}`),
  ]);
  for (const name of [SPELLINGS.at(-1)!, RUN_ID.slice(0, 4).toUpperCase()]) {
    assertEquals(await both(opened, "show", name), human);
  }
});

Deno.test("parseRun() takes a UUID in any spelling", () => {
  for (const text of [RUN_ID, ...SPELLINGS]) {
    assertEquals([parseUuid(text), parseRun(text)], [RUN_ID, RUN_ID]);
  }
  const beginning = RUN_ID.slice(0, 8);
  assertEquals(parseRun(beginning.toUpperCase()), beginning);
  for (
    const text of ["", "148", RUN_ID.slice(0, 9), RUN_ID.slice(1), "1481g"]
  ) {
    assertThrows(() => parseRun(text), InvalidArgumentError);
    assertThrows(() => parseUuid(text), InvalidArgumentError);
  }
});

Deno.test("show tells why a run errored", async () => {
  await using opened = await open();
  await opened.registry.registerInline(
    { pipelineName: "ingest", runId: RUN_ID },
    () => {
      throw new TypeError("boom");
    },
  );
  const human = await both(opened, "show", RUN_ID);
  assertMatch(human.stdout, /^Phase +Errored\nError +TypeError: boom$/m);
  const json = await both(opened, "show", RUN_ID, "--json");
  assertEquals(values(json.stdout), [
    await fetchJson(opened, `/runs/${RUN_ID}`),
  ]);
});

Deno.test("show, follow and abort fail for an unknown run", async () => {
  await using opened = await open();
  for (const command of ["show", "follow", "abort"]) {
    assertEquals(await both(opened, command, RUN_ID), {
      code: 1,
      stdout: "",
      stderr: `run-registry: Unknown run: ${RUN_ID}\n`,
    });
  }
  assertEquals(await both(opened, "abort", "14818e76"), {
    code: 1,
    stdout: "",
    stderr:
      "run-registry: Unknown run: none of the newest 0 begins with 14818e76\n",
  });
});

Deno.test("abort does not choose between runs that begin alike", async () => {
  await using opened = await open();
  const { registry } = opened;
  const runIds = [RUN_ID, `${RUN_ID.slice(0, 8)}${OTHER_RUN_ID.slice(8)}`];
  for (const runId of runIds) {
    await registry.registerBackground({ pipelineName: "a", runId }, forever);
  }
  const { code, stderr } = await both(opened, "abort", RUN_ID.slice(0, 8));
  assertEquals(code, 1);
  assertMatch(stderr, /^run-registry: Several runs begin with 14818e76: .*\n$/);
  for (const runId of runIds) {
    assertEquals(registry.snapshotStatus(runId)?.name, "Running");
  }
});

Deno.test("follow prints the events of a run as they come, and tells how it ended", async () => {
  await using opened = await open();
  for (const [index, source] of opened.sources.entries()) {
    const pipelineName = `pipeline ${index}`;
    const held = await registerHeld(opened.registry, { pipelineName });
    const following = new Cli(["follow", held.runId, ...source]);
    await following.printed(/ {2}1 {2}Started\n$/);
    held.run.publish({ document: "a.txt" });
    await following.printed(/ {2}2 {2}Yield {2}{"document":"a.txt"}\n$/);
    if (index === 0) held.complete();
    else held.reject(new RangeError("boom"));
    const { code, stdout, stderr } = await following.ended();
    assertEquals([code, stderr], [index, ""]);
    assertMatch(
      stdout,
      index === 0
        ? / {2}3 {2}Completed\n$/
        : / {2}3 {2}Errored {2}RangeError: boom\n$/,
    );
  }
});

Deno.test("follow prints events as a server sends them", async () => {
  await using opened = await open();
  const { registry, served } = opened;
  const ends = [noop, () => {
    throw new RangeError("boom");
  }];
  for (const [code, end] of ends.entries()) {
    const { runId } = await registry.registerBackground(
      { pipelineName: "ingest" },
      function* () {
        yield { document: "a.txt" };
        yield null;
        end();
      },
    );
    const all = await both(opened, "follow", runId, "--json");
    assertEquals([all.code, all.stderr], [code, ""]);
    const events = values<WireEvent>(all.stdout);
    const response = await fetch(`${served.origin}/runs/${runId}/events`);
    const sent = [...(await response.text()).matchAll(/^data: (.*)$/gm)]
      .map(([_, json]) => JSON.parse(json));
    assertEquals(sent.length, 4);
    assertEquals(events, sent);

    const rest = await both(opened, "follow", runId, "--json", "--after=2");
    assertEquals(values(rest.stdout), sent.slice(2));
    assertEquals(rest.code, code);
    const none = await both(opened, "follow", runId, "--after=4");
    assertEquals(none, { code, stdout: "", stderr: "" });
  }
});

Deno.test("follow ends at Ctrl-C, and leaves the run alone", async () => {
  await using opened = await open();
  const { registry, sources } = opened;
  const { runId } = await registerHeld(registry);
  for (const source of sources) {
    const following = new Cli(["follow", runId, ...source]);
    await following.printed(/Started\n/);
    following.kill("SIGINT");
    const { code, stderr } = await following.ended();
    assertEquals([code, stderr], [130, ""]);
  }
  assertEquals((await registry.status(runId))?.phase.name, "Running");
});

Deno.test("follow ends quietly when nobody reads its output any more", async () => {
  await using opened = await open();
  const { registry, sources } = opened;
  const { run, runId } = await registerHeld(registry);
  for (const source of sources) {
    const following = new Cli(["follow", runId, ...source]);
    await following.printed(/Started\n/);
    await following.stopReading();
    const publishing = setInterval(() => run.publish(1), 20);
    const { code, stderr } = await following.ended();
    clearInterval(publishing);
    assertEquals([code, stderr], [0, ""]);
  }
});

Deno.test("abort ends a run with a reason, once", async () => {
  await using opened = await open();
  for (const [index, source] of opened.sources.entries()) {
    const { runId, outcome } = await registerHeld(opened.registry, {
      pipelineName: `pipeline ${index}`,
    });
    const aborting = await cli("abort", runId, "--reason=too slow", ...source);
    assertEquals(aborting, {
      code: 0,
      stdout: `Run ${runId} is being aborted\n`,
      stderr: "",
    });
    const { phase } = await outcome;
    assertEquals(
      phase.name === "Errored" && phase.message,
      "aborted: too slow",
    );

    const again = await cli("abort", runId, "--json", ...source);
    assertEquals([again.code, again.stderr], [0, ""]);
    const answer = { pipeline_run_id: runId, abort: "ended" };
    assertEquals(values(again.stdout), [answer]);
  }
});

Deno.test("output has no control characters, and JSON keeps its values", async () => {
  await using opened = await open();
  const { runId } = await opened.registry.registerBackground(
    { pipelineName: HOSTILE },
    async function* ({ setPayload }) {
      await setPayload(HOSTILE, HOSTILE);
      yield { [HOSTILE]: HOSTILE };
      throw new Error(HOSTILE);
    },
  );
  const follow = await both(opened, "follow", runId);
  const endings = [follow];
  for (const command of [["ls"], ["show", runId], ["follow", runId]]) {
    endings.push(await both(opened, ...command));
    endings.push(await both(opened, ...command, "--json"));
  }
  for (const { stdout } of endings) {
    // deno-lint-ignore no-control-regex
    assert(!/[\0-\x09\x0b-\x1f\x7f-\x9f\u202e]/.test(stdout), stdout);
  }
  assertMatch(follow.stdout, /Errored {2}\\u001b\]0;owned\\u0007\\u009b31m/);
  assertEquals(follow.stdout.split("\n").length, 4);
  const events = values<WireEvent>(endings.at(-1)!.stdout);
  assertEquals(events[1].payload, { [HOSTILE]: HOSTILE });
  assertEquals(events[2].message, HOSTILE);
});

Deno.test("--header sends a header with each request", async () => {
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  await using served = serve({
    authorize: ({ headers }) => headers.get("authorization") === "Bearer a:b",
  });
  const { runId } = await served.registry.registerBackground(
    { pipelineName: "ingest" },
    () => ended,
  );
  const source = ["--url", served.origin];
  const header = ["--header", "Authorization: Bearer a:b", "--header=X: y"];
  const refused = await cli("ls", ...source);
  assertEquals(refused, {
    code: 1,
    stdout: "",
    stderr: "run-registry: 403 Forbidden: This is not allowed\n",
  });
  const following = new Cli(["follow", runId, ...source, ...header]);
  await following.printed(/Started\n/);
  end();
  const { code, stderr } = await following.ended();
  assertEquals([code, stderr], [0, ""]);
});

Deno.test("sweep deletes only what it is told to", async () => {
  await using opened = await open();
  const { database: { sql, url }, registry } = opened;
  const { runId } = await registry.registerInline(
    { pipelineName: "ingest" },
    noop,
  );
  await sql`
    update pipeline_run_events set logged_at = now() - interval '3 days'`;
  await sql`
    update pipeline_run_leases set ended_at = now() - interval '3 days'`;
  const kept = await new Cli(["sweep", "--json"], url).ended();
  assertEquals(values(kept.stdout), [{ reaped: 0, pruned: 0 }]);
  const young = await new Cli(["sweep", "--log-retention=3.5"], url).ended();
  assertEquals(young, {
    code: 0,
    stdout: "Runs of dead instances ended: 0\nRows deleted: 0\n",
    stderr: "",
  });
  const deleted = await new Cli(["sweep", "--log-retention=2.5"], url).ended();
  assertMatch(deleted.stdout, /\nRows deleted: [1-9]/);
  const events = await sql`select from pipeline_run_events`;
  assertEquals(events.length, 0);
  assertEquals((await registry.status(runId))?.phase.name, "Completed");
});

Deno.test("migrate tells the migrations that it takes, in a schema too", async () => {
  await using database = await openDatabase();
  const { sql, url } = database;
  await sql.unsafe(migrations[0].sql);
  const missing = migrations.slice(1).map(({ version, name }) => ({
    version,
    name,
  }));
  const first = await new Cli(["migrate", "--json"], url).ended();
  assertEquals([first.code, first.stderr], [0, ""]);
  assertEquals(values(first.stdout), missing);
  const second = await new Cli(["migrate", "--json"], url).ended();
  assertEquals(second, { code: 0, stdout: "", stderr: "" });

  const schema = `other_${database.schema}`.slice(0, 63);
  await using stack = new AsyncDisposableStack();
  stack.defer(async () => {
    await sql.unsafe(`drop schema ${schema} cascade`);
  });
  const inSchema = ["--schema", schema];
  const third = await new Cli(["migrate", ...inSchema], url).ended();
  assertEquals(
    third.stdout,
    migrations.map(({ version, name }) =>
      `Took migration ${version}: ${name}\n`
    ).join(""),
  );
  const fourth = await new Cli(["migrate", ...inSchema], url).ended();
  assertEquals(fourth, {
    code: 0,
    stdout: "Nothing to do: the tables have all migrations\n",
    stderr: "",
  });
  const list = await new Cli(["ls", "--json", ...inSchema], url).ended();
  assertEquals(list, { code: 0, stdout: "", stderr: "" });
});

Deno.test("commands other than migrate leave a database without tables as it is", async () => {
  await using database = await openDatabase();
  const { schema, sql, url } = database;
  const commands = [
    ["ls"],
    ["show", RUN_ID],
    ["follow", RUN_ID],
    ["abort", RUN_ID],
    ["sweep"],
  ];
  const run = (args: string[]) => new Cli(args, url).ended();
  for (const ending of await Promise.all(commands.map(run))) {
    assertEquals(ending, {
      code: 1,
      stdout: "",
      stderr: "run-registry: The database has no tables for runs: " +
        "the command migrate makes what is missing\n",
    });
  }
  const tables = await sql`select from pg_tables where schemaname = ${schema}`;
  assertEquals(tables.length, 0);

  for (const migration of migrations.slice(0, -2)) {
    await sql.unsafe(migration.sql);
  }
  const { code, stderr } = await run(["ls"]);
  assertEquals(code, 1);
  assertMatch(
    stderr,
    /^run-registry: The tables lack 2 of \d+ migrations: .*\n$/,
  );
});

Deno.test("commands fail with one line if the source cannot be reached", async () => {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const { port } = listener.addr;
  listener.close();
  await using page = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: noop },
    () => new Response("<!doctype html>"),
  );
  const sources = [
    ["--database-url", `postgres://user:secret@127.0.0.1:${port}/none`],
    ["--url", `http://127.0.0.1:${port}`],
    ["--url", `http://127.0.0.1:${page.addr.port}`],
  ];
  const endings = await Promise.all(
    [["ls"], ["follow", RUN_ID], ["abort", RUN_ID]].flatMap((command) =>
      sources.map((source) => cli(...command, ...source))
    ),
  );
  for (const { code, stdout, stderr } of endings) {
    assertEquals([code, stdout], [1, ""]);
    assertMatch(stderr, /^run-registry: .+\n$/);
    assert(!stderr.includes("secret"));
  }
});

Deno.test("the command needs no permissions but net and env", async () => {
  await using opened = await open();
  const { hostname, port } = new URL(opened.database.url);
  const following = new ProgramProcess(
    "cli/main.ts",
    ["ls"],
    {
      env: { DATABASE_URL: opened.database.url },
      flags: [
        "--no-prompt",
        `--allow-net=${hostname}:${port}`,
        "--allow-env=DATABASE_URL,PG*,NO_COLOR,FORCE_COLOR,CLICOLOR_FORCE",
      ],
    },
  );
  const { code, stderr } = await following.ended();
  assertEquals([code, stderr], [0, ""]);
});

Deno.test("the command explains how it is used", async () => {
  const server = ["--url", "http://127.0.0.1:9"];
  const mistakes: [args: string[], message: string][] = [
    [["nonsense"], "Unknown command 'nonsense'"],
    [["ls", "--limt=1"], "Unknown option '--limt=1' (Did you mean --limit?)"],
    [["show"], "Missing required argument 'run'"],
    [["ls"], "Give --database-url or --url, or set DATABASE_URL"],
    [["ls", "--database-url=http://a"], "must begin with postgres://"],
    [["ls", "--url=postgres://a"], "must begin with http:// or https://"],
    [["ls", ...server, "--database-url=postgres://a"], "Only one of"],
    [["ls", ...server, "--schema=a"], "--schema needs a database"],
    [["ls", ...server, "--header=secret"], 'must look like "Name: value"'],
    [["ls", ...server, "--header=: secret"], 'must look like "Name: value"'],
    [["ls", "--header=a: b"], "--header needs --url"],
    [["ls", "--limit=0"], "It must be a positive integer"],
    [["ls", "--status=done"], "Allowed choices are initiated, started"],
    [["ls", "--dataset=1"], "It must be a UUID"],
    [["show", "run 1"], "It must be a UUID, or its first 4 to 8 digits"],
    [["follow", RUN_ID, "--after=-1"], "It must be a non-negative integer"],
    [["sweep", "--log-retention=0"], "It must be a positive number of days"],
    [["sweep", ...server], "This needs a database"],
    [["migrate", ...server], "This needs a database"],
  ];
  const endings = await Promise.all(mistakes.map(([args]) => cli(...args)));
  for (const [index, [args, message]] of mistakes.entries()) {
    const { code, stdout, stderr } = endings[index];
    assertEquals([args, code, stdout], [args, 2, ""]);
    assertMatch(stderr, /^run-registry: .+\n$/);
    assert(stderr.includes(message), stderr);
    assert(!stderr.includes("secret"));
  }
  const help = await cli("--help");
  assertEquals([help.code, help.stderr], [0, ""]);
  assertMatch(help.stdout, /^Usage: run-registry /);
});
