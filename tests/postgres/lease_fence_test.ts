import { assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import type { LeaseLostError } from "../../src/model/errors.ts";
import type { RunEvent } from "../../src/model/event.ts";
import { Database } from "../../src/postgres/client/database.ts";
import { Notifications } from "../../src/postgres/client/notifications.ts";
import { Leases } from "../../src/postgres/leases/leases.ts";
import { GroupCommit } from "../../src/postgres/write/group_commit.ts";
import type { Write } from "../../src/postgres/write/write.ts";
import { assertPending } from "../assert_pending.ts";
import { postgresError, StubClient } from "./stub_client.ts";
import { turn } from "./turn.ts";

/** A lease that is claimed, and whose steps wait until a test writes them. */
class Trial {
  readonly runId = crypto.randomUUID();
  readonly client = new StubClient();
  /** How many groups of steps are being written or are written. */
  groups = 0;
  /** Writes the steps that wait. */
  readonly written = Promise.withResolvers<void>();
  readonly losses: LeaseLostError[] = [];
  readonly leases: Leases;
  readonly lease;

  constructor(renewInterval = 10_000) {
    const database = new Database(this.client, 60_000);
    const warn = () => {};
    this.leases = new Leases({
      database,
      writes: new GroupCommit<Write>({
        writer: {
          write: async () => {
            this.groups++;
            await this.written.promise;
            return new Map();
          },
        },
        maxItems: 100,
        maxBytes: Infinity,
        maxQueuedBytes: Infinity,
        onTrouble: () => {},
      }),
      notifications: new Notifications({ client: undefined, database, warn }),
      owner: crypto.randomUUID(),
      duration: 60_000,
      renewInterval,
      onLogged: () => {},
      warn,
    });
    this.lease = this.leases.open({
      runId: this.runId,
      given: true,
      maxPayloadBytes: 10,
      onAbortRequest: () => {},
      onLost: (error) => this.losses.push(error),
    });
  }

  async claim(): Promise<void> {
    const claimed = this.lease.claim();
    this.client.named("claim")[0].answer([1, 0]);
    await claimed;
  }

  step(): Promise<void> {
    const event: RunEvent = {
      runId: this.runId,
      seq: 2,
      kind: "AlreadyCompleted",
      at: new Date(0),
    };
    return this.lease.write({ event });
  }
}

Deno.test("Lease.write() waits for as long as the step takes", async () => {
  using time = new FakeTime();
  const trial = new Trial();
  await trial.claim();
  const written = trial.step();
  await time.tickAsync(3_600_000);
  await assertPending(written);
  trial.written.resolve();
  await written;
  trial.leases.close();
});

Deno.test("Lease.write() writes no step of a run while another is being written", async () => {
  const trial = new Trial();
  await trial.claim();
  const first = trial.step();
  await turn();
  const second = trial.step();
  await turn();
  assertEquals(trial.groups, 1);
  trial.written.resolve();
  await Promise.all([first, second]);
  assertEquals(trial.groups, 2);
  trial.leases.close();
});

Deno.test("Lease.write() does not hold a lease again that was lost meanwhile", async () => {
  using time = new FakeTime();
  const trial = new Trial();
  await trial.claim();
  const written = trial.step();
  await turn();
  trial.client.rows["renew"] = () => [];
  await time.tickAsync(10_000);
  await turn();
  assertEquals(trial.losses.length, 1);
  trial.written.resolve();
  await written;
  await time.tickAsync(20_000);
  assertEquals(trial.client.named("renew").length, 1);
  trial.leases.close();
});

Deno.test("Leases renew once at each time, a second after a failure", async () => {
  using time = new FakeTime();
  const trial = new Trial();
  await trial.claim();
  trial.client.rows["renew"] = () => {
    throw postgresError("57P01");
  };
  await time.tickAsync(10_000);
  await time.tickAsync(999);
  assertEquals(trial.client.named("renew").length, 1);
  await time.tickAsync(1);
  assertEquals(trial.client.named("renew").length, 2);
  trial.leases.close();
});

Deno.test("Leases renew a tenth of the interval after a failure", async () => {
  using time = new FakeTime();
  const trial = new Trial(400);
  await trial.claim();
  trial.client.rows["renew"] = () => {
    throw postgresError("57P01");
  };
  await time.tickAsync(400);
  await time.tickAsync(39);
  assertEquals(trial.client.named("renew").length, 1);
  await time.tickAsync(1);
  assertEquals(trial.client.named("renew").length, 2);
  trial.leases.close();
});
