import { assertEquals } from "@std/assert";
import { WRITE_STEPS } from "../../src/postgres/sql/writes.ts";
import { answerOf, ClaimedRun, OWNER, writeSteps } from "./claimed_run.ts";
import { isBlocked, OtherTransaction, RunTables } from "./run_tables.ts";

Deno.test("WRITE_STEPS writes the row, the event and the lease of a run that begins", async () => {
  await using tables = await RunTables.open();
  const claimed = new ClaimedRun(tables);
  const row = claimed.row();
  const events = [claimed.event(1, "Started")];
  assertEquals(await claimed.write({ begins: true }, events, [row]), []);
  assertEquals(await tables.eventsOf(claimed.runId), ["1 Started"]);
  assertEquals(await tables.statusesOf(claimed.runId), ["STARTED"]);
  const lease = (await tables.leaseOf(claimed.runId))!;
  assertEquals(
    [lease.owner, lease.claim, lease.generation, lease.last_seq],
    [OWNER, claimed.claimId, 1, "1"],
  );
  assertEquals([lease.ended, lease.is_renewed], [false, true]);
});

Deno.test("WRITE_STEPS refuses a step under another claim of the same generation", async () => {
  await using tables = await RunTables.open();
  const { runId } = new ClaimedRun(tables);
  await tables.addLease({ runId, generation: 1, lastSeq: 1 });
  const former = new ClaimedRun(tables, { runId, generation: 1 });
  assertEquals(await former.step(2), [runId]);
  assertEquals(await tables.eventsOf(runId), []);
});

Deno.test("WRITE_STEPS refuses a step under a former generation of its claim", async () => {
  await using tables = await RunTables.open();
  const claimed = new ClaimedRun(tables, { generation: 1 });
  const { runId, claimId } = claimed;
  await tables.addLease({ runId, claimId, generation: 2 });
  assertEquals(await claimed.step(2), [runId]);
  assertEquals(await tables.eventsOf(runId), []);
});

Deno.test("WRITE_STEPS refuses a step of a lease that another ended", async () => {
  await using tables = await RunTables.open();
  const claimed = new ClaimedRun(tables);
  const { runId, claimId } = claimed;
  const endingId = crypto.randomUUID();
  await tables.addLease({ runId, claimId, ended: true, endingId });
  assertEquals(await claimed.step(2), [runId]);
  assertEquals(await claimed.end(2), [runId]);
  assertEquals(await tables.eventsOf(runId), []);
  assertEquals((await tables.leaseOf(runId))?.ending, endingId);
});

Deno.test("WRITE_STEPS refuses each step of a run that was reaped", async () => {
  await using tables = await RunTables.open();
  const claimed = new ClaimedRun(tables);
  const { runId } = claimed;
  await claimed.begin();
  await tables.sql`
    update pipeline_run_leases
    set generation = generation + 1, ended_at = now(), ending = ${runId}`;
  assertEquals(await claimed.step(2), [runId]);
  assertEquals(await claimed.end(2), [runId]);
  assertEquals(await tables.eventsOf(runId), ["1 Started"]);
  assertEquals((await tables.leaseOf(runId))?.ending, runId);
});

Deno.test("WRITE_STEPS accepts its own ending again", async () => {
  await using tables = await RunTables.open();
  const claimed = new ClaimedRun(tables);
  await claimed.begin();
  const row = claimed.row();
  const ending = [
    { lastSeq: 2, endingId: claimed.endingId },
    [claimed.event(2, "Completed")],
    [row],
  ] as const;
  const [change, events, rows] = ending;
  assertEquals(await claimed.write(change, [...events], [...rows]), []);
  assertEquals(
    await claimed.write(change, [...events], [...rows], WRITE_STEPS.again),
    [],
  );
  const { runId } = claimed;
  assertEquals(await tables.eventsOf(runId), ["1 Started", "2 Completed"]);
  assertEquals(await tables.statusesOf(runId), ["STARTED"]);
});

Deno.test("WRITE_STEPS accepts its own beginning again", async () => {
  await using tables = await RunTables.open();
  const claimed = new ClaimedRun(tables);
  await claimed.begin();
  const events = [claimed.event(1, "Started")];
  const { again } = WRITE_STEPS;
  assertEquals(await claimed.write({ begins: true }, events, [], again), []);
  assertEquals(await tables.eventsOf(claimed.runId), ["1 Started"]);
});

Deno.test("WRITE_STEPS ends the lease with the ending only", async () => {
  await using tables = await RunTables.open();
  const claimed = new ClaimedRun(tables);
  const { runId, endingId } = claimed;
  await claimed.begin();
  assertEquals(await claimed.step(2), []);
  const live = await tables.leaseOf(runId);
  assertEquals([live?.ended, live?.ending], [false, null]);
  assertEquals(await claimed.end(3), []);
  const ended = await tables.leaseOf(runId);
  assertEquals([ended?.ended, ended?.ending], [true, endingId]);
});

