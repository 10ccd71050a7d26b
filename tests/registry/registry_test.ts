import { assertEquals, assertRejects } from "@std/assert";
import {
  MemoryPipelineRunRepository,
  PipelineRunRegistry,
  RegistryFullError,
  RepositoryError,
} from "../../mod.ts";
import {
  ControlledRepository,
  statuses,
} from "../repository/controlled_repository.ts";
import {
  eventsOf,
  forever,
  KNOWN,
  noop,
  RUN_ID,
  SPEC,
  SPELLINGS,
} from "../known_run.ts";

Deno.test("PipelineRunRegistry converts run ids to canonical spelling (fault 39)", async () => {
  for (const runId of SPELLINGS) {
    const repository = new MemoryPipelineRunRepository();
    await using registry = new PipelineRunRegistry({ repository });
    let seen: string | undefined;
    const handle = await registry.registerBackground(
      { ...SPEC, runId },
      async (run) => {
        seen = run.runId;
        await run.setPayload("key", 1);
      },
    );
    assertEquals(handle.runId, RUN_ID);
    assertEquals((await handle.outcome).runId, RUN_ID);
    assertEquals(seen, RUN_ID);
    assertEquals(registry.snapshotStatus(RUN_ID), { name: "Completed" });
    assertEquals(await repository.getPayload(RUN_ID), { key: 1 });
    assertEquals(await statuses(repository, RUN_ID), ["STARTED", "COMPLETED"]);
  }
});

Deno.test("PipelineRunRegistryOptions.onWarning may throw (fault 6)", async () => {
  const repository = new ControlledRepository();
  repository.beforeRow = () =>
    Promise.reject(new RepositoryError("no", { transient: false }));
  await using registry = new PipelineRunRegistry({
    repository,
    onWarning() {
      throw new Error("from onWarning");
    },
  });
  const { phase } = await registry.registerInline(SPEC, noop);
  assertEquals(phase, { name: "Completed" });
});

/** The reasons of the rejections that stay unhandled. */
async function unhandledDuring(act: () => Promise<void>): Promise<unknown[]> {
  const reasons: unknown[] = [];
  const onUnhandled = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    reasons.push(event.reason);
  };
  globalThis.addEventListener("unhandledrejection", onUnhandled);
  try {
    await act();
    // Rejections are reported between two turns of the event loop.
    await new Promise((resolve) => setTimeout(resolve, 0));
  } finally {
    globalThis.removeEventListener("unhandledrejection", onUnhandled);
  }
  return reasons;
}

Deno.test("PipelineRunRegistryOptions.onWarning may reject (fault 6)", async () => {
  const repository = new ControlledRepository();
  repository.beforeRow = () =>
    Promise.reject(new RepositoryError("no", { transient: false }));
  await using registry = new PipelineRunRegistry({
    repository,
    onWarning: () => Promise.reject(new Error("from onWarning")),
  });
  const unhandled = await unhandledDuring(async () => {
    await registry.registerInline(SPEC, noop);
  });
  assertEquals(unhandled, []);
});

Deno.test("PipelineRunRegistryOptions.channelCapacity is 64 by default", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline<number>(KNOWN, ({ publish }) => {
    for (let i = 0; i < 63; i++) publish(i);
  });
  const [lagged, ...held] = await eventsOf(registry, RUN_ID, {
    after: 0,
    lag: "skip",
  });
  assertEquals(lagged.kind === "Lagged" && lagged.missed, 1);
  assertEquals(held.length, 64);
});

Deno.test("PipelineRunRegistryOptions.finishedRetention is an hour by default", async () => {
  let now = 0;
  await using registry = new PipelineRunRegistry({ clock: () => now });
  await registry.registerInline(KNOWN, noop);
  now = 3_599_999;
  assertEquals(await registry.sweep(), { evicted: 0, reaped: 0, pruned: 0 });
  now = 3_600_000;
  assertEquals(await registry.sweep(), { evicted: 1, reaped: 0, pruned: 0 });
});

Deno.test("PipelineRunRegistryOptions.maxPayloadBytes is a mebibyte by default", async () => {
  await using registry = new PipelineRunRegistry();
  const { phase } = await registry.registerInline(
    SPEC,
    async ({ setPayload }) => {
      await setPayload("key", "a".repeat(1_048_576 - 2));
      await assertRejects(
        () => setPayload("key", "a".repeat(1_048_576 - 1)),
        RangeError,
      );
    },
  );
  assertEquals(phase, { name: "Completed" });
});

Deno.test("PipelineRunRegistryOptions.maxInMemoryRuns is 4,096 by default", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline(KNOWN, noop);
  for (let i = 0; i < 4_096; i++) {
    await registry.registerBackground(SPEC, forever);
  }
  assertEquals(registry.snapshotStatus(RUN_ID), undefined);
  await assertRejects(
    () => registry.registerBackground(SPEC, forever),
    RegistryFullError,
  );
});
