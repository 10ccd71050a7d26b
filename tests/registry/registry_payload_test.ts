import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import {
  MemoryPipelineRunRepository,
  PipelineRunRegistry,
  RepositoryError,
} from "../../mod.ts";
import { registerHeld, RUN_ID } from "../known_run.ts";

Deno.test("PipelineRunRegistry.getPayload() gives no fields of an unknown run", async () => {
  await using registry = new PipelineRunRegistry();
  assertEquals(await registry.getPayload(RUN_ID), {});
});

Deno.test("PipelineRunRegistry.getPayload() gives the fields of a live run", async () => {
  await using registry = new PipelineRunRegistry();
  const { run } = await registerHeld(registry);
  await run.setPayload("key", 1);
  assertEquals(await registry.getPayload(`{${RUN_ID}}`), { key: 1 });
});

Deno.test("PipelineRunRegistry.getPayload() rejects with the repository's error as cause", async () => {
  const failure = new Error("down");
  const repository = new MemoryPipelineRunRepository();
  repository.getPayload = () => Promise.reject(failure);
  await using registry = new PipelineRunRegistry({ repository });
  const error = await assertRejects(
    () => registry.getPayload(RUN_ID),
    RepositoryError,
  );
  assertEquals([error.runId, error.cause], [RUN_ID, failure]);
});

Deno.test("PipelineRunRegistry.getPayload() rejects with the repository's own RepositoryError", async () => {
  const failure = new RepositoryError("down", { transient: false });
  const repository = new MemoryPipelineRunRepository();
  repository.getPayload = () => Promise.reject(failure);
  await using registry = new PipelineRunRegistry({ repository });
  assertStrictEquals(
    await assertRejects(() => registry.getPayload(RUN_ID)),
    failure,
  );
});

Deno.test("PipelineRunRegistry.getPayload() rejects with a RepositoryError when the repository throws", async () => {
  const repository = new MemoryPipelineRunRepository();
  repository.getPayload = () => {
    throw new Error("thrown");
  };
  await using registry = new PipelineRunRegistry({ repository });
  await assertRejects(() => registry.getPayload(RUN_ID), RepositoryError);
});
