import { assert } from "@std/assert";
import { MOD, runChildProcess } from "./child_process.ts";

/** What a child measured. */
interface Measured {
  /** The heap after the warm-up, in bytes, with all garbage collected. */
  heapBefore: number;
  /** The heap at the end. */
  heapAfter: number;
  /** How long the first tenth of the runs took, in milliseconds. */
  first: number;
  /** How long the last tenth took. */
  last: number;
}

/** Measures so many runs in a process of their own, after a warm-up. */
async function measure(runs: number, spec: object): Promise<Measured> {
  const { stdout } = await runChildProcess(
    `
      import { PipelineRunRegistry } from "${MOD}";
      const registry = new PipelineRunRegistry({ maxInMemoryRuns: 4_096 });
      async function* work() {
        yield "a";
        yield "b";
      }
      async function run(times) {
        const start = performance.now();
        for (let i = 0; i < times; i++) {
          await registry.registerInline(${JSON.stringify(spec)}, work);
        }
        return performance.now() - start;
      }
      function heap() {
        for (let i = 0; i < 3; i++) gc();
        return Deno.memoryUsage().heapUsed;
      }
      await run(${runs / 5});
      const heapBefore = heap();
      const first = await run(${runs / 10});
      await run(${runs * 0.8});
      const last = await run(${runs / 10});
      const heapAfter = heap();
      console.log(JSON.stringify({ heapBefore, heapAfter, first, last }));
      await registry.shutdown();
    `,
    { flags: ["--v8-flags=--expose-gc"] },
  );
  return JSON.parse(stdout);
}

/** Fails if the heap has grown by more than a tenth, or runs take twice as long. */
function assertSteady({ heapBefore, heapAfter, first, last }: Measured): void {
  assert(
    heapAfter <= heapBefore * 1.1,
    `the heap grew from ${heapBefore} to ${heapAfter} bytes`,
  );
  assert(last <= first * 2, `runs slowed down from ${first} to ${last} ms`);
}

Deno.test("PipelineRunRegistry takes no more memory and no more time after 100,000 runs", async () => {
  assertSteady(await measure(100_000, { pipelineName: "ingest" }));
});

Deno.test("PipelineRunRegistry takes no more memory and no more time after 5,000 attempts of one run id", async () => {
  const runId = "14818e76-a756-5be2-a535-a40479dcbd43";
  assertSteady(await measure(5_000, { pipelineName: "ingest", runId }));
});
