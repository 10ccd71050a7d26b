import { assertEquals } from "@std/assert";
import { POLL } from "../../src/postgres/sql/events.ts";
import { OtherTransaction, RunTables } from "./run_tables.ts";

const INTEREST = 60_000;

/** What a poll for one run says of it. */
async function poll(
  tables: RunTables,
  runId: string,
  after?: number,
  interest: number | undefined = INTEREST,
): Promise<{ moved: boolean; followed: boolean }> {
  const runs = JSON.stringify([{ runId, after }]);
  const [{ moved, unfollowed }] = await tables.execute(POLL, {
    runs,
    interest,
  }) as [{ moved: string[]; unfollowed: string[] }];
  for (const runIds of [moved, unfollowed]) {
    if (runIds.length > 0) assertEquals(runIds, [runId]);
  }
  return { moved: moved.length > 0, followed: unfollowed.length === 0 };
}

/** For how many seconds a run is followed, to the nearest; null if it is not. */
async function followedFor(
  { sql }: RunTables,
  runId: string,
): Promise<number | null> {
  const [{ seconds }] = await sql`
    select round(extract(epoch from followed_until - now()))::int as seconds
    from pipeline_run_leases where pipeline_run_id = ${runId}`;
  return seconds;
}

Deno.test("POLL finds that a live run has moved behind the reader's position", async () => {
  await using tables = await RunTables.open();
  await tables.addOther();
  const runId = crypto.randomUUID();
  await tables.addLease({ runId, lastSeq: 3 });
  assertEquals((await poll(tables, runId, 2)).moved, true);
  assertEquals((await poll(tables, runId, 3)).moved, false);
  assertEquals((await poll(tables, runId, 4)).moved, false);
});

Deno.test("POLL finds that a live run has begun, for who knows no event", async () => {
  await using tables = await RunTables.open();
  const [waiting, begun] = [crypto.randomUUID(), crypto.randomUUID()];
  await tables.addLease({ runId: waiting, firstSeq: 6, lastSeq: 5 });
  await tables.addLease({ runId: begun, firstSeq: 6, lastSeq: 6 });
  assertEquals((await poll(tables, waiting)).moved, false);
  assertEquals((await poll(tables, begun)).moved, true);
});

Deno.test("POLL finds that a run has ended, whatever the reader knows", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  await tables.addLease({ runId, lastSeq: 3, ended: true });
  assertEquals((await poll(tables, runId, 9)).moved, true);
  assertEquals((await poll(tables, runId)).moved, true);
});

Deno.test("POLL finds what is known of a run without a lease", async () => {
  await using tables = await RunTables.open();
  await tables.addOther();
  const [row, event] = [crypto.randomUUID(), crypto.randomUUID()];
  await tables.addRow({ runId: row, status: "COMPLETED" });
  await tables.addEvents({ runId: event, seq: 1, kind: "Completed" });
  for (const runId of [row, event]) {
    assertEquals(await poll(tables, runId), { moved: true, followed: false });
  }
  assertEquals(await poll(tables, crypto.randomUUID()), {
    moved: false,
    followed: false,
  });
});

Deno.test("POLL follows a live run", async () => {
  await using tables = await RunTables.open();
  const [runId, other] = [crypto.randomUUID(), crypto.randomUUID()];
  await tables.addLease({ runId });
  await tables.addLease({ runId: other });
  assertEquals((await poll(tables, runId)).followed, true);
  assertEquals(await followedFor(tables, runId), 60);
  assertEquals(await followedFor(tables, other), null);
});

Deno.test("POLL follows no run that has ended", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  await tables.addLease({ runId, ended: true });
  assertEquals((await poll(tables, runId)).followed, false);
  assertEquals(await followedFor(tables, runId), null);
});

Deno.test("POLL without interest follows nothing", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  await tables.addLease({ runId, followedFor: 1_000 });
  const runs = JSON.stringify([{ runId }]);
  const [{ unfollowed }] = await tables.execute(POLL, {
    runs,
    interest: undefined,
  }) as [{ unfollowed: string[] }];
  assertEquals(unfollowed, [runId]);
  assertEquals(await followedFor(tables, runId), 1);
});

Deno.test("POLL follows again once half of the time is over", async () => {
  await using tables = await RunTables.open();
  const [early, late] = [crypto.randomUUID(), crypto.randomUUID()];
  await tables.addLease({ runId: early, followedFor: 40_000 });
  await tables.addLease({ runId: late, followedFor: 20_000 });
  for (const runId of [early, late]) {
    assertEquals((await poll(tables, runId)).followed, true);
  }
  assertEquals(await followedFor(tables, early), 40);
  assertEquals(await followedFor(tables, late), 60);
});

Deno.test("POLL does not wait for a run that is being written", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  await tables.addLease({ runId, lastSeq: 1, followedFor: 20_000 });
  await using other = await OtherTransaction.begin(tables, (sql) =>
    sql`
    update pipeline_run_leases set last_seq = 2`);
  await using impatient = await tables.withLockTimeout(100);
  assertEquals(await poll(impatient, runId, 1), {
    moved: false,
    followed: false,
  });
  await other.commit();
  assertEquals(await poll(tables, runId, 1), { moved: true, followed: true });
});

Deno.test("POLL believes the row that it updates, which may be newer than its snapshot", async () => {
  await using tables = await RunTables.open();
  // As if a write were committed between the snapshot and the update.
  await tables.sql`
    create function move() returns trigger language plpgsql
    as 'begin new.last_seq := 2; return new; end'`;
  await tables.sql`
    create trigger move before update on pipeline_run_leases
    for each row execute function move()`;
  const runId = crypto.randomUUID();
  await tables.addLease({ runId, lastSeq: 1 });
  assertEquals(await poll(tables, runId, 1), { moved: true, followed: true });
});
