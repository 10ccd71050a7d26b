import { deadline } from "@std/async/deadline";
import { RepositoryError } from "../../model/errors.ts";
import type { PostgresClient } from "./client.ts";

/** For how long an answer is waited for by default, in milliseconds. */
export const STATEMENT_TIMEOUT = 5_000;

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

/**
 * Sends one statement and gives its rows, each of which must be one column of
 * JSON.
 *
 * @param timeout For how long to wait for the answer, in milliseconds. A
 * statement that missed it may still be carried out.
 * @throws {RepositoryError} If the statement fails or misses its deadline.
 */
export async function execute(
  client: PostgresClient,
  query: string,
  parameters: (string | number | null)[],
  timeout: number,
): Promise<unknown[]> {
  let rows: readonly unknown[];
  try {
    const answer = Promise.resolve(
      client.unsafe(query, parameters, { prepare: true }),
    );
    rows = await deadline(answer, timeout);
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === "TimeoutError") {
      client.renew?.();
      throw new RepositoryError(`Postgres did not answer in ${timeout} ms`, {
        cause,
      });
    }
    throw asRepositoryError(cause);
  }
  return rows.map(parseRow);
}

/** A column's name is the client's to change, so it is not relied on. */
function parseRow(row: unknown): unknown {
  const [json] = Object.values(row as Record<string, unknown>);
  return JSON.parse(json as string);
}

function asRepositoryError(cause: unknown): RepositoryError {
  const { code, message } = cause as { code?: unknown; message?: unknown };
  return new RepositoryError(`Postgres failed: ${message || code || cause}`, {
    cause,
    transient: isTransient(code),
  });
}

/**
 * An error without a SQLSTATE is one of the connection's, which can come back.
 * Every SQLSTATE has a digit; EPIPE has none.
 */
function isTransient(code: unknown): boolean {
  return typeof code !== "string" || !/^(?=.*[0-9])[0-9A-Z]{5}$/.test(code) ||
    TRANSIENT.some((prefix) => code.startsWith(prefix));
}

/** Whether a statement failed since what it writes is there already. */
export function isDuplicate(error: unknown): boolean {
  const { code } = (error as { cause?: { code?: unknown } }).cause ?? {};
  return code === "23505"; // unique_violation
}
