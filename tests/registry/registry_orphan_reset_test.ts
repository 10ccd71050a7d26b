import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import {
  MemoryPipelineRunRepository,
  PipelineRunRegistry,
  RepositoryError,
} from "../../mod.ts";
import {
  recordingRepository,
  statuses,
} from "../repository/controlled_repository.ts";
import { transition } from "../repository/repository_contract.ts";
import { DATA_ID, KNOWN, noop, RUN_ID, SPEC } from "../known_run.ts";

Deno.test("PipelineRunRegistry.withOrphanReset() ends only the runs that a crash left unfinished", async () => {
  const repository = new MemoryPipelineRunRepository();
  const ids: Record<string, string> = {};
  for (
    const status of ["INITIATED", "STARTED", "COMPLETED", "ERRORED"] as const
  ) {
    const runInfo = status === "INITIATED" ? {} : { data: [DATA_ID] };
    const row = transition(status, { runInfo });
    await repository.logPipelineRun(row);
    ids[status] = row.pipelineRunId;
  }
  await using _registry = await PipelineRunRegistry.withOrphanReset({
    repository,
  });
  assertEquals(await statuses(repository, ids.INITIATED), [
    "INITIATED",
    "ERRORED",
  ]);
  assertEquals(await statuses(repository, ids.STARTED), ["STARTED", "ERRORED"]);
  assertEquals(await statuses(repository, ids.COMPLETED), ["COMPLETED"]);
  assertEquals(await statuses(repository, ids.ERRORED), ["ERRORED"]);
});

Deno.test("PipelineRunRegistry.withOrphanReset() keeps the data and adds the reason", async () => {
  const repository = new MemoryPipelineRunRepository();
  await repository.logPipelineRun(
    transition("STARTED", {
      pipelineRunId: RUN_ID,
      runInfo: { data: [DATA_ID] },
    }),
  );
  await using _registry = await PipelineRunRegistry.withOrphanReset({
    repository,
  });
  assertEquals((await repository.getPipelineRun(RUN_ID))?.runInfo, {
    data: [DATA_ID],
    error: "server_restart_orphan",
    reason: "server_restart_orphan",
  });
});

Deno.test("PipelineRunRegistry.withOrphanReset() resets a run once", async () => {
  const repository = new MemoryPipelineRunRepository();
  await repository.logPipelineRun(
    transition("STARTED", {
      pipelineRunId: RUN_ID,
      runInfo: { data: [DATA_ID] },
    }),
  );
  await using _one = await PipelineRunRegistry.withOrphanReset({ repository });
  await using _two = await PipelineRunRegistry.withOrphanReset({ repository });
  assertEquals(await statuses(repository, RUN_ID), ["STARTED", "ERRORED"]);
  assertEquals((await repository.getPipelineRun(RUN_ID))?.runInfo, {
    data: [DATA_ID],
    error: "server_restart_orphan",
    reason: "server_restart_orphan",
  });
});

Deno.test("PipelineRunRegistry.withOrphanReset() gives a registry on the same repository", async () => {
  const repository = new MemoryPipelineRunRepository();
  await using registry = await PipelineRunRegistry.withOrphanReset({
    repository,
  });
  await registry.registerInline(KNOWN, noop);
  assertEquals(await statuses(repository, RUN_ID), ["STARTED", "COMPLETED"]);
});

Deno.test("PipelineRunRegistry.withOrphanReset() needs no repository", async () => {
  await using registry = await PipelineRunRegistry.withOrphanReset();
  const { phase } = await registry.registerInline(SPEC, noop);
  assertEquals(phase, { name: "Completed" });
});

for (
  const [name, resetOrphans] of [
    ["rejects", (cause: Error) => () => Promise.reject(cause)],
    ["throws", (cause: Error) => () => {
      throw cause;
    }],
  ] as const
) {
  Deno.test(`PipelineRunRegistry.withOrphanReset() rejects with a RepositoryError when the repository ${name}`, async () => {
    const repository = new MemoryPipelineRunRepository();
    const cause = new Error("down");
    repository.resetOrphans = resetOrphans(cause);
    const error = await assertRejects(
      () => PipelineRunRegistry.withOrphanReset({ repository }),
      RepositoryError,
    );
    assertStrictEquals(error.cause, cause);
  });
}

Deno.test("PipelineRunRegistry.withOrphanReset() refuses bad options before it resets", async () => {
  const { repository, calls } = recordingRepository();
  await assertRejects(
    () =>
      PipelineRunRegistry.withOrphanReset({ repository, maxInMemoryRuns: 0 }),
    RangeError,
  );
  assertEquals(calls, []);
});
