import { assertEquals, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  LeaseLostError,
  PipelineRunRegistry,
  type PipelineRunRegistryOptions,
  RegistryShutdownError,
  type RunEvent,
} from "../../mod.ts";
import { assertPending } from "../assert_pending.ts";
import {
  forever,
  KNOWN,
  noop,
  numberedKinds,
  registerHeld,
  RUN_ID,
} from "../known_run.ts";
import { recordWarnings } from "../registry/recorded_warnings.ts";
import { type StubLease, StubLog } from "./stub_log.ts";

/** A registry whose leases a test answers. */
function open(options: PipelineRunRegistryOptions = {}) {
  const log = new StubLog();
  const { warnings, onWarning } = recordWarnings();
  const registry = new PipelineRunRegistry({
    repository: log.repository,
    onWarning,
    ...options,
  });
  return {
    log,
    registry,
    warnings,
    [Symbol.asyncDispose]: () => registry.shutdown({ timeout: 0 }),
  };
}

/** A run that is claimed and waits for the test. */
async function claimed({ log, registry }: ReturnType<typeof open>) {
  const held = registerHeld(registry);
  const lease = log.leases.at(-1)!;
  lease.claimed.resolve(0);
  return { lease, ...await held };
}

/** Loses a lease as when another instance has ended the run. */
function lose(lease: StubLease): void {
  const lost = new LeaseLostError(RUN_ID);
  lease.beforeStep = () => Promise.reject(lost);
  lease.run.onLost(lost);
}

/** The events of a run that is registered, as far as it has them. */
function follow(registry: PipelineRunRegistry): Promise<RunEvent[]> {
  return Array.fromAsync(registry.subscribe(RUN_ID));
}

Deno.test("Run numbers its events after the last one that its claim found", async () => {
  await using opened = open();
  const { log, registry } = opened;
  const outcome = registry.registerInline(KNOWN, noop);
  log.leases[0].claimed.resolve(5);
  await outcome;
  const events = await follow(registry);
  assertEquals(numberedKinds(events), ["6 Started", "7 Completed"]);
});

Deno.test("Run ends its lease with its last step, and with no other", async () => {
  await using opened = open();
  const { lease, complete, outcome } = await claimed(opened);
  complete();
  await outcome;
  assertEquals(
    lease.steps.map(({ event, ends }) => [event?.kind, ends]),
    [["Started", undefined], ["Completed", true]],
  );
});

Deno.test("Run that was lost ends as the instance that ended it has logged", async () => {
  await using opened = open();
  const { lease, outcome } = await claimed(opened);
  const events = follow(opened.registry);
  lease.recorded = {
    runId: RUN_ID,
    seq: 9,
    kind: "Errored",
    code: "lease_expired",
    message: "lease_expired",
    at: new Date(0),
  };
  lose(lease);
  assertEquals(await outcome, {
    runId: RUN_ID,
    phase: { name: "Errored", code: "lease_expired", message: "lease_expired" },
    durable: true,
  });
  // The last event that memory has is before it, so its number is the next.
  assertEquals((await events).at(-1), { ...lease.recorded, seq: 2 });
});

Deno.test("Run that was lost is not durable if its recorded ending cannot be read", async () => {
  await using opened = open();
  const { lease, outcome } = await claimed(opened);
  lose(lease);
  const { phase, durable } = await outcome;
  assertEquals(durable, false);
  assertEquals(phase, {
    name: "Errored",
    code: "lease_expired",
    message: "lease_expired",
  });
});

Deno.test("Run whose ending has no row is not durable, though its event is written", async () => {
  await using opened = open({ abortWritesErroredRow: false });
  const { lease, outcome } = await claimed(opened);
  await opened.registry.abort(RUN_ID);
  assertEquals((await outcome).durable, false);
  const { event, transition } = lease.steps.at(-1)!;
  assertEquals([event?.kind, transition], ["Errored", undefined]);
});

Deno.test("Run that is refused ends its timeout, its streams and its outcome", async () => {
  await using opened = open();
  const { log, registry } = opened;
  const spec = { ...KNOWN, timeout: 60_000 };
  const outcome = registry.registerInline(spec, forever);
  const events = follow(registry);
  log.leases[0].claimed.reject(new Error("taken"));
  await assertRejects(() => outcome, Error, "taken");
  assertEquals(await events, []);
  assertEquals(registry.snapshotStatus(RUN_ID), undefined);
});

Deno.test("PipelineRunRegistry.shutdown() does not wait for a claim that may never be answered", async () => {
  const { registry, log } = open();
  const registered = registry.registerInline(KNOWN, forever);
  await registry.shutdown({ timeout: 0 });
  assertEquals(registry.snapshotStatus(RUN_ID), undefined);
  log.leases[0].claimed.resolve(0);
  await assertRejects(() => registered, RegistryShutdownError);
  assertEquals(log.leases[0].steps, []);
});

