import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type } from "arktype";
import * as v from "valibot";
import { z } from "zod";
import {
  definePipeline,
  InvalidInputError,
  PipelineRunRegistry,
} from "../../mod.ts";
import { allowAll, createRunHandler } from "../../src/http/mod.ts";

const SCHEMAS = {
  Zod: z.object({ documents: z.array(z.string()) }),
  Valibot: v.object({ documents: v.array(v.string()) }),
  ArkType: type({ documents: "string[]" }),
};

for (const [library, input] of Object.entries(SCHEMAS)) {
  Deno.test(`Pipeline.prepare() checks the input with a schema of ${library}`, async () => {
    await using registry = new PipelineRunRegistry();
    const ingest = definePipeline({
      name: "ingest",
      input,
      spec: ({ documents }) => ({ dataIds: documents.map(() => DATA_ID) }),
      run: ({ documents }) => documents.length,
    });
    const [spec, work] = await ingest.prepare({ documents: ["a.txt"] });
    assertEquals(spec, { pipelineName: "ingest", dataIds: [DATA_ID] });
    const run = await registry.registerBackground(spec, work);
    assertEquals((await run.outcome).result, 1);

    const { issues, code } = await assertRejects(
      () => ingest.prepare({ documents: ["a.txt", 2] }),
      InvalidInputError,
      "The input of pipeline ingest is invalid",
    );
    assertEquals(code, "invalid_input");
    assertEquals(issues.map(({ path }) => path), [["documents", 1]]);
  });

  Deno.test(`createRunHandler() answers what a schema of ${library} refuses with the issues, and starts no run`, async () => {
    await using registry = new PipelineRunRegistry();
    let called = false;
    const ingest = definePipeline({
      name: "ingest",
      input,
      run: () => called = true,
    });
    const handler = createRunHandler(registry, {
      pipelines: [ingest],
      authorize: allowAll,
    });
    const response = await handler(
      new Request("http://localhost/pipelines/ingest", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: '{"documents":[1]}',
      }),
    );
    assertEquals(response.status, 422);
    const { code, errors } = await response.json();
    assertEquals([code, errors[0].pointer], ["invalid_input", "#/documents/0"]);
    assertEquals(typeof errors[0].detail, "string");
    assertEquals(called, false);
    assertEquals(await registry.repository.listRecent(undefined, 1), []);
  });
}

const DATA_ID = "00000000-0000-4000-8000-000000000001";

Deno.test("createRunHandler() answers Prefer: wait with the result of a defined pipeline", async () => {
  await using registry = new PipelineRunRegistry();
  const count = definePipeline({
    name: "count",
    input: z.object({ to: z.coerce.number() }),
    *run({ to }) {
      for (let n = 1; n <= to; n++) yield n;
      return { counted: to };
    },
  });
  const handler = createRunHandler(registry, {
    pipelines: [count],
    authorize: allowAll,
  });
  const response = await handler(
    new Request("http://localhost/pipelines/count", {
      method: "POST",
      headers: { "Content-Type": "application/json", Prefer: "wait" },
      body: '{"to":"3"}',
    }),
  );
  const { status, result, pipeline_run_id: runId } = await response.json();
  assertEquals([status, result], ["PipelineRunCompleted", { counted: 3 }]);
  const read = await handler(new Request(`http://localhost/runs/${runId}`));
  assertEquals((await read.json()).result, { counted: 3 });
});

Deno.test("definePipeline() refuses what is no definition", () => {
  const run = () => {};
  for (
    const [definition, message] of [
      [{ run }, "name must be a string"],
      [{ name: "ingest" }, "run must be a function"],
      [{ name: "ingest", run, spec: {} }, "spec must be a function"],
      [{ name: "ingest", run, input: {} }, "input must be a Standard Schema"],
    ] as const
  ) {
    const call = () => definePipeline(definition as never);
    assertThrows(call, TypeError, `Cannot define pipeline: ${message}`);
  }
});

Deno.test("createRunHandler() refuses pipelines of the same name", async () => {
  await using registry = new PipelineRunRegistry();
  const pipeline = definePipeline({ name: "ingest", run: () => {} });
  assertThrows(
    () => createRunHandler(registry, { pipelines: [pipeline, pipeline] }),
    TypeError,
    "pipelines must have different names",
  );
});
