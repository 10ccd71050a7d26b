import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import postgres from "postgres";
import {
  PipelineRunRegistry,
  type RegistryWarning,
  RepositoryError,
  RunAlreadyActiveError,
  type RunContext,
  type RunEvent,
  UnknownRunError,
} from "../../mod.ts";
import {
  type PostgresClient,
  PostgresPipelineRunRepository,
  type PostgresPipelineRunRepositoryOptions,
} from "../../src/postgres/mod.ts";
import { allowAll, createRunHandler } from "../../src/http/mod.ts";
import { assertPending } from "../assert_pending.ts";
import { transition } from "../repository/repository_contract.ts";
import { type Database, openDatabase } from "./open_database.ts";
import { statementName } from "./statement_name.ts";
import { payloadOf } from "../payload_of.ts";
import { erroredPhase } from "../../src/model/phase.ts";
import type { PipelineWork } from "../../mod.ts";

interface Opened extends AsyncDisposable {
  readonly database: Database;
  readonly repository: PostgresPipelineRunRepository;
  readonly registry: PipelineRunRegistry;
  readonly warnings: RegistryWarning[];
}

/** A registry on a database of its own, whose client `wrap` may change. */
async function open(
  options: PostgresPipelineRunRepositoryOptions = {},
  wrap: (client: PostgresClient) => PostgresClient = (client) => client,
): Promise<Opened> {
  const stack = new AsyncDisposableStack();
  const database = stack.use(await openDatabase());
  const warnings: RegistryWarning[] = [];
  const onWarning = (warning: RegistryWarning) => warnings.push(warning);
  const repository = stack.use(
    new PostgresPipelineRunRepository(wrap(database.sql), {
      onWarning,
      ...options,
    }),
  );
  await repository.migrate();
  const registry = stack.use(
    new PipelineRunRegistry({ repository, onWarning, channelCapacity: 4 }),
  );
  return {
    database,
    repository,
    registry,
    warnings,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

const seqAndKind = ({ seq, kind }: RunEvent) => `${seq} ${kind}`;

Deno.test("PipelineRunRegistry over Postgres gives runs and their rows ids that grow with the time", async () => {
  await using opened = await open();
  const { database, registry } = opened;
  const spec = { pipelineName: "ingest" };
  const { runId } = await registry.registerInline(spec, () => {});
  const rows = await database.sql`select id from pipeline_runs`;
  const ids = [runId, ...rows.map(({ id }) => id)];
  assertEquals(ids.map((id) => id[14]), ["7", "7", "7"]);
});

Deno.test("PipelineRunRegistry.subscribe() reads events that memory has lost from the log", async () => {
  await using opened = await open();
  const { registry } = opened;
  const { runId, outcome } = await registry.registerBackground(
    { pipelineName: "work" },
    async function* () {
      for (let i = 0; i < 50; i++) yield i;
    },
  );
  const reader = registry.subscribe(runId).getReader();
  await outcome;
  const payloads: unknown[] = [];
  const kinds = new Set<string>();
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    kinds.add(read.value.kind);
    if (read.value.kind === "Yield") payloads.push(read.value.payload);
  }
  assertEquals(payloads, Array.from({ length: 50 }, (_, i) => i));
  assertEquals([...kinds], ["Started", "Yield", "Completed"]);
});

Deno.test("PipelineRunRegistry reports exactly how many events were dropped from the log, and keeps the ending", async () => {
  const gate = Promise.withResolvers<void>();
  await using opened = await open(
    { maxQueuedBytes: 2_000, statementTimeout: 60_000 },
    (client) => ({
      unsafe: async (query, ...rest) => {
        if (statementName(query)?.startsWith("write")) {
          await gate.promise;
        }
        return await client.unsafe(query, ...rest);
      },
    }),
  );
  const { registry } = opened;
  const { runId, outcome } = await registry.registerBackground(
    { pipelineName: "work" },
    async function* () {
      for (let i = 0; i < 100; i++) yield "x".repeat(50);
    },
  );
  await assertPending(outcome);
  gate.resolve();
  assertEquals((await outcome).durable, true);
  const events = await Array.fromAsync(
    registry.subscribe(runId, { lag: "skip" }),
  );
  const lagged = events.filter((event) => event.kind === "Lagged");
  assertEquals(lagged.length, 1);
  const missed = lagged[0].kind === "Lagged" ? lagged[0].missed : 0;
  assertEquals(events.length - 1 + missed, 102);
  assert(missed > 0 && missed < 100, `missed ${missed}`);
  assertEquals(events.at(-1)?.kind, "Completed");
});

Deno.test("RunContext.publish() refuses payloads that the log cannot hold, and the run goes on (fault 30) (fault 41)", async () => {
  await using opened = await open();
  const { registry } = opened;
  const { runId, phase } = await registry.registerInline(
    { pipelineName: "work" },
    ({ publish }) => {
      assertThrows(() => publish(1n), TypeError, "payload must be JSON");
      assertThrows(
        () => publish("x".repeat(2_000_000)),
        RangeError,
        "at most 1048576 bytes",
      );
      publish({ text: "a\0b\ud800" });
    },
  );
  assertEquals(phase, { name: "Completed" });
  const events = await Array.fromAsync(registry.subscribe(runId));
  assertEquals(events.map(seqAndKind), [
    "1 Started",
    "2 Yield",
    "3 Completed",
  ]);
  assertEquals(payloadOf(events[1]), { text: "a\ufffdb\ufffd" });
});

Deno.test("PipelineRunRegistry.sweep() prunes the events of runs that ended long ago, and no others", async () => {
  await using opened = await open({ logRetention: 3_600_000 });
  const { registry, database } = opened;
  const run = async () => {
    const { runId } = await registry.registerInline(
      { pipelineName: "work" },
      ({ publish }) => publish(1),
    );
    return runId;
  };
  const old = await run();
  await database.sql`
    update pipeline_run_events set logged_at = now() - interval '2 hours'
  `;
  const recent = await run();
  const live = await registry.registerBackground(
    { pipelineName: "work" },
    ({ signal }) => new Promise((go) => signal.addEventListener("abort", go)),
  );
  assertEquals((await registry.sweep()).pruned, 3);
  const left = await database.sql`
    select distinct pipeline_run_id as id from pipeline_run_events
  `;
  assert(!left.some(({ id }) => id === old));
  assert(left.some(({ id }) => id === recent));
  assertEquals(
    (await opened.repository.getPipelineRun(old))?.status,
    "DATASET_PROCESSING_COMPLETED",
  );
  await registry.abort(live.runId);
});

Deno.test("PipelineRunRegistry.status() returns the state of any run", async () => {
  await using opened = await open();
  const { registry } = opened;
  assertEquals(await registry.status(crypto.randomUUID()), undefined);
  const failed = await registry.registerInline({ pipelineName: "work" }, () => {
    throw new Error("boom");
  });
  await using other = new PipelineRunRegistry({
    repository: opened.repository,
  });
  const { row, ...status } = (await other.status(failed.runId))!;
  assertEquals(status, {
    runId: failed.runId,
    phase: { name: "Errored", code: "work", message: "boom" },
    ended: true,
    firstSeq: 1,
    lastSeq: 2,
  });
  assertEquals(row?.runInfo, { data: "None", error: "boom" });
});

Deno.test("PipelineRunRegistry.subscribe() with durable delivers an event of this instance's run once it is in the log", async () => {
  const gate = Promise.withResolvers<void>();
  await using opened = await open({ statementTimeout: 60_000 }, (client) => ({
    unsafe: async (query, ...rest) => {
      if (statementName(query)?.startsWith("write")) await gate.promise;
      return await client.unsafe(query, ...rest);
    },
  }));
  const { registry } = opened;
  const { runId } = await registry.registerBackground(
    { pipelineName: "work" },
    async function* () {
      yield 1;
    },
  );
  const durable = Array.fromAsync(registry.subscribe(runId, { durable: true }));
  const early = registry.subscribe(runId);
  for await (const { kind } of early) if (kind === "Yield") break;
  await assertPending(durable);
  gate.resolve();
  assertEquals((await durable).map(seqAndKind), [
    "1 Started",
    "2 Yield",
    "3 Completed",
  ]);
});

Deno.test("PipelineRunRegistry.subscribe() serves many readers of one position with one query", async () => {
  const asked: number[] = [];
  await using opened = await open({}, (client) => ({
    unsafe: (query, parameters, ...rest) => {
      if (statementName(query) === "read events") {
        asked.push(JSON.parse(parameters![0] as string).length);
      }
      return client.unsafe(query, parameters, ...rest);
    },
  }));
  const { registry } = opened;
  const { runId } = await registry.registerInline(
    { pipelineName: "work" },
    async function* () {
      for (let i = 0; i < 50; i++) yield i;
    },
  );
  const readers = await Promise.all(
    Array.from(
      { length: 1_000 },
      () => Array.fromAsync(registry.subscribe(runId)),
    ),
  );
  for (const events of readers) assertEquals(events.length, 52);
  assertEquals(asked, [1]);
});

Deno.test("PipelineRunRegistry.subscribe() reads large payloads in portions, since the reader may stop", async () => {
  const payload = "x".repeat(100_000);
  const lengths: number[] = [];
  await using opened = await open({}, (client) => ({
    unsafe: async (query, ...rest) => {
      const rows = await client.unsafe(query, ...rest);
      if (statementName(query) === "read events" && rows.length > 0) {
        lengths.push(String(Object.values(rows[0] as object)[0]).length);
      }
      return rows;
    },
  }));
  const { registry } = opened;
  const { runId } = await registry.registerInline(
    { pipelineName: "work" },
    async function* () {
      for (let i = 0; i < 20; i++) yield payload;
    },
  );
  const events = await Array.fromAsync(registry.subscribe(runId));
  assertEquals(events.length, 22);
  assert(
    lengths.every((length) => length < 400_000),
    `a portion was of ${lengths} characters`,
  );
});

Deno.test("PipelineRunRegistry.subscribe() begins after the former attempt as soon as a new one is claimed", async () => {
  const gates: Promise<void>[] = [];
  await using opened = await open({ statementTimeout: 60_000 }, (client) => ({
    unsafe: async (query, ...rest) => {
      if (statementName(query)?.startsWith("write")) await gates.at(0);
      return await client.unsafe(query, ...rest);
    },
  }));
  const { registry, repository } = opened;
  const spec = { pipelineName: "work", runId: crypto.randomUUID() };
  await registry.registerInline(spec, () => {});
  const { promise, resolve } = Promise.withResolvers<void>();
  gates.push(promise);
  await registry.registerBackground(spec, () => {});
  await using other = new PipelineRunRegistry({ repository });
  const events = Array.fromAsync(other.subscribe(spec.runId));
  assertEquals((await other.status(spec.runId))?.firstSeq, 3);
  resolve();
  assertEquals((await events).map(seqAndKind), ["3 Started", "4 Completed"]);
});

/** A run that another instance has begun and cannot end, since it died. */
async function orphan({ database, registry }: Opened): Promise<string> {
  const { runId } = await registry.registerBackground(
    { pipelineName: "work" },
    () => new Promise(() => {}),
  );
  for await (const _ of registry.subscribe(runId, { durable: true })) break;
  await database.sql`
    update pipeline_run_leases set expires_at = now() - interval '1 second'
  `;
  return runId;
}

Deno.test("PipelineRunRegistry.status() of a run whose lease expired says that its last event is not logged yet", async () => {
  await using opened = await open();
  const runId = await orphan(opened);
  await using repository = new PostgresPipelineRunRepository(
    opened.database.sql,
    { renewInterval: 50 },
  );
  await using other = new PipelineRunRegistry({ repository });
  const { row: _row, ...status } = (await other.status(runId))!;
  assertEquals(status, {
    runId,
    phase: { name: "Errored", code: "lease_expired", message: "lease_expired" },
    ended: false,
    firstSeq: 1,
    lastSeq: 1,
  });
  const handler = createRunHandler(other, { authorize: allowAll });
  const response = await handler(
    new Request(`http://localhost/runs/${runId}/events?after=1`),
  );
  assertEquals(response.status, 200);
  const text = response.text();
  await other.sweep();
  assertMatch(await text, /^id: 1\n\nid: 2\nevent: Errored\n.*lease_expired/);
});

Deno.test("PipelineRunRegistry.subscribe() never counts back in memory when another instance ended the run", async () => {
  await using opened = await open();
  const { database, registry } = opened;
  const { runId, outcome } = await registry.registerBackground(
    { pipelineName: "work" },
    async ({ publish, signal }) => {
      publish(2);
      const ended = new Promise((go) => signal.addEventListener("abort", go));
      await ended;
    },
  );
  const local = Array.fromAsync(registry.subscribe(runId));
  for await (
    const { seq } of registry.subscribe(runId, { durable: true })
  ) if (seq === 2) break;
  // As if the last event had not reached the log yet when another instance ended it.
  await database.sql`delete from pipeline_run_events where seq = 2`;
  await database.sql`
    update pipeline_run_leases
    set last_seq = 1, expires_at = now() - interval '1 second'`;
  await using repository = new PostgresPipelineRunRepository(database.sql, {
    renewInterval: 50,
  });
  await using other = new PipelineRunRegistry({ repository });
  assertEquals((await other.sweep()).reaped, 1);
  await registry.sweep(); // Finds its lease lost.
  assertEquals((await outcome).phase, {
    name: "Errored",
    code: "lease_expired",
    message: "lease_expired",
  });
  assertEquals((await local).map(seqAndKind), [
    "1 Started",
    "2 Yield",
    "3 Errored",
  ]);
});

Deno.test("PipelineRunRegistry.status() is that of a newer attempt elsewhere, though memory has more events of the former one", async () => {
  await using opened = await open();
  const { database, registry } = opened;
  const { runId, outcome } = await registry.registerBackground(
    { pipelineName: "work" },
    ({ publish }) => {
      for (let i = 0; i < 10; i++) publish(i);
      return new Promise(() => {});
    },
  );
  for await (
    const { seq } of registry.subscribe(runId, { durable: true })
  ) if (seq === 11) break;
  await database.sql`delete from pipeline_run_events where seq > 1`;
  await database.sql`
    update pipeline_run_leases
    set last_seq = 1, expires_at = now() - interval '1 second'`;
  await using repository = new PostgresPipelineRunRepository(database.sql, {
    renewInterval: 50,
  });
  await using other = new PipelineRunRegistry({ repository });
  await other.registerInline({ pipelineName: "work", runId }, () => {});
  await registry.sweep(); // Finds its lease lost.
  await outcome;
  const status = (await registry.status(runId))!;
  assertEquals([status.phase, status.lastSeq], [{ name: "Completed" }, 4]);
});

Deno.test("RunContext.publish() publishes nothing whose getter ends the run", async () => {
  await using opened = await open();
  const { registry } = opened;
  const begun = Promise.withResolvers<RunContext<unknown>>();
  const { runId, outcome } = await registry.registerBackground(
    { pipelineName: "work" },
    (run) => {
      begun.resolve(run);
      return new Promise(() => {});
    },
  );
  const local = Array.fromAsync(registry.subscribe(runId));
  const { publish } = await begun.promise;
  publish({
    get value() {
      registry.abort(runId);
      return 1;
    },
  });
  assertEquals((await outcome).phase, {
    name: "Errored",
    code: "aborted",
    message: "aborted",
  });
  assertEquals((await local).map(seqAndKind), ["1 Started", "2 Errored"]);
});

Deno.test("PipelineRunRegistry.abort() of a run whose lease expired requests it from the instance that comes back", async () => {
  await using opened = await open({ renewInterval: 10_000 });
  const runId = await orphan(opened);
  await using repository = new PostgresPipelineRunRepository(
    opened.database.sql,
    { listener: false },
  );
  await using other = new PipelineRunRegistry({ repository });
  assertEquals(await other.abort(runId, "enough"), "requested");
  const local = Array.fromAsync(opened.registry.subscribe(runId));
  await opened.registry.sweep(); // Renews its lease and finds the request.
  assertEquals((await local).map(seqAndKind), ["1 Started", "2 Errored"]);
  assertEquals((await opened.registry.status(runId))?.phase, {
    name: "Errored",
    code: "aborted",
    message: "aborted: enough",
  });
});

Deno.test("PipelineRunRegistry.subscribe() delivers the last attempt that began if a newer claim was given up", async () => {
  await using opened = await open();
  const { database, registry } = opened;
  const runId = crypto.randomUUID();
  const spec = { pipelineName: "work", runId };
  await registry.registerInline(spec, () => {});
  await registry.registerInline(spec, () => {});
  await database.sql`
    update pipeline_run_leases
    set generation = generation + 1, first_seq = last_seq + 1`;
  await using repository = new PostgresPipelineRunRepository(database.sql);
  await using other = new PipelineRunRegistry({ repository });
  const events = await Array.fromAsync(other.subscribe(runId));
  assertEquals(events.map(seqAndKind), ["3 Started", "4 Completed"]);
  assertEquals((await other.status(runId))!.firstSeq, 3);
});

Deno.test("PipelineRunRegistry.status() returns where a live attempt begins though the former attempt is pruned", async () => {
  await using opened = await open({ logRetention: 1 });
  const { registry, repository, database } = opened;
  const spec = { pipelineName: "work", runId: crypto.randomUUID() };
  await registry.registerInline(spec, () => {});
  await registry.registerBackground(spec, () => new Promise(() => {}));
  for await (
    const { seq } of registry.subscribe(spec.runId, { durable: true })
  ) if (seq === 3) break;
  await database.sql`
    update pipeline_run_events set logged_at = now() - interval '1 hour'
  `;
  await registry.sweep();
  await using other = new PipelineRunRegistry({ repository });
  const status = await other.status(spec.runId);
  assertEquals([status?.firstSeq, status?.lastSeq], [3, 3]);
});

Deno.test("PipelineRunRegistry.abort() of a run that no instance knows rejects with an UnknownRunError", async () => {
  await using opened = await open();
  await assertRejects(
    () => opened.registry.abort(crypto.randomUUID()),
    UnknownRunError,
  );
});

Deno.test("PipelineRunRegistry.abort() does not change a finished run of another instance", async () => {
  await using opened = await open();
  const { runId } = await opened.registry.registerInline(
    { pipelineName: "work" },
    () => {},
  );
  await using other = new PipelineRunRegistry({
    repository: opened.repository,
  });
  await other.abort(runId, "too late");
  assertEquals((await other.status(runId))?.phase, { name: "Completed" });
});

Deno.test("PipelineRunRegistry.abort() of many runs of another instance changes only their leases", async () => {
  let renewals = 0;
  await using opened = await open({}, (client) => ({
    unsafe(query, parameters, options) {
      if (statementName(query) === "renew") renewals++;
      return client.unsafe(query, parameters, options);
    },
    listen: (...listening) => client.listen!(...listening),
  }));
  const { database, registry } = opened;
  await using repository = new PostgresPipelineRunRepository(database.sql);
  await using other = new PipelineRunRegistry({ repository });
  const handles = await Promise.all(
    Array.from({ length: 100 }, (_, index) =>
      registry.registerBackground({
        pipelineName: `held ${index}`,
        runId: crypto.randomUUID(),
      }, () => new Promise(() => {}))),
  );
  await Promise.all(
    handles.map(({ runId, pipelineName }) => other.abort(runId, pipelineName)),
  );
  for (const { outcome, pipelineName } of handles) {
    const { phase, durable } = await outcome;
    const message = `aborted: ${pipelineName}`;
    assertEquals([phase, durable], [
      { name: "Errored", code: "aborted", message },
      true,
    ]);
  }
  assertEquals(renewals, 0);
});

Deno.test("PipelineRunRegistry.abort() reaches a run whose claim is not answered yet", async () => {
  const runId = crypto.randomUUID();
  const claimed = Promise.withResolvers<void>();
  const heard = Promise.withResolvers<void>();
  const listens = Promise.withResolvers<void>();
  let requested = false;
  let renewals = 0;
  await using opened = await open({}, (client) => ({
    async unsafe(query, parameters, options) {
      const answer = await client.unsafe(query, parameters, options);
      if (statementName(query) === "claim" && parameters![0] === runId) {
        claimed.resolve();
        await heard.promise;
      }
      if (statementName(query) === "renew") renewals++;
      if (statementName(query) === "read requests") {
        (requested ? heard : listens).resolve();
      }
      return answer;
    },
    listen: (...listening) => client.listen!(...listening),
  }));
  const { database, registry } = opened;
  await using repository = new PostgresPipelineRunRepository(database.sql);
  await using other = new PipelineRunRegistry({ repository });
  const forever = () => new Promise(() => {});
  const spec = { pipelineName: "held" };
  await registry.registerBackground(
    { ...spec, runId: crypto.randomUUID() },
    forever,
  );
  await listens.promise;
  const outcome = registry.registerInline({ ...spec, runId }, forever);
  await claimed.promise;
  requested = true;
  await other.abort(runId, "early");
  const message = "aborted: early";
  assertEquals((await outcome).phase, {
    name: "Errored",
    code: "aborted",
    message,
  });
  assertEquals(renewals, 0);
});

Deno.test("PipelineRunRegistry.subscribe() ends at once when a pending read is cancelled", async () => {
  await using opened = await open();
  const { registry } = opened;
  const reader = registry.subscribe(crypto.randomUUID()).getReader();
  const read = reader.read();
  await reader.cancel();
  assertEquals((await read).done, true);
  const controller = new AbortController();
  const aborted = registry.subscribe(crypto.randomUUID(), {
    signal: controller.signal,
  }).getReader().read();
  controller.abort(new Error("left"));
  await assertRejects(() => aborted, Error, "left");
});

Deno.test("PipelineRunRegistry.shutdown() closes the streams of runs that other instances may run", async () => {
  await using opened = await open();
  const { registry } = opened;
  const unknown = registry.subscribe(crypto.randomUUID()).getReader();
  const { runId } = await registry.registerBackground(
    { pipelineName: "work" },
    ({ signal }) => new Promise((go) => signal.addEventListener("abort", go)),
  );
  const live = Array.fromAsync(registry.subscribe(runId));
  await registry.shutdown();
  assertEquals((await unknown.read()).done, true);
  assertEquals((await live).map(seqAndKind), ["1 Started", "2 Errored"]);
});

Deno.test("PostgresPipelineRunRepository without shared writes only rows", async () => {
  await using opened = await open({ shared: false });
  const { registry, database, repository } = opened;
  await registry.registerInline({ pipelineName: "work" }, ({ publish }) => {
    publish(1n); // What nobody stores need not be JSON.
  });
  assertEquals(repository.runLog, undefined);
  const [counts] = await database.sql`
    select
      (select count(*)::int from pipeline_runs) as rows,
      (select count(*)::int from pipeline_run_events) as events,
      (select count(*)::int from pipeline_run_leases) as leases
  `;
  assertEquals({ ...counts }, { rows: 2, events: 0, leases: 0 });
});

Deno.test("PipelineRunRegistry ends a run whose rows the table refuses, also for its subscribers", async () => {
  await using opened = await open();
  const { registry, database } = opened;
  await database.sql`
    alter table pipeline_runs add check (pipeline_name <> 'poison')
  `;
  const { runId, phase, durable } = await registry.registerInline(
    { pipelineName: "poison" },
    ({ publish }) => publish(1),
  );
  assertEquals([phase.name, durable], ["Completed", false]);
  const events = await Array.fromAsync(registry.subscribe(runId));
  assertEquals(events.map(seqAndKind), [
    "1 Started",
    "2 Yield",
    "3 Completed",
  ]);
});

Deno.test("PipelineRunRegistry.abort() reaches the newest attempt, not the attempt that ended here", async () => {
  await using opened = await open({ renewInterval: 100 });
  const { registry, repository } = opened;
  const runId = crypto.randomUUID();
  await registry.registerInline({ pipelineName: "work", runId }, () => {});
  await using other = new PipelineRunRegistry({ repository });
  const { outcome } = await other.registerBackground(
    { pipelineName: "work", runId },
    ({ signal }) => new Promise((go) => signal.addEventListener("abort", go)),
  );
  const { phase } = (await registry.status(runId))!;
  assert(phase.name === "Pending" || phase.name === "Running", phase.name);
  await registry.abort(runId, "enough");
  assertEquals((await outcome).phase, {
    name: "Errored",
    code: "aborted",
    message: "aborted: enough",
  });
});

Deno.test("PostgresPipelineRunRepository.close() errors the streams of runs that have not ended", async () => {
  await using opened = await open();
  const reader = opened.registry.subscribe(crypto.randomUUID()).getReader();
  const read = reader.read();
  await Promise.all([
    assertRejects(() => read, RepositoryError, "The repository was closed"),
    opened.repository.close(),
  ]);
});

Deno.test("PipelineRunRegistry keeps the lease of a run whose first statement is slow and repeated", async () => {
  await using opened = await open({ statementTimeout: 300 });
  const { registry, database } = opened;
  await database.sql.unsafe(`
    create function slow() returns trigger language plpgsql as $$
    begin
      if new.kind = 'Started' then perform pg_sleep(0.7); end if;
      return new;
    end $$;
    create trigger slow before insert on pipeline_run_events
      for each row execute function slow()`);
  const { runId, outcome } = await registry.registerBackground(
    { pipelineName: "work" },
    ({ signal }) => new Promise((go) => signal.addEventListener("abort", go)),
  );
  const reader = registry.subscribe(runId).getReader();
  assertEquals((await reader.read()).value?.kind, "Started");
  await database.sql`drop trigger slow on pipeline_run_events`;
  await registry.abort(runId);
  const { phase, durable } = await outcome;
  assertEquals([phase.name, durable], ["Errored", true]);
  const kinds = await database.sql`
    select kind from pipeline_run_events where pipeline_run_id = ${runId}
    order by seq
  `;
  assertEquals(kinds.map(({ kind }) => kind), ["Started", "Errored"]);
  await reader.cancel();
});

/** A registry, and those of as many other instances on its database. */
async function openInstances(
  count: number,
  options?: PostgresPipelineRunRepositoryOptions,
): Promise<AsyncDisposable & Opened & { registries: PipelineRunRegistry[] }> {
  const stack = new AsyncDisposableStack();
  const opened = stack.use(await open());
  const registries = Array.from({ length: count }, () => {
    const repository = stack.use(
      new PostgresPipelineRunRepository(opened.database.sql, options),
    );
    return stack.use(new PipelineRunRegistry({ repository }));
  });
  return {
    ...opened,
    registries,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** The statuses of a run's rows, in order. */
async function trail({ sql }: Database, runId: string): Promise<string[]> {
  const rows = await sql`
    select status from pipeline_runs
    where pipeline_run_id = ${runId} order by created_at
  `;
  return rows.map(({ status }) => status.replace("DATASET_PROCESSING_", ""));
}

Deno.test("PipelineRunRegistry.registerBackground() lets one of eight instances have a run id (fault 34)", async () => {
  await using opened = await openInstances(8);
  const spec = { pipelineName: "work", runId: crypto.randomUUID() };
  let called = 0;
  const results = await Promise.allSettled(
    opened.registries.map((registry) =>
      registry.registerBackground(spec, ({ signal }) => {
        called++;
        return new Promise((go) => signal.addEventListener("abort", go));
      })
    ),
  );
  const refused = results.filter(({ status }) => status === "rejected");
  assertEquals(refused.length, 7);
  for (const { reason } of refused as PromiseRejectedResult[]) {
    assertInstanceOf(reason, RunAlreadyActiveError);
    assertEquals(reason.runId, spec.runId);
  }
  await opened.registry.abort(spec.runId);
  for (const result of results) {
    if (result.status === "fulfilled") await result.value.outcome;
  }
  assertEquals(called, 1);
  assertEquals(await trail(opened.database, spec.runId), [
    "STARTED",
    "ERRORED",
  ]);
});

Deno.test("PipelineRunRegistry.sweep() ends each dead run once, whichever instances sweep at once (fault 38)", async () => {
  await using opened = await openInstances(6, { renewInterval: 50 });
  const { database, registry } = opened;
  const runIds = [await orphan(opened), await orphan(opened)];
  const reports = await Promise.all(
    opened.registries.map((each) => each.sweep()),
  );
  assertEquals(reports.reduce((sum, { reaped }) => sum + reaped, 0), 2);
  await registry.sweep();
  for (const runId of runIds) {
    assertEquals(await trail(database, runId), ["STARTED", "ERRORED"]);
    const events = await database.sql`
      select seq::int, kind from pipeline_run_events
      where pipeline_run_id = ${runId} order by seq
    `;
    assertEquals(events.map(({ seq, kind }) => `${seq} ${kind}`), [
      "1 Started",
      "2 Errored",
    ]);
  }
});

Deno.test("PipelineRunRegistry.withOrphanReset() of instances that start at once resets an orphan once, and no live run (fault 33)", async () => {
  await using opened = await open();
  const { database, registry, repository } = opened;
  const orphanId = crypto.randomUUID();
  await repository.logPipelineRun(
    transition("STARTED", { pipelineRunId: orphanId }),
  );
  const live = await registry.registerBackground(
    { pipelineName: "live" },
    ({ signal }) => new Promise((go) => signal.addEventListener("abort", go)),
  );
  for await (const _ of registry.subscribe(live.runId, { durable: true })) {
    break;
  }
  await using stack = new AsyncDisposableStack();
  await Promise.all(Array.from({ length: 8 }, async () => {
    const repository = stack.use(
      new PostgresPipelineRunRepository(database.sql),
    );
    stack.use(await PipelineRunRegistry.withOrphanReset({ repository }));
  }));
  assertEquals(await trail(database, orphanId), ["STARTED", "ERRORED"]);
  assertEquals(await trail(database, live.runId), ["STARTED"]);
  assertEquals((await registry.status(live.runId))?.phase, { name: "Running" });
});

Deno.test("PipelineRunRegistry writes the ending of work that throws what Postgres cannot store (fault 30) (fault 42)", async () => {
  await using opened = await open();
  const { registry, repository } = opened;
  for (
    const [thrown, message] of [
      ["a\0b\ud800c", "a\ufffdb\ufffdc"],
      ["'); drop table pipeline_runs; --\\u0000{}\"", undefined],
      ["🎒".repeat(1_000_000), "🎒".repeat(5_000) + "…"],
    ] as [string, string | undefined][]
  ) {
    const expected = message ?? thrown;
    const { runId, phase, durable } = await registry.registerInline(
      { pipelineName: "work" },
      () => {
        throw new Error(thrown);
      },
    );
    assertEquals([phase, durable], [
      { name: "Errored", code: "work", message: expected },
      true,
    ]);
    const row = await repository.getPipelineRun(runId);
    assertEquals(row?.runInfo, { data: "None", error: expected });
    await using other = new PipelineRunRegistry({ repository });
    const last = (await Array.fromAsync(other.subscribe(runId))).at(-1);
    assertEquals(last?.kind === "Errored" && last.message, expected);
  }
});

/** How a database comes to refuse writes, given a client for its owner. */
const REFUSALS: Record<string, (sql: postgres.Sql) => PromiseLike<unknown>> = {
  "is read-only": (sql) => sql`set default_transaction_read_only = on`.simple(),
  // Stands for a disk that is full.
  "has no space left": (sql) =>
    sql`
      create function refuse() returns trigger language plpgsql as $$
      begin
        raise exception 'No space left on device' using errcode = '53100';
      end $$;
      create trigger refuse before insert on pipeline_runs
        for each row execute function refuse()`.simple(),
};
for (const [name, refuse] of Object.entries(REFUSALS)) {
  Deno.test(`PipelineRunRegistry ends a run, not durable, while the database ${name} (fault 28)`, async () => {
    await using database = await openDatabase();
    const sql = postgres(database.url, { max: 1, onnotice: () => {} });
    const warnings: RegistryWarning[] = [];
    const onWarning = (warning: RegistryWarning) => warnings.push(warning);
    const repository = new PostgresPipelineRunRepository(sql, { onWarning });
    try {
      await repository.migrate();
      await refuse(sql);
      const registry = new PipelineRunRegistry({
        repository,
        onWarning,
        endingTimeout: 200,
      });
      const { runId, outcome } = await registry.registerBackground(
        { pipelineName: "work" },
        ({ publish }) => publish(1),
      );
      const events = Array.fromAsync(registry.subscribe(runId));
      const { phase, durable } = await outcome;
      assertEquals([phase, durable], [{ name: "Completed" }, false]);
      assertEquals((await events).map(seqAndKind), [
        "1 Started",
        "2 Yield",
        "3 Completed",
      ]);
      assert(
        warnings.some((warning) =>
          warning.kind === "ending" && warning.runId === runId
        ),
      );
      await registry.shutdown({ timeout: 0 });
    } finally {
      await repository.close({ timeout: 0 });
      await sql.end({ timeout: 1 });
    }
  });
}

Deno.test("PipelineRunRegistry sends nothing but strings and nulls to the driver (fault 26)", async () => {
  const types = new Set<string>();
  const names = new Set<string | undefined>();
  await using opened = await open({ renewInterval: 50 }, (client) => ({
    unsafe(query, parameters = [], options) {
      names.add(statementName(query));
      for (const parameter of parameters) {
        types.add(parameter === null ? "null" : typeof parameter);
      }
      return client.unsafe(query, parameters, options);
    },
  }));
  const { registry, repository, warnings } = opened;
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  const bad = [undefined, 1n, cycle, Symbol("bad"), () => {}, NaN, new Date(0)];
  await using other = new PipelineRunRegistry({ repository });
  await Promise.all(bad.map(async (value) => {
    const runId = crypto.randomUUID();
    const { outcome } = await registry.registerBackground(
      { pipelineName: "work", runId },
      async ({ publish, setPayload, signal }) => {
        const aborted = new Promise((go) =>
          signal.addEventListener("abort", go)
        );
        try {
          publish(value);
        } catch {
          publish(runId);
        }
        await setPayload("bad", value).catch(() => {});
        await setPayload("good", runId);
        await aborted;
      },
    );
    const events = Array.fromAsync(
      other.subscribe(runId, { durable: true }),
    );
    for await (
      const { seq } of registry.subscribe(runId, { durable: true })
    ) if (seq === 2) break;
    while ((await other.getPayload(runId)).good !== runId);
    await other.abort(runId, value);
    assertEquals((await outcome).durable, true);
    assertEquals((await events).map(seqAndKind), [
      "1 Started",
      "2 Yield",
      "3 Errored",
    ]);
    assertEquals((await other.status(runId))?.runId, runId);
    await other.sweep();
  }));
  assertEquals(types, new Set(["string", "null"]));
  for (const name of ["claim", "write steps", "renew", "request abort"]) {
    assert(names.has(name), `"${name}" was not sent`);
  }
  assertEquals(warnings, []);
});

Deno.test("PipelineRunRegistry.shutdown() returns by its timeout and names the runs that are not durable while Postgres is away (fault 48)", async () => {
  let away = Promise.resolve();
  await using opened = await open({}, (client) => ({
    unsafe: async (query, ...rest) => {
      await away;
      return await client.unsafe(query, ...rest);
    },
  }));
  const { registry, warnings } = opened;
  const spec = { pipelineName: "work" };
  const ended = await registry.registerInline(spec, () => {});
  const { promise, resolve } = Promise.withResolvers<void>();
  away = promise;
  const live = await Promise.all(
    [1, 2].map(() =>
      registry.registerBackground(spec, () => new Promise(() => {}))
    ),
  );
  const started = performance.now();
  await registry.shutdown({ timeout: 100 });
  assert(performance.now() - started < 2_000);
  for (const { outcome } of live) {
    const { phase, durable } = await outcome;
    assertEquals([phase.name, durable], ["Errored", false]);
  }
  const named = new Set(
    warnings.flatMap(({ kind, runId }) => kind === "ending" ? [runId] : []),
  );
  for (const { runId } of live) assert(named.has(runId));
  assert(!named.has(ended.runId));
  resolve();
});

Deno.test("PipelineRunRegistry.getResult() gives the result of another instance's run", async () => {
  await using opened = await open();
  await using repository = new PostgresPipelineRunRepository(
    opened.database.sql,
  );
  await using other = new PipelineRunRegistry({ repository });
  const works = [() => ({ chunks: [1, 2] }), () => new Date(0), () => {}];
  const results = [];
  for (const work of works) {
    const { runId, durable } = await opened.registry.registerInline(
      { pipelineName: "work" },
      work,
    );
    assertEquals(durable, true);
    results.push(await other.getResult(runId));
  }
  assertEquals(results, [
    { value: { chunks: [1, 2] } },
    { error: "Cannot store result: it must be JSON, received a Date" },
    undefined,
  ]);
});

Deno.test("RunFailure is the same for another instance, in the log, in the row and over HTTP", async () => {
  await using opened = await open();
  const { registry, database } = opened;
  await using repository = new PostgresPipelineRunRepository(database.sql);
  await using other = new PipelineRunRegistry({ repository });
  const handler = createRunHandler(other, { authorize: allowAll });
  const fail: PipelineWork = () => {
    throw new TypeError("boom");
  };
  const wait = () => new Promise<void>(() => {});
  const runs = [
    await registry.registerBackground({ pipelineName: "fails" }, fail),
    await registry.registerBackground(
      { pipelineName: "late", timeout: 1 },
      wait,
    ),
    await registry.registerBackground({ pipelineName: "aborted" }, wait),
    await registry.registerBackground({ pipelineName: "stopped" }, wait),
  ];
  await runs[2].abort("enough");
  await registry.shutdown();
  const told = [];
  for (const { runId, outcome } of runs) {
    const { phase } = await outcome;
    const [event] = (await Array.fromAsync(other.subscribe(runId))).slice(-1);
    assert(event.kind === "Errored");
    assertEquals(erroredPhase(event), { ...phase });
    assertEquals((await other.status(runId))?.phase, { ...phase });
    const response = await handler(new Request(`http://host/runs/${runId}`));
    const { code, message, name } = await response.json();
    assertEquals(erroredPhase({ code, message, name }), { ...phase });
    await database.sql`
      delete from pipeline_run_events where pipeline_run_id = ${runId}`;
    await database.sql`
      delete from pipeline_run_leases where pipeline_run_id = ${runId}`;
    assertEquals((await other.status(runId))?.phase, { ...phase });
    told.push([code, message, name]);
  }
  assertEquals(told, [
    ["work", "boom", "TypeError"],
    ["timeout", "timed out after 1 ms", undefined],
    ["aborted", "aborted: enough", undefined],
    ["shutdown", "aborted", undefined],
  ]);
});
