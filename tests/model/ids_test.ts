import {
  assertEquals,
  assertMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  canonicalUuid,
  registryPipelineId,
  uuidV7,
} from "../../src/model/ids.ts";
import { pipelineId, pipelineRunId } from "../../mod.ts";

const USER = "3fa85f64-5717-4562-b3fc-2c963f66afa6";
const DATASET = "0f14d0ab-9605-4a62-a9e4-5ed26688389b";

/** The results of Python's uuid.uuid5(uuid.NAMESPACE_OID, …). */
const KNOWN = [
  {
    name: "cognify_pipeline",
    pipeline: "3f4c2d15-6185-5430-ba6f-d76b4d1477f6",
    pipelineWithoutDataset: "19413c39-5d61-519f-9beb-6128723a7292",
    run: "14818e76-a756-5be2-a535-a40479dcbd43",
    runWithoutDataset: "f414757d-37c1-5ff3-99e6-974059b3eb5d",
    registry: "af81ab41-8243-522f-a10a-b7b5febcc577",
  },
  {
    name: "ingest",
    pipeline: "ec90bcd0-90a7-54fa-a657-c83978ff9677",
    pipelineWithoutDataset: "35c9c78c-180f-5625-b810-95730fedfef4",
    run: "b1c48143-afed-5203-87a8-f969e9800945",
    runWithoutDataset: "cf992f96-3948-54ca-bab5-513dcff38ad7",
    registry: "97e5187d-e237-5b93-a948-5fc1e2877aea",
  },
  {
    name: "tüte 🎒",
    pipeline: "521341f8-6409-519f-8024-34a363da4a62",
    pipelineWithoutDataset: "34cb9e0a-3572-57c6-b847-393e54c039ca",
    run: "c07a9a14-30f0-59fe-b467-06cbe7f3f246",
    runWithoutDataset: "b7aacd9d-f8a6-5998-aac6-4291b14e523a",
    registry: "857b6ada-8b38-5197-9d1a-d461e0f5c149",
  },
];

const SPELLINGS = [
  DATASET,
  DATASET.toUpperCase(),
  DATASET.replaceAll("-", ""),
  `{${DATASET}}`,
  `{${DATASET.toUpperCase().replaceAll("-", "")}}`,
  `urn:uuid:${DATASET}`,
  `URN:UUID:${DATASET.toUpperCase()}`,
];

const NO_UUIDS: unknown[] = [
  "",
  "no uuid",
  DATASET.slice(1),
  `${DATASET}0`,
  `${DATASET}\n`,
  ` ${DATASET}`,
  `${DATASET.slice(0, -1)}\0`,
  `${DATASET.slice(0, -1)}g`,
  `{${DATASET}`,
  `${DATASET}}`,
  `{urn:uuid:${DATASET}}`,
  DATASET.replace("-", "--"),
  "a".repeat(1_048_576),
  undefined,
  null,
  1,
  {},
  new String(DATASET),
];

Deno.test("pipelineId() gives what cognee computes", async () => {
  for (const { name, pipeline } of KNOWN) {
    assertEquals(await pipelineId(USER, DATASET, name), pipeline);
  }
});

Deno.test("pipelineId() takes an absent dataset for the nil UUID", async () => {
  for (const { name, pipelineWithoutDataset } of KNOWN) {
    assertEquals(
      await pipelineId(USER, undefined, name),
      pipelineWithoutDataset,
    );
  }
});

Deno.test("pipelineId() gives the same for every spelling of its UUIDs", async () => {
  const { name, pipeline } = KNOWN[0];
  for (const spelling of SPELLINGS) {
    assertEquals(
      await pipelineId(USER.toUpperCase(), spelling, name),
      pipeline,
    );
  }
});

Deno.test("pipelineId() tells names apart that differ in normalisation only", async () => {
  assertEquals(
    await pipelineId(USER, DATASET, "\u00e4") ===
      await pipelineId(USER, DATASET, "a\u0308"),
    false,
  );
});

Deno.test("pipelineId() refuses values that are not UUIDs", async () => {
  for (const id of NO_UUIDS) {
    await assertRejects(
      () => pipelineId(id as string, DATASET, "ingest"),
      TypeError,
      "Cannot make pipeline id: userId",
    );
    if (id === undefined || id === null) continue;
    await assertRejects(
      () => pipelineId(USER, id as string, "ingest"),
      TypeError,
      "Cannot make pipeline id: datasetId",
    );
  }
});

Deno.test("pipelineRunId() gives what cognee computes", async () => {
  for (const { pipeline, run } of KNOWN) {
    assertEquals(await pipelineRunId(pipeline, DATASET), run);
  }
});

Deno.test("pipelineRunId() takes an absent dataset for the nil UUID", async () => {
  for (const { pipelineWithoutDataset, runWithoutDataset } of KNOWN) {
    assertEquals(
      await pipelineRunId(pipelineWithoutDataset),
      runWithoutDataset,
    );
  }
});

Deno.test("pipelineRunId() gives the same for every spelling of its UUIDs", async () => {
  const { pipeline, run } = KNOWN[0];
  for (const spelling of SPELLINGS) {
    assertEquals(await pipelineRunId(pipeline.toUpperCase(), spelling), run);
  }
});

Deno.test("pipelineRunId() refuses values that are not UUIDs", async () => {
  for (const id of NO_UUIDS) {
    await assertRejects(
      () => pipelineRunId(id as string),
      TypeError,
      "Cannot make pipeline run id: pipelineId",
    );
    if (id === undefined || id === null) continue;
    await assertRejects(
      () => pipelineRunId(USER, id as string),
      TypeError,
      "Cannot make pipeline run id: datasetId",
    );
  }
});

Deno.test("registryPipelineId() gives what cognee computes", async () => {
  for (const { name, registry } of KNOWN) {
    assertEquals(await registryPipelineId(name), registry);
  }
});

Deno.test("canonicalUuid() spells every UUID in lower case with hyphens", () => {
  for (const spelling of SPELLINGS) {
    assertEquals(canonicalUuid(spelling, "id"), DATASET);
  }
});

Deno.test("canonicalUuid() accepts UUIDs of any version", () => {
  for (
    const id of [
      "00000000-0000-0000-0000-000000000000",
      "ffffffff-ffff-ffff-ffff-ffffffffffff",
      "c232ab00-9414-11ec-b3c8-9f6bdeced846",
      "017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
    ]
  ) assertEquals(canonicalUuid(id.toUpperCase(), "id"), id);
});

Deno.test("canonicalUuid() refuses values that are not UUIDs", () => {
  for (const id of NO_UUIDS) {
    assertThrows(() => canonicalUuid(id, "id"), TypeError, "id must be a UUID");
  }
});

Deno.test("canonicalUuid() keeps its message short for any value", () => {
  const { message } = assertThrows(
    () => canonicalUuid("\0\n".repeat(1_000_000), "id"),
    TypeError,
  );
  assertEquals(message.length < 500, true);
  assertEquals(/[\0\n]/.test(message), false);
});

Deno.test("uuidV7() is of version 7, and begins with the time", () => {
  // The example of RFC 9562, appendix A.6.
  using time = new FakeTime(0x017f22e279b0);
  assertMatch(
    uuidV7(),
    /^017f22e2-79b0-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  );
  time.tick(1);
  assertMatch(uuidV7(), /^017f22e2-79b1-7/);
});

Deno.test("uuidV7() differs within a millisecond", () => {
  using _time = new FakeTime();
  const ids = Array.from({ length: 1_000 }, uuidV7);
  assertEquals(new Set(ids).size, 1_000);
});
