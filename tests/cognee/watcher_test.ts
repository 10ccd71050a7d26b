import { assertEquals, assertRejects } from "@std/assert";
import {
  DbPipelineWatcher,
  type PipelineRunInfo,
  PipelineRunRegistry,
  type PipelineRunRow,
  PipelineWatcher,
  type RegistryWarning,
  RepositoryError,
  type ScopedRunWatcher,
} from "../../mod.ts";
import {
  ControlledRepository,
  statuses,
} from "../repository/controlled_repository.ts";

const DATA_ID = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";
const RUN: PipelineRunInfo = {
  runId: "14818e76-a756-5be2-a535-a40479dcbd43",
  pipelineId: "3f4c2d15-6185-5430-ba6f-d76b4d1477f6",
  pipelineName: "cognify_pipeline",
  userId: "3fa85f64-5717-4562-b3fc-2c963f66afa6",
  datasetId: "0f14d0ab-9605-4a62-a9e4-5ed26688389b",
  dataIds: [DATA_ID],
  status: "DATASET_PROCESSING_INITIATED",
  startedAt: new Date(0),
};

/** Calls every hook of a watcher once, in the order of a run that completes. */
async function watchRun(watcher: PipelineWatcher): Promise<void> {
  await watcher.onPipelineRunInitiated(RUN);
  await watcher.onPipelineRunStarted(RUN);
  await watcher.onPipeline(RUN.pipelineId, { kind: "Started", taskCount: 1 });
  await watcher.onTaskStarted(RUN, "extract", 0);
  await watcher.onTask(RUN.pipelineId, { index: 0, total: 1 }, {
    kind: "Started",
  });
  await watcher.onTaskErrored(RUN, "extract", "flaky");
  await watcher.onTaskCompleted(RUN, "extract", 1);
  await watcher.onPipelineRunCompleted(RUN, 1);
}

/** The fields of a row that are known in advance. */
function known(row: PipelineRunRow) {
  const { pipelineRunId, pipelineId, pipelineName, datasetId } = row;
  return {
    status: row.status as string,
    runInfo: JSON.stringify(row.runInfo),
    pipelineRunId,
    pipelineId,
    pipelineName,
    datasetId,
  };
}

Deno.test("PipelineWatcher requires two hooks; the others do nothing", async () => {
  class Quiet extends PipelineWatcher {
    async onPipeline(): Promise<void> {}
    async onTask(): Promise<void> {}
  }
  const watcher = new Quiet();
  await watchRun(watcher);
  await watcher.onPipelineRunErrored(RUN, "boom");
  await watcher.onPayloadField(RUN.runId, "key", 1);
});

Deno.test("DbPipelineWatcher writes INITIATED, STARTED and COMPLETED, each once", async () => {
  const repository = new ControlledRepository();
  await watchRun(new DbPipelineWatcher(repository));
  const rows = await repository.listRecent(undefined, 10);
  const ids = {
    pipelineRunId: RUN.runId,
    pipelineId: RUN.pipelineId,
    pipelineName: RUN.pipelineName,
    datasetId: RUN.datasetId,
  };
  assertEquals(rows.reverse().map(known), [
    { status: "DATASET_PROCESSING_INITIATED", runInfo: "{}", ...ids },
    {
      status: "DATASET_PROCESSING_STARTED",
      runInfo: `{"data":["${DATA_ID}"]}`,
      ...ids,
    },
    {
      status: "DATASET_PROCESSING_COMPLETED",
      runInfo: `{"data":["${DATA_ID}"]}`,
      ...ids,
    },
  ]);
});

Deno.test("DbPipelineWatcher.onPipelineRunErrored() writes the data and the error", async () => {
  const repository = new ControlledRepository();
  const watcher = new DbPipelineWatcher(repository);
  await watcher.onPipelineRunErrored({ ...RUN, dataIds: [] }, "boom");
  const row = await repository.getPipelineRun(RUN.runId);
  assertEquals(row?.status, "DATASET_PROCESSING_ERRORED");
  assertEquals(
    JSON.stringify(row?.runInfo),
    '{"data":"None","error":"boom"}',
  );
});

Deno.test("DbPipelineWatcher keeps the data ids as they were when it was called", async () => {
  const repository = new ControlledRepository();
  const dataIds = [DATA_ID];
  const watcher = new DbPipelineWatcher(repository);
  await watcher.onPipelineRunStarted({ ...RUN, dataIds });
  dataIds.push("later");
  const row = await repository.getPipelineRun(RUN.runId);
  assertEquals(row?.runInfo?.data, [DATA_ID]);
});

