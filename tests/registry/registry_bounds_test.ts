import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import {
  MemoryPipelineRunRepository,
  PipelineRunRegistry,
  RegistryFullError,
} from "../../mod.ts";
import { runMicrotasks } from "../assert_pending.ts";
import {
  ControlledRepository,
  statuses,
} from "../repository/controlled_repository.ts";
import {
  forever,
  kindsOf,
  KNOWN,
  noop,
  registerHeld,
  RUN_ID,
  SPEC,
} from "../known_run.ts";

Deno.test("PipelineRunRegistry evicts the run that finished first when it is full", async () => {
  await using registry = new PipelineRunRegistry({ maxInMemoryRuns: 3 });
  const [a, b, c] = await Promise.all(
    [1, 2, 3].map(() => registerHeld(registry, SPEC)),
  );
  const held = () =>
    [a, b, c].map(({ runId }) => registry.snapshotStatus(runId)?.name);
  b.complete();
  await b.outcome;
  a.complete();
  await a.outcome;
  assertEquals(held(), ["Completed", "Completed", "Running"]);
  await registerHeld(registry, SPEC);
  assertEquals(held(), ["Completed", undefined, "Running"]);
  await registerHeld(registry, SPEC);
  assertEquals(held(), [undefined, undefined, "Running"]);
});

Deno.test("PipelineRunRegistry refuses a run when it is full of live runs", async () => {
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({
    repository,
    maxInMemoryRuns: 1,
  });
  await registerHeld(registry, SPEC);
  const rows = repository.asked.length;
  let called = false;
  const error = await assertRejects(
    () =>
      registry.registerInline(KNOWN, () => {
        called = true;
      }),
    RegistryFullError,
  );
  await runMicrotasks();
  assertEquals(error.runId, RUN_ID);
  assertEquals(called, false);
  assertEquals(repository.asked.length, rows);
  assertEquals(registry.snapshotStatus(RUN_ID), undefined);
});

Deno.test("PipelineRunRegistry keeps the subscribers of a run that it refused", async () => {
  await using registry = new PipelineRunRegistry({ maxInMemoryRuns: 1 });
  const { complete, outcome } = await registerHeld(registry, SPEC);
  const kinds = kindsOf(registry, RUN_ID);
  await assertRejects(
    () => registry.registerInline(KNOWN, noop),
    RegistryFullError,
  );
  complete();
  await outcome;
  await registry.registerInline(KNOWN, noop);
  assertEquals(await kinds, [
    "Started",
    "Completed",
  ]);
});

Deno.test("PipelineRunRegistry accepts as many concurrent registrations as it has room (fault 7)", async () => {
  await using registry = new PipelineRunRegistry({ maxInMemoryRuns: 3 });
  for (let i = 0; i < 2; i++) await registry.registerInline(SPEC, noop);
  const results = await Promise.allSettled(
    Array.from(
      { length: 10 },
      () => registry.registerBackground(SPEC, forever),
    ),
  );
  const refused = results.filter(({ status }) => status === "rejected");
  assertEquals(refused.length, 7);
  for (const { reason } of refused as PromiseRejectedResult[]) {
    assertInstanceOf(reason, RegistryFullError);
  }
});

Deno.test("PipelineRunRegistry holds no more runs than maxInMemoryRuns under concurrent registrations (fault 7)", async () => {
  for (const finished of [0, 3, 8]) {
    await using registry = new PipelineRunRegistry({ maxInMemoryRuns: 8 });
    for (let i = 0; i < finished; i++) {
      await registry.registerInline(SPEC, noop);
    }
    const ids = Array.from({ length: 32 }, () => crypto.randomUUID());
    const results = await Promise.allSettled(ids.map((runId, i) => {
      const spec = { ...SPEC, runId };
      return i % 2 === 0
        ? registry.registerBackground(spec, forever)
        : Promise.resolve().then(() =>
          registry.registerBackground(spec, forever)
        );
    }));
    const held = ids.filter((id) => registry.snapshotStatus(id) !== undefined);
    assertEquals(held.length, 8);
    for (const result of results) {
      if (result.status === "fulfilled") continue;
      assertInstanceOf(result.reason, RegistryFullError);
    }
  }
});

Deno.test("PipelineRunRegistry evicts no other run for a fresh attempt", async () => {
  await using registry = new PipelineRunRegistry({ maxInMemoryRuns: 2 });
  const { runId } = await registry.registerInline(SPEC, noop);
  await registry.registerInline(KNOWN, noop);
  await registry.registerInline(KNOWN, noop);
  assertEquals(registry.snapshotStatus(runId), { name: "Completed" });
});

Deno.test("PipelineRunRegistry does not evict a fresh attempt in place of its former one (fault 8)", async () => {
  await using registry = new PipelineRunRegistry({ maxInMemoryRuns: 2 });
  await registry.registerInline(KNOWN, noop);
  await registry.registerInline(SPEC, noop);
  const { run } = await registerHeld(registry);
  await registry.registerInline(SPEC, noop);
  await registry.registerInline(SPEC, noop);
  assertEquals(registry.snapshotStatus(run.runId), { name: "Running" });
});

Deno.test("PipelineRunRegistry never evicts a live run whose former attempt has finished (fault 8)", async () => {
  let now = 0;
  await using registry = new PipelineRunRegistry({
    clock: () => now,
    finishedRetention: 1_000,
    maxInMemoryRuns: 2,
  });
  await registry.registerInline(KNOWN, noop);
  await registry.registerBackground(KNOWN, forever);
  now = 2_000;
  await registry.sweep();
  for (let i = 0; i < 3; i++) await registry.registerInline(SPEC, noop);
  assertEquals(registry.snapshotStatus(RUN_ID), { name: "Running" });
});

Deno.test("PipelineRunRegistry evicts a fresh attempt after the runs that finished before it", async () => {
  await using registry = new PipelineRunRegistry({ maxInMemoryRuns: 2 });
  await registry.registerInline(KNOWN, noop);
  const { runId } = await registry.registerInline(SPEC, noop);
  await registry.registerInline(KNOWN, noop);
  await registry.registerInline(SPEC, noop);
  assertEquals(registry.snapshotStatus(runId), undefined);
  assertEquals(registry.snapshotStatus(RUN_ID), { name: "Completed" });
});

Deno.test("PipelineRunRegistry keeps the payload and the rows of a live run while 5,000 others end", async () => {
  const repository = new MemoryPipelineRunRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const { run } = await registerHeld(registry);
  await run.setPayload("key", 1);
  for (let i = 0; i < 5_000; i++) await registry.registerInline(SPEC, noop);
  assertEquals(await registry.getPayload(RUN_ID), { key: 1 });
  assertEquals(await statuses(repository, RUN_ID), ["STARTED"]);
});
