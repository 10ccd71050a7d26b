import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { LeaseLostError, RepositoryError } from "../../src/model/errors.ts";
import type { RunEvent } from "../../src/model/event.ts";
import { Database } from "../../src/postgres/client/database.ts";
import {
  type LeaseChange,
  type RowValues,
  WRITE_ROWS,
  WRITE_STEPS,
  WRITE_WHOLE_RUNS,
} from "../../src/postgres/sql/writes.ts";
import { GroupWriter } from "../../src/postgres/write/group_writer.ts";
import type {
  FieldWrite,
  RowWrite,
  StepWrite,
} from "../../src/postgres/write/write.ts";
import {
  postgresError,
  type SentStatement,
  StubClient,
} from "./stub_client.ts";

const OWNER = crypto.randomUUID();
const LEASE_DURATION = 60_000;
/** The error of a statement that can never succeed. */
const CHECK_VIOLATION = postgresError("23514");
const UNIQUE_VIOLATION = postgresError("23505");

const FIRST = ["write rows", "write steps", "write whole runs"];
const NAMES = [...FIRST, ...FIRST.map((name) => `${name} again`)];

/** A writer, and the client that it writes with. */
class Trial {
  readonly client = new StubClient();
  readonly writer = new GroupWriter({
    database: new Database(this.client, 1_000),
    owner: OWNER,
    leaseDuration: LEASE_DURATION,
    onFollowed: (runIds) => this.followed.push(...runIds),
  });
  /** The runs that others were found to follow. */
  readonly followed: string[] = [];

  /** Answers each statement as Postgres does. */
  constructor(lost: readonly string[] = [], followed: readonly string[] = []) {
    for (const name of NAMES) {
      this.client.rows[name] = (parameters) => [
        { statementId: parameters.at(-1), lost, followed },
      ];
    }
  }

  /** Refuses all statements of a name. */
  refuse(name: string, error: unknown): void {
    this.client.rows[name] = () => {
      throw error;
    };
  }
}

function row(runId: string): RowValues {
  return {
    id: crypto.randomUUID(),
    status: "DATASET_PROCESSING_STARTED",
    runId,
    name: "ingest",
    pipelineId: crypto.randomUUID(),
    datasetId: undefined,
    runInfo: undefined,
    result: undefined,
  };
}

function event(runId: string, seq: number): RunEvent {
  return { runId, seq, kind: "Yield", at: new Date(seq), payload: { seq } };
}

function rowWrite(runId: string = crypto.randomUUID()): RowWrite {
  return { kind: "row", row: row(runId) };
}

function fieldWrite(field: string, value: number): FieldWrite {
  return { kind: "field", field, json: JSON.stringify({ field, value }) };
}

/** A run whose steps a test writes. */
class LeasedRun {
  readonly claim = {
    runId: crypto.randomUUID(),
    claimId: crypto.randomUUID(),
    generation: 3,
  };

  get runId(): string {
    return this.claim.runId;
  }

  /** A step that neither begins nor ends the run, unless it is said to. */
  step(values: Partial<StepWrite> = {}): StepWrite {
    const payload = values.event?.kind === "Yield"
      ? JSON.stringify(values.event.payload)
      : undefined;
    return {
      kind: "step",
      claim: this.claim,
      begins: false,
      payload,
      ...values,
    };
  }

  /** What becomes of the run's lease. */
  change(values: Partial<LeaseChange> = {}): LeaseChange {
    return {
      ...this.claim,
      lastSeq: 0,
      endingId: undefined,
      begins: false,
      ...values,
    };
  }
}

/** The values that a statement of steps is sent with by default. */
const NO_STEPS = {
  rows: [],
  fields: "[]",
  events: [],
  runs: [],
  owner: OWNER,
  leaseDuration: LEASE_DURATION,
};

const statementId = ({ parameters }: SentStatement) => `${parameters.at(-1)}`;

/** The leases that a statement of steps changes, as arrays in SQL. */
const changes = ({ parameters }: SentStatement) => parameters.slice(-9, -3);

/** The changes as {@linkcode changes} gives them. */
const sentChanges = (runs: readonly LeaseChange[]) =>
  WRITE_STEPS.first.values({ ...NO_STEPS, runs, statementId: "" })
    .slice(-9, -3);

