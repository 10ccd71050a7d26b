import { assert, assertEquals } from "@std/assert";
import { WritableStreams } from "./writable_streams.ts";

/** The groups of the protocol's tests that are about reading. */
const GROUPS = [
  "Read Operations",
  "Long-Poll Operations",
  "Browser Security Headers",
  "HEAD Metadata",
  "Offset Validation and Resumability",
  "Long-Poll Edge Cases",
  "Caching and ETag",
  "Chunking and Large Payloads",
  "Read-Your-Writes Consistency",
  "SSE Mode",
  "JSON Mode",
  "Immutability Properties",
  "Offset Validation Properties",
  "State Hash Verification",
  "HEAD with Stream Closure",
  "Read Closed Streams (Catch-up)",
  "Long-poll with Stream Closure",
  "SSE with Stream Closure",
];

/** Tests of other groups that are about reading. */
const READS = [
  "should return correct headers on GET",
  "should return empty body with up-to-date for empty stream",
  "should preserve data immutability by position",
  "should generate unique, monotonically increasing offsets",
  "should reject empty offset parameter",
  "should reject multiple offset parameters",
  "should ignore unknown query parameters",
];

/** Tests of those groups that are not: of writing, and of streams that are not JSON. */
const NOT_READS = [
  "should return TTL metadata if configured",
  "should return Expires-At metadata if configured",
  "should handle chunk-size pagination correctly", // of binary data
  "base64 SSE catch-up pairs every data event with a control event",
  "should auto-detect binary streams and return base64 encoded data in SSE mode",
  "should include Stream-SSE-Data-Encoding header for binary streams",
  "should handle large binary payload with auto-detected base64 encoding",
  "should handle binary data with special bytes using auto-detected base64 encoding",
  "should auto-detect base64 encoding for application/x-protobuf streams",
  "should auto-detect base64 encoding for image/png streams",
];

const PACKAGES = {
  "@durable-streams/server-conformance-tests": "0.3.6",
  "vitest": "4.1.0",
};

const TESTS = `
import { runConformanceTests } from "@durable-streams/server-conformance-tests";
runConformanceTests({ baseUrl: process.env.ORIGIN });
`;

interface Result {
  readonly ancestorTitles: readonly string[];
  readonly title: string;
  readonly status: "passed" | "failed" | "skipped";
  readonly failureMessages: readonly string[];
}

/** Runs the protocol's tests against a server. */
async function runTests(origin: string): Promise<Result[]> {
  const folder = await Deno.makeTempDir();
  const deno = async (...args: string[]) => {
    const command = new Deno.Command(Deno.execPath(), {
      args,
      cwd: folder,
      env: { ORIGIN: origin },
      stdout: "null",
      stderr: "null",
    });
    await command.output(); // Its status tells that tests failed, which some do.
  };
  try {
    const manifest = { type: "module", dependencies: PACKAGES };
    await Deno.writeTextFile(
      `${folder}/package.json`,
      JSON.stringify(manifest),
    );
    await Deno.writeTextFile(`${folder}/protocol.test.js`, TESTS);
    await deno("install", "--quiet");
    const names = [...GROUPS, ...READS]
      .map((name) => name.replace(/[()]/g, "\\$&")).join("|");
    await deno(
      "run",
      "-A",
      "--node-modules-dir=auto",
      "npm:vitest",
      "run",
      `--testNamePattern=${names}`,
      "--reporter=json",
      "--outputFile=results.json",
    );
    const results = JSON.parse(
      await Deno.readTextFile(`${folder}/results.json`),
    );
    return results.testResults[0].assertionResults;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("GET /runs/:id/stream passes the tests of the protocol that read", async () => {
  await using streams = new WritableStreams();
  const results = await runTests(streams.origin);
  const reads = results.filter(({ status, title, ancestorTitles }) =>
    status !== "skipped" && !NOT_READS.includes(title) &&
    !ancestorTitles[0].startsWith("Fork")
  );
  const failed = reads.filter(({ status }) => status !== "passed");
  assertEquals(
    failed.map(({ title, failureMessages }) => [title, failureMessages[0]]),
    [],
  );
  assert(reads.length > 100, `${reads.length} tests ran`);
});
