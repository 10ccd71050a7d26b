import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  LeaseLostError,
  RepositoryError,
  RunAlreadyActiveError,
} from "../../src/model/errors.ts";
import type { RunEvent } from "../../src/model/event.ts";
import type { PipelineRunTransition } from "../../src/model/row.ts";
import type { RegistryWarning } from "../../src/model/warning.ts";
import type { RunStep } from "../../src/repository/run_log.ts";
import { Database } from "../../src/postgres/client/database.ts";
import type { Lease } from "../../src/postgres/leases/lease.ts";
import { Leases } from "../../src/postgres/leases/leases.ts";
import { GroupCommit } from "../../src/postgres/write/group_commit.ts";
import type { StepWrite, Write } from "../../src/postgres/write/write.ts";
import { assertPending } from "../assert_pending.ts";
import { FakeClock } from "../fake_clock.ts";
import { passTime } from "../pass_time.ts";
import { postgresError, StubClient } from "./stub_client.ts";
import { turn } from "./turn.ts";

const OWNER = crypto.randomUUID();
const DURATION = 60_000;
const RENEW_INTERVAL = 10_000;
const NOTICE = 20_000;
/** How long the beginning of a run can wait for its ending. */
const PATIENCE = 10;
const PERMANENT = postgresError("42P01");

/** A run of this instance. */
interface OpenedRun {
  readonly runId: string;
  readonly lease: Lease;
  /** The reasons of the requests to abort it. */
  readonly requests: (string | undefined)[];
  /** The errors with which its lease was lost. */
  readonly losses: LeaseLostError[];
}

/** The leases of an instance, on a client and in a time that a test controls. */
class Trial implements Disposable {
  readonly time = new FakeClock();
  readonly client = new StubClient();
  readonly database = new Database(this.client, 1_000);
  readonly warnings: RegistryWarning[] = [];
  /** The runs that have new events. */
  readonly logged: (string | undefined)[] = [];
  /** The steps of each group that was sent, in order. */
  readonly sent: (readonly StepWrite[])[] = [];
  /** The steps that were written, in order. */
  readonly steps: StepWrite[] = [];
  /** Whether the instance needs notifications. */
  listening = 0;
  /** How often it began to need them. */
  listened = 0;
  /** The error with which the next steps are refused. */
  refusal: Error | undefined;
  /** How long the next steps wait to be written. */
  gate: Promise<void> | undefined;
  readonly leases: Leases;

  constructor({ maxQueuedBytes = Infinity } = {}) {
    const { database } = this;
    const warn = (warning: RegistryWarning) => void this.warnings.push(warning);
    this.leases = new Leases({
      database,
      writes: new GroupCommit<Write>({
        writer: { write: (steps) => this.#write(steps as StepWrite[]) },
        maxItems: 100,
        maxBytes: Infinity,
        maxQueuedBytes,
        onTrouble: () => {},
      }),
      notifications: {
        start: () => {
          this.listening++;
          this.listened++;
        },
        stop: () => this.listening--,
      },
      owner: OWNER,
      duration: DURATION,
      renewInterval: RENEW_INTERVAL,
      onLogged: (runId) => this.logged.push(runId),
      warn,
    });
  }

  /** Makes the lease of a run. */
  open(given: boolean): OpenedRun {
    const runId = crypto.randomUUID();
    const requests: (string | undefined)[] = [];
    const losses: LeaseLostError[] = [];
    const lease = this.leases.open({
      runId,
      given,
      maxPayloadBytes: 10,
      onAbortRequest: (reason) => requests.push(reason),
      onLost: (error) => losses.push(error),
    });
    return { runId, lease, requests, losses };
  }

  /** A run that is claimed. */
  async claimed(lastSeq = 0): Promise<OpenedRun> {
    const run = this.open(true);
    const claimed = run.lease.claim();
    this.client.sent.at(-1)!.answer([1, lastSeq]);
    await claimed;
    return run;
  }

  /** A run under a random id, with its first step written. */
  async started(): Promise<OpenedRun> {
    const run = this.open(false);
    await this.patiently(run.lease.write(start(run)));
    return run;
  }

  /** Lets the time pass that what is written can wait. */
  async patiently<T>(written: Promise<T>): Promise<T> {
    written.catch(() => {});
    await turn();
    await this.time.tickAsync(PATIENCE);
    return await written;
  }

  /** Answers all renewals with these rows. */
  renewing(...rows: [claimId: string, boolean, string | null][]): void {
    this.client.rows["renew"] = () => rows;
  }

  /** Renews exactly the leases that a statement asks for. */
  renewingAll(): void {
    this.client.rows["renew"] = ([_owner, _duration, claimIds]) =>
      idsIn(claimIds).map((claimId) => [claimId, false, null]);
  }

  /** How many times leases were renewed. */
  get renewals(): number {
    return this.client.named("renew").length;
  }

  /** The claims that the last renewal asked for. */
  get renewed(): string[] {
    return idsIn(this.client.named("renew").at(-1)!.parameters[2]);
  }

  [Symbol.dispose](): void {
    this.leases.close();
    this.time.restore();
  }

  async #write(steps: readonly StepWrite[]): Promise<Map<StepWrite, Error>> {
    const { refusal } = this;
    this.sent.push(steps);
    await this.gate;
    if (refusal !== undefined) {
      return new Map(steps.map((step) => [step, refusal]));
    }
    this.steps.push(...steps);
    return new Map();
  }
}

/** The UUIDs in an array of SQL. */
function idsIn(array: unknown): string[] {
  return `${array}`.match(/[^{},]+/g) ?? [];
}

function eventOf(
  runId: string,
  seq: number,
  kind: "Started" | "Yield" | "Completed" | "AlreadyCompleted",
): RunEvent {
  const base = { runId, seq, at: new Date(0) };
  return kind === "Yield"
    ? { ...base, kind, payload: null }
    : { ...base, kind };
}

function transitionOf(runId: string): PipelineRunTransition & { id: string } {
  return {
    id: crypto.randomUUID(),
    status: "DATASET_PROCESSING_STARTED",
    pipelineRunId: runId,
    pipelineName: "ingest",
    pipelineId: crypto.randomUUID(),
  };
}