Deno.test("PipelineRunRegistry.shutdown() waits for a claim that will be answered", async () => {
  using time = new FakeTime();
  const { registry, log } = open();
  const outcome = registry.registerInline(KNOWN, forever);
  const [lease] = log.leases;
  lease.refusesPending = false;
  const closed = registry.shutdown({ timeout: 0 });
  await time.tickAsync(10);
  await assertPending(outcome, closed);
  lease.claimed.resolve(0);
  assertEquals((await outcome).phase.name, "Errored");
  await closed;
});

Deno.test("PipelineRunRegistry.shutdown() publishes the ending of a run that has begun, though it is not written", async () => {
  const opened = open();
  const { registry } = opened;
  const { lease, outcome } = await claimed(opened);
  const events = follow(registry);
  const gate = Promise.withResolvers<void>();
  lease.beforeStep = () => gate.promise;
  await registry.shutdown({ timeout: 0 });
  const { phase, durable } = await outcome;
  assertEquals([phase.name, durable], ["Errored", false]);
  assertEquals(numberedKinds(await events), ["1 Started", "2 Errored"]);
  gate.resolve();
});

Deno.test("PipelineRunRegistry.publishAlreadyCompleted() publishes nothing if the run ends before it begins", async () => {
  await using opened = open();
  const { log, registry } = opened;
  const outcome = registry.registerInline(KNOWN, forever);
  const events = follow(registry);
  assertEquals(registry.publishAlreadyCompleted(RUN_ID), true);
  const aborted = registry.abort(RUN_ID);
  log.leases[0].claimed.resolve(0);
  await Promise.all([aborted, outcome]);
  assertEquals(numberedKinds(await events), ["1 Started", "2 Errored"]);
  assertEquals(log.leases[0].appended, []);
});

Deno.test("RunContext.publish() does not look at its payload after the end", async () => {
  await using opened = open();
  const { lease, run, outcome } = await claimed(opened);
  await opened.registry.abort(RUN_ID);
  await outcome;
  run.publish(1n);
  assertEquals(lease.appended, []);
});

Deno.test("RunContext.publish() publishes nothing if its payload ends the run", async () => {
  await using opened = open();
  const { registry } = opened;
  const { lease, run, outcome } = await claimed(opened);
  const events = follow(registry);
  run.publish({ toJSON: () => void registry.abort(RUN_ID) });
  await outcome;
  assertEquals(numberedKinds(await events), ["1 Started", "2 Errored"]);
  assertEquals(lease.appended, []);
});

Deno.test("ScopedRunWatcher.onPipelineRunInitiated() writes a row before the run begins", async () => {
  await using opened = open();
  const { log, registry } = opened;
  const outcome = registry.registerInline(KNOWN, noop);
  const watcher = registry.watcherFor(RUN_ID)!;
  await watcher.onPipelineRunInitiated({
    runId: RUN_ID,
    pipelineId: RUN_ID,
    pipelineName: "ingest",
    dataIds: [],
    status: "DATASET_PROCESSING_INITIATED",
    startedAt: new Date(),
  });
  log.leases[0].claimed.resolve(0);
  await outcome;
  assertEquals(
    log.leases[0].steps.map(({ transition }) => transition?.status.slice(19)),
    ["INITIATED", "STARTED", "COMPLETED"],
  );
});

Deno.test("LocalRun.unrecorded() begins after the subscriber's position, or with the attempt", async () => {
  await using opened = open();
  const { log, registry } = opened;
  const held = registerHeld(registry);
  log.leases[0].claimed.resolve(5);
  await held;
  registry.subscribe(RUN_ID, { after: 3 });
  registry.subscribe(RUN_ID);
  const locals = await Promise.all(
    log.followed.map(({ unrecorded }) => unrecorded!()),
  );
  assertEquals(locals.map((local) => local?.after), [3, 5]);
});

Deno.test("LocalRun.unrecorded() reports what memory has lost, and goes on", async () => {
  await using opened = open({ channelCapacity: 2 });
  const { lease: _, ...held } = await claimed(opened);
  const { registry, log } = opened;
  registry.subscribe(RUN_ID);
  const local = await log.followed[0].unrecorded!();
  for (let i = 0; i < 4; i++) held.run.publish(i);
  held.complete();
  await held.outcome;
  assertEquals(numberedKinds(await Array.fromAsync(local!.events)), [
    "4 Lagged",
    "5 Yield",
    "6 Completed",
  ]);
});

Deno.test("LocalRun.unrecorded() has nothing of a run that was refused or has finished", async () => {
  await using opened = open();
  const { log, registry } = opened;
  const refused = registry.registerInline(KNOWN, noop);
  registry.subscribe(RUN_ID);
  log.leases[0].claimed.reject(new Error("taken"));
  await assertRejects(() => refused, Error, "taken");
  assertEquals(await log.followed[0].unrecorded!(), undefined);
  const finished = registry.registerInline(KNOWN, noop);
  log.leases[1].claimed.resolve(0);
  await finished;
  registry.subscribe(RUN_ID);
  assertEquals(await log.followed[1].unrecorded!(), undefined);
});