Deno.test("DbPipelineWatcher.onPayloadField() keeps the field, the last write winning", async () => {
  const repository = new ControlledRepository();
  const watcher = new DbPipelineWatcher(repository);
  await watcher.onPayloadField(RUN.runId, "graph", { nodes: 1 });
  await watcher.onPayloadField(RUN.runId, "graph", { nodes: 2 });
  assertEquals(await repository.getPayload(RUN.runId), {
    graph: { nodes: 2 },
  });
});

Deno.test("DbPipelineWatcher warns of a row that was not written and goes on", async () => {
  const repository = new ControlledRepository();
  const refusal = new RepositoryError("down");
  repository.beforeRow = ({ status }) => {
    if (status === "DATASET_PROCESSING_STARTED") throw refusal;
  };
  const warnings: RegistryWarning[] = [];
  const watcher = new DbPipelineWatcher(repository, {
    onWarning: (warning) => warnings.push(warning),
  });
  await watchRun(watcher);
  assertEquals(
    warnings.map(({ kind, runId, cause }) => ({ kind, runId, cause })),
    [{ kind: "row", runId: RUN.runId, cause: refusal }],
  );
  assertEquals(await statuses(repository, RUN.runId), [
    "INITIATED",
    "COMPLETED",
  ]);
});

Deno.test("DbPipelineWatcher warns of a repository that throws instead of rejecting", async () => {
  const repository = new ControlledRepository();
  const thrown = new Error("thrown");
  repository.logPipelineRun = () => {
    throw thrown;
  };
  const warnings: RegistryWarning[] = [];
  const watcher = new DbPipelineWatcher(repository, {
    onWarning: (warning) => warnings.push(warning),
  });
  await watcher.onPipelineRunStarted(RUN);
  assertEquals(warnings.map(({ cause }) => cause), [thrown]);
});

Deno.test("DbPipelineWatcher.onPayloadField() warns of a field that was not written", async () => {
  const repository = new ControlledRepository();
  const warnings: RegistryWarning[] = [];
  const watcher = new DbPipelineWatcher(repository, {
    onWarning: (warning) => warnings.push(warning),
  });
  await watcher.onPayloadField(RUN.runId, "key", 1n);
  assertEquals(warnings.map(({ kind }) => kind), ["payload"]);
  assertEquals(warnings[0].cause instanceof TypeError, true);
});

Deno.test("DbPipelineWatcher ignores errors that onWarning throws", async () => {
  const repository = new ControlledRepository();
  repository.beforeRow = () => Promise.reject(new RepositoryError("down"));
  const watcher = new DbPipelineWatcher(repository, {
    onWarning() {
      throw new Error("from onWarning");
    },
  });
  await watchRun(watcher);
});

/** Gives a test the watcher of a run whose work waits until it is aborted. */
async function withWatcher(
  test: (
    watcher: ScopedRunWatcher,
    registry: PipelineRunRegistry,
    repository: ControlledRepository,
  ) => Promise<void>,
): Promise<void> {
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const { runId } = await registry.registerBackground(
    { pipelineName: "ingest", runId: crypto.randomUUID() },
    () => new Promise(() => {}),
  );
  await test(registry.watcherFor(runId)!, registry, repository);
}

Deno.test("ScopedRunWatcher knows its run in canonical spelling", async () => {
  await withWatcher(async (watcher, registry) => {
    await registry.abort(watcher.runId);
    assertEquals(
      registry.watcherFor(`{${watcher.runId.toUpperCase()}}`)?.runId,
      watcher.runId,
    );
  });
});

Deno.test("ScopedRunWatcher leaves rows and events of a whole run to the registry", async () => {
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const { runId } = await registry.registerInline(
    { pipelineName: "ingest" },
    ({ watcher }) => watchRun(watcher),
  );
  const events = await Array.fromAsync(registry.subscribe(runId));
  assertEquals(events.map(({ kind }) => kind), ["Started", "Completed"]);
  assertEquals(await statuses(repository, runId), ["STARTED", "COMPLETED"]);
});

Deno.test("ScopedRunWatcher writes nothing under the run ids passed to it", async () => {
  await withWatcher(async (watcher, registry, repository) => {
    await watchRun(watcher);
    await watcher.onPayloadField(RUN.runId, "key", 1);
    assertEquals(await repository.getPipelineRun(RUN.runId), undefined);
    assertEquals(await registry.getPayload(RUN.runId), {});
    assertEquals(await registry.getPayload(watcher.runId), { key: 1 });
  });
});