/** The first step of a run. */
function start({ runId }: OpenedRun): RunStep {
  return { event: eventOf(runId, 1, "Started") };
}

/** The last step of a run. */
function ending({ runId }: OpenedRun): RunStep {
  return { event: eventOf(runId, 2, "Completed"), ends: true };
}

Deno.test("Lease.claim() of a run with a random id sends nothing", async () => {
  using trial = new Trial();
  const { lease } = trial.open(false);
  assertEquals(await lease.claim(), 0);
  assertEquals(trial.client.names, []);
});

Deno.test("Lease.claim() of a run with a given id claims it", async () => {
  using trial = new Trial();
  const { lease, runId } = trial.open(true);
  const claimed = lease.claim();
  const [sent] = trial.client.sent;
  assertEquals(trial.client.names, ["claim"]);
  assertEquals(sent.parameters, [
    runId,
    OWNER,
    lease.claimId,
    "0",
    `${DURATION}`,
  ]);
  sent.answer([3, 17]);
  assertEquals(await claimed, 17);
  assertEquals(trial.client.names, ["claim"]);
});

Deno.test("Lease.claimId differs between two claims of a run", () => {
  using trial = new Trial();
  assertNotEquals(
    trial.open(true).lease.claimId,
    trial.open(true).lease.claimId,
  );
});

Deno.test("Lease.claim() rejects if the run is live elsewhere", async () => {
  using trial = new Trial();
  const { lease, runId } = trial.open(true);
  trial.client.rows["claim"] = () => [];
  trial.client.rows["reap"] = () => [[0, null]];
  const error = await assertRejects(
    () => lease.claim(),
    RunAlreadyActiveError,
  );
  assertEquals(error.runId, runId);
  assertEquals(trial.client.names, ["claim", "reap", "claim"]);
  assertEquals(trial.logged, []);
});

Deno.test("Lease.claim() claims a run that another instance has ended meanwhile", async () => {
  using trial = new Trial();
  const { client } = trial;
  const { lease } = trial.open(true);
  const answers = [[], [[2]], [[3, 9]]];
  client.rows["claim"] = () => answers.shift()!;
  client.rows["reap"] = () => [[0, false]];
  assertEquals(await lease.claim(), 9);
  assertEquals(client.names, ["claim", "reap", "claim", "claim"]);
});

Deno.test("Lease.claim() ends the former attempt if its lease expired, and claims again", async () => {
  using trial = new Trial();
  const { client } = trial;
  const { lease, runId } = trial.open(true);
  client.rows["claim"] = () => client.sent.length === 1 ? [] : [[2, 5]];
  client.rows["reap"] = () => [[1, false]];
  assertEquals(await lease.claim(), 5);
  assertEquals(client.names, ["claim", "reap", "claim"]);
  assertEquals(client.sent[1].parameters, [
    "lease_expired",
    `${NOTICE}`,
    "500",
    runId,
  ]);
  assertEquals(client.sent[2].parameters, client.sent[0].parameters);
  assertEquals(trial.logged, [runId]);
});

Deno.test("Lease.claim() claims again behind an attempt that has ended", async () => {
  using trial = new Trial();
  const { client } = trial;
  const { lease } = trial.open(true);
  const answers = [[4], [6], [7, 20]];
  client.rows["claim"] = () => [answers.shift()];
  assertEquals(await lease.claim(), 20);
  assertEquals(
    client.named("claim").map(({ parameters }) => parameters[3]),
    ["0", "4", "6"],
  );
});

Deno.test("Lease.claim() gives up what it claimed last", async () => {
  using trial = new Trial();
  const { client } = trial;
  const { lease } = trial.open(true);
  client.rows["release"] = () => [];
  client.rows["claim"] = () => {
    if (client.named("claim").length === 2) throw PERMANENT;
    return [[4]];
  };
  await assertRejects(() => lease.claim(), RepositoryError);
  assertEquals(client.named("release")[0].parameters, [
    lease.runId,
    OWNER,
    lease.claimId,
    "4",
  ]);
});

Deno.test("Lease.claim() rejects if another instance claims the expired run first", async () => {
  using trial = new Trial();
  const { lease } = trial.open(true);
  trial.client.rows["claim"] = () => [];
  trial.client.rows["reap"] = () => [[1, false]];
  await assertRejects(() => lease.claim(), RunAlreadyActiveError);
  assertEquals(trial.client.names, ["claim", "reap", "claim"]);
});

for (
  const { name, failing } of [
    { name: "the claim fails", failing: "claim" },
    { name: "ending the former attempt fails", failing: "reap" },
  ]
) {
  Deno.test(`Lease.claim() gives the claim up if ${name}`, async () => {
    using trial = new Trial();
    const { client } = trial;
    const { lease } = trial.open(true);
    client.rows["claim"] = () => [];
    client.rows["release"] = () => [];
    client.rows[failing] = () => {
      throw PERMANENT;
    };
    const error = await assertRejects(() => lease.claim(), RepositoryError);
    assertStrictEquals(error.cause, PERMANENT);
    const last = client.sent.at(-1)!;
    assertEquals([last.name, last.parameters], [
      "release",
      [lease.runId, OWNER, lease.claimId, "0"],
    ]);
    assertEquals(client.named("release").length, 1);
    await trial.leases.renew();
    assertEquals(trial.renewals, 0);
    assertEquals(trial.warnings, []);
  });
}

Deno.test("Lease.claim() is repeated for 30 s while Postgres is lost or silent", async () => {
  using trial = new Trial();
  const { client } = trial;
  const { lease } = trial.open(true);
  client.rows["claim"] = () => {
    throw postgresError("57P01");
  };
  const claimed = lease.claim();
  await passTime(trial.time, 25_000);
  delete client.rows["claim"];
  await passTime(trial.time, 2_000); // One stays without an answer.
  client.rows["claim"] = () => [[1, 7]];
  await passTime(trial.time, 2_500);
  assertEquals(await claimed, 7);
});

