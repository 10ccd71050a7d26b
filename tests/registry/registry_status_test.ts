import { assertEquals, assertThrows } from "@std/assert";
import { MemoryPipelineRunRepository, PipelineRunRegistry } from "../../mod.ts";
import {
  KNOWN,
  noop,
  registerHeld,
  RUN_ID,
  SPEC,
  SPELLINGS,
} from "../known_run.ts";

Deno.test("PipelineRunRegistry.snapshotStatus() follows a run from Running to Completed", async () => {
  await using registry = new PipelineRunRegistry();
  const { complete, outcome } = await registerHeld(registry);
  assertEquals(registry.snapshotStatus(RUN_ID), { name: "Running" });
  complete();
  await outcome;
  assertEquals(registry.snapshotStatus(RUN_ID), { name: "Completed" });
});

Deno.test("PipelineRunRegistry.snapshotStatus() gives the ending of a run without subscribers", async () => {
  await using registry = new PipelineRunRegistry();
  const { outcome } = await registry.registerBackground(KNOWN, noop);
  await outcome;
  assertEquals(registry.snapshotStatus(RUN_ID), { name: "Completed" });
  await registry.registerInline(KNOWN, () => Promise.reject(new Error("boom")));
  assertEquals(registry.snapshotStatus(RUN_ID), {
    name: "Errored",
    code: "work",
    message: "boom",
  });
});

Deno.test("PipelineRunRegistry.snapshotStatus() is undefined for an unknown run", async () => {
  await using registry = new PipelineRunRegistry();
  assertEquals(registry.snapshotStatus(RUN_ID), undefined);
});

Deno.test("PipelineRunRegistry.snapshotStatus() is undefined for a run that has only subscribers", async () => {
  await using registry = new PipelineRunRegistry();
  const events = registry.subscribe(RUN_ID);
  assertEquals(registry.snapshotStatus(RUN_ID), undefined);
  await events.cancel();
});

Deno.test("PipelineRunRegistry.snapshotStatus() gives a phase that cannot be changed", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline(KNOWN, () => Promise.reject(new Error("boom")));
  const phase = registry.snapshotStatus(RUN_ID)!;
  assertThrows(() => phase.name = "Running", TypeError);
  assertEquals(registry.snapshotStatus(RUN_ID)?.name, "Errored");
});

Deno.test("PipelineRunRegistry.status() gives the status of a run in memory", async () => {
  await using registry = new PipelineRunRegistry();
  const { runId } = await registry.registerInline(SPEC, noop);
  const { row, ...status } = (await registry.status(runId))!;
  assertEquals(status, {
    runId,
    phase: { name: "Completed" },
    ended: true,
    firstSeq: 1,
    lastSeq: 2,
  });
  assertEquals(row?.status, "DATASET_PROCESSING_COMPLETED");
  assertEquals(await registry.status(crypto.randomUUID()), undefined);
});

Deno.test("PipelineRunRegistry.status() gives the status of a run that has only rows", async () => {
  const repository = new MemoryPipelineRunRepository();
  await using former = new PipelineRunRegistry({ repository });
  const { runId } = await former.registerInline(SPEC, () => {
    throw new Error("boom");
  });
  await using registry = new PipelineRunRegistry({ repository });
  const { row, ...status } = (await registry.status(runId))!;
  assertEquals(status, {
    runId,
    phase: { name: "Errored", code: "work", message: "boom" },
    ended: true,
    firstSeq: 1,
    lastSeq: 0,
  });
  assertEquals(row?.status, "DATASET_PROCESSING_ERRORED");
});

Deno.test("PipelineRunRegistry.watcherFor() gives a watcher of a run in memory", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline(KNOWN, noop);
  assertEquals(registry.watcherFor(SPELLINGS[0])?.runId, RUN_ID);
});

Deno.test("PipelineRunRegistry.watcherFor() is undefined for an unknown run", async () => {
  await using registry = new PipelineRunRegistry();
  assertEquals(registry.watcherFor(RUN_ID), undefined);
});