Deno.test("GroupWriter.write() writes rows and fields without a lease", async () => {
  const { client, writer } = new Trial();
  const writes = [rowWrite(), rowWrite()];
  const field = fieldWrite("a", 1);
  const refused = await writer.write([writes[0], field, writes[1]]);
  assertEquals(refused, new Map());
  assertEquals(client.names, ["write rows"]);
  const [sent] = client.sent;
  assertEquals(
    sent.parameters,
    WRITE_ROWS.first.values({
      rows: writes.map(({ row }) => row),
      fields: `[${field.json}]`,
      statementId: statementId(sent),
    }),
  );
});

Deno.test("GroupWriter.write() writes the last value of each field", async () => {
  const { client, writer } = new Trial();
  const fields = [
    fieldWrite("a", 1),
    fieldWrite("b", 2),
    fieldWrite("a", 3),
  ];
  await writer.write(fields);
  const [sent] = client.sent;
  assertEquals(
    sent.parameters,
    WRITE_ROWS.first.values({
      rows: [],
      fields: `[${fields[2].json},${fields[1].json}]`,
      statementId: statementId(sent),
    }),
  );
});

Deno.test("GroupWriter.write() writes steps with the rows and fields of the group", async () => {
  const { client, writer } = new Trial();
  const run = new LeasedRun();
  const other = rowWrite();
  const field = fieldWrite("a", 1);
  const step = run.step({ row: row(run.runId), event: event(run.runId, 2) });
  const refused = await writer.write([field, step, other]);
  assertEquals(refused, new Map());
  assertEquals(client.names, ["write steps"]);
  const [sent] = client.sent;
  assertEquals(
    sent.parameters,
    WRITE_STEPS.first.values({
      rows: [step.row!, other.row],
      fields: `[${field.json}]`,
      events: [{ event: step.event!, payload: step.payload }],
      runs: [run.change({ lastSeq: 2 })],
      owner: OWNER,
      leaseDuration: LEASE_DURATION,
      statementId: statementId(sent),
    }),
  );
});

Deno.test("GroupWriter.write() gives each statement an id of its own", async () => {
  const { client, writer } = new Trial();
  for (let i = 0; i < 2; i++) await writer.write([rowWrite()]);
  assertEquals(new Set(client.sent.map(statementId)).size, 2);
});

Deno.test("GroupWriter.write() changes the lease of a run once for all its steps", async () => {
  const { client, writer } = new Trial();
  const run = new LeasedRun();
  const other = new LeasedRun();
  const endingId = crypto.randomUUID();
  await writer.write([
    run.step({ event: event(run.runId, 7) }),
    other.step({ begins: true }),
    run.step({ endingId, event: event(run.runId, 8) }),
    run.step(),
    other.step({ event: event(other.runId, 1) }),
  ]);
  assertEquals(
    changes(client.sent[0]),
    sentChanges([
      run.change({ lastSeq: 8, endingId }),
      other.change({ lastSeq: 1, begins: true }),
    ]),
  );
});

Deno.test("GroupWriter.write() keeps the highest number of a run's events", async () => {
  const { client, writer } = new Trial();
  const run = new LeasedRun();
  await writer.write(
    [9, 3].map((seq) => run.step({ event: event(run.runId, seq) })),
  );
  assertEquals(
    changes(client.sent[0]),
    sentChanges([run.change({ lastSeq: 9 })]),
  );
});

Deno.test("GroupWriter.write() keeps the first ending of a run", async () => {
  const { client, writer } = new Trial();
  const run = new LeasedRun();
  const [endingId, later] = [crypto.randomUUID(), crypto.randomUUID()];
  await writer.write([run.step({ endingId }), run.step({ endingId: later })]);
  assertEquals(
    changes(client.sent[0]),
    sentChanges([run.change({ endingId })]),
  );
});

Deno.test("GroupWriter.write() begins a lease whichever step of the group begins it", async () => {
  const { client, writer } = new Trial();
  const run = new LeasedRun();
  await writer.write([run.step(), run.step({ begins: true })]);
  assertEquals(
    changes(client.sent[0]),
    sentChanges([run.change({ begins: true })]),
  );
});

/** The steps of a run that begins and ends in one group. */
function wholeRun(run: LeasedRun): StepWrite[] {
  return [
    run.step({
      begins: true,
      row: row(run.runId),
      event: event(run.runId, 1),
    }),
    run.step({ event: event(run.runId, 2) }),
    run.step({ endingId: crypto.randomUUID(), row: row(run.runId) }),
  ];
}

