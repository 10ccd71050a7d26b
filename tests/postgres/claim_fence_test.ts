import { assert, assertEquals } from "@std/assert";
import postgres from "postgres";
import { CHANNEL } from "../../src/postgres/sql/events.ts";
import {
  CLAIM,
  READ_REQUESTS,
  RELEASE,
  RENEW,
  REQUEST_ABORT,
} from "../../src/postgres/sql/leases.ts";
import { type LeaseRow, OtherTransaction, RunTables } from "./run_tables.ts";

const DURATION = 60_000;

/** A run, an owner and a claim, with the statements about them. */
class Claim {
  readonly runId: string = crypto.randomUUID();
  readonly owner: string = crypto.randomUUID();
  readonly claimId: string = crypto.randomUUID();
  readonly #tables: RunTables;

  constructor(tables: RunTables) {
    this.#tables = tables;
  }

  /** Adds the lease of this claim. */
  async add(lease: Partial<LeaseRow> = {}): Promise<void> {
    const { runId, owner, claimId } = this;
    await this.#tables.addLease({ runId, owner, claimId, ...lease });
  }

  /** Adds the lease of another claim on the run. */
  async addOther(lease: Partial<LeaseRow> = {}): Promise<void> {
    await this.#tables.addLease({ runId: this.runId, ...lease });
  }

