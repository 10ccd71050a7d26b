import { assert, assertEquals } from "@std/assert";
import { PipelineRunRegistry } from "../../mod.ts";
import {
  PostgresPipelineRunRepository,
  type PostgresPipelineRunRepositoryOptions,
} from "../../src/postgres/mod.ts";
import { forever, SPEC } from "../known_run.ts";
import { testRepository } from "../repository/repository_contract.ts";
import { openDatabase } from "./open_database.ts";
import { partition } from "./partition.ts";

/** Two repositories on the same partitioned tables. */
async function open(options: PostgresPipelineRunRepositoryOptions = {}) {
  await using stack = new AsyncDisposableStack();
  const { sql } = stack.use(await openDatabase());
  const [repository, other] = Array.from(
    { length: 2 },
    () => stack.use(new PostgresPipelineRunRepository(sql, options)),
  );
  await repository.migrate();
  await partition(sql);
  await repository.migrate();
  const opened = stack.move();
  return {
    sql,
    repository,
    other,
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

testRepository("PostgresPipelineRunRepository on hash partitions", open);

/** How many partitions of a table have rows. */
async function used(
  { sql }: Awaited<ReturnType<typeof open>>,
  table: string,
): Promise<number> {
  const rows = await sql.unsafe(`select distinct tableoid from ${table}`);
  return rows.length;
}

Deno.test("PipelineRunRegistry follows, repeats, aborts and prunes runs on hash partitions", async () => {
  await using opened = await open({
    logRetention: 1,
    payloadRetention: 1,
    renewInterval: 50,
  });
  await using registry = new PipelineRunRegistry(opened);
  await using other = new PipelineRunRegistry({ repository: opened.other });
  // Random ids can leave a partition empty.
  const runIds = Array.from(
    { length: 32 },
    (_, i) => `00000000-0000-4000-8000-${String(i).padStart(12, "0")}`,
  );
  for (const after of [0, 3]) {
    const seen = runIds.map(async (runId, i) => {
      const spec = { ...SPEC, runId };
      const { outcome } = await registry.registerBackground(
        spec,
        async (run) => {
          await run.setPayload("place", i);
          run.publish(1);
          if (i % 2 > 0) await forever();
          return i;
        },
      );
      const kinds: string[] = [];
      for await (const { kind, seq } of other.subscribe(runId, { after })) {
        kinds.push(`${seq - after} ${kind}`);
        if (kind === "Yield" && i % 2 > 0) await other.abort(runId);
      }
      assert((await outcome).durable);
      const result = i % 2 > 0 ? undefined : { value: i };
      assertEquals(await other.getResult(runId), result);
      return kinds;
    });
    for (const [i, kinds] of (await Promise.all(seen)).entries()) {
      const ending = i % 2 > 0 ? "Errored" : "Completed";
      assertEquals(kinds, ["1 Started", "2 Yield", `3 ${ending}`]);
    }
  }
  for (const table of ["events", "leases", "payload_fields", "results"]) {
    assertEquals(await used(opened, `pipeline_run_${table}`), 4);
  }
  await opened.sql`
    update pipeline_run_leases set ended_at = now() - interval '1 hour'`;
  const eventsAndFields = 2 * 3 * 32 + 32;
  const leasesAndResults = 32 + 2 * 16;
  assertEquals(
    (await other.sweep()).pruned,
    eventsAndFields + leasesAndResults,
  );
  for (const table of ["events", "leases", "payload_fields", "results"]) {
    assertEquals(await used(opened, `pipeline_run_${table}`), 0);
  }
});

Deno.test("PipelineRunRegistry.sweep() ends dead runs on hash partitions", async () => {
  await using opened = await open({ renewInterval: 50 });
  const { sql, other } = opened;
  await using registry = new PipelineRunRegistry({ repository: other });
  await sql`
    insert into pipeline_run_leases (
      pipeline_run_id, owner, claim, generation, last_seq, expires_at
    )
    select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 1, 1,
      now() - interval '1 minute'
    from generate_series(1, 32)`;
  assertEquals((await registry.sweep()).reaped, 32);
  const endings = await sql`
    select distinct seq, kind, message from pipeline_run_events`;
  assertEquals([...endings], [
    { seq: "2", kind: "Errored", message: "lease_expired" },
  ]);
});
