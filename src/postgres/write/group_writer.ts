import { LeaseLostError, RepositoryError } from "../../model/errors.ts";
import { type Database, isDuplicate } from "../client/database.ts";
import type { Parameters, StatementValues } from "../sql/statement.ts";
import {
  type EventValues,
  type Insertion,
  type LeaseChange,
  type RowValues,
  WRITE_ROWS,
  WRITE_STEPS,
  WRITE_WHOLE_RUNS,
} from "../sql/writes.ts";
import type { StepWrite, Write } from "./write.ts";

/** Options of {@linkcode GroupWriter}. */
export interface GroupWriterOptions {
  readonly database: Database;
  /** The UUID of the instance that owns the leases. */
  readonly owner: string;
  /** How long a lease is, in milliseconds. */
  readonly leaseDuration: number;
  /** Called with the runs of a group that other instances follow. */
  readonly onFollowed: (runIds: readonly string[]) => void;
}

/** The answer to an insertion. */
interface Answer {
  readonly statementId?: unknown;
  /** The runs whose lease is lost. */
  readonly lost?: readonly string[];
  /** The runs that other instances follow. */
  readonly followed?: readonly string[];
}

/** Writes groups of rows, payload fields and steps, each in one statement. */
export class GroupWriter {
  readonly #options: GroupWriterOptions;

  constructor(options: GroupWriterOptions) {
    this.#options = options;
  }

  /**
   * Writes a group. A step whose row the table refuses is written without the row:
   * the run goes on, and other instances must learn of it.
   *
   * @returns The writes that were refused, each with its error: a
   * `LeaseLostError` for a step whose lease is lost.
   * @throws {RepositoryError} If nothing was written.
   */
  async write(writes: readonly Write[]): Promise<Map<Write, Error>> {
    try {
      return await this.#writeGroup(writes);
    } catch (error) {
      const [write] = writes;
      if (
        !(error instanceof RepositoryError) || error.transient ||
        writes.length > 1 || write.kind !== "step" || write.row === undefined
      ) throw error;
      const bare = { ...write, row: undefined };
      const refused = await this.#writeGroup([bare]);
      return new Map([[write, refused.get(bare) ?? error]]);
    }
  }

  async #writeGroup(writes: readonly Write[]): Promise<Map<Write, Error>> {
    const { owner, leaseDuration } = this.#options;
    const rows: RowValues[] = [];
    const jsonFields = new Map<string, string>();
    const steps: StepWrite[] = [];
    for (const write of writes) {
      if (write.kind === "field") jsonFields.set(write.field, write.json);
      else if (write.row !== undefined) rows.push(write.row);
      if (write.kind === "step") steps.push(write);
    }
    const fields = `[${[...jsonFields.values()].join(",")}]`;
    const statementId = crypto.randomUUID();
    if (steps.length === 0) {
      await this.#execute(WRITE_ROWS, { rows, fields, statementId });
      return new Map();
    }
    const runs = leaseChanges(steps);
    const events = steps.filter((step): step is StepWrite & EventValues =>
      step.event !== undefined
    );
    if (steps.length === writes.length && runs.every(isWhole)) {
      await this.#execute(WRITE_WHOLE_RUNS, { rows, events, statementId });
      return new Map();
    }
    const answer = await this.#execute(WRITE_STEPS, {
      rows,
      fields,
      events,
      runs,
      owner,
      leaseDuration,
      statementId,
    });
    this.#options.onFollowed(answer.followed ?? []);
    const lost = new Set(answer.lost);
    return new Map(
      steps.filter(({ claim }) => lost.has(claim.runId))
        .map((step) => [step, new LeaseLostError(step.claim.runId)]),
    );
  }

  /**
   * Executes an insertion, and checks that the answer is its own: a client whose
   * queue is mixed up by a bad parameter of another statement answers with the rows
   * of other statements. Then the fate of this one is unknown.
   */
  async #execute<P extends Parameters & { statementId: string }>(
    { first, again }: Insertion<P>,
    values: StatementValues<P>,
  ): Promise<Answer> {
    const { database } = this.#options;
    const [answer = {}] = await database.execute(first, values)
      .catch((error) => {
        if (!isDuplicate(error)) throw error;
        return database.execute(again, values);
      }) as Answer[];
    if (answer.statementId === values.statementId) return answer;
    throw new RepositoryError("The answer is not that of the statement");
  }
}

/** What becomes of each run's lease, over all its steps. */
function leaseChanges(steps: readonly StepWrite[]): LeaseChange[] {
  const changes = new Map<string, LeaseChange>();
  for (const { claim, event, endingId, begins } of steps) {
    let change = changes.get(claim.runId);
    if (change === undefined) {
      change = { ...claim, lastSeq: 0, endingId: undefined, begins: false };
      changes.set(claim.runId, change);
    }
    change.lastSeq = Math.max(change.lastSeq, event?.seq ?? 0);
    change.endingId ??= endingId;
    change.begins ||= begins;
  }
  return [...changes.values()];
}

/** Whether a run begins and ends in one statement. */
function isWhole({ begins, endingId }: LeaseChange): boolean {
  return begins && endingId !== undefined;
}