Deno.test("Lease.claim() rejects when the database is away for longer than 30 s", async () => {
  using trial = new Trial();
  const { lease } = trial.open(true);
  trial.client.rows["claim"] = () => {
    throw postgresError("57P01");
  };
  trial.client.rows["release"] = () => [];
  const rejected = assertRejects(() => lease.claim(), RepositoryError);
  await passTime(trial.time, 32_000);
  await rejected;
});

Deno.test("Lease.claim() warns if the claim cannot be given up", async () => {
  using trial = new Trial();
  const { lease } = trial.open(true);
  trial.client.rows["claim"] = () => {
    throw PERMANENT;
  };
  const cause = postgresError("42501");
  trial.client.rows["release"] = () => {
    throw cause;
  };
  const error = await assertRejects(() => lease.claim(), RepositoryError);
  assertStrictEquals(error.cause, PERMANENT);
  await turn();
  const [{ kind, message, cause: reported }] = trial.warnings;
  assertEquals([kind, message], [
    "lease",
    "A claim could not be given up yet",
  ]);
  assertInstanceOf(reported, RepositoryError);
  assertStrictEquals(reported.cause, cause);
});

Deno.test("Lease.claim() gives up a claim that succeeds after the run was abandoned", async () => {
  using trial = new Trial();
  const { lease } = trial.open(true);
  trial.client.rows["release"] = () => [];
  const claimed = lease.claim();
  lease.abandon();
  assertEquals(trial.client.names, ["claim"]);
  trial.client.sent[0].answer([1, 7]);
  assertEquals(await claimed, 7);
  assertEquals(trial.client.names, ["claim", "release"]);
  assertEquals(trial.client.sent[1].parameters, [
    lease.runId,
    OWNER,
    lease.claimId,
    "0",
  ]);
  await passTime(trial.time, RENEW_INTERVAL, RENEW_INTERVAL);
  assertEquals(trial.renewals, 0);
});

Deno.test("Lease.claim() of an abandoned run rejects as usual if the run is live elsewhere", async () => {
  using trial = new Trial();
  const { lease } = trial.open(true);
  trial.client.rows["claim"] = () => [];
  trial.client.rows["reap"] = () => [[0, null]];
  lease.abandon();
  await assertRejects(() => lease.claim(), RunAlreadyActiveError);
  assertEquals(trial.client.named("release"), []);
});

Deno.test("Lease.claim() begins to renew the lease and to listen", async () => {
  using trial = new Trial();
  trial.renewingAll();
  assertEquals(trial.listening, 0);
  const { lease } = await trial.claimed();
  assertEquals(trial.listening, 1);
  await trial.leases.renew();
  assertEquals(trial.renewed, [lease.claimId]);
});

Deno.test("Leases need notifications from the first lease to the last ending", async () => {
  using trial = new Trial();
  const [a, b] = [await trial.claimed(), await trial.claimed()];
  assertEquals(trial.listening, 1);
  await a.lease.write(ending(a));
  assertEquals(trial.listening, 1);
  await b.lease.write(ending(b));
  assertEquals(trial.listening, 0);
});

Deno.test("Lease.write() writes the step under the claim", async () => {
  using trial = new Trial();
  const { lease, runId } = trial.open(true);
  const claimed = lease.claim();
  trial.client.sent[0].answer([3, 17]);
  await claimed;
  const transition = transitionOf(runId);
  const event = eventOf(runId, 18, "Started");
  await lease.write({ transition, event });
  assertEquals(trial.steps, [{
    kind: "step",
    claim: { runId, claimId: lease.claimId, generation: 3 },
    row: {
      id: transition.id,
      status: "DATASET_PROCESSING_STARTED",
      runId,
      name: "ingest",
      pipelineId: transition.pipelineId,
      datasetId: undefined,
      runInfo: undefined,
      result: undefined,
    },
    event,
    begins: false,
    endingId: undefined,
  }]);
  assertEquals(trial.logged, [runId]);
});

Deno.test("Lease.write() of a run with a random id begins the lease with its first step", async () => {
  using trial = new Trial();
  const { lease, runId } = trial.open(false);
  await trial.patiently(Promise.all([
    lease.write({ transition: transitionOf(runId) }),
    lease.write({ event: eventOf(runId, 1, "Started") }),
    lease.write({ event: eventOf(runId, 2, "AlreadyCompleted") }),
  ]));
  await lease.write({ event: eventOf(runId, 3, "Started") });
  await lease.write({ transition: transitionOf(runId) });
  // The others may be in later statements: a run that begins and ends in one needs none.
  assertEquals(trial.steps.map(({ begins }) => begins), [
    true,
    false,
    false,
    false,
    false,
  ]);
  const { runId: id, generation } = trial.steps[0].claim;
  assertEquals([id, generation], [runId, 1]);
});

Deno.test("Lease.write() begins no lease with an ending", async () => {
  using trial = new Trial();
  const run = trial.open(false);
  await run.lease.write(ending(run));
  assertEquals(trial.steps.map(({ begins }) => begins), [false]);
});

Deno.test("Lease.write() lets a run wait for its ending, unless it was claimed", async () => {
  using trial = new Trial();
  const run = trial.open(false);
  const claimed = await trial.claimed();
  const sent = () =>
    trial.sent.map((steps) => steps.map(({ claim }) => claim.runId));
  run.lease.write(start(run));
  run.lease.append(eventOf(run.runId, 2, "Yield"), "null");
  claimed.lease.append(eventOf(claimed.runId, 1, "Yield"), "null");
  await turn();
  assertEquals(sent(), [[claimed.runId]]);
  await trial.time.tickAsync(PATIENCE - 1);
  run.lease.write({ event: eventOf(run.runId, 3, "Completed"), ends: true });
  await turn();
  assertEquals(sent(), [[claimed.runId], [run.runId, run.runId, run.runId]]);
});