Deno.test("ScopedRunWatcher.onPipelineRunInitiated() writes a row before STARTED while the run is Pending", async () => {
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const runId = crypto.randomUUID();
  const outcome = registry.registerInline(
    { pipelineName: "ingest", runId },
    () => {},
  );
  assertEquals(registry.snapshotStatus(runId), { name: "Pending" });
  await registry.watcherFor(runId)!.onPipelineRunInitiated(RUN);
  await outcome;
  const rows = (await repository.listRecent(undefined, 10)).reverse();
  const ids = {
    pipelineRunId: runId,
    pipelineId: "97e5187d-e237-5b93-a948-5fc1e2877aea",
    pipelineName: "ingest",
    datasetId: undefined,
  };
  const runInfo = '{"data":"None"}';
  assertEquals(rows.map(known), [
    { status: "DATASET_PROCESSING_INITIATED", runInfo: "{}", ...ids },
    { status: "DATASET_PROCESSING_STARTED", runInfo, ...ids },
    { status: "DATASET_PROCESSING_COMPLETED", runInfo, ...ids },
  ]);
});

Deno.test("ScopedRunWatcher.onPipelineRunInitiated() publishes no event", async () => {
  await using registry = new PipelineRunRegistry();
  const runId = crypto.randomUUID();
  const outcome = registry.registerInline(
    { pipelineName: "ingest", runId },
    () => {},
  );
  await registry.watcherFor(runId)!.onPipelineRunInitiated(RUN);
  await outcome;
  const events = await Array.fromAsync(registry.subscribe(runId));
  assertEquals(events.map(({ kind }) => kind), ["Started", "Completed"]);
});

Deno.test("ScopedRunWatcher.onPipelineRunErrored() ends the run with the error", async () => {
  await withWatcher(async (watcher, registry, repository) => {
    const { runId } = watcher;
    await watcher.onPipelineRunErrored(RUN, "boom");
    const events = await Array.fromAsync(registry.subscribe(runId));
    assertEquals(events.map(({ kind }) => kind), ["Started", "Errored"]);
    assertEquals(registry.snapshotStatus(runId), {
      name: "Errored",
      code: "work",
      message: "boom",
    });
    assertEquals(
      JSON.stringify((await repository.getPipelineRun(runId))?.runInfo),
      '{"data":"None","error":"boom"}',
    );
  });
});

Deno.test("ScopedRunWatcher.onPipelineRunErrored() leaves an ended run as it is", async () => {
  await using registry = new PipelineRunRegistry();
  const { runId } = await registry.registerInline(
    { pipelineName: "ingest" },
    () => {},
  );
  await registry.watcherFor(runId)!.onPipelineRunErrored(RUN, "boom");
  assertEquals(registry.snapshotStatus(runId), { name: "Completed" });
});

Deno.test("ScopedRunWatcher.onPipelineRunCompleted() leaves the ending to the work", async () => {
  await withWatcher(async (watcher, registry) => {
    await watcher.onPipelineRunCompleted(RUN, 1);
    assertEquals(registry.snapshotStatus(watcher.runId), { name: "Running" });
  });
});

Deno.test("ScopedRunWatcher.onPayloadField() sets a field of its run", async () => {
  await withWatcher(async (watcher, registry) => {
    await watcher.onPayloadField(watcher.runId, "graph", { nodes: 2 });
    assertEquals(await registry.getPayload(watcher.runId), {
      graph: { nodes: 2 },
    });
  });
});

Deno.test("ScopedRunWatcher.onPayloadField() refuses values that are not JSON", async () => {
  await withWatcher(async (watcher, registry) => {
    await assertRejects(
      () => watcher.onPayloadField(watcher.runId, "key", 1n),
      TypeError,
    );
    assertEquals(await registry.getPayload(watcher.runId), {});
  });
});

Deno.test("ScopedRunWatcher reports into the attempt that it was made for", async () => {
  await using registry = new PipelineRunRegistry();
  const { runId } = await registry.registerInline(
    { pipelineName: "ingest" },
    () => {},
  );
  const former = registry.watcherFor(runId)!;
  await registry.registerBackground(
    { pipelineName: "ingest", runId },
    () => new Promise(() => {}),
  );
  await former.onPipelineRunErrored(RUN, "boom");
  assertEquals(registry.snapshotStatus(runId), { name: "Running" });
});