  /**
   * The generation and the last number, if it was claimed behind the generation that
   * is expected; only the generation, if another one has ended.
   */
  async claim(expected = 0): Promise<unknown> {
    const { runId, owner, claimId } = this;
    const values = { runId, owner, claimId, expected, duration: DURATION };
    return (await this.#tables.execute(CLAIM, values))[0];
  }

  /** What the renewal tells of each lease. */
  async renew(claimIds: string[] = [this.claimId]): Promise<unknown[]> {
    const { owner } = this;
    const values = { owner, duration: DURATION, claimIds: `{${claimIds}}` };
    return await this.#tables.execute(RENEW, values);
  }

  async release(expected = 0): Promise<void> {
    const { runId, owner, claimId } = this;
    await this.#tables.execute(RELEASE, { runId, owner, claimId, expected });
  }

  async requestAbort(reason: string | undefined): Promise<void> {
    const { runId } = this;
    await this.#tables.execute(REQUEST_ABORT, { runId, reason });
  }

  /** Who holds the lease, which, and from where on. */
  async lease() {
    const lease = (await this.#tables.leaseOf(this.runId))!;
    const { owner, claim, generation, ended, is_renewed, ending } = lease;
    return {
      isOwn: owner === this.owner && claim === this.claimId,
      generation,
      first: Number(lease.first_seq),
      last: Number(lease.last_seq),
      isLive: !ended && is_renewed && ending === null,
      reason: lease.abort_reason,
      requested: lease.abort_requested_at,
    };
  }
}

const ATTEMPT = { isOwn: true, isLive: true, reason: null, requested: null };

Deno.test("CLAIM begins the first lease of a run with its first event", async () => {
  await using tables = await RunTables.open();
  await tables.addOther();
  const claim = new Claim(tables);
  assertEquals(await claim.claim(), [1, 0]);
  const lease = { ...ATTEMPT, generation: 1, first: 1, last: 0 };
  assertEquals(await claim.lease(), lease);
});

Deno.test("CLAIM begins after the events of a run that had no lease", async () => {
  await using tables = await RunTables.open();
  await tables.addOther();
  const claim = new Claim(tables);
  const { runId } = claim;
  await tables.addEvents({ runId, seq: 4, kind: "Completed" });
  assertEquals(await claim.claim(), [1, 4]);
  const lease = { ...ATTEMPT, generation: 1, first: 5, last: 4 };
  assertEquals(await claim.lease(), lease);
});

Deno.test("CLAIM takes a lease that has ended, after the lease's last event", async () => {
  await using tables = await RunTables.open();
  const claim = new Claim(tables);
  await claim.addOther({
    generation: 3,
    firstSeq: 2,
    lastSeq: 7,
    ended: true,
    endingId: crypto.randomUUID(),
    expiresIn: -1,
    abortReason: "enough",
  });
  assertEquals(await claim.claim(), [3]);
  assertEquals(await claim.claim(2), [3]);
  assertEquals(await claim.claim(3), [4, 7]);
  const lease = { ...ATTEMPT, generation: 4, first: 8, last: 7 };
  assertEquals(await claim.lease(), lease);
});

Deno.test("CLAIM takes a lease that has ended, after the log's last event", async () => {
  await using tables = await RunTables.open();
  const claim = new Claim(tables);
  const { runId } = claim;
  await claim.addOther({ generation: 3, lastSeq: 7, ended: true });
  await tables.addEvents({ runId, seq: 9, kind: "Completed" });
  assertEquals(await claim.claim(3), [4, 9]);
  const lease = { ...ATTEMPT, generation: 4, first: 10, last: 9 };
  assertEquals(await claim.lease(), lease);
});

Deno.test("CLAIM finds its own lease again, with what was asked of it", async () => {
  await using tables = await RunTables.open();
  const claim = new Claim(tables);
  const held = {
    generation: 3,
    firstSeq: 2,
    lastSeq: 7,
    abortReason: "enough",
  };
  await claim.add({ ...held, expiresIn: 1_000 });
  const { requested } = await claim.lease();
  assert(requested !== null);
  assertEquals(await claim.claim(), [3, 7]);
  assertEquals(await claim.lease(), {
    ...ATTEMPT,
    generation: 3,
    first: 2,
    last: 7,
    reason: "enough",
    requested,
  });
});

Deno.test("CLAIM does not find its own lease again once that has ended", async () => {
  await using tables = await RunTables.open();
  const claim = new Claim(tables);
  await claim.add({ ended: true });
  assertEquals(await claim.claim(), undefined);
  assertEquals((await claim.lease()).isLive, false);
});

Deno.test("CLAIM takes no live lease of another claim, though its time is over", async () => {
  await using tables = await RunTables.open();
  await tables.addOther();
  for (const expiresIn of [DURATION, -1]) {
    const claim = new Claim(tables);
    await claim.addOther({ expiresIn });
    assertEquals(await claim.claim(), undefined);
    assertEquals((await claim.lease()).isOwn, false);
  }
});

Deno.test("RENEW renews the live leases of the owner under the claims it knows", async () => {
  await using tables = await RunTables.open();
  const [held, unknown, ended, foreign] = Array.from(
    { length: 4 },
    () => new Claim(tables),
  );
  const { owner } = held;
  await held.add({ expiresIn: -1 });
  await unknown.add({ owner, expiresIn: -1 });
  await ended.add({ owner, expiresIn: -1, ended: true });
  await foreign.add({ expiresIn: -1 });
  const claimIds = [held, ended, foreign].map(({ claimId }) => claimId);
  assertEquals(await held.renew(claimIds), [[held.claimId, false, null]]);
  const renewed = await Promise.all(
    [held, unknown, ended, foreign]
      .map(({ runId }) => tables.leaseOf(runId)),
  );
  assertEquals(
    renewed.map((lease) => lease?.is_renewed),
    [true, false, false, false],
  );
});

Deno.test("RENEW tells of a lease that another statement changes, and does not wait for it", async () => {
  await using tables = await RunTables.open();
  const [free, held] = [new Claim(tables), new Claim(tables)];
  const { owner } = free;
  await free.add({ expiresIn: -1 });
  await held.add({ owner, expiresIn: -1 });
  await using patient = await tables.withLockTimeout(300);
  await using _other = await OtherTransaction.begin(
    tables,
    (sql) =>
      sql`
        select from pipeline_run_leases
        where pipeline_run_id = ${held.runId} for update`,
  );
  const claimIds = `{${[free.claimId, held.claimId]}}`;
  const values = { owner, duration: DURATION, claimIds };
  assertEquals(
    new Set(await patient.execute(RENEW, values)),
    new Set([[free.claimId, false, null], [held.claimId, false, null]]),
  );
  assertEquals((await free.lease()).isLive, true);
});

Deno.test("RENEW tells of a request to abort", async () => {
  await using tables = await RunTables.open();
  const claim = new Claim(tables);
  await claim.add({ abortReason: "enough" });
  assertEquals(await claim.renew(), [[claim.claimId, true, "enough"]]);
});

Deno.test("READ_REQUESTS gives the requests to abort live runs of the owner", async () => {
  await using tables = await RunTables.open();
  const [asked, other, ended, foreign] = Array.from(
    { length: 4 },
    () => new Claim(tables),
  );
  const { owner } = asked;
  await asked.add({ abortReason: "enough" });
  await other.add({ owner });
  await ended.add({ owner, abortReason: "ended", ended: true });
  await foreign.add({ abortReason: "foreign" });
  assertEquals(await tables.execute(READ_REQUESTS, { owner }), [
    [asked.runId, asked.claimId, "enough"],
  ]);
});

Deno.test("REQUEST_ABORT keeps the first request", async () => {
  await using tables = await RunTables.open();
  const claim = new Claim(tables);
  await claim.add();
  await claim.requestAbort("first");
  const { reason, requested } = await claim.lease();
  assertEquals(reason, "first");
  assert(requested !== null);
  await claim.requestAbort("second");
  const second = await claim.lease();
  assertEquals([second.reason, second.requested], [reason, requested]);
});

Deno.test("REQUEST_ABORT keeps that the first request had no reason", async () => {
  await using tables = await RunTables.open();
  const claim = new Claim(tables);
  await claim.add();
  await claim.requestAbort(undefined);
  await claim.requestAbort("second");
  assertEquals((await claim.lease()).reason, null);
});

Deno.test("REQUEST_ABORT asks nothing of other runs or of leases that have ended", async () => {
  await using tables = await RunTables.open();
  const [claim, other] = [new Claim(tables), new Claim(tables)];
  await claim.add({ ended: true });
  await other.add();
  await claim.requestAbort("enough");
  assertEquals((await claim.lease()).requested, null);
  assertEquals((await other.lease()).requested, null);
});

Deno.test("REQUEST_ABORT notifies the owner", async () => {
  await using tables = await RunTables.open();
  const claim = new Claim(tables);
  await claim.add();
  const heard: string[] = [];
  const last = Promise.withResolvers<void>();
  const other = postgres(tables.url, { max: 1 });
  // Other tests share the channel.
  await other.listen(CHANNEL, (payload) => {
    if (payload.endsWith(claim.owner)) heard.push(payload);
    if (payload === `last ${claim.owner}`) last.resolve();
  });
  await claim.requestAbort("enough");
  await other.notify(CHANNEL, `last ${claim.owner}`);
  await last.promise;
  assertEquals(heard, [`abort ${claim.owner}`, `last ${claim.owner}`]);
  await other.end();
});

Deno.test("RELEASE ends the lease of its claim", async () => {
  await using tables = await RunTables.open();
  const claim = new Claim(tables);
  await claim.add();
  await claim.release();
  assertEquals((await tables.leaseOf(claim.runId))?.ended, true);
});

Deno.test("RELEASE leaves the live lease of another claim alone", async () => {
  await using tables = await RunTables.open();
  const claim = new Claim(tables);
  await claim.addOther();
  await claim.release();
  const lease = await claim.lease();
  assertEquals([lease.isOwn, lease.isLive], [false, true]);
});

Deno.test("RELEASE gives up a claim that arrives later, of a run without a lease", async () => {
  await using tables = await RunTables.open();
  const claim = new Claim(tables);
  await claim.release();
  assertEquals(await claim.claim(), undefined);
});

Deno.test("RELEASE gives up a claim that arrives later, of a run that has ended", async () => {
  await using tables = await RunTables.open();
  const claim = new Claim(tables);
  await claim.addOther({ ended: true, lastSeq: 3 });
  const { ended_at: endedAt } = (await tables.leaseOf(claim.runId))!;
  await claim.release(1);
  assertEquals(await claim.claim(1), [2]);
  const lease = await tables.leaseOf(claim.runId);
  assertEquals(
    [lease?.generation, lease?.ended_at, lease?.last_seq],
    [2, endedAt, "3"],
  );
});

Deno.test("RELEASE leaves a lease alone that another attempt has ended since", async () => {
  await using tables = await RunTables.open();
  const claim = new Claim(tables);
  await claim.addOther({ ended: true, generation: 5 });
  await claim.release(1);
  assertEquals((await claim.lease()).generation, 5);
});