Deno.test("Lease.write() lets a run wait for its ending no longer than 10 ms", async () => {
  using trial = new Trial();
  const run = trial.open(false);
  const written = run.lease.write(start(run));
  await turn();
  await trial.time.tickAsync(PATIENCE - 1);
  assertEquals(trial.sent.length, 0);
  await trial.time.tickAsync(1);
  await written;
  run.lease.append(eventOf(run.runId, 2, "Yield"), "null");
  await turn();
  assertEquals(trial.sent.length, 2, "what follows waits for nothing");
});

Deno.test("Lease.write() gives the ending the id of its row, or a random one", async () => {
  using trial = new Trial();
  const ids: (string | undefined)[] = [];
  const transition = transitionOf(crypto.randomUUID());
  for (
    const step of [
      { transition, ends: true },
      { ends: true },
      { transition, ends: false },
      { transition },
    ]
  ) {
    await trial.patiently(trial.open(false).lease.write(step));
    ids.push(trial.steps.at(-1)!.endingId);
  }
  assertEquals(ids[0], transition.id);
  assertMatch(ids[1]!, /^[0-9a-f-]{36}$/);
  assertEquals(ids.slice(2), [undefined, undefined]);
});

Deno.test("Lease.write() renews a run with a random id only once its first step is written", async () => {
  using trial = new Trial();
  trial.renewingAll();
  const gate = Promise.withResolvers<void>();
  trial.gate = gate.promise;
  const run = trial.open(false);
  const written = trial.patiently(run.lease.write(start(run)));
  await turn();
  await trial.leases.renew();
  assertEquals([trial.renewals, trial.listening], [0, 0]);
  gate.resolve();
  await written;
  await trial.leases.renew();
  assertEquals(trial.renewed, [run.lease.claimId]);
  assertEquals(trial.listening, 1);
});

Deno.test("Lease.write() does not renew a claimed run that is lost before its first step is written", async () => {
  using trial = new Trial();
  const gate = Promise.withResolvers<void>();
  trial.gate = gate.promise;
  const run = await trial.claimed();
  const written = run.lease.write(start(run));
  run.lease.lose();
  gate.resolve();
  await written;
  assertEquals(trial.listening, 0);
});

Deno.test("Lease.write() does not renew a run whose first step is refused", async () => {
  using trial = new Trial();
  const run = trial.open(false);
  trial.refusal = new RepositoryError("no", { transient: false });
  await assertRejects(
    () => trial.patiently(run.lease.write(start(run))),
    RepositoryError,
  );
  await trial.leases.renew();
  assertEquals(trial.renewals, 0);
  assertEquals(trial.logged, []);
});

Deno.test("Lease.write() does not renew a run whose ending is pending when its first step is written", async () => {
  using trial = new Trial();
  const run = trial.open(false);
  const written = [run.lease.write(start(run)), run.lease.write(ending(run))];
  await Promise.all(written);
  assertEquals(trial.steps.length, 2);
  assertEquals([trial.listening, trial.listened], [0, 0]);
  await trial.leases.renew();
  assertEquals(trial.renewals, 0);
});

Deno.test("Lease.write() stops renewing once the ending is written", async () => {
  using trial = new Trial();
  const run = await trial.claimed();
  await run.lease.write(ending(run));
  await passTime(trial.time, RENEW_INTERVAL, RENEW_INTERVAL);
  await trial.leases.renew();
  assertEquals(trial.renewals, 0);
});

Deno.test("Lease.write() stops renewing once the ending is refused", async () => {
  using trial = new Trial();
  const run = await trial.claimed();
  const refusal = new RepositoryError("no", { transient: false });
  trial.refusal = refusal;
  assertStrictEquals(
    await assertRejects(() => run.lease.write(ending(run))),
    refusal,
  );
  await trial.leases.renew();
  assertEquals(trial.renewals, 0);
});

Deno.test("Lease.write() goes on after a step that can never be written", async () => {
  using trial = new Trial();
  const run = await trial.started();
  const refusal = new RepositoryError("no", { transient: false });
  trial.refusal = refusal;
  assertStrictEquals(
    await assertRejects(() => run.lease.write({})),
    refusal,
  );
  assertEquals(run.losses, []);
  trial.refusal = undefined;
  await run.lease.write({});
  assertEquals(trial.logged, [run.runId, run.runId]);
});

Deno.test("Lease.write() passes the loss of the lease on to the run once", async () => {
  using trial = new Trial();
  const run = await trial.claimed();
  trial.refusal = new LeaseLostError(run.runId);
  const errors = await Promise.all(
    [run.lease.write({}), run.lease.write({})].map((written) =>
      assertRejects(() => written, LeaseLostError)
    ),
  );
  assertEquals(run.losses.length, 1);
  const [loss] = run.losses;
  assertEquals(loss.runId, run.runId);
  for (const error of errors) assertStrictEquals(error, loss);
  await trial.leases.renew();
  assertEquals(trial.renewals, 0);
});

Deno.test("Lease.write() rejects at once after the lease was lost", async () => {
  using trial = new Trial();
  const run = await trial.claimed();
  run.lease.lose();
  const error = await assertRejects(() => run.lease.write(ending(run)));
  assertStrictEquals(error, run.losses[0]);
  assert(!run.lease.isEnding);
  await turn();
  assertEquals(trial.steps, []);
});

Deno.test("Lease.append() writes an event with its payload", async () => {
  using trial = new Trial();
  const run = await trial.claimed();
  run.lease.append(eventOf(run.runId, 2, "Yield"), '{"a":1}');
  await turn();
  const [{ kind, claim, event, payload, row, begins, endingId }] = trial.steps;
  assertEquals([kind, claim.claimId], ["step", run.lease.claimId]);
  assertEquals([event?.seq, payload], [2, '{"a":1}']);
  assertEquals([row, begins, endingId], [undefined, false, undefined]);
  await turn();
  assertEquals(trial.logged, [run.runId]);
});

Deno.test("Lease.append() drops an event when too much is pending, where Lease.write() waits", async () => {
  using trial = new Trial({ maxQueuedBytes: 1 });
  const run = await trial.started();
  run.lease.append(eventOf(run.runId, 2, "Yield"), "1");
  await run.lease.write({ event: eventOf(run.runId, 3, "AlreadyCompleted") });
  assertEquals(trial.steps.map(({ event }) => event?.seq), [1, 3]);
  assertEquals(run.losses, []);
});

