import { assertEquals } from "@std/assert";
import { assertType, type IsExact } from "@std/testing/types";
import { z } from "zod";
import {
  definePipeline,
  PipelineRunRegistry,
  type RunContext,
  type RunEvent,
  type RunOutcome,
} from "../../mod.ts";
import { createRunClient } from "../../src/http/client/mod.ts";
import { SPEC } from "../known_run.ts";

/** The type of what a run publishes, from its handle. */
type Published<H> = H extends {
  subscribe(): ReadableStream<RunEvent<infer P>>;
} ? P
  : never;
/** The type of a run's result, from its handle. */
type Result<H> = H extends { outcome: Promise<RunOutcome<infer R>> } ? R
  : never;

Deno.test("RunEvent has a payload only if it is a Yield", () => {
  type Yield = Extract<RunEvent<number>, { kind: "Yield" }>;
  assertType<IsExact<Yield["payload"], number>>(true);
  type Other = Exclude<RunEvent<number>, { kind: "Yield" }>;
  assertType<IsExact<Extract<keyof Other, "payload">, never>>(true);
});

Deno.test("RunHandle is typed by what a generator yields and returns", async () => {
  await using registry = new PipelineRunRegistry();
  const run = await registry.registerBackground(SPEC, async function* () {
    yield { done: 1 };
    yield { done: 2 };
    await undefined;
    return { total: 2 };
  });
  assertType<IsExact<Published<typeof run>, { done: number }>>(true);
  assertType<IsExact<Result<typeof run>, { total: number }>>(true);
  let sum = 0;
  for await (const event of run.subscribe()) {
    if (event.kind === "Yield") sum += event.payload.done;
  }
  assertEquals(sum, 3);
  assertEquals((await run.outcome).result, { total: 2 });
});

Deno.test("RunHandle is typed by a synchronous generator, whose values are published", async () => {
  await using registry = new PipelineRunRegistry();
  const run = await registry.registerBackground(SPEC, function* () {
    yield "a" as string;
    yield "b";
    return 2 as number;
  });
  assertType<IsExact<Published<typeof run>, string>>(true);
  assertType<IsExact<Result<typeof run>, number>>(true);
  const payloads = [];
  for await (const event of run.subscribe()) {
    if (event.kind === "Yield") payloads.push(event.payload);
  }
  assertEquals(payloads, ["a", "b"]);
  assertEquals((await run.outcome).result, 2);
});

Deno.test("RunHandle is typed by the context and the result of a function", async () => {
  await using registry = new PipelineRunRegistry();
  const run = await registry.registerBackground(
    SPEC,
    async ({ publish }: RunContext<{ file: string }>) => {
      publish({ file: await "a.txt" });
      return ["a.txt"];
    },
  );
  assertType<IsExact<Published<typeof run>, { file: string }>>(true);
  assertType<IsExact<Result<typeof run>, string[]>>(true);
  assertEquals((await run.outcome).result, ["a.txt"]);
  assertEquals(await run.abort(), "ended");
  assertEquals((await run.status())?.phase, { name: "Completed" });
});

Deno.test("RunOutcome has no result if the work returns nothing", async () => {
  await using registry = new PipelineRunRegistry();
  const outcome = await registry.registerInline(SPEC, async () => {
    await undefined;
  });
  assertType<IsExact<typeof outcome, RunOutcome<undefined>>>(true);
  assertEquals("result" in outcome, false);
});

Deno.test("RunClient is typed by the pipelines", () => {
  const ingest = definePipeline({
    name: "ingest",
    input: z.object({ documents: z.array(z.string()).default([]) }),
    async *run({ documents }) {
      for (const document of documents) yield { document };
      return documents.length;
    },
  });
  const forget = definePipeline({
    name: "forget",
    run: (_, { publish }: RunContext<boolean>) => publish(true),
  });
  const pipelines = [ingest, forget] as const;
  const client = createRunClient<typeof pipelines>("https://example.com");

  /** Only checked: nothing is sent. */
  async function use() {
    const run = await client.start("ingest", { documents: ["a.txt"] });
    const ingestEvents = client.follow(run);
    assertType<
      IsExact<
        typeof ingestEvents,
        ReadableStream<RunEvent<{ document: string }>>
      >
    >(true);
    const found = await client.get<"ingest">(run.runId);
    assertType<
      IsExact<NonNullable<typeof found>["result"], number | undefined>
    >(
      true,
    );
    const anyEvents = client.follow(run.runId);
    assertType<
      IsExact<
        typeof anyEvents,
        ReadableStream<RunEvent<{ document: string } | boolean>>
      >
    >(true);
  }
  assertEquals(typeof use, "function");
});
