import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { MemoryPipelineRunRepository, PipelineRunRegistry } from "../../mod.ts";
import { createTelemetry } from "../../src/telemetry/mod.ts";
import { OtlpReceiver } from "./otlp_receiver.ts";
import { TracedInstance } from "./traced_instance.ts";

Deno.test("createTelemetry() makes a run a child of the request that registered it, and the run's work children of the run", async () => {
  await using receiver = new OtlpReceiver();
  await using a = await TracedInstance.start("a", receiver);
  const runId = await a.run("ingest", {}, "wait");

  const request = await receiver.span(({ name }) => name.startsWith("POST"));
  const run = await receiver.span(({ name }) => name === "run ingest");
  const index = await receiver.span(({ name }) => name === "index");
  assertEquals(run.traceId, request.traceId);
  assertEquals(run.parentSpanId, request.spanId);
  assertEquals(index.traceId, run.traceId);
  assertEquals(index.parentSpanId, run.spanId);
  assertEquals(run.status, { code: 0, message: "" });
  assertEquals(run.events, []);
  assertEquals(run.links, []);
  assertEquals(run.attributes, {
    "pipeline.name": "ingest",
    "pipeline.run.id": runId,
    "pipeline.run.durable": true,
  });
});

Deno.test("createTelemetry() tells a failure of the work, a timeout and an abort apart", async () => {
  await using receiver = new OtlpReceiver();
  await using a = await TracedInstance.start("a", receiver);
  await a.run("fail", {}, "wait");
  await a.run("hold", { timeout: 20 }, "wait");
  const aborted = await a.run("hold");
  await a.request("DELETE", `/runs/${aborted}`);

  const work = await receiver.span(({ name }) => name === "run fail");
  assertEquals(work.status, { code: 2, message: "boom" });
  assertEquals(work.attributes["error.type"], "work");
  assertEquals(work.events.map(({ name }) => name), ["exception"]);
  const [{ attributes }] = work.events;
  assertEquals(attributes["exception.type"], "TypeError");
  assertEquals(attributes["exception.message"], "boom");
  const stack = attributes["exception.stacktrace"];
  assert(String(stack).includes("instance.ts"), String(stack));
  for (
    const [code, message] of [
      ["timeout", "timed out after 20 ms"],
      ["aborted", "aborted"],
    ]
  ) {
    const run = await receiver.span((span) =>
      span.attributes["error.type"] === code
    );
    assertEquals(run.status, { code: 2, message });
    assertEquals(run.events, []);
  }
  const run = await receiver.span((span) =>
    span.name === "run hold" &&
    span.attributes["pipeline.run.id"] === aborted
  );
  const abort = await receiver.span(({ name }) => name === "abort hold");
  const request = await receiver.span(({ name }) => name === "DELETE");
  assertEquals(abort.parentSpanId, run.spanId);
  assertEquals(abort.links.map(({ spanId }) => spanId), [request.spanId]);
});

Deno.test("createTelemetry() counts runs by how they ended", async () => {
  await using receiver = new OtlpReceiver();
  const registry = { channelCapacity: 4, abortWritesErroredRow: false };
  await using a = await TracedInstance.start("a", receiver, { registry });
  const ingested = await a.run("ingest", {}, "wait");
  await a.run("fail", {}, "wait");
  const held = await a.run("hold");
  const active = await receiver.metric("pipeline.runs.active", 1);
  assertEquals(active.unit, "{run}");
  await a.request("DELETE", `/runs/${held}`);
  await receiver.metric("pipeline.runs.active", 0);

  const begun = await receiver.metric("pipeline.runs.begun", 3);
  assertEquals(begun.unit, "{run}");
  const name = "pipeline.run.duration";
  const all = await receiver.metric(name, 3);
  assertEquals(all.unit, "s");
  await receiver.metric(name, 1, { "error.type": "work" });
  await receiver.metric(name, 1, { "error.type": "aborted" });
  const completed = await receiver.metric(name, 1, {
    "pipeline.name": "ingest",
  });
  assertEquals(completed.attributes, { "pipeline.name": "ingest" });
  const notDurable = await receiver.metric("pipeline.endings.not_durable", 1);
  assertEquals(notDurable.attributes["error.type"], "aborted");
  assertEquals(notDurable.unit, "{ending}");

  // Of 12 events, the last four are held.
  const response = await fetch(
    new URL(`/runs/${ingested}/events?after=0`, a.url),
  );
  await response.body?.cancel();
  const missed = await receiver.metric("pipeline.events.missed", 8);
  assertEquals(missed.unit, "{event}");
});

Deno.test("createTelemetry() counts subscriptions until they end", async () => {
  await using receiver = new OtlpReceiver();
  await using a = await TracedInstance.start("a", receiver);
  const held = await a.run("hold");
  const name = "pipeline.subscriptions.active";
  await receiver.metric(name, 0);
  const response = await fetch(new URL(`/runs/${held}/events`, a.url));
  const subscriptions = await receiver.metric(name, 1);
  assertEquals(subscriptions.unit, "{subscription}");
  await response.body?.cancel();
  await receiver.metric(name, 0);
});

Deno.test("PipelineRunRegistry warns with the run's span active, so that the console's logs have its trace", async () => {
  await using receiver = new OtlpReceiver();
  await using a = await TracedInstance.start("a", receiver);
  await a.run("fail", {}, "wait");

  const run = await receiver.span(({ name }) => name === "run fail");
  const log = await receiver.received(() =>
    receiver.logs.find(({ text }) => text.includes("failed: boom"))
  );
  assertEquals(log.severity, "WARN");
  assertEquals([log.traceId, log.spanId], [run.traceId, run.spanId]);
  assertNotEquals(run.traceId, "");
});

Deno.test("createTelemetry() changes nothing where no SDK is registered", async () => {
  const repository = new MemoryPipelineRunRepository();
  await using registry = new PipelineRunRegistry({
    repository,
    telemetry: createTelemetry(),
  });
  const { runId, phase, result } = await registry.registerInline(
    { pipelineName: "ingest" },
    () => "done",
  );
  assertEquals([phase.name, result], ["Completed", "done"]);
  const rows = await repository.listByRun(runId, 10);
  assertEquals(rows.map((row) => row.runInfo), [
    { data: "None" },
    { data: "None" },
  ]);
});