Deno.test("Lease.append() writes nothing after the lease was lost", async () => {
  using trial = new Trial();
  const run = await trial.claimed();
  run.lease.lose();
  run.lease.append(eventOf(run.runId, 2, "Yield"), "1");
  await turn();
  assertEquals(trial.steps, []);
});

Deno.test("Lease.append() passes the loss of the lease on to the run", async () => {
  using trial = new Trial();
  const run = await trial.claimed();
  trial.refusal = new LeaseLostError(run.runId);
  run.lease.append(eventOf(run.runId, 2, "Yield"), "1");
  await turn();
  await turn();
  assertEquals(run.losses.length, 1);
});

Deno.test("Lease.serialize() refuses a payload that is too large or not JSON", () => {
  using trial = new Trial();
  const { lease } = trial.open(false);
  assertEquals(lease.serialize("12345678"), '"12345678"');
  assertThrows(
    () => lease.serialize("123456789"),
    RangeError,
    "Cannot publish: payload must be at most 10 bytes of JSON",
  );
  assertThrows(() => lease.serialize(1n), TypeError, "Cannot publish: payload");
});

Deno.test("Lease.abandon() stops renewing", async () => {
  using trial = new Trial();
  const { lease } = await trial.claimed();
  lease.abandon();
  await passTime(trial.time, RENEW_INTERVAL, RENEW_INTERVAL);
  assertEquals(trial.client.names, ["claim"]);
});

Deno.test("Lease.abandon() stops renewing though steps are written later", async () => {
  using trial = new Trial();
  const run = await trial.claimed();
  run.lease.abandon();
  await run.lease.write(start(run));
  await passTime(trial.time, RENEW_INTERVAL, RENEW_INTERVAL);
  assertEquals(trial.client.names, ["claim"]);
});

Deno.test("Lease.recordedEnding() reads the first ending of the attempt", async () => {
  using trial = new Trial();
  const claimed = await trial.claimed(17);
  const random = trial.open(false);
  const at = new Date(1_000);
  trial.client.rows["read ending"] = () => [
    [
      18,
      "Errored",
      at.toISOString(),
      null,
      "lease_expired",
      "lease_expired",
      null,
    ],
  ];
  assertEquals(await claimed.lease.recordedEnding(), {
    runId: claimed.runId,
    seq: 18,
    kind: "Errored",
    code: "lease_expired",
    at,
    message: "lease_expired",
  });
  await random.lease.recordedEnding();
  assertEquals(
    trial.client.named("read ending").map(({ parameters }) => parameters),
    [[claimed.runId, "18"], [random.runId, "1"]],
  );
});

Deno.test("Lease.recordedEnding() is undefined if there is none", async () => {
  using trial = new Trial();
  trial.client.rows["read ending"] = () => [];
  const { lease } = trial.open(false);
  assertEquals(await lease.recordedEnding(), undefined);
  assertEquals(trial.warnings, []);
});

Deno.test("Lease.recordedEnding() is undefined, with a warning, if it cannot be read", async () => {
  using trial = new Trial();
  trial.client.rows["read ending"] = () => {
    throw PERMANENT;
  };
  const { lease, runId } = trial.open(false);
  assertEquals(await lease.recordedEnding(), undefined);
  const [{ cause, ...warning }] = trial.warnings;
  assertEquals(warning, {
    kind: "log",
    runId,
    message: `The recorded ending of run ${runId} could not be read`,
  });
  assertInstanceOf(cause, RepositoryError);
});

Deno.test("Leases.renew() sends nothing without leases", async () => {
  using trial = new Trial();
  await trial.leases.renew();
  assertEquals(trial.client.names, []);
});

Deno.test("Leases.renew() renews all leases in one statement", async () => {
  using trial = new Trial();
  trial.renewingAll();
  const runs = [await trial.claimed(), await trial.started()];
  await trial.leases.renew();
  const [sent] = trial.client.named("renew");
  const claimIds = runs.map(({ lease }) => lease.claimId).join(",");
  assertEquals(sent.parameters, [OWNER, `${DURATION}`, `{${claimIds}}`]);
  assertEquals(runs.flatMap(({ losses }) => losses), []);
  assertEquals(runs.flatMap(({ requests }) => requests), []);
});

Deno.test("Leases.renew() finds the leases that are lost", async () => {
  using trial = new Trial();
  const lost = await trial.claimed();
  const held = await trial.claimed();
  trial.renewing([held.lease.claimId, false, null]);
  await trial.leases.renew();
  assertEquals([lost.losses.length, held.losses.length], [1, 0]);
  assertEquals(lost.losses[0].runId, lost.runId);
  const error = await assertRejects(() => lost.lease.write({}), LeaseLostError);
  assertStrictEquals(error, lost.losses[0]);
  await held.lease.write({});
  await trial.leases.renew();
  assertEquals(trial.renewed, [held.lease.claimId]);
  assertEquals(lost.losses.length, 1);
});

Deno.test("Leases.renew() passes each request to abort on once", async () => {
  using trial = new Trial();
  const given = await trial.claimed();
  const reasonless = await trial.claimed();
  const left = await trial.claimed();
  trial.renewing(
    [given.lease.claimId, true, "enough"],
    [reasonless.lease.claimId, true, null],
    [left.lease.claimId, false, null],
  );
  await trial.leases.renew();
  await trial.leases.renew();
  assertEquals(given.requests, ["enough"]);
  assertEquals(reasonless.requests, [undefined]);
  assertEquals(left.requests, []);
  const losses = [given, reasonless, left].flatMap((run) => run.losses);
  assertEquals(losses, []);
});

Deno.test("Leases.renew() renews a run whose ending is pending, and does not lose it", async () => {
  using trial = new Trial();
  const ends = await trial.claimed();
  const gate = Promise.withResolvers<void>();
  trial.gate = gate.promise;
  const written = ends.lease.write(ending(ends));
  await turn();
  trial.renewing();
  await trial.leases.renew();
  assertEquals(trial.renewed, [ends.lease.claimId]);
  assertEquals(ends.losses, []);
  gate.resolve();
  await written;
});

