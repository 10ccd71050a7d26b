import { assert, assertEquals, assertNotEquals } from "@std/assert";
import postgres from "postgres";
import { CHANNEL } from "../../src/postgres/sql/events.ts";
import { REAP } from "../../src/postgres/sql/leases.ts";
import { OtherTransaction, RunTables } from "./run_tables.ts";

const EXPIRED = { expiresIn: -10_000 };

interface ReapOptions {
  notice?: number;
  limit?: number;
  runId?: string;
}

/** Reaps once. */
async function reap(
  tables: RunTables,
  { notice = 100, limit = 100, runId }: ReapOptions = {},
): Promise<{ reaped: number; isAnyLeft: boolean }> {
  const values = { reason: "lease_expired", notice, limit, runId };
  const [answer] = await tables.execute(REAP, values);
  const [reaped, isAnyLeft] = answer as [number, boolean];
  return { reaped, isAnyLeft };
}

/** Reaps once, after notice was given to all leases that have expired. */
async function reapAfterNotice(
  tables: RunTables,
  options?: ReapOptions,
): Promise<{ reaped: number; isAnyLeft: boolean }> {
  await tables.sql`
    update pipeline_run_leases set notice_at = now() - interval '0.2 s'
    where ended_at is null and expires_at < now()`;
  return await reap(tables, options);
}

const NONE = { reaped: 0, isAnyLeft: false };
const ONE = { reaped: 1, isAnyLeft: false };
const LEFT = { reaped: 0, isAnyLeft: true };

Deno.test("REAP ends a run whose lease has expired: its lease, its row and its events", async () => {
  await using tables = await RunTables.open();
  await tables.addOther();
  const runId = crypto.randomUUID();
  await tables.addLease({ runId, generation: 2, lastSeq: 4, ...EXPIRED });
  await tables.addRow({ runId, status: "STARTED", writtenIn: 1 });
  assertEquals(await reapAfterNotice(tables), ONE);
  const lease = (await tables.leaseOf(runId))!;
  assertEquals(
    [lease.ended, lease.generation, lease.last_seq],
    [true, 3, "5"],
  );
  assertNotEquals(lease.ending, null);
  assertEquals(await tables.eventsOf(runId), ["5 Errored"]);
  assertEquals(await tables.statusesOf(runId), ["STARTED", "ERRORED"]);
  const [row] = await tables.sql`
    select id from pipeline_runs
    where pipeline_run_id = ${runId} and status like '%ERRORED'`;
  assertEquals(row.id, lease.ending);
});

Deno.test("REAP ends a run once", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  await tables.addLease({ runId, ...EXPIRED });
  assertEquals(await reapAfterNotice(tables), ONE);
  assertEquals(await reapAfterNotice(tables), NONE);
  assertEquals(await tables.eventsOf(runId), ["1 Errored"]);
});

Deno.test("REAP leaves leases alone that have not expired", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  await tables.addLease({ runId });
  assertEquals(await reapAfterNotice(tables), NONE);
  const lease = (await tables.leaseOf(runId))!;
  assertEquals([lease.ended, lease.notice_at], [false, null]);
});

Deno.test("REAP ends the lease of one run, if it is told which", async () => {
  await using tables = await RunTables.open();
  const [runId, otherId] = [crypto.randomUUID(), crypto.randomUUID()];
  await tables.addLease({ runId, ...EXPIRED });
  await tables.addLease({ runId: otherId, ...EXPIRED });
  assertEquals(await reapAfterNotice(tables, { runId }), ONE);
  assertEquals((await tables.leaseOf(otherId))?.ended, false);
});

Deno.test("REAP gives notice first, and ends the run when that is over", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  await tables.addLease({ runId, ...EXPIRED });
  assertEquals(await reap(tables, { notice: 60_000 }), LEFT);
  const { notice_at } = (await tables.leaseOf(runId))!;
  assert(notice_at !== null);
  assertEquals(await reap(tables, { notice: 60_000 }), LEFT);
  assertEquals((await tables.leaseOf(runId))?.notice_at, notice_at);
  assertEquals(await reapAfterNotice(tables), ONE);
});

Deno.test("REAP does not count a notice that is much older than it must be", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  await tables.addLease({ runId, ...EXPIRED, noticeIn: -1_500 });
  assertEquals(await reap(tables), LEFT);
  assertEquals(await reapAfterNotice(tables), ONE);
});