Deno.test("GroupWriter.write() writes runs that begin and end in the group without a lease", async () => {
  const { client, writer } = new Trial();
  const steps = [wholeRun(new LeasedRun()), wholeRun(new LeasedRun())].flat();
  assertEquals(await writer.write(steps), new Map());
  assertEquals(client.names, ["write whole runs"]);
  const [sent] = client.sent;
  assertEquals(
    sent.parameters,
    WRITE_WHOLE_RUNS.first.values({
      rows: steps.flatMap(({ row }) => row ?? []),
      events: steps.flatMap(({ event, payload }) =>
        event === undefined ? [] : { event, payload }
      ),
      statementId: statementId(sent),
    }),
  );
});

Deno.test("GroupWriter.write() needs leases if a run of the group lives on or lived before", async () => {
  const beginning = new LeasedRun();
  const ending = new LeasedRun();
  for (
    const step of [
      beginning.step({ begins: true }),
      ending.step({ endingId: crypto.randomUUID() }),
    ]
  ) {
    const { client, writer } = new Trial();
    await writer.write([...wholeRun(new LeasedRun()), step]);
    assertEquals(client.names, ["write steps"]);
  }
});

Deno.test("GroupWriter.write() writes rows and fields of others with whole runs", async () => {
  for (const write of [rowWrite(), fieldWrite("a", 1)]) {
    const { client, writer } = new Trial();
    await writer.write([...wholeRun(new LeasedRun()), write]);
    assertEquals(client.names, ["write steps"]);
  }
});

Deno.test("GroupWriter.write() refuses each step of a run whose lease is lost, and nothing else", async () => {
  const lost = new LeasedRun();
  const held = new LeasedRun();
  const { writer } = new Trial([lost.runId]);
  const steps = [lost.step(), held.step(), lost.step()];
  const refused = await writer.write([
    rowWrite(lost.runId),
    fieldWrite("a", 1),
    ...steps,
  ]);
  assertEquals([...refused.keys()], [steps[0], steps[2]]);
  for (const error of refused.values()) {
    assertInstanceOf(error, LeaseLostError);
    assertEquals(error.runId, lost.runId);
  }
});

Deno.test("GroupWriter.write() repeats what is written already so that it is skipped (fault 19)", async () => {
  const run = new LeasedRun();
  for (
    const { name, writes } of [
      { name: "write rows", writes: [rowWrite()] },
      { name: "write steps", writes: [run.step()] },
      { name: "write whole runs", writes: wholeRun(run) },
    ]
  ) {
    const { client, writer } = new Trial();
    client.rows[name] = () => {
      throw UNIQUE_VIOLATION;
    };
    assertEquals(await writer.write(writes), new Map());
    assertEquals(client.names, [name, `${name} again`]);
    const [first, again] = client.sent;
    assertEquals(again.parameters, first.parameters);
  }
});

Deno.test("GroupWriter.write() reports the leases that a repeated statement finds lost", async () => {
  const run = new LeasedRun();
  const trial = new Trial([run.runId]);
  trial.refuse("write steps", UNIQUE_VIOLATION);
  const step = run.step();
  const refused = await trial.writer.write([step]);
  assertEquals([...refused.keys()], [step]);
});

Deno.test("GroupWriter.write() writes a step without its row if the table refuses the row", async () => {
  const trial = new Trial();
  const run = new LeasedRun();
  const { client } = trial;
  const answer = client.rows["write steps"]!;
  client.rows["write steps"] = (parameters) => {
    if (client.sent.length === 1) throw CHECK_VIOLATION;
    return answer(parameters);
  };
  const endingId = crypto.randomUUID();
  const step = run.step({
    row: row(run.runId),
    event: event(run.runId, 5),
    endingId,
  });
  const refused = await trial.writer.write([step]);
  assertEquals([...refused.keys()], [step]);
  const error = refused.get(step);
  assertInstanceOf(error, RepositoryError);
  assertStrictEquals(error.cause, CHECK_VIOLATION);
  assertEquals(client.names, ["write steps", "write steps"]);
  const sent = client.sent[1];
  assertEquals(
    sent.parameters,
    WRITE_STEPS.first.values({
      ...NO_STEPS,
      events: [{ event: step.event!, payload: step.payload }],
      runs: [run.change({ lastSeq: 5, endingId })],
      statementId: statementId(sent),
    }),
  );
});