Deno.test("WRITE_STEPS raises last_seq and never lowers it", async () => {
  await using tables = await RunTables.open();
  const claimed = new ClaimedRun(tables);
  await claimed.begin();
  await claimed.step(5);
  assertEquals((await tables.leaseOf(claimed.runId))?.last_seq, "5");
  await claimed.step(3);
  assertEquals((await tables.leaseOf(claimed.runId))?.last_seq, "5");
});

Deno.test("WRITE_STEPS renews the lease", async () => {
  await using tables = await RunTables.open();
  const claimed = new ClaimedRun(tables);
  const { runId, claimId } = claimed;
  await tables.addLease({ runId, claimId, expiresIn: 1_000 });
  await claimed.step(2);
  assertEquals((await tables.leaseOf(runId))?.is_renewed, true);
});

Deno.test("WRITE_STEPS writes to a live lease whose time is over", async () => {
  await using tables = await RunTables.open();
  const claimed = new ClaimedRun(tables);
  const { runId, claimId } = claimed;
  await tables.addLease({ runId, claimId, expiresIn: -1_000 });
  assertEquals(await claimed.step(2), []);
});

Deno.test("WRITE_STEPS begins no lease for a step that does not begin one", async () => {
  await using tables = await RunTables.open();
  const claimed = new ClaimedRun(tables);
  assertEquals(await claimed.step(2), [claimed.runId]);
  assertEquals(await claimed.end(2), [claimed.runId]);
  assertEquals(await tables.leaseOf(claimed.runId), undefined);
  assertEquals(await tables.eventsOf(claimed.runId), []);
});

Deno.test("WRITE_STEPS leaves no lease of a run that begins and ends at once", async () => {
  await using tables = await RunTables.open();
  const claimed = new ClaimedRun(tables);
  const events = [claimed.event(1, "Started"), claimed.event(2, "Completed")];
  const change = { begins: true, lastSeq: 2, endingId: claimed.endingId };
  assertEquals(await claimed.write(change, events), []);
  assertEquals(await tables.leaseOf(claimed.runId), undefined);
  assertEquals(await tables.eventsOf(claimed.runId), [
    "1 Started",
    "2 Completed",
  ]);
});

Deno.test("WRITE_STEPS refuses to begin a run that another claim holds or has held", async () => {
  await using tables = await RunTables.open();
  for (const ended of [false, true]) {
    const claimed = new ClaimedRun(tables);
    const { runId } = claimed;
    await tables.addLease({ runId, ended, expiresIn: 1_000 });
    assertEquals(await claimed.begin(), [runId]);
    assertEquals(await tables.eventsOf(runId), []);
    assertEquals((await tables.leaseOf(runId))?.is_renewed, false);
  }
});

Deno.test("WRITE_STEPS refuses to begin a run again that another ended", async () => {
  await using tables = await RunTables.open();
  const claimed = new ClaimedRun(tables);
  const { runId, claimId } = claimed;
  await tables.addLease({ runId, claimId, ended: true, endingId: runId });
  assertEquals(await claimed.begin(), [runId]);
  assertEquals(await tables.eventsOf(runId), []);
});

for (const isOwn of [true, false]) {
  const does = isOwn ? "accepts" : "refuses";
  const whose = isOwn ? "its own first try" : "another claim";
  Deno.test(`WRITE_STEPS ${does} the lease of ${whose} that it waited for`, async () => {
    await using tables = await RunTables.open();
    const claimed = new ClaimedRun(tables);
    const { runId } = claimed;
    const claimId = isOwn ? claimed.claimId : crypto.randomUUID();
    await using first = await OtherTransaction.begin(
      tables,
      (sql) => tables.addLease({ runId, claimId, expiresIn: 1_000 }, sql),
    );
    const begun = claimed.begin();
    await isBlocked(tables, "write steps");
    await first.commit();
    assertEquals(await begun, isOwn ? [] : [runId]);
    assertEquals(await tables.eventsOf(runId), isOwn ? ["1 Started"] : []);
    assertEquals((await tables.leaseOf(runId))?.is_renewed, isOwn);
  });
}

Deno.test("WRITE_STEPS reports and leaves out the lost runs of a group, and no others", async () => {
  await using tables = await RunTables.open();
  const [held, lost] = [new ClaimedRun(tables), new ClaimedRun(tables)];
  const bare = new ClaimedRun(tables);
  await held.begin();
  const { runId } = lost;
  await tables.addLease({ runId, generation: 1 });
  assertEquals(
    await writeSteps(tables, {
      runs: [held.change({ lastSeq: 2 }), lost.change({ lastSeq: 2 })],
      events: [held.event(2, "Yield"), lost.event(2, "Yield")],
      rows: [held.row(), lost.row(), bare.row()],
    }),
    [runId],
  );
  assertEquals(await tables.eventsOf(held.runId), ["1 Started", "2 Yield"]);
  assertEquals(await tables.eventsOf(runId), []);
  assertEquals(await tables.statusesOf(held.runId), ["STARTED"]);
  assertEquals(await tables.statusesOf(runId), []);
  assertEquals(await tables.statusesOf(bare.runId), ["STARTED"]);
});

