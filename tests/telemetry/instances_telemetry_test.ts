import { assertEquals, assertNotEquals } from "@std/assert";
import { delay } from "@std/async/delay";
import { openDatabase } from "../postgres/open_database.ts";
import { OtlpReceiver, type ReceivedSpan } from "./otlp_receiver.ts";
import { TracedInstance } from "./traced_instance.ts";

const LEASES = { leaseDuration: 900, renewInterval: 300 };

/** Prints a trace if `PRINT_TRACES` is set. */
function print(receiver: OtlpReceiver, { traceId }: ReceivedSpan): void {
  if (Deno.env.has("PRINT_TRACES")) console.log(receiver.format(traceId));
}

/** Sweeps until an instance has ended the run `hold`, and waits for the span. */
async function reapedBy(
  instance: TracedInstance,
  receiver: OtlpReceiver,
): Promise<ReceivedSpan> {
  const sweep = () => instance.request<{ reaped: number }>("POST", "/sweep");
  while ((await sweep()).reaped === 0) await delay(50);
  return await receiver.span(({ name }) => name === "reap hold");
}

/** The `traceparent` that the row of a run's beginning has. */
async function traceparentOf(
  instance: TracedInstance,
  runId: string,
): Promise<{ traceId: string; spanId: string }> {
  const { rows } = await instance.request<
    { rows: { run_info: { traceparent?: string } | null }[] }
  >("GET", `/runs/${runId}`);
  const traceparent = rows.map((row) => row.run_info?.traceparent)
    .find((each) => each !== undefined);
  const [, traceId, spanId] = traceparent!.split("-");
  return { traceId, spanId };
}

function isRequest(service: string, method: string) {
  return (span: ReceivedSpan) =>
    span.service === service && span.name.startsWith(method);
}

Deno.test("createTelemetry() tells the ending of a run whose instance was killed in the trace of the request that started it", async () => {
  await using database = await openDatabase();
  await using receiver = new OtlpReceiver();
  const options = { url: database.url, ...LEASES };
  await using a = await TracedInstance.start("a", receiver, options);
  await using b = await TracedInstance.start("b", receiver, options);
  const runId = await a.run("hold");
  await b.seesBeginning(runId);
  const request = await receiver.span(isRequest("a", "POST"));
  const index = await receiver.span(({ name }) => name === "index");
  a.kill("SIGKILL");

  const reap = await reapedBy(b, receiver);
  print(receiver, reap);
  const run = await traceparentOf(b, runId);
  assertEquals(reap.service, "b");
  assertEquals(reap.traceId, request.traceId);
  assertEquals(run.traceId, request.traceId);
  assertEquals(reap.parentSpanId, run.spanId);
  assertEquals(index.parentSpanId, run.spanId);
  assertEquals(reap.status, { code: 2, message: "lease_expired" });
  assertEquals(reap.attributes, {
    "pipeline.name": "hold",
    "pipeline.run.id": runId,
    "error.type": "lease_expired",
  });
  const sweep = await receiver.span((span) =>
    span.spanId === reap.links[0].spanId
  );
  assertEquals([sweep.service, sweep.name], ["b", "POST"]);
  assertEquals(receiver.spans.filter(({ name }) => name === "run hold"), []);
  await receiver.metric("pipeline.runs.reaped", 1, {
    "error.type": "lease_expired",
  });
});

Deno.test("createTelemetry() tells of an abort by another instance in the run's trace", async () => {
  await using database = await openDatabase();
  await using receiver = new OtlpReceiver();
  const options = { url: database.url };
  await using a = await TracedInstance.start("a", receiver, options);
  await using b = await TracedInstance.start("b", receiver, options);
  const runId = await a.run("hold");
  await b.seesBeginning(runId);
  await b.request("DELETE", `/runs/${runId}?reason=enough`);

  const run = await receiver.span(({ name }) => name === "run hold");
  const request = await receiver.span(isRequest("a", "POST"));
  const abort = await receiver.span(({ name }) => name === "abort hold");
  const deletion = await receiver.span(isRequest("b", "DELETE"));
  print(receiver, run);
  assertEquals([run.service, abort.service], ["a", "b"]);
  assertEquals(run.traceId, request.traceId);
  assertEquals(run.parentSpanId, request.spanId);
  assertEquals(run.status, { code: 2, message: "aborted: enough" });
  assertEquals(run.attributes["error.type"], "aborted");
  assertEquals(run.events, []);
  assertEquals(abort.traceId, run.traceId);
  assertEquals(abort.parentSpanId, run.spanId);
  assertEquals(abort.attributes["pipeline.abort.reason"], "enough");
  assertEquals(abort.status.code, 0);
  const [link] = abort.links;
  assertEquals(
    [link.traceId, link.spanId],
    [deletion.traceId, deletion.spanId],
  );
  assertNotEquals(link.traceId, run.traceId);
});

Deno.test("createTelemetry() links a new attempt to the former one, also of another instance", async () => {
  await using database = await openDatabase();
  await using receiver = new OtlpReceiver();
  const options = { url: database.url };
  await using a = await TracedInstance.start("a", receiver, options);
  await using b = await TracedInstance.start("b", receiver, options);
  const runId = await a.run("fail", {}, "wait");
  await b.run("ingest", { runId }, "wait");

  const former = await receiver.span(({ name }) => name === "run fail");
  const run = await receiver.span(({ name }) => name === "run ingest");
  print(receiver, run);
  assertEquals([former.service, run.service], ["a", "b"]);
  assertEquals(former.links, []);
  assertNotEquals(run.traceId, former.traceId);
  const [link, ...others] = run.links;
  assertEquals([link.traceId, link.spanId], [former.traceId, former.spanId]);
  assertEquals(others, []);
});

Deno.test("createTelemetry() tells of a lost lease in the run's span", async () => {
  await using database = await openDatabase();
  await using receiver = new OtlpReceiver();
  const options = { url: database.url, ...LEASES };
  await using a = await TracedInstance.start("a", receiver, options);
  await using b = await TracedInstance.start("b", receiver, options);
  await b.seesBeginning(await a.run("hold"));
  a.kill("SIGSTOP");
  const reap = await reapedBy(b, receiver);
  a.kill("SIGCONT");

  const run = await receiver.span(({ name }) => name === "run hold");
  print(receiver, run);
  assertEquals([run.traceId, run.spanId], [reap.traceId, reap.parentSpanId]);
  assertEquals(run.status, { code: 2, message: "lease_expired" });
  assertEquals(run.attributes["error.type"], "lease_expired");
  await receiver.metric("pipeline.leases.lost", 1);
});

Deno.test("createTelemetry() measures group commits and what waits to be written", async () => {
  await using database = await openDatabase();
  await using receiver = new OtlpReceiver();
  const options = { url: database.url };
  await using a = await TracedInstance.start("a", receiver, options);
  await a.run("ingest", {}, "wait");

  // Its row and events are 12 steps: Started, ten Yields, Completed.
  const items = await receiver.received(() =>
    receiver.points.find(({ name, sum }) =>
      name === "pipeline.commit.items" && sum === 12
    )
  );
  assertEquals(items.unit, "{item}");
  const duration = await receiver.metric(
    "pipeline.commit.duration",
    items.value,
  );
  assertEquals(duration.unit, "s");
  const pending = await receiver.metric("pipeline.writes.pending", 0);
  assertEquals(pending.unit, "By");
});