Deno.test("GroupWriter.write() reports a lost lease rather than a refused row", async () => {
  const run = new LeasedRun();
  const { client, writer } = new Trial([run.runId]);
  const answer = client.rows["write steps"]!;
  client.rows["write steps"] = (parameters) => {
    if (client.sent.length === 1) throw CHECK_VIOLATION;
    return answer(parameters);
  };
  const step = run.step({ row: row(run.runId) });
  assertInstanceOf((await writer.write([step])).get(step), LeaseLostError);
});

Deno.test("GroupWriter.write() fails if a step cannot be written without its row either", async () => {
  const trial = new Trial();
  const run = new LeasedRun();
  trial.refuse("write steps", CHECK_VIOLATION);
  await assertRejects(
    () => trial.writer.write([run.step({ row: row(run.runId) })]),
    RepositoryError,
  );
  assertEquals(trial.client.names, ["write steps", "write steps"]);
});

Deno.test("GroupWriter.write() writes nothing without its row after a transient error", async () => {
  const trial = new Trial();
  const run = new LeasedRun();
  trial.refuse("write steps", postgresError("57P01"));
  const error = await assertRejects(
    () => trial.writer.write([run.step({ row: row(run.runId) })]),
    RepositoryError,
  );
  assert(error.transient);
  assertEquals(trial.client.names, ["write steps"]);
});

Deno.test("GroupWriter.write() writes nothing without its row after an error that is not the repository's", async () => {
  let executed = 0;
  const cause = new TypeError("not the repository's");
  const database = {
    execute() {
      executed++;
      return Promise.reject(cause);
    },
  } as unknown as Database;
  const writer = new GroupWriter({
    database,
    owner: OWNER,
    leaseDuration: LEASE_DURATION,
    onFollowed: () => {},
  });
  const run = new LeasedRun();
  const step = run.step({ row: row(run.runId) });
  assertStrictEquals(
    await assertRejects(() => writer.write([step])),
    cause,
  );
  assertEquals(executed, 1);
});

Deno.test("GroupWriter.write() fails at once where no single step's row is to blame", async () => {
  const run = new LeasedRun();
  const step = run.step({ row: row(run.runId) });
  for (
    const { name, writes } of [
      { name: "write steps", writes: [step, run.step()] },
      { name: "write steps", writes: [run.step()] },
      { name: "write rows", writes: [rowWrite()] },
      { name: "write rows", writes: [fieldWrite("a", 1)] },
    ]
  ) {
    const trial = new Trial();
    trial.refuse(name, CHECK_VIOLATION);
    const error = await assertRejects(
      () => trial.writer.write(writes),
      RepositoryError,
    );
    assertStrictEquals(error.cause, CHECK_VIOLATION);
    assertEquals(trial.client.names, [name]);
  }
});

Deno.test("GroupWriter.write() takes the answer of another statement for a transient failure", async () => {
  const run = new LeasedRun();
  const answers = [[], [{ statementId: crypto.randomUUID() }], [{}]];
  for (const answer of answers) {
    for (
      const writes of [[rowWrite()], [run.step()], wholeRun(new LeasedRun())]
    ) {
      const { client, writer } = new Trial();
      for (const name of NAMES) client.rows[name] = () => answer;
      const error = await assertRejects(
        () => writer.write(writes),
        RepositoryError,
        "The answer is not that of the statement",
      );
      assert(error.transient);
      assertEquals(client.sent.length, 1);
    }
  }
});

Deno.test("GroupWriter.write() tells which runs others follow", async () => {
  const runs = Array.from({ length: 2 }, () => new LeasedRun());
  const trial = new Trial([], [runs[1].runId]);
  await trial.writer.write(runs.map((run) => run.step()));
  assertEquals(trial.followed, [runs[1].runId]);
});

Deno.test("GroupWriter.write() tells no run of an answer to another statement", async () => {
  const run = new LeasedRun();
  const trial = new Trial();
  trial.client.rows["write steps"] = () => [
    { statementId: "another", lost: [], followed: [run.runId] },
  ];
  await assertRejects(() => trial.writer.write([run.step()]), RepositoryError);
  assertEquals(trial.followed, []);
});
