import { assertEquals, assertRejects } from "@std/assert";
import type {
  PipelineRunRepository,
  PipelineRunStatus,
  PipelineRunTransition,
} from "../../mod.ts";

/** A repository for one test. */
export interface OpenRepository extends AsyncDisposable {
  readonly repository: PipelineRunRepository;
}

const PIPELINE_ID = "11111111-1111-5111-8111-111111111111";

/** A transition of a run; the rest of it does not matter to the test. */
export function transition(
  status: "INITIATED" | "STARTED" | "COMPLETED" | "ERRORED",
  rest: Partial<PipelineRunTransition> = {},
): PipelineRunTransition {
  return {
    status: `DATASET_PROCESSING_${status}` as PipelineRunStatus,
    pipelineRunId: crypto.randomUUID(),
    pipelineName: "ingest",
    pipelineId: PIPELINE_ID,
    ...rest,
  };
}

/** Tests that `open` makes repositories that keep the contract. */
export function testRepository(
  name: string,
  open: () => Promise<OpenRepository>,
): void {
  function test(
    behaviour: string,
    body: (repository: PipelineRunRepository) => Promise<void>,
  ): void {
    Deno.test(`${name}.${behaviour}`, async () => {
      await using opened = await open();
      await body(opened.repository);
    });
  }

  test("logPipelineRun() keeps what it is given and returns the row's id", async (repository) => {
    const runId = crypto.randomUUID();
    const datasetId = crypto.randomUUID();
    const row = transition("ERRORED", {
      pipelineRunId: runId,
      pipelineName: 'ünï "quoted" \\ {name}, \n',
      datasetId,
      runInfo: { data: [datasetId], error: "boom" },
    });

    const id = await repository.logPipelineRun(row);

    const { createdAt, ...read } = (await repository.getPipelineRun(runId))!;
    assertEquals(read, { ...row, id });
    assertEquals(createdAt instanceof Date, true);
  });

  test("logPipelineRun() leaves absent values absent", async (repository) => {
    const { pipelineRunId } = transition("STARTED");
    await repository.logPipelineRun(transition("STARTED", { pipelineRunId }));
    const row = await repository.getPipelineRun(pipelineRunId);
    assertEquals(row?.datasetId, undefined);
    assertEquals(row?.runInfo, undefined);
  });

  test("logPipelineRun() writes a row once however often it is given", async (repository) => {
    const row = transition("STARTED", { id: crypto.randomUUID() });
    assertEquals(await repository.logPipelineRun(row), row.id);
    assertEquals(await repository.logPipelineRun(row), row.id);
    assertEquals((await repository.listRecent(undefined, 10)).length, 1);
  });

  test("logPipelineRun() keeps the order of rows that were given at once", async (repository) => {
    const pipelineRunId = crypto.randomUUID();
    const statuses = ["INITIATED", "STARTED", "COMPLETED"] as const;
    const runs = Array.from({ length: 50 }, () => crypto.randomUUID());
    await Promise.all(
      [...runs, pipelineRunId].flatMap((pipelineRunId) =>
        statuses.map((status) =>
          repository.logPipelineRun(transition(status, { pipelineRunId }))
        )
      ),
    );
    const rows = await repository.listRecent(undefined, 1_000);
    for (const run of runs) {
      assertEquals(
        rows.filter((row) => row.pipelineRunId === run).map((row) =>
          row.status
        ),
        [
          "DATASET_PROCESSING_COMPLETED",
          "DATASET_PROCESSING_STARTED",
          "DATASET_PROCESSING_INITIATED",
        ],
      );
    }
  });

  test("logPipelineRun() understands UUIDs in any spelling", async (repository) => {
    const runId = crypto.randomUUID();
    await repository.logPipelineRun(
      transition("STARTED", {
        pipelineRunId: `{${runId.replaceAll("-", "").toUpperCase()}}`,
      }),
    );
    const row = await repository.getPipelineRun(`urn:uuid:${runId}`);
    assertEquals(row?.pipelineRunId, runId);
  });

  test("logPipelineRun() refuses what is no transition", async (repository) => {
    const bad: Partial<Record<keyof PipelineRunTransition, unknown>>[] = [
      { pipelineRunId: "x" },
      { pipelineId: "" },
      { datasetId: "not-a-uuid" },
      { id: "a\0b" },
      { status: "STARTED" },
      { pipelineName: 1 },
    ];
    for (const rest of bad) {
      await assertRejects(
        () =>
          repository.logPipelineRun(
            transition("STARTED", rest as Partial<PipelineRunTransition>),
          ),
        TypeError,
        "Cannot log pipeline run",
      );
    }
    assertEquals(await repository.listRecent(undefined, 10), []);
  });

  test("logPipelineRun() marks what a text cannot hold (fault 30)", async (repository) => {
    const { pipelineRunId } = transition("ERRORED");
    await repository.logPipelineRun(
      transition("ERRORED", {
        pipelineRunId,
        runInfo: { data: "None", error: "a\0b\ud800c \\u0000 😀" },
      }),
    );
    const row = await repository.getPipelineRun(pipelineRunId);
    assertEquals(row?.runInfo?.error, "a\ufffdb\ufffdc \\u0000 😀");
  });

  test("latestStatus() gives the newest status of each dataset that has one", async (repository) => {
    const [one, two, three, other] = [1, 2, 3, 4].map(() =>
      crypto.randomUUID() as string
    );
    await repository.logPipelineRun(transition("STARTED", { datasetId: one }));
    await repository.logPipelineRun(
      transition("COMPLETED", { datasetId: one }),
    );
    await repository.logPipelineRun(transition("STARTED", { datasetId: two }));
    await repository.logPipelineRun(
      transition("ERRORED", { datasetId: two, pipelineName: "other" }),
    );
    await repository.logPipelineRun(
      transition("ERRORED", { datasetId: other }),
    );
    assertEquals(
      await repository.latestStatus([one.toUpperCase(), two, three], "ingest"),
      new Map([
        [one, "DATASET_PROCESSING_COMPLETED"],
        [two, "DATASET_PROCESSING_STARTED"],
      ]),
    );
    assertEquals(await repository.latestStatus([], "ingest"), new Map());
  });

  test("listRecent() gives the newest rows first, as many as asked for", async (repository) => {
    const datasetId = crypto.randomUUID();
    const runs = [];
    for (let i = 0; i < 6; i++) {
      const row = transition("STARTED", {
        datasetId: i % 2 === 0 ? datasetId : undefined,
      });
      await repository.logPipelineRun(row);
      runs.push(row.pipelineRunId);
    }
    const list = async (dataset: string | undefined, limit: number) =>
      (await repository.listRecent(dataset, limit)).map((row) =>
        row.pipelineRunId
      );
    assertEquals(await list(undefined, 4), runs.toReversed().slice(0, 4));
    assertEquals(await list(datasetId, 2), [runs[4], runs[2]]);
    assertEquals(await list(crypto.randomUUID(), 5), []);
  });

  test("listRecent() refuses a limit that is no positive integer", async (repository) => {
    for (const limit of [0, -1, 1.5, NaN, Infinity]) {
      await assertRejects(
        () => repository.listRecent(undefined, limit),
        RangeError,
        "limit must be a positive integer",
      );
    }
  });

  test("listRecentWithAttribution() lists rows of datasets it knows nothing of", async (repository) => {
    const datasetId = crypto.randomUUID();
    await repository.logPipelineRun(transition("STARTED", { datasetId }));
    const rows = await repository.listRecentWithAttribution(datasetId, 5);
    assertEquals(rows.map((row) => [row.datasetId, row.datasetName]), [
      [datasetId, undefined],
    ]);
  });

  test("resetOrphans() ends what was left unfinished, once, and keeps its data", async (repository) => {
    const [initiated, started, completed] = [1, 2, 3].map(() =>
      crypto.randomUUID() as string
    );
    await repository.logPipelineRun(
      transition("INITIATED", { pipelineRunId: initiated, runInfo: {} }),
    );
    await repository.logPipelineRun(
      transition("STARTED", {
        pipelineRunId: started,
        runInfo: { data: [PIPELINE_ID] },
      }),
    );
    for (const status of ["STARTED", "COMPLETED"] as const) {
      await repository.logPipelineRun(
        transition(status, { pipelineRunId: completed }),
      );
    }

    assertEquals(await repository.resetOrphans("server_restart_orphan"), 2);
    assertEquals(await repository.resetOrphans("server_restart_orphan"), 0);

    const info = async (runId: string) => {
      const row = await repository.getPipelineRun(runId);
      return [row?.status, JSON.stringify(row?.runInfo)];
    };
    assertEquals(await info(initiated), [
      "DATASET_PROCESSING_ERRORED",
      '{"data":"None","error":"server_restart_orphan","reason":"server_restart_orphan"}',
    ]);
    assertEquals(await info(started), [
      "DATASET_PROCESSING_ERRORED",
      `{"data":["${PIPELINE_ID}"],"error":"server_restart_orphan","reason":"server_restart_orphan"}`,
    ]);
    assertEquals((await info(completed))[0], "DATASET_PROCESSING_COMPLETED");
  });

  test("setPayloadField() keeps the last value of each field", async (repository) => {
    const runId = crypto.randomUUID();
    await repository.setPayloadField(runId, "chunks", 1);
    await Promise.all([
      repository.setPayloadField(runId, "chunks", 2),
      repository.setPayloadField(runId, "files", { "a.txt": [1, null, "ü"] }),
      repository.setPayloadField(runId, "chunks", 3),
    ]);
    await repository.setPayloadField(crypto.randomUUID(), "chunks", 9);
    assertEquals(await repository.getPayload(runId.toUpperCase()), {
      chunks: 3,
      files: { "a.txt": [1, null, "ü"] },
    });
  });

  test("setPayloadField() keeps every kind of JSON", async (repository) => {
    const runId = crypto.randomUUID();
    const values = { a: null, b: false, c: 0, d: "", e: [], f: {}, g: "null" };
    for (const [key, value] of Object.entries(values)) {
      await repository.setPayloadField(runId, key, value);
    }
    assertEquals(await repository.getPayload(runId), values);
  });

  test("setPayloadField() marks what a text cannot hold (fault 30)", async (repository) => {
    const runId = crypto.randomUUID();
    await repository.setPayloadField(runId, "a\0b", {
      "k\0": "\ud800",
      literal: "\\u0000",
    });
    assertEquals(await repository.getPayload(runId), {
      "a\ufffdb": { "k\ufffd": "\ufffd", literal: "\\u0000" },
    });
  });

  test("setPayloadField() refuses what is not JSON", async (repository) => {
    const runId = crypto.randomUUID();
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    const hostile = {
      get secret(): never {
        throw new Error("no");
      },
    };
    for (
      const value of [
        undefined,
        () => {},
        1n,
        cycle,
        hostile,
        NaN,
        [undefined],
        { a: new Map([[1, 2]]) },
        new Uint8Array(2),
        new Date(0),
        new (class Point {
          x = 1;
        })(),
      ]
    ) {
      await assertRejects(
        () => repository.setPayloadField(runId, "key", value),
        TypeError,
        "must be JSON",
      );
    }
    let deep: unknown = 1;
    for (let i = 0; i < 501; i++) deep = [deep];
    await assertRejects(
      () => repository.setPayloadField(runId, "key", deep),
      RangeError,
      "nested at most 500 deep",
    );
    assertEquals(await repository.getPayload(runId), {});
  });

  test("getPayload() is empty for a run that set none", async (repository) => {
    assertEquals(await repository.getPayload(crypto.randomUUID()), {});
  });

  test("getResult() gives the result of the newest row of a run", async (repository) => {
    const pipelineRunId = crypto.randomUUID();
    const read = () => repository.getResult!(pipelineRunId.toUpperCase());
    assertEquals(await read(), undefined);
    const complete = (result?: unknown) =>
      repository.logPipelineRun(
        transition("COMPLETED", { pipelineRunId }),
        { result: result === undefined ? undefined : JSON.stringify(result) },
      );
    await complete({ value: { 'a"b': [1, null, "\\"] } });
    assertEquals(await read(), { value: { 'a"b': [1, null, "\\"] } });
    await complete({ error: "too large" });
    assertEquals(await read(), { error: "too large" });
    await complete();
    assertEquals(await read(), undefined);
    await complete({ value: null });
    await repository.logPipelineRun(transition("STARTED", { pipelineRunId }));
    assertEquals(await read(), undefined);
  });

  test("getPipelineRun() gives the newest row of a run", async (repository) => {
    const pipelineRunId = crypto.randomUUID();
    await repository.logPipelineRun(transition("STARTED", { pipelineRunId }));
    await repository.logPipelineRun(transition("COMPLETED", { pipelineRunId }));
    await repository.logPipelineRun(transition("STARTED"));
    const row = await repository.getPipelineRun(pipelineRunId);
    assertEquals(row?.status, "DATASET_PROCESSING_COMPLETED");
    assertEquals(
      await repository.getPipelineRun(crypto.randomUUID()),
      undefined,
    );
  });

  test("listByRun() gives the newest rows of one run first", async (repository) => {
    const pipelineRunId = crypto.randomUUID();
    for (const status of ["INITIATED", "STARTED", "COMPLETED"] as const) {
      await repository.logPipelineRun(transition(status, { pipelineRunId }));
      await repository.logPipelineRun(transition(status));
    }
    const rows = await repository.listByRun(`{${pipelineRunId}}`, 2);
    assertEquals(rows.map((row) => [row.pipelineRunId, row.status]), [
      [pipelineRunId, "DATASET_PROCESSING_COMPLETED"],
      [pipelineRunId, "DATASET_PROCESSING_STARTED"],
    ]);
    assertEquals((await repository.listByRun(pipelineRunId, 50)).length, 3);
    assertEquals(await repository.listByRun(crypto.randomUUID(), 1), []);
    await assertRejects(
      () => repository.listByRun(pipelineRunId, 0),
      RangeError,
    );
  });

  test("getPipelineRunByDataset() gives the newest row of one pipeline", async (repository) => {
    const datasetId = crypto.randomUUID();
    await repository.logPipelineRun(transition("STARTED", { datasetId }));
    await repository.logPipelineRun(
      transition("ERRORED", { datasetId, pipelineName: "other" }),
    );
    const row = await repository.getPipelineRunByDataset(datasetId, "ingest");
    assertEquals(row?.status, "DATASET_PROCESSING_STARTED");
    assertEquals(
      await repository.getPipelineRunByDataset(datasetId, "none"),
      undefined,
    );
  });

  test("getPipelineRunsByDataset() gives the newest row of each pipeline", async (repository) => {
    const datasetId = crypto.randomUUID();
    for (const status of ["STARTED", "COMPLETED"] as const) {
      await repository.logPipelineRun(transition(status, { datasetId }));
    }
    await repository.logPipelineRun(
      transition("ERRORED", { datasetId, pipelineName: "cognify" }),
    );
    const rows = await repository.getPipelineRunsByDataset(datasetId);
    assertEquals(rows.map((row) => [row.pipelineName, row.status]), [
      ["cognify", "DATASET_PROCESSING_ERRORED"],
      ["ingest", "DATASET_PROCESSING_COMPLETED"],
    ]);
  });

  test("getPipelineRun() and its kin refuse what is no UUID", async (repository) => {
    for (
      const call of [
        () => repository.getPipelineRun("x"),
        () => repository.getPipelineRunByDataset("x", "ingest"),
        () => repository.getPipelineRunsByDataset("x"),
        () => repository.listByRun("x", 1),
        () => repository.getPayload("x"),
        () => repository.setPayloadField("x", "key", 1),
        () => repository.latestStatus(["x"], "ingest"),
        () => repository.listRecent("x", 1),
        () => repository.listRecentWithAttribution("x", 1),
      ]
    ) await assertRejects(call, TypeError, "must be a UUID");
  });
}
