import { RepositoryError } from "../../model/errors.ts";
import { plainArray, textArray } from "../sql/array_literal.ts";
import type { PostgresClient } from "../client/client.ts";
import type { Lease } from "../log/lease.ts";
import type { PostgresRunLog } from "../log/postgres_run_log.ts";
import { rowParameters, type RowValues } from "./row_values.ts";
import { MAX_NOTIFIED, WRITE_STEPS, WRITE_WHOLE_RUNS } from "../sql/log.ts";
import {
  type EitherTry,
  WRITE_ROWS,
  WRITE_ROWS_AND_FIELDS,
} from "../sql/rows.ts";
import { execute, isDuplicate } from "../client/statement.ts";
import type { Step, Write } from "./write.ts";

/** Options of {@linkcode GroupWriter}. */
export interface GroupWriterOptions {
  readonly client: PostgresClient;
  /** Whose leases the steps are on. */
  readonly log: PostgresRunLog | undefined;
  /** How long a lease is, in milliseconds. */
  readonly lease: number;
  /** For how long to wait for an answer, in milliseconds. */
  readonly statementTimeout: number;
}

/** What becomes of a run's lease in one statement. */
interface LeaseChange {
  lastSeq: number;
  ending: string | undefined;
  begins: boolean;
}

/** Writes groups of rows, payload fields and steps, each in one statement. */
export class GroupWriter {
  readonly #options: GroupWriterOptions;

  constructor(options: GroupWriterOptions) {
    this.#options = options;
  }

  /**
   * Writes a group, and tells what is refused. A step whose row the table refuses
   * is written without it: the run goes on, and others must hear of it.
   *
   * @param again Whether it may have been written already.
   */
  async write(
    writes: readonly Write[],
    again: boolean,
  ): Promise<Map<Write, Error>> {
    const [step] = writes;
    try {
      return await this.#writeGroup(writes, again);
    } catch (error) {
      // Somebody gave a row twice, or took up what an earlier group has written.
      if (!again && isDuplicate(error)) return await this.write(writes, true);
      if (
        !(error instanceof RepositoryError) || error.transient ||
        writes.length > 1 || step.kind !== "step" || step.row === undefined
      ) throw error;
      const bare = { ...step, row: undefined };
      const refused = await this.#writeGroup([bare], again);
      return new Map([[step, refused.get(bare) ?? error]]);
    }
  }

  /** Writes a group, and tells the steps whose leases are lost. */
  async #writeGroup(
    writes: readonly Write[],
    again: boolean,
  ): Promise<Map<Write, Error>> {
    const rows: RowValues[] = [];
    const fields = new Map<string, string>();
    const steps: Step[] = [];
    for (const write of writes) {
      if (write.kind === "field") fields.set(write.key, write.json);
      else {
        if (write.row !== undefined) rows.push(write.row);
        if (write.kind === "step") steps.push(write);
      }
    }
    const { log } = this.#options;
    if (log !== undefined && steps.length > 0) {
      return await this.#writeSteps(log, steps, rows, fields, again);
    }
    const token = crypto.randomUUID();
    const [answer] = fields.size === 0
      ? await this.#execute(WRITE_ROWS, again, [...rowParameters(rows), token])
      : await this.#execute(WRITE_ROWS_AND_FIELDS, again, [
        ...rowParameters(rows),
        jsonArray(fields.values()),
        token,
      ]);
    checkToken(answer, token);
    return new Map();
  }

  async #writeSteps(
    log: PostgresRunLog,
    steps: readonly Step[],
    rows: readonly RowValues[],
    fields: ReadonlyMap<string, string>,
    again: boolean,
  ): Promise<Map<Write, Error>> {
    const changes = leaseChanges(steps);
    const begun = new Set<string>();
    const others: string[] = [];
    for (const [{ runId }, change] of changes) {
      if (change.begins) begun.add(runId);
      if (!isWhole(change)) others.push(runId);
    }
    const token = crypto.randomUUID();
    const rowsSent = rowParameters(rows, ({ runId }) => begun.has(runId));
    const eventsSent = eventParameters(steps);
    const [answer] = others.length === 0 && fields.size === 0
      ? await this.#execute(WRITE_WHOLE_RUNS, again, [
        ...rowsSent,
        token,
        ...eventsSent,
      ])
      : await this.#execute(WRITE_STEPS, again, [
        ...rowsSent,
        jsonArray(fields.values()),
        ...eventsSent,
        ...leaseParameters(changes),
        log.owner,
        String(this.#options.lease),
        notification(others),
        token,
      ]);
    const { token: answered, lost } = (answer ?? {}) as {
      token?: string;
      lost?: string[];
    };
    checkToken(answered, token);
    const refused = new Map<Write, Error>();
    const lostIds = new Set(lost);
    for (const step of steps) {
      const { lease } = step;
      if (lostIds.has(lease.runId)) refused.set(step, lease.lose());
      else if (!lease.written) {
        lease.written = true;
        if (!lease.ending) log.hold(lease);
      }
    }
    log.onWritten(new Set(steps.map(({ lease }) => lease.runId)));
    return refused;
  }

  async #execute(
    statement: EitherTry,
    again: boolean,
    parameters: (string | null)[],
  ): Promise<unknown[]> {
    const { client, statementTimeout } = this.#options;
    const query = again ? statement.again : statement.first;
    return await execute(client, query, parameters, statementTimeout);
  }
}