Deno.test("Leases.renew() does not lose a lease that is claimed while it renews", async () => {
  using trial = new Trial();
  await trial.claimed();
  const renewed = trial.leases.renew();
  const [renewal] = trial.client.named("renew");
  const late = await trial.claimed();
  renewal.answer();
  await renewed;
  assertEquals(late.losses, []);
});

Deno.test("Leases renew at each interval while a run is live", async () => {
  using trial = new Trial();
  trial.renewingAll();
  const { lease } = await trial.claimed();
  await passTime(trial.time, RENEW_INTERVAL - 1, RENEW_INTERVAL);
  assertEquals(trial.renewals, 0);
  await passTime(trial.time, 1, RENEW_INTERVAL);
  assertEquals(trial.renewals, 1);
  await passTime(trial.time, RENEW_INTERVAL - 1, RENEW_INTERVAL);
  assertEquals(trial.renewals, 1);
  await passTime(trial.time, 1, RENEW_INTERVAL);
  assertEquals(trial.renewals, 2);
  assertEquals(trial.renewed, [lease.claimId]);
});

Deno.test("Leases renew all runs at one interval", async () => {
  using trial = new Trial();
  trial.renewingAll();
  await trial.claimed();
  await passTime(trial.time, RENEW_INTERVAL / 2, RENEW_INTERVAL);
  await trial.claimed();
  await passTime(trial.time, RENEW_INTERVAL / 2, RENEW_INTERVAL);
  assertEquals([trial.renewals, trial.renewed.length], [1, 2]);
  await passTime(trial.time, RENEW_INTERVAL - 1, RENEW_INTERVAL);
  assertEquals(trial.renewals, 1);
});

Deno.test("Leases stop renewing with the last run", async () => {
  using trial = new Trial();
  trial.renewingAll();
  const first = await trial.claimed();
  const last = await trial.claimed();
  first.lease.abandon();
  await passTime(trial.time, RENEW_INTERVAL, RENEW_INTERVAL);
  assertEquals(trial.renewed, [last.lease.claimId]);
  last.lease.abandon();
  await passTime(trial.time, 10 * RENEW_INTERVAL, RENEW_INTERVAL);
  assertEquals(trial.renewals, 1);
});

Deno.test("Leases begin a new interval with the first run after a pause", async () => {
  using trial = new Trial();
  trial.renewingAll();
  const first = await trial.claimed();
  first.lease.abandon();
  await passTime(trial.time, RENEW_INTERVAL / 2, RENEW_INTERVAL);
  await trial.claimed();
  await passTime(trial.time, RENEW_INTERVAL - 1, RENEW_INTERVAL);
  assertEquals(trial.renewals, 0);
  await passTime(trial.time, 1, RENEW_INTERVAL);
  assertEquals(trial.renewals, 1);
});

Deno.test("Leases stop renewing when the last lease is lost", async () => {
  using trial = new Trial();
  trial.renewing();
  const { losses } = await trial.claimed();
  await passTime(trial.time, 10 * RENEW_INTERVAL, RENEW_INTERVAL);
  assertEquals([losses.length, trial.renewals], [1, 1]);
  assert(!trial.time.next(), "a timer is left");
});

Deno.test("Leases keep a run's newest lease when a former one is released", async () => {
  using trial = new Trial();
  trial.renewingAll();
  const former = await trial.claimed();
  const { runId } = former;
  const newest = trial.leases.open({
    runId,
    given: true,
    maxPayloadBytes: 10,
    onAbortRequest: () => {},
    onLost: () => {},
  });
  const claimed = newest.claim();
  trial.client.sent.at(-1)!.answer([2, 0]);
  await claimed;
  former.lease.abandon();
  await trial.leases.renew();
  assertEquals(trial.renewed, [newest.claimId]);
});

Deno.test("Leases warn once of renewals that fail one after the other", async () => {
  using trial = new Trial();
  trial.client.rows["renew"] = () => {
    throw PERMANENT;
  };
  const { losses } = await trial.claimed();
  await passTime(trial.time, RENEW_INTERVAL + 2_000, 1_000);
  assertEquals(trial.renewals, 3);
  assertEquals(losses, []);
  const [{ kind, message, cause }] = trial.warnings;
  assertEquals([kind, message], [
    "lease",
    "Renewing the leases failed and is tried again",
  ]);
  assertInstanceOf(cause, RepositoryError);
  assertEquals(trial.warnings.length, 1);

  trial.renewingAll();
  await passTime(trial.time, 1_000);
  trial.client.rows["renew"] = () => {
    throw PERMANENT;
  };
  await passTime(trial.time, RENEW_INTERVAL, 1_000);
  assertEquals(trial.warnings.length, 2);
});

Deno.test("Leases.close() stops renewing", async () => {
  using trial = new Trial();
  await trial.claimed();
  trial.leases.close();
  await trial.claimed();
  await passTime(trial.time, RENEW_INTERVAL, RENEW_INTERVAL);
  assertEquals(trial.renewals, 0);
});

Deno.test("Leases.close() stops renewing while a renewal is pending", async () => {
  using trial = new Trial();
  const { lease } = await trial.claimed();
  await passTime(trial.time, RENEW_INTERVAL, RENEW_INTERVAL);
  trial.leases.close();
  trial.client.named("renew")[0].answer([lease.claimId, false, null]);
  await passTime(trial.time, 10 * RENEW_INTERVAL, RENEW_INTERVAL);
  assertEquals(trial.renewals, 1);
});

const state = (lease: string | null) => ({
  row: null,
  beginning: null,
  event: null,
  lease,
});

Deno.test("Leases.requestAbort() requests it and returns the state that the run had", async () => {
  using trial = new Trial();
  const runId = crypto.randomUUID();
  for (const lease of ["live", "ended", null]) {
    trial.client.rows["request abort"] = () => [state(lease)];
    assertEquals(
      await trial.leases.requestAbort(runId, "enough"),
      state(lease) as unknown,
    );
    assertEquals(trial.client.sent.at(-1)!.parameters, [runId, "enough"]);
  }
  await trial.leases.requestAbort(runId, undefined);
  assertEquals(trial.client.sent.at(-1)!.parameters, [runId, null]);
  assertEquals(trial.client.named("reap"), []);
});