Deno.test("REAP counts a notice for half as long again as it must be", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  const lease = { expiresIn: -100_000, noticeIn: -80_000 };
  await tables.addLease({ runId, ...lease });
  const { notice_at } = (await tables.leaseOf(runId))!;
  await reap(tables, { notice: 60_000 });
  assertEquals((await tables.leaseOf(runId))?.notice_at, notice_at);
});

Deno.test("REAP does not count a notice from before the last renewal", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  await tables.addLease({ runId, expiresIn: -10, noticeIn: -600 });
  assertEquals(await reap(tables, { notice: 500 }), LEFT);
  const [{ is_new }] = await tables.sql`
    select notice_at > expires_at as is_new from pipeline_run_leases`;
  assertEquals(is_new, true);
});

Deno.test("REAP ends at most as many runs as it is told, and says if others are left", async () => {
  await using tables = await RunTables.open();
  for (let i = 0; i < 3; i++) {
    await tables.addLease({ runId: crypto.randomUUID(), ...EXPIRED });
  }
  assertEquals(await reapAfterNotice(tables, { limit: 2 }), {
    reaped: 2,
    isAnyLeft: true,
  });
  assertEquals(await reapAfterNotice(tables, { limit: 2 }), ONE);
});

for (const isWarned of [false, true]) {
  const does = isWarned ? "ends" : "gives notice";
  Deno.test(`REAP ${does} without waiting for leases that another changes`, async () => {
    await using tables = await RunTables.open();
    const [runId, otherId] = [crypto.randomUUID(), crypto.randomUUID()];
    await using patient = await tables.withLockTimeout(300);
    await patient.sql`select`; // It is connected.
    const lease = { ...EXPIRED, noticeIn: isWarned ? -200 : undefined };
    await tables.addLease({ runId, ...lease });
    await tables.addLease({ runId: otherId, ...lease });
    await using _other = await OtherTransaction.begin(
      tables,
      (sql) =>
        sql`
          select from pipeline_run_leases where pipeline_run_id = ${otherId}
          for update`,
    );
    const reaped = isWarned ? 1 : 0;
    assertEquals(await reap(patient), { reaped, isAnyLeft: true });
    const found = (await tables.leaseOf(runId))!;
    assertEquals([found.ended, found.notice_at !== null], [isWarned, true]);
  });
}

Deno.test("REAP adds no row after one that says that the run has ended", async () => {
  await using tables = await RunTables.open();
  const [ended, again] = [crypto.randomUUID(), crypto.randomUUID()];
  for (const runId of [ended, again]) {
    await tables.addLease({ runId, ...EXPIRED });
  }
  await tables.addRow({ runId: ended, status: "STARTED", writtenIn: 1 });
  await tables.addRow({ runId: ended, status: "COMPLETED", writtenIn: 2 });
  await tables.addRow({ runId: again, status: "COMPLETED", writtenIn: 1 });
  await tables.addRow({ runId: again, status: "STARTED", writtenIn: 2 });
  assertEquals((await reapAfterNotice(tables)).reaped, 2);
  assertEquals(await tables.statusesOf(ended), ["STARTED", "COMPLETED"]);
  assertEquals(await tables.statusesOf(again), [
    "COMPLETED",
    "STARTED",
    "ERRORED",
  ]);
});

Deno.test("REAP notifies of the runs that are followed and ended", async () => {
  await using tables = await RunTables.open();
  const [followed, formerly, live] = [1, 2, 3].map(() => crypto.randomUUID());
  await tables.addLease({ runId: followed, ...EXPIRED, followedFor: 60_000 });
  await tables.addLease({ runId: formerly, ...EXPIRED, followedFor: -1_000 });
  await tables.addLease({ runId: live, followedFor: 60_000 });
  const heard: string[] = [];
  const last = Promise.withResolvers<void>();
  const other = postgres(tables.url, { max: 1 });
  await other.listen(CHANNEL, (payload) => {
    heard.push(payload);
    if (payload === `last ${live}`) last.resolve();
  });
  await reapAfterNotice(tables);
  await other.notify(CHANNEL, `last ${live}`);
  await last.promise;
  assertEquals(heard, [followed, `last ${live}`]);
  await other.end();
});