function leaseChanges(steps: readonly Step[]): Map<Lease, LeaseChange> {
  const changes = new Map<Lease, LeaseChange>();
  for (const { lease, event, ending, begins = false } of steps) {
    let change = changes.get(lease);
    if (change === undefined) {
      change = { lastSeq: 0, ending: undefined, begins: false };
      changes.set(lease, change);
    }
    change.lastSeq = Math.max(change.lastSeq, event?.seq ?? 0);
    change.ending ??= ending;
    change.begins ||= begins;
  }
  return changes;
}

function leaseParameters(changes: ReadonlyMap<Lease, LeaseChange>): string[] {
  const leases = [...changes.keys()];
  const states = [...changes.values()];
  return [
    plainArray(leases.map((lease) => lease.runId)),
    plainArray(leases.map((lease) => lease.token)),
    plainArray(leases.map((lease) => lease.generation)),
    plainArray(states.map((change) => change.lastSeq)),
    plainArray(states.map((change) => change.ending)),
    plainArray(states.map((change) => change.begins)),
  ];
}

function eventParameters(steps: readonly Step[]): string[] {
  const logged = steps.filter((step) => step.event !== undefined);
  const events = logged.map((step) => step.event!);
  return [
    plainArray(events.map((event) => event.runId)),
    plainArray(events.map((event) => event.seq)),
    plainArray(events.map((event) => event.kind)),
    plainArray(events.map((event) => event.at.toISOString())),
    textArray(logged.map((step) => step.payload)),
    textArray(
      events.map((event) =>
        event.kind === "Errored" ? event.message : undefined
      ),
    ),
  ];
}

/**
 * Whether a run begins and ends in one statement. Nobody is notified of it: nobody
 * can wait for it, unless its id got about before that, and then a poll finds it.
 */
function isWhole({ begins, ending }: LeaseChange): boolean {
  return begins && ending !== undefined;
}

function notification(ids: readonly string[]): string | null {
  if (ids.length === 0) return null;
  return ids.length > MAX_NOTIFIED ? "*" : ids.join(",");
}

function jsonArray(items: Iterable<string>): string {
  return `[${[...items].join(",")}]`;
}

// A client confused by somebody else's bad parameter gives the answers of other
// statements: nothing is known of this one then.
function checkToken(answer: unknown, token: string): void {
  if (answer !== token) {
    throw new RepositoryError("The answer is not that of the statement");
  }
}
