import { assertEquals } from "@std/assert";
import type { RunEvent } from "../../src/model/event.ts";
import type { Statement } from "../../src/postgres/sql/statement.ts";
import {
  type LeaseChange,
  type RowValues,
  WRITE_STEPS,
} from "../../src/postgres/sql/writes.ts";
import type { RunTables } from "./run_tables.ts";

/** The instance that writes. */
export const OWNER: string = crypto.randomUUID();

const LEASE_DURATION = 60_000;

/** A claim and the steps that a test writes under it. */
export class ClaimedRun {
  readonly runId: string;
  readonly claimId: string = crypto.randomUUID();
  readonly endingId: string = crypto.randomUUID();
  readonly generation: number;
  readonly #tables: RunTables;

  constructor(
    tables: RunTables,
    { runId, generation = 1 }: { runId?: string; generation?: number } = {},
  ) {
    this.#tables = tables;
    this.runId = runId ?? crypto.randomUUID();
    this.generation = generation;
  }

  /** A change of the lease. */
  change(values: Partial<LeaseChange> = {}): LeaseChange {
    const { runId, claimId, generation } = this;
    const rest = { lastSeq: 1, endingId: undefined, begins: false };
    return { runId, claimId, generation, ...rest, ...values };
  }

  row(): RowValues {
    return {
      id: crypto.randomUUID(),
      status: "DATASET_PROCESSING_STARTED",
      runId: this.runId,
      name: "ingest",
      pipelineId: this.runId,
      datasetId: undefined,
      runInfo: undefined,
      result: undefined,
    };
  }

  event(seq: number, kind: "Started" | "Yield" | "Completed"): RunEvent {
    const base = { runId: this.runId, seq, at: new Date() };
    return kind === "Yield"
      ? { ...base, kind, payload: null }
      : { ...base, kind };
  }

  /** Begins the lease with a Started event. */
  begin(): Promise<string[]> {
    const events = [this.event(1, "Started")];
    return this.write({ begins: true }, events);
  }

  /** Writes a Yield. */
  step(seq: number): Promise<string[]> {
    return this.write({ lastSeq: seq }, [this.event(seq, "Yield")]);
  }

  /** Ends the run. */
  end(seq: number, statement?: Statement<Steps>): Promise<string[]> {
    const { endingId } = this;
    const events = [this.event(seq, "Completed")];
    return this.write({ lastSeq: seq, endingId }, events, [], statement);
  }

  /** Writes one statement and returns the runs that are lost. */
  write(
    change: Partial<LeaseChange>,
    events: RunEvent[],
    rows: RowValues[] = [],
    statement?: Statement<Steps>,
  ): Promise<string[]> {
    const runs = [this.change(change)];
    return writeSteps(this.#tables, { runs, events, rows }, statement);
  }
}

type Steps = typeof WRITE_STEPS.first extends Statement<infer P> ? P : never;

/** What one statement writes. */
export interface WrittenSteps {
  runs?: LeaseChange[];
  events?: RunEvent[];
  rows?: RowValues[];
  fields?: string;
}

/** Writes one statement and returns the runs that are lost. */
export async function writeSteps(
  tables: Pick<RunTables, "execute">,
  steps: WrittenSteps,
  statement: Statement<Steps> = WRITE_STEPS.first,
): Promise<string[]> {
  return (await answerOf(tables, steps, statement)).lost;
}

/** Writes one statement and returns the runs that are lost, and those followed. */
export async function answerOf(
  tables: Pick<RunTables, "execute">,
  { runs = [], events = [], rows = [], fields = "[]" }: WrittenSteps,
  statement: Statement<Steps> = WRITE_STEPS.first,
): Promise<{ lost: string[]; followed: string[] }> {
  const statementId = crypto.randomUUID();
  const [answer] = await tables.execute(statement, {
    rows,
    fields,
    events: events.map((event) => ({ event })),
    runs,
    owner: OWNER,
    leaseDuration: LEASE_DURATION,
    statementId,
  }) as { statementId: string; lost: string[]; followed: string[] }[];
  assertEquals(answer.statementId, statementId);
  return answer;
}