Deno.test("WRITE_STEPS dates a row after the run's last row, unless the run begins", async () => {
  await using tables = await RunTables.open();
  const claimed = new ClaimedRun(tables);
  const { runId, claimId } = claimed;
  await tables.addLease({ runId, claimId });
  const day = 24 * 3_600_000;
  await tables.addRow({ runId, status: "INITIATED", writtenIn: 2 * day });
  await claimed.write({ lastSeq: 2 }, [], [claimed.row()]);
  assertEquals(await tables.statusesOf(runId), ["INITIATED", "STARTED"]);
});

Deno.test("WRITE_STEPS dates a row without a step after its run's last row", async () => {
  await using tables = await RunTables.open();
  const [held, bare] = [new ClaimedRun(tables), new ClaimedRun(tables)];
  await held.begin();
  const { runId } = bare;
  const day = 24 * 3_600_000;
  await tables.addRow({ runId, status: "INITIATED", writtenIn: 2 * day });
  await writeSteps(tables, { runs: [held.change()], rows: [bare.row()] });
  assertEquals(await tables.statusesOf(runId), ["INITIATED", "STARTED"]);
});

Deno.test("WRITE_STEPS sets fields", async () => {
  await using tables = await RunTables.open();
  const claimed = new ClaimedRun(tables);
  const { runId } = claimed;
  const field = { pipeline_run_id: runId, key: "a", value: 1 };
  await writeSteps(tables, {
    runs: [claimed.change({ begins: true })],
    fields: JSON.stringify([field]),
  });
  const fields = await tables.sql`
    select key, value from pipeline_run_payload_fields`;
  assertEquals(fields.map((found) => ({ ...found })), [{ key: "a", value: 1 }]);
});

Deno.test("WRITE_STEPS returns the runs that are followed at this time", async () => {
  await using tables = await RunTables.open();
  const claimed = Array.from({ length: 4 }, () => new ClaimedRun(tables));
  for (const [i, { runId, claimId }] of claimed.entries()) {
    const followedFor = [undefined, -1_000, 5_000, 5_000][i];
    await tables.addLease({ runId, claimId, followedFor });
  }
  const ended = claimed[3];
  const runs = [
    ...claimed.slice(0, 3).map((run) => run.change({ lastSeq: 1 })),
    ended.change({ lastSeq: 1, endingId: ended.endingId }),
  ];
  const { lost, followed } = await answerOf(tables, { runs });
  assertEquals(lost, []);
  assertEquals(followed.toSorted(), [claimed[2].runId, ended.runId].toSorted());
});

Deno.test("WRITE_STEPS returns a run that was followed while it waited for the lease", async () => {
  await using tables = await RunTables.open();
  const claimed = new ClaimedRun(tables);
  await claimed.begin();
  await using other = await OtherTransaction.begin(tables, (sql) =>
    sql`
    update pipeline_run_leases set followed_until = now() + interval '1 minute'`);
  const written = answerOf(tables, { runs: [claimed.change()] });
  await isBlocked(tables, "write steps");
  await other.commit();
  assertEquals((await written).followed, [claimed.runId]);
});

Deno.test("WRITE_STEPS writes the result with the row that ends the run, once, though it is repeated", async () => {
  await using tables = await RunTables.open();
  const claimed = new ClaimedRun(tables);
  await claimed.begin();
  const { runId, endingId } = claimed;
  const row = { ...claimed.row(), id: endingId, result: '{"value":42}' };
  const events = [claimed.event(2, "Completed")];
  const change = { lastSeq: 2, endingId };
  assertEquals(await claimed.write(change, events, [row]), []);
  const { again } = WRITE_STEPS;
  assertEquals(await claimed.write(change, events, [row], again), []);
  assertEquals(await tables.resultsOf(runId), [{ value: 42 }]);
});

Deno.test("WRITE_STEPS writes no result of a run that is lost", async () => {
  await using tables = await RunTables.open();
  const claimed = new ClaimedRun(tables);
  const { runId, endingId } = claimed;
  const row = { ...claimed.row(), id: endingId, result: '{"value":42}' };
  const events = [claimed.event(2, "Completed")];
  const change = { lastSeq: 2, endingId };
  assertEquals(await claimed.write(change, events, [row]), [runId]);
  assertEquals(await tables.resultsOf(runId), []);
});
