import { delay } from "@std/async/delay";
import { closedError, type Database } from "./client/database.ts";
import {
  PRUNE_EVENTS,
  PRUNE_FIELDS,
  PRUNE_LEASES,
  PRUNE_RESULTS,
  PRUNE_ROWS,
} from "./sql/retention.ts";

/** How much one statement deletes. */
const PRUNED_AT_ONCE = 1_000;

/**
 * How long a lease stays after its end at least, in milliseconds: a claim or write that
 * arrives late must find it.
 */
const LEASE_RETENTION = 600_000;

/** Options of {@linkcode Retention}. */
export interface RetentionOptions {
  readonly database: Database;
  /** For how long events and leases stay, in milliseconds. */
  readonly logRetention: number;
  readonly payloadRetention: number;
  readonly auditRetention: number;
}

/** Deletes what is left of runs that ended long ago, a bounded part at a time. */
export class Retention {
  readonly #database: Database;
  /** The statements, each with how long its rows stay, in milliseconds. */
  readonly #kept: [typeof PRUNE_EVENTS, number][];
  readonly #closed = new AbortController();

  constructor(options: RetentionOptions) {
    const { database, logRetention, payloadRetention, auditRetention } =
      options;
    const kept: [typeof PRUNE_EVENTS, number][] = [
      [PRUNE_EVENTS, logRetention],
      [PRUNE_LEASES, Math.max(logRetention, LEASE_RETENTION)],
      [PRUNE_FIELDS, payloadRetention],
      [PRUNE_RESULTS, payloadRetention],
      [PRUNE_ROWS, auditRetention],
    ];
    this.#database = database;
    this.#kept = kept.filter(([_, retention]) => retention !== Infinity);
  }

  /**
   * Deletes until nothing is left to delete, or another instance deletes. It rests as
   * long as it works, so that writers are not held up.
   *
   * @returns How much it deleted.
   * @throws {RepositoryError} If Postgres fails, or this is closed.
   */
  async prune(): Promise<number> {
    let pruned = 0;
    for (const [statement, retention] of this.#kept) {
      while (true) {
        const from = performance.now();
        const [count] = await this.#database.query(statement, {
          retention,
          limit: PRUNED_AT_ONCE,
        }) as [number];
        pruned += count;
        if (count === 0) break;
        const { signal } = this.#closed;
        await delay(performance.now() - from, { signal });
      }
    }
    return pruned;
  }

  /** Ends pruning. */
  close(): void {
    this.#closed.abort(closedError());
  }
}
