import { assertEquals } from "@std/assert";
import type { RunStatus } from "../../mod.ts";
import { Database } from "../../src/postgres/client/database.ts";
import {
  CLAIM,
  RELEASE,
  REQUEST_ABORT,
} from "../../src/postgres/sql/leases.ts";
import { PostgresPipelineRunRepository } from "../../src/postgres/mod.ts";
import {
  type Database as OpenedDatabase,
  openDatabase,
} from "./open_database.ts";

const RUN_ID = crypto.randomUUID();
const OWNER = crypto.randomUUID();
const [FIRST, SECOND, THIRD] = Array.from(
  { length: 3 },
  () => crypto.randomUUID(),
);

/** Claims and releases on a database of its own, in any order. */
class Trial implements AsyncDisposable {
  readonly #opened: OpenedDatabase;
  readonly database: Database;

  private constructor(opened: OpenedDatabase) {
    this.#opened = opened;
    this.database = new Database(opened.sql, 5_000);
  }

  static async open(): Promise<Trial> {
    const opened = await openDatabase();
    await new PostgresPipelineRunRepository(opened.sql).migrate();
    return new Trial(opened);
  }

  /** Claims the run behind an attempt. */
  async claim(claimId: string, expected = 0): Promise<unknown> {
    const values = {
      runId: RUN_ID,
      owner: OWNER,
      claimId,
      expected,
      duration: 60_000,
    };
    return (await this.database.execute(CLAIM, values))[0];
  }

  async release(claimId: string, expected = 0): Promise<void> {
    const values = { runId: RUN_ID, owner: OWNER, claimId, expected };
    await this.database.execute(RELEASE, values);
  }

  async requestAbort(reason: string): Promise<void> {
    const values = { runId: RUN_ID, reason };
    await this.database.execute(REQUEST_ABORT, values);
  }

  /** Logs an event, as the holder of the lease does. */
  async log(seq: number, kind: "Started" | "Completed"): Promise<void> {
    const { sql } = this.#opened;
    await sql`
      insert into pipeline_run_events (pipeline_run_id, seq, kind, at)
      values (${RUN_ID}, ${seq}, ${kind}, now())`;
    await sql`
      update pipeline_run_leases
      set last_seq = ${seq},
        ended_at = case when ${kind} = 'Completed' then now() end`;
  }