Deno.test("Leases.requestAbort() gives an expired lease notice, and ends the run when that is over", async () => {
  using trial = new Trial();
  const runId = crypto.randomUUID();
  trial.client.rows["request abort"] = () => [state("expired")];
  trial.client.rows["reap"] = () => [
    trial.client.named("reap").length === 1 ? [0, true] : [1, false],
  ];
  assertEquals(
    await trial.leases.requestAbort(runId, "enough"),
    state("expired") as unknown,
  );
  await passTime(trial.time, NOTICE + 1_000, 1_000);
  assertEquals(
    trial.client.named("reap").map(({ parameters }) => parameters),
    Array(2).fill(["lease_expired", `${NOTICE}`, "500", runId]),
  );
  assertEquals(trial.logged, [runId]);
});

Deno.test("Leases.requestAbort() warns if it cannot end an expired run", async () => {
  using trial = new Trial();
  const runId = crypto.randomUUID();
  trial.client.rows["request abort"] = () => [state("expired")];
  trial.client.rows["reap"] = () => {
    throw PERMANENT;
  };
  await trial.leases.requestAbort(runId, "enough");
  await turn();
  assertEquals(trial.warnings.map(({ message }) => message), [
    `Run ${runId} could not be ended yet`,
  ]);
});

Deno.test("Leases.requestAbort() is repeated for 30 s while the connection is lost", async () => {
  using trial = new Trial();
  trial.client.rows["request abort"] = () => {
    throw postgresError("57P01");
  };
  const requested = trial.leases.requestAbort(crypto.randomUUID(), undefined);
  await passTime(trial.time, 28_000);
  trial.client.rows["request abort"] = () => [state("live")];
  await passTime(trial.time, 2_000);
  await requested;
});

Deno.test("Leases.reap() ends expired runs, 500 at a time, until there are no more", async () => {
  using trial = new Trial();
  const counts = [500, 500, 499];
  trial.client.rows["reap"] = () => [[counts.shift(), false]];
  assertEquals(await trial.leases.reap("restarted"), 1_499);
  assertEquals(
    trial.client.sent.map(({ parameters }) => parameters),
    Array(3).fill(["restarted", `${NOTICE}`, "500", null]),
  );
  assertEquals(trial.logged, [undefined, undefined, undefined]);
});

Deno.test("Leases.reap() looks again when the notice that it gave is over", async () => {
  using trial = new Trial();
  const answers = [[1, true], [2, true]];
  trial.client.rows["reap"] = () => [answers.shift()];
  const reaped = trial.leases.reap("restarted");
  await passTime(trial.time, NOTICE, 1_000);
  await assertPending(reaped);
  await passTime(trial.time, 1_000, 100);
  assertEquals(await reaped, 3);
  assertEquals(trial.client.names, ["reap", "reap"]);
});

Deno.test("Leases.close() ends the wait for a notice", async () => {
  using trial = new Trial();
  trial.client.rows["reap"] = () => [[1, true]];
  const reaped = trial.leases.reap("restarted");
  await assertPending(reaped);
  trial.leases.close();
  assertEquals(await reaped, 1);
  assertEquals(trial.client.names, ["reap"]);
});

Deno.test("Leases renews again after a second when renewing failed", async () => {
  using trial = new Trial();
  await trial.claimed();
  trial.client.rows["renew"] = () => {
    throw PERMANENT;
  };
  await passTime(trial.time, RENEW_INTERVAL, 1_000);
  assertEquals(trial.renewals, 1);
  await passTime(trial.time, 1_000, 100);
  assertEquals(trial.renewals, 2);
  trial.renewingAll();
  await passTime(trial.time, 1_000, 100);
  assertEquals(trial.renewals, 3);
  await passTime(trial.time, RENEW_INTERVAL - 1_000, 1_000);
  assertEquals(trial.renewals, 3);
});

Deno.test("Leases renews again after a second though a run is claimed meanwhile", async () => {
  using trial = new Trial();
  await trial.claimed();
  await passTime(trial.time, RENEW_INTERVAL, 1_000);
  const another = trial.claimed();
  trial.client.named("renew")[0].fail(PERMANENT);
  await another;
  trial.renewingAll();
  await passTime(trial.time, 1_100, 100);
  assertEquals(trial.renewals, 2);
});

Deno.test("Leases.reap() announces new events only if a run was ended", async () => {
  using trial = new Trial();
  const counts = [500, 0, 1];
  trial.client.rows["reap"] = () => [[counts.shift(), false]];
  assertEquals(await trial.leases.reap("restarted"), 500);
  assertEquals(trial.logged, [undefined]);
  const runId = crypto.randomUUID();
  assertEquals(await trial.leases.reap("restarted", runId), 1);
  assertEquals(trial.logged, [undefined, runId]);
});

Deno.test("Leases.onNotify() reads the requests to abort that concern this instance", async () => {
  using trial = new Trial();
  const run = await trial.claimed();
  const reasonless = await trial.claimed();
  trial.client.rows["read requests"] = () => [
    [run.runId, run.lease.claimId, "enough"],
    [reasonless.runId, reasonless.lease.claimId, null],
  ];
  for (
    const payload of ["*", run.runId, `abort ${crypto.randomUUID()}`, OWNER]
  ) trial.leases.onNotify(payload);
  await turn();
  assertEquals(trial.client.named("read requests"), []);

  trial.leases.onNotify(`abort ${OWNER}`);
  await turn();
  const [sent] = trial.client.named("read requests");
  assertEquals(sent.parameters, [OWNER]);
  assertEquals(run.requests, ["enough"]);
  assertEquals(reasonless.requests, [undefined]);
});

