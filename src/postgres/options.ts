import { checkDelay, checkNumber } from "../arguments/checks.ts";
import type { Telemetry } from "../model/telemetry.ts";
import { contain, logWarning, type RegistryWarning } from "../model/warning.ts";
import type { PostgresClient } from "./client/client.ts";
import { STATEMENT_TIMEOUT } from "./client/database.ts";

/** Options of `PostgresPipelineRunRepository`. */
export interface PostgresPipelineRunRepositoryOptions {
  /**
   * How long to wait for the answer to one statement, in milliseconds; with `connect()`
   * also for a connection, and for the answer to a request to cancel.
   *
   * @default {5_000}
   */
  statementTimeout?: number;
  /**
   * How long to retry a write while Postgres cannot be reached, in milliseconds. The
   * rows of a registry's runs are retried until `close()`.
   *
   * @default {10_000}
   */
  writeTimeout?: number;
  /**
   * How many bytes may be pending. Beyond that, payload fields and rows with a time
   * limit are refused and Yields are dropped from the log; the other steps of a
   * registry's runs are not.
   *
   * @default {67_108_864}
   */
  maxQueuedBytes?: number;
  /**
   * Called when writing begins to fail; it is retried until it succeeds. Errors that
   * the handler throws are ignored.
   *
   * @default {console.warn}
   */
  onWarning?: (warning: RegistryWarning) => void;
  /**
   * Whether instances share their runs: then any of them can follow and abort a run,
   * and end it after its own instance died. Otherwise the database has only the rows
   * and payload fields of a run.
   *
   * @default {true}
   */
  shared?: boolean;
  /**
   * How long a lease is, in milliseconds. If it is not renewed in that time, any
   * instance may give it notice, and end the run two `renewInterval`s later.
   *
   * @default {60_000}
   */
  leaseDuration?: number;
  /**
   * How often leases are renewed, in milliseconds, and again a tenth of that after a
   * failure. Renewing also finds requests to abort whose notification was lost. An
   * expired lease ends two such intervals after its notice, in which a live instance
   * must be able to renew it: so an interval should not be shorter than
   * `statementTimeout`.
   *
   * @default {10_000}
   */
  renewInterval?: number;
  /**
   * How often to query for events of other instances' runs while no notification
   * arrives, in milliseconds.
   *
   * @default {1_000}
   */
  pollInterval?: number;
  /**
   * How long the events of a run and its lease stay after its end, in milliseconds, the
   * lease for 10 minutes at least; `Infinity` keeps them. If the run's id is used again
   * after that, its events are numbered from 1 again.
   *
   * @default {86_400_000}
   */
  logRetention?: number;
  /**
   * How long payload fields stay after they were set and their run has ended, and results
   * after their run has ended, in milliseconds.
   *
   * @default {Infinity}
   */
  payloadRetention?: number;
  /**
   * How long the rows of the audit trail stay after their run has ended, in
   * milliseconds. The newest row of each pipeline on a dataset always stays: the
   * qualification of the pipeline depends on it.
   *
   * @default {Infinity}
   */
  auditRetention?: number;
  /**
   * The schema of the tables, which `migrate()` makes if need be. Letters, digits and
   * underscores, 63 at most. Its `datasets` is the one that rows are attributed with.
   *
   * @default {the search path of the connection}
   */
  schema?: string;
  /**
   * The client that listens for notifications: one that reaches Postgres directly if
   * `client` goes through a transaction pooler, or `false` for none. A client of
   * `npm:postgres` that once failed to listen again, as after a failover, can be made to
   * listen only by restarting; that of `connect()` recovers.
   *
   * @default {the client}
   */
  listener?: PostgresClient | false;
  /**
   * A client of a read replica. It is asked for lists of the newest rows of many runs,
   * which are then as old as the replica is behind, and for events that follow one of
   * more than 10 s ago. What it does not have or does not answer, `client` is asked for.
   *
   * @default {none}
   */
  reader?: PostgresClient;
  /**
   * Where to report commits, what waits to be written, and what is done about the runs of
   * other instances: `createTelemetry()` of `./telemetry`.
   *
   * @default {none}
   */
  telemetry?: Telemetry;
  /**
   * Called at the end of `close()`, to close what was opened for this repository.
   *
   * @default {nothing: the owner of the client closes it}
   */
  onClose?: () => Promise<void>;
}

type Defaulted = Omit<
  PostgresPipelineRunRepositoryOptions,
  "listener" | "onClose" | "onWarning" | "reader" | "schema" | "telemetry"
>;

/** The options with their defaults. */
export interface ResolvedOptions extends
  Required<Defaulted>,
  Pick<
    PostgresPipelineRunRepositoryOptions,
    "listener" | "onClose" | "reader" | "schema" | "telemetry"
  > {
  /** Calls `onWarning`; it never throws. */
  readonly warn: (warning: RegistryWarning) => void;
}

/**
 * The options with their defaults.
 *
 * @throws {RangeError} If a number is out of range.
 * @throws {TypeError} If a number is not one.
 */
export function resolveOptions(
  { onWarning = logWarning, ...options }: PostgresPipelineRunRepositoryOptions,
): ResolvedOptions {
  const {
    statementTimeout = STATEMENT_TIMEOUT,
    writeTimeout = 10_000,
    maxQueuedBytes = 64 * 1024 * 1024,
    shared = true,
    leaseDuration = 60_000,
    renewInterval = 10_000,
    pollInterval = 1_000,
    logRetention = 86_400_000,
    payloadRetention = Infinity,
    auditRetention = Infinity,
  } = options;
  const delays = {
    statementTimeout,
    leaseDuration,
    renewInterval,
    pollInterval,
  };
  for (const [name, delay] of Object.entries(delays)) {
    checkDelay(`Cannot create repository: ${name}`, delay, 1);
  }
  if (renewInterval >= leaseDuration) {
    throw new RangeError(
      `Cannot create repository: renewInterval must be less than leaseDuration, received ${renewInterval} and ${leaseDuration}`,
    );
  }
  const retentions = { logRetention, payloadRetention, auditRetention };
  const numbers = { writeTimeout, maxQueuedBytes, ...retentions };
  for (const [name, number] of Object.entries(numbers)) {
    checkNumber(
      `Cannot create repository: ${name}`,
      number,
      "positive",
      (value) => value > 0,
    );
  }
  const { schema } = options;
  if (schema !== undefined && !/^[A-Za-z_]\w{0,62}$/.test(schema)) {
    throw new RangeError(
      `Cannot create repository: schema must be a name of letters, digits and underscores, received ${schema}`,
    );
  }
  return {
    ...options,
    ...delays,
    ...numbers,
    shared,
    // Postgres takes whole milliseconds.
    leaseDuration: Math.ceil(leaseDuration),
    logRetention: Math.ceil(logRetention),
    payloadRetention: Math.ceil(payloadRetention),
    auditRetention: Math.ceil(auditRetention),
    warn: contain(onWarning),
  };
}
