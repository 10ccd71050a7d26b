import { assertEquals, assertStringIncludes } from "@std/assert";
import { PipelineRunRegistry } from "../../mod.ts";
import { type CorsOptions, createRunHandler } from "../../src/http/mod.ts";
import { MOD, runChildProcess } from "../child_process.ts";
import { forever, noop, RUN_ID, SPEC } from "../known_run.ts";
import { client } from "./client.ts";

const ORIGIN = "https://example.com";

/** The headers of a response that tell a browser who may read it. */
function corsHeaders({ headers }: Response): Record<string, string> {
  const prefix = "access-control-";
  return Object.fromEntries(
    [...headers].filter(([name]) => name.startsWith(prefix))
      .map(([name, value]) => [name.slice(prefix.length), value]),
  );
}

/** Asks for the runs from a page of an origin. */
async function ask(
  cors: CorsOptions | undefined,
  origin: string,
  method: string = "GET",
  headers: Record<string, string> = {},
): Promise<Response> {
  await using registry = new PipelineRunRegistry();
  const request = client(registry, { cors });
  return await request(method, "/runs", {
    headers: { Origin: origin, ...headers },
  });
}

Deno.test("createRunHandler() answers OPTIONS with the methods, without asking authorize", async () => {
  await using registry = new PipelineRunRegistry();
  const request = client(registry, { authorize: () => false });
  const allowed: [string, string][] = [
    ["/runs", "GET, HEAD, OPTIONS"],
    [`/runs/${RUN_ID}`, "GET, HEAD, DELETE, OPTIONS"],
    [`/runs/${RUN_ID}/events`, "GET, HEAD, OPTIONS"],
    [`/runs/${RUN_ID}/stream`, "GET, HEAD, OPTIONS"],
    ["/pipelines/ingest", "POST, OPTIONS"],
  ];
  for (const [path, methods] of allowed) {
    const response = await request("OPTIONS", path);
    assertEquals([response.status, response.body], [204, null]);
    assertEquals(response.headers.get("Allow"), methods);
    assertEquals(corsHeaders(response), {});
  }
  const nothing = await request("OPTIONS", "/nothing");
  assertEquals(nothing.status, 404);
});

Deno.test("createRunHandler() keeps its responses to pages of its own origin", async () => {
  const response = await ask(undefined, ORIGIN);
  assertEquals(corsHeaders(response), {});
  assertEquals(
    response.headers.get("Cross-Origin-Resource-Policy"),
    "same-origin",
  );
  assertEquals(response.headers.get("X-Content-Type-Options"), "nosniff");
});

Deno.test("createRunHandler() lets pages of any origin read its responses", async () => {
  const response = await ask({ origins: "*" }, ORIGIN);
  assertEquals(response.status, 200);
  assertEquals(corsHeaders(response), {
    "allow-origin": "*",
    "expose-headers":
      "Allow, ETag, Location, Preference-Applied, Retry-After, Stream-Closed, Stream-Cursor, Stream-Next-Offset, Stream-Up-To-Date",
  });
  assertEquals(
    response.headers.get("Cross-Origin-Resource-Policy"),
    "cross-origin",
  );
  assertEquals(response.headers.get("Vary"), null);
});

Deno.test("createRunHandler() gives caches what pages of any origin may read, whoever asks first", async () => {
  await using registry = new PipelineRunRegistry();
  const request = client(registry, { cors: { origins: "*" } });
  const response = await request("GET", "/runs");
  assertEquals(response.headers.get("Vary"), null);
  assertEquals(corsHeaders(response)["allow-origin"], "*");
});

Deno.test("createRunHandler() lets pages of listed origins read its responses, with cookies if that is allowed", async () => {
  const cors = { origins: ["https://other.example", ORIGIN] };
  const plain = corsHeaders(await ask(cors, ORIGIN));
  assertEquals(plain["allow-origin"], ORIGIN);
  assertEquals(plain["allow-credentials"], undefined);
  const response = await ask({ ...cors, credentials: true }, ORIGIN);
  assertEquals(corsHeaders(response)["allow-credentials"], "true");
  assertEquals(response.headers.get("Vary"), "Origin");
  assertEquals(
    response.headers.get("Cross-Origin-Resource-Policy"),
    "same-origin",
  );
  for (const origin of ["https://evil.example", "null", `${ORIGIN}.evil`]) {
    const refused = await ask(cors, origin);
    assertEquals(corsHeaders(refused), {});
    assertEquals(refused.headers.get("Vary"), "Origin");
  }
});

Deno.test("createRunHandler() answers the preflight of a page that it lets in", async () => {
  const headers = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
  };
  const cors = { origins: [ORIGIN] };
  const response = await ask(cors, ORIGIN, "OPTIONS", headers);
  assertEquals(response.status, 204);
  const { "expose-headers": _, ...rest } = corsHeaders(response);
  assertEquals(rest, {
    "allow-origin": ORIGIN,
    "allow-methods": "GET, HEAD, POST, DELETE",
    "allow-headers": "authorization,content-type",
    "max-age": "7200",
  });
  const refused = await ask(cors, "https://evil.example", "OPTIONS", headers);
  assertEquals(corsHeaders(refused), {});
});

Deno.test("createRunHandler() lets a page read events and problems too", async () => {
  await using registry = new PipelineRunRegistry();
  const request = client(registry, { cors: { origins: "*" } });
  const { runId } = await registry.registerBackground(SPEC, forever);
  const headers = { Origin: ORIGIN };
  const paths: [string, number][] = [
    [`/runs/${runId}/events`, 200],
    [`/runs/${runId}/stream`, 200],
    [`/runs/${RUN_ID}`, 404],
    ["/nothing", 404],
  ];
  for (const [path, status] of paths) {
    const response = await request("GET", path, { headers });
    assertEquals(response.status, status);
    assertEquals(corsHeaders(response)["allow-origin"], "*");
    await response.body?.cancel();
  }
});

Deno.test("createRunHandler() warns once if it is not told who may do what", async () => {
  const { stderr } = await runChildProcess(`
    import { PipelineRunRegistry } from "${MOD}";
    import { allowAll, createRunHandler } from "${
    MOD.replace("mod.ts", "src/http/mod.ts")
  }";
    const registry = new PipelineRunRegistry();
    createRunHandler(registry, { authorize: allowAll });
    createRunHandler(registry, { authorize: () => false });
    console.warn("before");
    createRunHandler(registry);
    createRunHandler(registry);
    await registry.shutdown();
  `);
  const [before, ...warnings] = stderr.trim().split("\n");
  assertEquals([before, warnings.length], ["before", 1]);
  assertStringIncludes(warnings[0], "authorize: allowAll");
});

Deno.test("createRunHandler() allows everything by default", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline({ ...SPEC, runId: RUN_ID }, noop);
  const handler = createRunHandler(registry);
  const response = await handler(
    new Request(`http://localhost/runs/${RUN_ID}`),
  );
  assertEquals(response.status, 200);
});
