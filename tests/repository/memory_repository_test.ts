import { assertEquals, assertThrows } from "@std/assert";
import { MemoryPipelineRunRepository } from "../../mod.ts";
import { testRepository, transition } from "./repository_contract.ts";

testRepository("MemoryPipelineRunRepository", () =>
  Promise.resolve({
    repository: new MemoryPipelineRunRepository(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }));

Deno.test("MemoryPipelineRunRepository forgets the run that it has known longest", async () => {
  const repository = new MemoryPipelineRunRepository({ maxRuns: 2 });
  const runs = Array.from({ length: 4 }, () => crypto.randomUUID());
  for (const pipelineRunId of runs) {
    await repository.logPipelineRun(transition("STARTED", { pipelineRunId }));
    await repository.setPayloadField(pipelineRunId, "key", 1);
  }
  const rows = await repository.listRecent(undefined, 10);
  assertEquals(rows.map((row) => row.pipelineRunId), [runs[3], runs[2]]);
  assertEquals(await repository.getPayload(runs[1]), {});
  assertEquals(await repository.getPayload(runs[2]), { key: 1 });
});

Deno.test("MemoryPipelineRunRepository gives copies", async () => {
  const repository = new MemoryPipelineRunRepository();
  const row = transition("STARTED", { runInfo: { data: "None" } });
  await repository.logPipelineRun(row);
  const read = await repository.getPipelineRun(row.pipelineRunId);
  read!.runInfo!.data = "changed";
  const again = await repository.getPipelineRun(row.pipelineRunId);
  assertEquals(again?.runInfo, { data: "None" });
});

Deno.test("MemoryPipelineRunRepository refuses a bound that is none", () => {
  for (const maxRuns of [0, -1, 1.5, NaN]) {
    assertThrows(
      () => new MemoryPipelineRunRepository({ maxRuns }),
      RangeError,
      "maxRuns must be a positive integer or Infinity",
    );
  }
});
