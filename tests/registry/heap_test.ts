import { assert } from "@std/assert";
import { MOD, runChildProcess } from "../child_process.ts";

/** The measurements of a child process. */
interface Measured {
  /** The heap after the warm-up, in bytes, with all garbage collected. */
  heapBefore: number;
  /** The heap at the end. */
  heapAfter: number;
  /** The time of the fastest fifth of the first tenth, in milliseconds. */
  first: number;
  /** The time of the fastest fifth of the last tenth. */
  last: number;
}

/** Repeats a statement in a child process, after a warm-up. */
async function measure(times: number, something: string): Promise<Measured> {
  const { stdout } = await runChildProcess(
    `
      import { PipelineRunRegistry } from "${MOD}";
      const registry = new PipelineRunRegistry({ maxInMemoryRuns: 4_096 });
      const pipelineName = "ingest";
      const runId = crypto.randomUUID();
      async function* work() {
        yield "a";
        yield "b";
      }
      async function repeat(times) {
        const start = performance.now();
        for (let i = 0; i < times; i++) await (${something});
        return performance.now() - start;
      }
      async function fastestFifth(times) {
        let fastest = Infinity;
        for (let i = 0; i < 5; i++) {
          fastest = Math.min(fastest, await repeat(times / 5));
        }
        return fastest;
      }
      function heap() {
        for (let i = 0; i < 3; i++) gc();
        return Deno.memoryUsage().heapUsed;
      }
      await repeat(${times / 5});
      const heapBefore = heap();
      const first = await fastestFifth(${times / 10});
      await repeat(${times * 0.8});
      const last = await fastestFifth(${times / 10});
      const heapAfter = heap();
      console.log(JSON.stringify({ heapBefore, heapAfter, first, last }));
      await registry.shutdown();
    `,
    { flags: ["--v8-flags=--expose-gc"] },
  );
  return JSON.parse(stdout);
}

/** Fails if the heap grows by more than a tenth or the time doubles. */
function assertSteady({ heapBefore, heapAfter, first, last }: Measured): void {
  assert(
    heapAfter <= heapBefore * 1.1,
    `the heap grew from ${heapBefore} to ${heapAfter} bytes`,
  );
  assert(last <= first * 2, `it slowed down from ${first} to ${last} ms`);
}

Deno.test("PipelineRunRegistry takes no more memory and time after 100,000 runs (fault 10)", async () => {
  assertSteady(
    await measure(100_000, "registry.registerInline({ pipelineName }, work)"),
  );
});

Deno.test("PipelineRunRegistry takes no more memory and time after 20,000 attempts of one run id", async () => {
  assertSteady(
    await measure(
      20_000,
      "registry.registerInline({ pipelineName, runId }, work)",
    ),
  );
});

Deno.test("PipelineRunRegistry takes no more memory and time after 50,000 subscriptions to unknown runs", async () => {
  assertSteady(
    await measure(
      50_000,
      "registry.subscribe(crypto.randomUUID()).cancel()",
    ),
  );
});
