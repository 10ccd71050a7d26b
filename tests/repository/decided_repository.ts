import {
  MemoryPipelineRunRepository,
  type PipelineRunRow,
  type PipelineRunTransition,
  RepositoryError,
} from "../../mod.ts";

/** What becomes of a row: `"lose"` writes it and loses the answer. */
export type Decision = "write" | "hang" | "refuse" | "lose" | "forbid";

/** A row that a {@linkcode DecidedRepository} was asked to write. */
export interface DecidedRow {
  readonly transition: PipelineRunTransition;
  /** How often it was asked for. */
  asked: number;
  /** The place, among all calls, of the call that wrote it. */
  place: number | undefined;
  /** Whether the caller knows that it is written. */
  acknowledged: boolean;
  /** Whether the caller has no reason to ask for it again. */
  settled: boolean;
}

/** A repository in memory whose answers are decided by a test, in advance or late. */
export class DecidedRepository extends MemoryPipelineRunRepository {
  /** What becomes of the next rows. */
  decision: Decision = "write";
  /** Every row, in the order of the first calls. */
  readonly rows: DecidedRow[] = [];
  /** How many calls there were. */
  calls = 0;
  readonly #hanging: ((decision: Decision) => void)[] = [];

  /** How many rows hang. */
  get hanging(): number {
    return this.#hanging.length;
  }

  /** Answers one of the rows that hang. */
  release(which: number, decision: Decision): void {
    this.#hanging.splice(which, 1)[0](decision);
  }

  /** The newest row of a run that is written, in the order of the calls. */
  written(runId: string): DecidedRow | undefined {
    return this.rows
      .filter(({ place, transition }) =>
        place !== undefined && transition.pipelineRunId === runId
      )
      .sort((a, b) => a.place! - b.place!)
      .at(-1);
  }

  override async logPipelineRun(
    transition: PipelineRunTransition,
  ): Promise<string> {
    const row = this.#row(transition);
    const place = this.calls++;
    row.asked++;
    let { decision } = this;
    if (decision === "hang") {
      decision = await new Promise((resolve) => this.#hanging.push(resolve));
    }
    if (decision === "write" || decision === "lose") row.place ??= place;
    row.acknowledged ||= decision === "write";
    row.settled = decision === "write" || decision === "forbid" ||
      row.asked === 1 && this.#isPassed(row);
    if (decision === "write") return transition.id!;
    throw new RepositoryError(decision, { transient: decision !== "forbid" });
  }

  override getPipelineRun(runId: string): Promise<PipelineRunRow | undefined> {
    const row = this.written(runId);
    return Promise.resolve(
      row && { ...row.transition, createdAt: new Date(0) } as PipelineRunRow,
    );
  }

  override async setPayloadField(
    runId: string,
    key: string,
    value: unknown,
  ): Promise<void> {
    if (!this.writesPayload) throw new RepositoryError(this.decision);
    await super.setPayloadField(runId, key, value);
  }

  /** Whether payload fields are written. */
  get writesPayload(): boolean {
    return this.decision !== "refuse" && this.decision !== "forbid";
  }

  #row(transition: PipelineRunTransition): DecidedRow {
    let row = this.rows.find((row) => row.transition.id === transition.id);
    if (row === undefined) {
      row = {
        transition: { ...transition },
        asked: 0,
        place: undefined,
        acknowledged: false,
        settled: false,
      };
      this.rows.push(row);
    }
    return row;
  }

  /** Whether a later row of the run was asked for: the earlier one is given up. */
  #isPassed(row: DecidedRow): boolean {
    const { pipelineRunId } = row.transition;
    return this.rows.findLast((other) =>
      other.transition.pipelineRunId === pipelineRunId
    ) !== row;
  }
}
