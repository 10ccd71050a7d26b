import { assertEquals } from "@std/assert";
import {
  MemoryPipelineRunRepository,
  PipelineRunRegistry,
  type PipelineRunRow,
  type RegistryWarning,
} from "../../mod.ts";
import { connect } from "../../src/postgres/mod.ts";
import { openDatabase } from "../postgres/open_database.ts";
import { RecordingTelemetry } from "./recording_telemetry.ts";

const INGEST = { pipelineName: "ingest" };

Deno.test("PipelineRunRegistry.subscribe() tells its telemetry of events that another instance's log has lost", async () => {
  await using database = await openDatabase();
  await using a = await connect(database.url);
  await using registryOfA = new PipelineRunRegistry({ repository: a });
  const { runId } = await registryOfA.registerInline(INGEST, function* () {
    for (let i = 0; i < 10; i++) yield i;
  });
  await database.sql`delete from pipeline_run_events where seq in (3, 4, 5)`;

  const telemetry = new RecordingTelemetry();
  await using b = await connect(database.url, { telemetry });
  await using registry = new PipelineRunRegistry({ repository: b, telemetry });
  const events = registry.subscribe(runId, { lag: "skip" });
  assertEquals(telemetry.read("subscriptions"), 1);
  const seqs = (await Array.fromAsync(events)).map(({ seq }) => seq);
  assertEquals(seqs, [1, 2, 5, 6, 7, 8, 9, 10, 11, 12]);
  assertEquals(telemetry.told["onMissed"], [[3]]);
  assertEquals(telemetry.read("subscriptions"), 0);
});

Deno.test("PipelineRunRegistry.subscribe() does not tell its telemetry of events that only memory has lost", async () => {
  await using database = await openDatabase();
  const telemetry = new RecordingTelemetry();
  await using repository = await connect(database.url, { telemetry });
  await using registry = new PipelineRunRegistry({
    repository,
    telemetry,
    channelCapacity: 2,
  });
  const run = await registry.registerBackground(INGEST, function* () {
    for (let i = 0; i < 10; i++) yield i;
  });
  const events = await Array.fromAsync(run.subscribe({ after: 0 }));
  assertEquals(events.length, 12);
  assertEquals(telemetry.told["onMissed"], undefined);
});

Deno.test("PipelineRunRegistry.abort() tells its telemetry nothing of a run that had ended in another instance", async () => {
  await using database = await openDatabase();
  await using a = await connect(database.url);
  await using registryOfA = new PipelineRunRegistry({ repository: a });
  const { runId } = await registryOfA.registerInline(INGEST, () => {});

  const telemetry = new RecordingTelemetry();
  await using b = await connect(database.url, { telemetry });
  await using registry = new PipelineRunRegistry({ repository: b, telemetry });
  assertEquals(await registry.abort(runId), "ended");
  assertEquals(telemetry.told["onAbortRequest"], undefined);
});

Deno.test("PostgresPipelineRunRepository.resetOrphans() tells its telemetry how many runs without a lease it ended", async () => {
  await using database = await openDatabase();
  const telemetry = new RecordingTelemetry();
  await using repository = await connect(database.url, { telemetry });
  await repository.resetOrphans("server_restart_orphan");
  assertEquals(telemetry.told["onReaped"], undefined);
  await repository.logPipelineRun({
    ...INGEST,
    status: "DATASET_PROCESSING_STARTED",
    pipelineRunId: crypto.randomUUID(),
    pipelineId: crypto.randomUUID(),
  });
  await repository.resetOrphans("server_restart_orphan");
  assertEquals(telemetry.told["onReaped"], [
    [{ code: "orphan", count: 1, runs: [] }],
  ]);
});

Deno.test("PostgresPipelineRunRepository tells its telemetry how many bytes are pending, until it is closed", async () => {
  await using database = await openDatabase();
  const telemetry = new RecordingTelemetry();
  const repository = await connect(database.url, { telemetry });
  const written = repository.setPayloadField(crypto.randomUUID(), "key", 1);
  const pending = telemetry.read("pendingBytes");
  assertEquals(pending > 50 && pending < 500, true, `${pending} are pending`);
  await written;
  assertEquals(telemetry.read("pendingBytes"), 0);
  assertEquals(telemetry.told["onCommit"].map(([items]) => items), [1]);
  await repository.close();
  assertEquals(telemetry.observed.size, 0);
});

Deno.test("Only ./telemetry imports OpenTelemetry", async () => {
  const root = new URL("../../", import.meta.url);
  const importsIt = async (entry: string): Promise<boolean> => {
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["info", "--json", entry],
      cwd: root,
    }).output();
    const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as {
      modules: { specifier: string }[];
    };
    return modules.some(({ specifier }) => /@opentelemetry/.test(specifier));
  };
  const { exports } = JSON.parse(
    await Deno.readTextFile(new URL("deno.json", root)),
  ) as { exports: Record<string, string> };
  const importing = Object.keys(exports).filter((name) => name !== "./demo");
  const found = await Promise.all(
    importing.map((name) => importsIt(exports[name])),
  );
  assertEquals(importing.filter((_, i) => found[i]), ["./telemetry"]);
});

Deno.test("PipelineRunRegistry tells its telemetry nothing more after shutdown()", async () => {
  const telemetry = new RecordingTelemetry();
  const registry = new PipelineRunRegistry({ telemetry });
  const events = registry.subscribe(crypto.randomUUID());
  assertEquals(telemetry.read("subscriptions"), 1);
  await registry.shutdown();
  await events.cancel();
  assertEquals(telemetry.observed.size, 0);
});

Deno.test("PipelineRunRegistry.registerInline() begins the span of a run that is used again also if its rows cannot be read", async () => {
  class Unreadable extends MemoryPipelineRunRepository {
    override listByRun(): Promise<PipelineRunRow[]> {
      return Promise.reject(new Error("no"));
    }
  }
  const telemetry = new RecordingTelemetry();
  const warnings: RegistryWarning[] = [];
  await using registry = new PipelineRunRegistry({
    repository: new Unreadable(),
    telemetry,
    onWarning: (warning) => void warnings.push(warning),
  });
  const runId = crypto.randomUUID();
  const { phase } = await registry.registerInline(
    { ...INGEST, runId },
    () => {},
  );
  assertEquals(phase.name, "Completed");
  assertEquals(
    warnings.map(({ kind, message }) => [kind, message]),
    [["log", `The former attempt of run ${runId} could not be read`]],
  );
  assertEquals(telemetry.told["beginRun"].map(([, former]) => former), [
    undefined,
  ]);
});

Deno.test("PipelineRunRegistry.registerInline() reads no rows for the span of a run with a random id", async () => {
  class Counting extends MemoryPipelineRunRepository {
    reads = 0;
    override listByRun(runId: string, limit: number) {
      this.reads++;
      return super.listByRun(runId, limit);
    }
  }
  const repository = new Counting();
  const telemetry = new RecordingTelemetry();
  await using registry = new PipelineRunRegistry({ repository, telemetry });
  await registry.registerInline(INGEST, () => {});
  assertEquals(repository.reads, 0);
  assertEquals(telemetry.told["end"], [[{ name: "Completed" }, true]]);
});
