import { deadline } from "@std/async/deadline";
import { retry, RetryError } from "@std/async/retry";
import { RepositoryError } from "../../model/errors.ts";
import type {
  Parameters,
  Statement,
  StatementValues,
} from "../sql/statement.ts";
import type { PostgresClient } from "./client.ts";

/** How long to wait for an answer by default, in milliseconds. */
export const STATEMENT_TIMEOUT = 5_000;

/** How often a statement is tried while the connection is lost: for 2 to 4 s. */
const ATTEMPTS = 8;

/** SQLSTATEs, or classes of them, after which the same statement may succeed. */
const TRANSIENT: readonly string[] = [
  "08", // connection exceptions
  "25006", // read_only_sql_transaction: a standby that may be promoted
  "40", // transaction rollbacks: serialization failure, deadlock
  "53", // insufficient resources: connections, memory, disk
  "55P03", // lock_not_available
  "57", // operator intervention: shutdown, start-up, cancelled statements
  "58", // system errors: I/O
];

/** Options of {@linkcode Database.query}. */
export interface QueryOptions {
  /**
   * For how long to repeat the statement, also after a missed deadline, in
   * milliseconds.
   *
   * @default {8 attempts, while the connection is lost}
   */
  persistence?: number;
}

/** Executes single statements over a client, each bounded in time. */
export class Database {
  readonly #client: PostgresClient;
  readonly #timeout: number;
  readonly #schema: string | undefined;
  /** The texts for tables in the schema, by that for tables in the search path. */
  readonly #texts = new Map<string, string>();
  readonly #closed = new AbortController();

  /**
   * @param client The client.
   * @param timeout How long to wait for an answer, in milliseconds.
   * @param schema The schema of the tables, if they are not in the search path.
   */
  constructor(client: PostgresClient, timeout: number, schema?: string) {
    this.#client = client;
    this.#timeout = timeout;
    this.#schema = schema;
  }

  /**
   * Executes a statement once. One that misses its deadline is cancelled if the client
   * can, and may be carried out nevertheless.
   *
   * @param timeout How long to wait for the answer, in milliseconds, if not as usual.
   * @returns Its rows, each of which must be one column of JSON.
   * @throws {RepositoryError} If the statement fails or misses its deadline.
   */
  async execute<P extends Parameters>(
    statement: Statement<P>,
    values: StatementValues<P>,
    timeout: number = this.#timeout,
  ): Promise<unknown[]> {
    const parameters = statement.values(values);
    const missed = new AbortController();
    let rows: readonly unknown[];
    try {
      const answer = this.#client.unsafe(this.#textOf(statement), parameters, {
        prepare: true,
        signal: missed.signal,
      });
      rows = await deadline(Promise.resolve(answer), timeout);
    } catch (cause) {
      if (cause instanceof DOMException && cause.name === "TimeoutError") {
        missed.abort(cause);
        throw new RepositoryError(
          `Postgres did not answer in ${timeout} ms`,
          { cause },
        );
      }
      throw asRepositoryError(cause);
    }
    try {
      // When npm:postgres has lost a connection within an answer, the next answer begins
      // behind the rows that it had: the places before it are empty.
      return rows.filter(() => true).map(parseRow);
    } catch (cause) {
      throw new RepositoryError("The answer is not that of the statement", {
        cause,
      });
    }
  }

  /** Ends the retries that are under way. */
  close(): void {
    this.#closed.abort(closedError());
  }

  /**
   * Executes a statement that is safe to repeat, and repeats it while the connection
   * is lost. Unless it is persistent, it does not repeat what missed its deadline:
   * the caller waits.
   *
   * @throws {RepositoryError} If the last attempt fails.
   */
  async query<P extends Parameters>(
    statement: Statement<P>,
    values: StatementValues<P>,
    { persistence }: QueryOptions = {},
  ): Promise<unknown[]> {
    // Reads are still answered after close(), as long as the client is open.
    const { signal } = this.#closed;
    const isPersistent = persistence !== undefined && !signal.aborted;
    let isOver = false;
    const timer = isPersistent
      ? setTimeout(() => isOver = true, persistence)
      : undefined;
    try {
      return await retry(() => this.execute(statement, values), {
        signal: signal.aborted ? undefined : signal,
        maxAttempts: isPersistent ? Number.MAX_SAFE_INTEGER : ATTEMPTS,
        minTimeout: 50,
        maxTimeout: 1_000,
        jitter: 0.5,
        isRetriable: (error) =>
          error instanceof RepositoryError && error.transient && !isOver &&
          (isPersistent || !(error.cause instanceof DOMException)),
      });
    } catch (error) {
      throw error instanceof RetryError ? error.cause : error;
    } finally {
      clearTimeout(timer);
    }
  }

  #textOf<P extends Parameters>(statement: Statement<P>): string {
    if (this.#schema === undefined) return statement.text;
    let text = this.#texts.get(statement.text);
    if (text === undefined) {
      text = statement.textIn(this.#schema);
      this.#texts.set(statement.text, text);
    }
    return text;
  }
}

/** The error of everything that waits for a repository that is closed. */
export function closedError(): RepositoryError {
  return new RepositoryError("The repository was closed", { transient: false });
}

/** Takes the only column, since clients may rename columns. */
function parseRow(row: unknown): unknown {
  const [json] = Object.values(row as Record<string, unknown>);
  return JSON.parse(json as string);
}

function asRepositoryError(cause: unknown): RepositoryError {
  const { code, message } = (cause ?? {}) as Record<string, unknown>;
  return new RepositoryError(`Postgres failed: ${message || code || cause}`, {
    cause,
    transient: isTransient(code),
  });
}

/**
 * An error without a SQLSTATE is about the connection, which can come back. Every
 * SQLSTATE has a digit; EPIPE has none.
 */
function isTransient(code: unknown): boolean {
  return typeof code !== "string" || !/^(?=.*[0-9])[0-9A-Z]{5}$/.test(code) ||
    TRANSIENT.some((prefix) => code.startsWith(prefix));
}

/** Whether a statement failed because a table that it names does not exist. */
export function lacksTable(error: unknown): boolean {
  const { cause } = error as { cause?: { code?: unknown } };
  return cause?.code === "42P01"; // undefined_table
}

/** Whether a statement failed because it writes what is written already. */
export function isDuplicate(error: unknown): boolean {
  const { cause } = error as { cause?: { code?: unknown } };
  return cause?.code === "23505"; // unique_violation
}
