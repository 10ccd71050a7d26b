import { assert, assertEquals, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { PipelineRunRegistry, RepositoryError } from "../../mod.ts";
import { Database } from "../../src/postgres/client/database.ts";
import { PostgresRunLog } from "../../src/postgres/log/postgres_run_log.ts";
import { GroupCommit } from "../../src/postgres/write/group_commit.ts";
import type { Write } from "../../src/postgres/write/write.ts";
import { forever, SPEC } from "../known_run.ts";
import { openAskedRegistry } from "./asked_registry.ts";
import { turn } from "./turn.ts";
import { StubClient } from "./stub_client.ts";

/** Registers a run that goes on, and waits until it is in the log. */
async function hold(registry: PipelineRunRegistry): Promise<string> {
  const { runId } = await registry.registerBackground(SPEC, forever);
  const events = registry.subscribe(runId, { durable: true });
  for await (const { kind } of events) if (kind === "Started") break;
  return runId;
}

Deno.test("PostgresRunLog.follow() reads a run of this instance from memory", async () => {
  await using opened = await openAskedRegistry();
  const { registry, asked } = opened;
  const runId = await hold(registry);
  asked.length = 0;
  const events = registry.subscribe(runId);
  for await (const { kind } of events) if (kind === "Started") break;
  assert(!asked.includes("read events"));
});

Deno.test("PostgresRunLog.follow() reads a run of this instance from the log if it is to be durable", async () => {
  await using opened = await openAskedRegistry();
  const { registry, asked } = opened;
  const { runId } = await registry.registerInline(SPEC, () => {});
  await Array.fromAsync(registry.subscribe(runId));
  asked.length = 0;
  await Array.fromAsync(registry.subscribe(runId, { durable: true }));
  assertEquals(asked.filter((name) => name === "read events").length, 1);
});

Deno.test("PostgresRunLog.follow() listens for a run that it waits for, and not for one that has ended", async () => {
  await using opened = await openAskedRegistry();
  const { registry, asked } = opened;
  const { runId } = await registry.registerInline(SPEC, () => {});
  await Array.fromAsync(registry.subscribe(runId));
  assert(!asked.includes("listen"));
  const reader = registry.subscribe(crypto.randomUUID()).getReader();
  const read = reader.read();
  while (!asked.includes("listen")) await turn();
  await reader.cancel();
  await read;
});

Deno.test("PostgresRunLog.requestAbort() tells that a run of another instance has ended", async () => {
  await using opened = await openAskedRegistry();
  const { registry, repository } = opened;
  const { runId } = await registry.registerInline(SPEC, () => {});
  const held = await hold(registry);
  await using other = new PipelineRunRegistry({ repository });
  assertEquals(await other.abort(runId), "ended");
  assertEquals(await other.abort(held), "requested");
  await assertRejects(() => other.abort(crypto.randomUUID()));
});

Deno.test("PostgresRunLog.reap() does not end this instance's own runs after an outage", async () => {
  await using opened = await openAskedRegistry();
  const { registry, tables } = opened;
  const runId = await hold(registry);
  await tables.sql`
    update pipeline_run_leases set expires_at = now() - interval '1 hour'`;
  assertEquals((await registry.sweep()).reaped, 0);
  assertEquals(registry.snapshotStatus(runId), { name: "Running" });
  assertEquals((await tables.leaseOf(runId))?.is_renewed, true);
});

Deno.test("PostgresRunLog.close() rejects those who wait for the log", async () => {
  await using opened = await openAskedRegistry();
  const { registry, repository } = opened;
  const reader = registry.subscribe(crypto.randomUUID()).getReader();
  const read = reader.read();
  let error: unknown;
  read.catch((reason) => error = reason);
  await repository.close();
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
  assert(error instanceof RepositoryError, `${error}`);
});

Deno.test("PostgresRunLog.close() stops renewing", async () => {
  using time = new FakeTime();
  const client = new StubClient();
  const log = new PostgresRunLog({
    database: new Database(client, 1_000),
    writes: new GroupCommit<Write>({
      writer: { write: () => Promise.resolve(new Map()) },
      maxItems: 1,
      maxBytes: 1,
      maxQueuedBytes: 1,
      onTrouble: () => {},
    }),
    owner: crypto.randomUUID(),
    listener: undefined,
    replica: undefined,
    leaseDuration: 60_000,
    renewInterval: 10_000,
    pollInterval: 1_000,
    warn: () => {},
  });
  const lease = log.open({
    runId: crypto.randomUUID(),
    given: true,
    maxPayloadBytes: 1,
    onAbortRequest: () => {},
    onLost: () => {},
  });
  const claimed = lease.claim();
  client.named("claim")[0].answer([1, 0]);
  await claimed;
  await log.close();
  await time.tickAsync(30_000);
  assertEquals(client.names, ["claim"]);
});

Deno.test("PostgresRunLog.reap() renews before it ends runs", async () => {
  await using opened = await openAskedRegistry();
  const { registry, asked } = opened;
  await hold(registry);
  asked.length = 0;
  await registry.sweep();
  assertEquals(asked.filter((name) => name === "renew" || name === "reap"), [
    "renew",
    "reap",
  ]);
});