Deno.test("Leases.onNotify() passes a request on once, though each read finds it", async () => {
  using trial = new Trial();
  const run = await trial.claimed();
  trial.client.rows["read requests"] = () => [
    [run.runId, run.lease.claimId, "enough"],
  ];
  for (let i = 0; i < 2; i++) {
    trial.leases.onNotify(`abort ${OWNER}`);
    await turn();
  }
  assertEquals(trial.client.named("read requests").length, 2);
  assertEquals(run.requests, ["enough"]);
});

Deno.test("Leases.onNotify() does not abort a run for a request to its former attempt", async () => {
  using trial = new Trial();
  const run = await trial.claimed();
  trial.client.rows["read requests"] = () => [
    [run.runId, crypto.randomUUID(), "enough"],
  ];
  trial.leases.onNotify(`abort ${OWNER}`);
  await turn();
  assertEquals(run.requests, []);
});

Deno.test("Leases.onNotify() reads once for all requests that come while it reads", async () => {
  using trial = new Trial();
  const read = () => trial.leases.onNotify(`abort ${OWNER}`);
  for (let i = 0; i < 3; i++) read();
  assertEquals(trial.client.names, ["read requests"]);
  trial.client.sent[0].answer();
  await turn();
  assertEquals(trial.client.names, ["read requests", "read requests"]);
  trial.client.sent[1].answer();
  await turn();
  assertEquals(trial.client.sent.length, 2);
  read();
  assertEquals(trial.client.sent.length, 3);
});

Deno.test("Leases.onNotify() warns if the requests cannot be read, and reads them the next time", async () => {
  using trial = new Trial();
  trial.client.rows["read requests"] = () => {
    throw PERMANENT;
  };
  for (let i = 0; i < 2; i++) {
    trial.leases.onNotify(`abort ${OWNER}`);
    await turn();
  }
  assertEquals(trial.client.sent.length, 2);
  const [{ kind, message, cause }] = trial.warnings;
  assertEquals([kind, message], [
    "lease",
    "Requests to abort could not be read yet",
  ]);
  assertInstanceOf(cause, RepositoryError);
});

Deno.test("Leases.onNotify() reads nothing after close()", async () => {
  using trial = new Trial();
  trial.leases.onNotify(`abort ${OWNER}`);
  trial.leases.onNotify(`abort ${OWNER}`);
  trial.leases.close();
  trial.client.sent[0].answer();
  await turn();
  trial.leases.onNotify(`abort ${OWNER}`);
  assertEquals(trial.client.sent.length, 1);
});

Deno.test("Leases.onListen() reads the requests that came before", async () => {
  using trial = new Trial();
  const run = await trial.claimed();
  trial.client.rows["read requests"] = () => [
    [run.runId, run.lease.claimId, "enough"],
  ];
  trial.leases.onListen();
  await turn();
  assertEquals(run.requests, ["enough"]);
});

Deno.test("Leases pass on a request that is read before the claim is answered", async () => {
  using trial = new Trial();
  const [early, other] = [trial.open(true), trial.open(true)];
  const claims = [early.lease.claim(), other.lease.claim()];
  trial.client.rows["read requests"] = () => [
    [early.runId, early.lease.claimId, "enough"],
  ];
  trial.leases.onNotify(`abort ${OWNER}`);
  await turn();
  assertEquals(early.requests, []);
  for (const sent of trial.client.named("claim")) sent.answer([1, 0]);
  await Promise.all(claims);
  assertEquals(early.requests, ["enough"]);
  assertEquals(other.requests, []);
});

Deno.test("Leases pass on a request that is read before the first step is known to be written", async () => {
  using trial = new Trial();
  const gate = Promise.withResolvers<void>();
  trial.gate = gate.promise;
  const run = trial.open(false);
  const written = trial.patiently(run.lease.write(start(run)));
  trial.client.rows["read requests"] = () => [
    [run.runId, run.lease.claimId, null],
  ];
  trial.leases.onNotify(`abort ${OWNER}`);
  await turn();
  gate.resolve();
  await written;
  assertEquals(run.requests, [undefined]);
});

Deno.test("Leases keep an early request only until the next read", async () => {
  using trial = new Trial();
  const run = trial.open(true);
  const claimed = run.lease.claim();
  const rows = [[[run.runId, run.lease.claimId, "enough"]], []];
  trial.client.rows["read requests"] = () => rows.shift()!;
  for (let i = 0; i < 2; i++) {
    trial.leases.onNotify(`abort ${OWNER}`);
    await turn();
  }
  trial.client.sent[0].answer([1, 0]);
  await claimed;
  assertEquals(run.requests, []);
});

Deno.test("Leases.claim() stays pending until Postgres answers", async () => {
  using trial = new Trial();
  const { lease } = trial.open(true);
  const claimed = lease.claim();
  await assertPending(claimed);
  trial.client.sent[0].answer([1, 0]);
  await claimed;
});

Deno.test("Lease.abandon() keeps a run with a random id from being renewed once its first step is written", async () => {
  using trial = new Trial();
  trial.renewingAll();
  const run = trial.open(false);
  const written = trial.patiently(run.lease.write(start(run)));
  run.lease.abandon();
  await written;
  await trial.leases.renew();
  assertEquals(trial.renewals, 0);
});

Deno.test("Leases.renew() does not lose a lease whose ending is written while it renews", async () => {
  using trial = new Trial();
  const run = await trial.claimed();
  const renewed = trial.leases.renew();
  const [renewal] = trial.client.named("renew");
  await run.lease.write(ending(run));
  renewal.answer();
  await renewed;
  assertEquals(run.losses, []);
});

Deno.test("Leases.close() ends a renewal that fails: no warning, no retry", async () => {
  using trial = new Trial();
  await trial.claimed();
  await passTime(trial.time, RENEW_INTERVAL, RENEW_INTERVAL);
  trial.leases.close();
  trial.database.close();
  trial.client.rows["renew"] = () => {
    throw postgresError("CONNECTION_ENDED");
  };
  trial.client.named("renew")[0].fail(postgresError("CONNECTION_ENDED"));
  await passTime(trial.time, 60_000, RENEW_INTERVAL);
  assertEquals([trial.renewals, trial.warnings.length], [1, 0]);
});
