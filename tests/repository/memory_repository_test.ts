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
  row.runInfo!.data = ["changed"];
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

Deno.test("MemoryPipelineRunRepository forgets a run that has started again only when it has ended again", async () => {
  const repository = new MemoryPipelineRunRepository({ maxRuns: 3 });
  const ids: string[] = Array.from(
    { length: 7 },
    () => crypto.randomUUID(),
  );
  const log = (pipelineRunId: string, status: "STARTED" | "COMPLETED") =>
    repository.logPipelineRun(transition(status, { pipelineRunId }));
  const known = async () => {
    const rows = await repository.listRecent(undefined, 100);
    return new Set(rows.map(({ pipelineRunId }) => ids.indexOf(pipelineRunId)));
  };
  for (const id of ids.slice(0, 3)) await log(id, "COMPLETED");
  await log(ids[0], "STARTED");
  await log(ids[3], "STARTED");
  assertEquals(await known(), new Set([0, 2, 3]));
  await log(ids[0], "COMPLETED");
  await log(ids[0], "COMPLETED");
  await log(ids[4], "COMPLETED");
  assertEquals(await known(), new Set([0, 3, 4]));
  await log(ids[5], "STARTED");
  assertEquals(await known(), new Set([3, 4, 5]));
  await log(ids[6], "STARTED");
  assertEquals(await known(), new Set([3, 5, 6]));
});

Deno.test("MemoryPipelineRunRepository keeps the newest 64 rows of a run", async () => {
  const repository = new MemoryPipelineRunRepository();
  const runId = crypto.randomUUID();
  for (let i = 0; i < 70; i++) {
    const pipelineName = `ingest ${i}`;
    await repository.logPipelineRun(
      transition("STARTED", { pipelineRunId: runId, pipelineName }),
    );
  }
  const rows = await repository.listByRun(runId, 100);
  assertEquals(
    rows.map(({ pipelineName }) => pipelineName),
    Array.from({ length: 64 }, (_, i) => `ingest ${69 - i}`),
  );
});