  /** What other instances are told of the run. */
  async status(): Promise<RunStatus | undefined> {
    const repository = new PostgresPipelineRunRepository(this.#opened.sql);
    return await repository.runLog!.status(RUN_ID);
  }

  async lease(): Promise<Record<string, unknown>> {
    const [lease] = await this.#opened.sql`
      select claim, generation, first_seq::integer, last_seq::integer,
        abort_reason, ended_at is not null as ended
      from pipeline_run_leases`;
    return { ...lease };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened[Symbol.asyncDispose]();
  }
}

Deno.test("CLAIM takes the lease of an attempt that has ended, behind its events", async () => {
  await using trial = await Trial.open();
  assertEquals(await trial.claim(FIRST), [1, 0]);
  await trial.log(3, "Completed");
  assertEquals(await trial.claim(SECOND), [1]);
  assertEquals(await trial.claim(SECOND, 1), [2, 3]);
  assertEquals(await trial.lease(), {
    claim: SECOND,
    generation: 2,
    first_seq: 4,
    last_seq: 3,
    abort_reason: null,
    ended: false,
  });
});

Deno.test("CLAIM takes no live lease", async () => {
  await using trial = await Trial.open();
  await trial.claim(FIRST);
  const before = await trial.lease();
  for (const expected of [0, 1, 2]) {
    assertEquals(await trial.claim(SECOND, expected), undefined);
  }
  assertEquals(await trial.lease(), before);
});

Deno.test("CLAIM keeps its lease as it is when it is repeated (fault 19)", async () => {
  await using trial = await Trial.open();
  await trial.claim(FIRST);
  await trial.log(2, "Completed");
  await trial.claim(SECOND, 1);
  await trial.requestAbort("enough");
  const before = await trial.lease();
  assertEquals([before.generation, before.abort_reason], [2, "enough"]);
  assertEquals(await trial.claim(SECOND, 1), [2, 2]);
  assertEquals(await trial.lease(), before);
});

Deno.test("CLAIM keeps its generation when its first attempt arrives last", async () => {
  await using trial = await Trial.open();
  await trial.claim(FIRST);
  await trial.log(2, "Completed");
  await trial.claim(SECOND, 1);
  assertEquals(await trial.claim(SECOND, 0), [2, 2]);
  assertEquals((await trial.lease()).generation, 2);
});

Deno.test("CLAIM keeps where its attempt begins when it is repeated after the first events", async () => {
  await using trial = await Trial.open();
  await trial.claim(FIRST);
  await trial.log(1, "Started");
  await trial.claim(FIRST);
  const { first_seq, last_seq } = await trial.lease();
  assertEquals([first_seq, last_seq], [1, 1]);
});

Deno.test("CLAIM does not take up its own attempt after the ending", async () => {
  await using trial = await Trial.open();
  await trial.claim(FIRST);
  await trial.log(2, "Completed");
  const before = await trial.lease();
  assertEquals(await trial.claim(FIRST), undefined);
  assertEquals(await trial.lease(), before);
});

Deno.test("CLAIM does not take up an attempt before the last", async () => {
  await using trial = await Trial.open();
  await trial.claim(FIRST);
  await trial.log(1, "Completed");
  await trial.claim(SECOND, 1);
  await trial.log(2, "Completed");
  const before = await trial.lease();
  assertEquals(await trial.claim(FIRST), [2]);
  assertEquals(await trial.lease(), before);
});

Deno.test("CLAIM that was refused takes nothing when it arrives again after the end", async () => {
  await using trial = await Trial.open();
  await trial.claim(FIRST);
  assertEquals(await trial.claim(SECOND), undefined);
  await trial.log(1, "Completed");
  const before = await trial.lease();
  assertEquals(await trial.claim(SECOND), [1]);
  assertEquals(await trial.lease(), before);
});

Deno.test("CLAIM forgets the abort request of the attempt before", async () => {
  await using trial = await Trial.open();
  await trial.claim(FIRST);
  await trial.requestAbort("enough");
  await trial.log(1, "Completed");
  await trial.claim(SECOND, 1);
  assertEquals((await trial.lease()).abort_reason, null);
});

Deno.test("RELEASE gives up a claim", async () => {
  await using trial = await Trial.open();
  await trial.claim(FIRST);
  await trial.release(FIRST);
  const { generation, ended } = await trial.lease();
  assertEquals([generation, ended], [1, true]);
  assertEquals(await trial.claim(FIRST), undefined);
});

Deno.test("RELEASE gives up a claim on a new run that arrives later", async () => {
  await using trial = await Trial.open();
  await trial.release(FIRST);
  assertEquals(await trial.claim(FIRST), undefined);
  assertEquals(await trial.claim(SECOND), [1]);
  assertEquals(await trial.claim(SECOND, 1), [2, 0]);
});

Deno.test("RELEASE gives up a claim on an ended run that arrives later", async () => {
  await using trial = await Trial.open();
  await trial.claim(FIRST);
  await trial.log(4, "Completed");
  await trial.release(SECOND, 1);
  assertEquals(await trial.claim(SECOND, 1), [2]);
  assertEquals(await trial.claim(THIRD, 2), [3, 4]);
});

Deno.test("RELEASE leaves the live lease of another claim alone", async () => {
  await using trial = await Trial.open();
  await trial.claim(FIRST);
  const before = await trial.lease();
  for (const expected of [0, 1]) await trial.release(SECOND, expected);
  assertEquals(await trial.lease(), before);
});

Deno.test("RELEASE leaves an attempt alone that ended later than expected", async () => {
  await using trial = await Trial.open();
  await trial.claim(FIRST);
  await trial.log(1, "Completed");
  const before = await trial.lease();
  await trial.release(SECOND, 0);
  assertEquals(await trial.lease(), before);
});

Deno.test("RELEASE leaves a run that never began unknown", async () => {
  await using trial = await Trial.open();
  await trial.release(FIRST);
  assertEquals(await trial.status(), undefined);
  await trial.claim(SECOND, 1);
  assertEquals((await trial.status())?.phase, { name: "Pending" });
  await trial.release(SECOND, 1);
  assertEquals(await trial.status(), undefined);
});
