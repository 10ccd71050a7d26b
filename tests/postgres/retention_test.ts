import { assert, assertEquals, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { RepositoryError } from "../../mod.ts";
import {
  type PostgresClient,
  PostgresPipelineRunRepository,
} from "../../src/postgres/mod.ts";
import { openAskedRegistry } from "./asked_registry.ts";
import type { RunTables } from "./run_tables.ts";
import { statementName } from "./statement_name.ts";

const DAY = 24 * 3_600_000;

/** Adds what a run of ten years ago has left. */
async function addOldRun(tables: RunTables): Promise<string> {
  const runId = crypto.randomUUID();
  const age = 10 * 365 * DAY;
  await tables.addEvents({ runId, seq: 1, kind: "Completed", age });
  await tables.addLease({ runId, ended: true });
  await tables.addRow({ runId, status: "COMPLETED", writtenIn: -age });
  await tables.addField({ runId, key: "a", age });
  return runId;
}

const PRUNING = [
  "prune events",
  "prune leases",
  "prune payload fields",
  "prune results",
  "prune rows",
];

Deno.test("PipelineRunRegistry.sweep() deletes events and leases after a day, and keeps payload fields and rows", async () => {
  await using opened = await openAskedRegistry();
  const { tables, registry } = opened;
  const runId = await addOldRun(tables);
  await tables.sql`
    update pipeline_run_leases set ended_at = now() - interval '25 hours'`;
  assertEquals((await registry.sweep()).pruned, 2);
  assertEquals(await tables.eventsOf(runId), []);
  assertEquals(await tables.leaseOf(runId), undefined);
  assertEquals(await tables.statusesOf(runId), ["COMPLETED"]);
  assertEquals(await registry.getPayload(runId), { a: 1 });
});

Deno.test("PipelineRunRegistry.sweep() deletes nothing if everything is kept for ever", async () => {
  await using opened = await openAskedRegistry({ logRetention: Infinity });
  const { tables, registry, asked } = opened;
  const runId = await addOldRun(tables);
  assertEquals((await registry.sweep()).pruned, 0);
  assertEquals(await tables.eventsOf(runId), ["1 Completed"]);
  assertEquals(asked.filter((name) => PRUNING.includes(name)), []);
});

Deno.test("PipelineRunRegistry.sweep() deletes payload fields and rows after their retention", async () => {
  await using opened = await openAskedRegistry({
    payloadRetention: 9 * 365 * DAY,
    auditRetention: 9 * 365 * DAY,
  });
  const { tables, registry } = opened;
  const runId = await addOldRun(tables);
  assertEquals((await registry.sweep()).pruned, 3);
  assertEquals(await tables.statusesOf(runId), []);
  assertEquals(await registry.getPayload(runId), {});
});

for (const [years, isKept] of [[9, false], [11, true]] as const) {
  const does = isKept ? "keeps" : "deletes";
  Deno.test(`PipelineRunRegistry.sweep() ${does} a result of 10 years ago with a payloadRetention of ${years}`, async () => {
    await using opened = await openAskedRegistry({
      payloadRetention: years * 365 * DAY,
    });
    const { tables, registry } = opened;
    const runId = await addOldRun(tables);
    await tables.sql`
      insert into pipeline_run_results
      select pipeline_run_id, id, '{"value":1}', created_at from pipeline_runs`;
    await registry.sweep();
    assertEquals(
      await registry.getResult(runId),
      isKept ? { value: 1 } : undefined,
    );
  });
}

Deno.test("PipelineRunRegistry.sweep() keeps payload fields and rows for their retention", async () => {
  await using opened = await openAskedRegistry({
    payloadRetention: 11 * 365 * DAY,
    auditRetention: 11 * 365 * DAY,
  });
  const { tables, registry } = opened;
  const runId = await addOldRun(tables);
  assertEquals((await registry.sweep()).pruned, 1);
  assertEquals(await tables.statusesOf(runId), ["COMPLETED"]);
  assertEquals(await registry.getPayload(runId), { a: 1 });
});

Deno.test("PipelineRunRegistry.sweep() deletes payload fields and rows of runs that are not shared", async () => {
  await using opened = await openAskedRegistry({
    shared: false,
    payloadRetention: DAY,
    auditRetention: DAY,
  });
  const { tables, registry, asked } = opened;
  const runId = await addOldRun(tables);
  assertEquals((await registry.sweep()).pruned, 2);
  assertEquals(await tables.statusesOf(runId), []);
  assertEquals(await registry.getPayload(runId), {});
  assertEquals(
    new Set(asked.filter((name) => PRUNING.includes(name))),
    new Set(["prune payload fields", "prune results", "prune rows"]),
  );
});

for (
  const { logRetention, minutes, isKept } of [
    { logRetention: 3_600_000, minutes: 59, isKept: true },
    { logRetention: 3_600_000, minutes: 61, isKept: false },
    { logRetention: 1, minutes: 9, isKept: true },
    { logRetention: 1, minutes: 11, isKept: false },
  ]
) {
  const does = isKept ? "keeps" : "deletes";
  Deno.test(`PipelineRunRegistry.sweep() ${does} the lease of a run that ended ${minutes} minutes ago, with a retention of ${logRetention} ms`, async () => {
    await using opened = await openAskedRegistry({ logRetention });
    const { tables: { sql }, registry } = opened;
    const spec = { pipelineName: "work", runId: crypto.randomUUID() };
    await registry.registerInline(spec, ({ publish }) => publish(1));
    const ended = `${minutes} minutes`;
    await sql`delete from pipeline_run_events`;
    await sql`
      update pipeline_run_leases set ended_at = now() - ${ended}::interval`;
    await registry.sweep();
    const leases = await sql`select from pipeline_run_leases`;
    assertEquals(leases.length, isKept ? 1 : 0);
    await registry.registerInline(spec, ({ publish }) => publish(2));
    const { firstSeq } = (await registry.status(spec.runId))!;
    assertEquals(firstSeq, isKept ? 4 : 1);
  });
}

/** Adds an old run with many events. */
async function addLongRun(tables: RunTables, events: number): Promise<void> {
  await tables.sql`
    insert into pipeline_run_events (pipeline_run_id, seq, kind, at, logged_at)
    select ${crypto.randomUUID()}, seq,
      case seq when ${events}::integer then 'Completed' else 'Yield' end,
      now(), now() - interval '2 days'
    from generate_series(1, ${events}::integer) seq`;
}

Deno.test("PipelineRunRegistry.sweep() deletes 1,000 events at a time until there are no more", async () => {
  await using opened = await openAskedRegistry();
  const { tables, registry, asked } = opened;
  await addLongRun(tables, 1_001);
  assertEquals((await registry.sweep()).pruned, 1_001);
  assertEquals(asked.filter((name) => name === "prune events").length, 3);
});

Deno.test("PipelineRunRegistry.sweep() deletes all attempts of a run whose id is used again and again", async () => {
  await using opened = await openAskedRegistry();
  const { tables, registry } = opened;
  await tables.sql`
    insert into pipeline_run_events (pipeline_run_id, seq, kind, at, logged_at)
    select ${crypto.randomUUID()}, seq, 'Completed', now(),
      now() - interval '2 days' + seq * interval '1 second'
    from generate_series(1, 200) seq`;
  assertEquals((await registry.sweep()).pruned, 200);
});

Deno.test("PostgresPipelineRunRepository.prune() rests as long as it works", async () => {
  await using opened = await openAskedRegistry();
  const { tables, repository } = opened;
  await addLongRun(tables, 10_000);
  let worked = 0;
  const { unsafe } = tables.sql;
  tables.sql.unsafe = ((...query: Parameters<typeof unsafe>) => {
    const from = performance.now();
    const answer = unsafe(...query);
    answer.then(() => worked += performance.now() - from);
    return answer;
  }) as typeof unsafe;
  const from = performance.now();
  await repository.prune();
  const took = performance.now() - from;
  assert(took > 1.5 * worked, `${worked} of ${took} ms`);
});

Deno.test("PostgresPipelineRunRepository.close() ends pruning", async () => {
  using time = new FakeTime();
  const client: PostgresClient = {
    unsafe(query) {
      assertEquals(statementName(query), "prune events");
      return Promise.resolve([{ to_json: "1000" }]);
    },
  };
  const repository = new PostgresPipelineRunRepository(client);
  const pruning = assertRejects(() => repository.prune(), RepositoryError);
  for (let i = 0; i < 3; i++) await time.runMicrotasks();
  await repository.close();
  await pruning;
});
