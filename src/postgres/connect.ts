import process from "node:process";
import postgres from "postgres";
import { checkInteger } from "../arguments/checks.ts";
import { ConnectionPool } from "./client/connection_pool.ts";
import { STATEMENT_TIMEOUT } from "./client/database.ts";
import type { PostgresPipelineRunRepositoryOptions } from "./options.ts";
import { PostgresPipelineRunRepository } from "./postgres_repository.ts";

/** Options of {@linkcode connect}. */
export interface ConnectOptions
  extends Omit<PostgresPipelineRunRepositoryOptions, "onClose"> {
  /**
   * How many connections to hold at most, not counting the one that listens.
   *
   * @default {4}
   */
  max?: number;
  /**
   * Whether to prepare statements. That saves a round trip and the planning of each
   * statement; a pooler must support it.
   *
   * @default {true unless there is a pooler, which one query finds out}
   */
  prepare?: boolean;
  /**
   * Whether to run `migrate()`.
   *
   * @default {true}
   */
  migrate?: boolean;
}

/** URL parameters that providers add and that Postgres refuses. */
const FOREIGN_PARAMETERS = ["channel_binding", "pgbouncer"];

/**
 * Connects to Postgres and makes a repository, which closes the connections when it
 * is closed.
 *
 * @param url The server and database, such as `postgres://user@host:5432/database`.
 * By default it is `DATABASE_URL` of the environment, else the `PG*` variables.
 * @param options Connections, time limits, and the handler of warnings.
 * @returns The repository, with its tables in place.
 * @throws {RepositoryError} If Postgres cannot be reached, or a table lacks a
 * column.
 * @throws {RangeError} If a number is not positive, or `max` is no integer.
 *
 * @example Usage
 * ```ts ignore
 * import { PipelineRunRegistry } from "@pipeline/run-registry";
 * import { connect } from "@pipeline/run-registry/postgres";
 *
 * await using repository = await connect();
 * await using registry = new PipelineRunRegistry({ repository });
 * ```
 */
export async function connect(
  url?: string,
  options: ConnectOptions = {},
): Promise<PostgresPipelineRunRepository> {
  const { max = 4, prepare, migrate = true, ...rest } = options;
  const { statementTimeout = STATEMENT_TIMEOUT } = options;
  checkInteger("Cannot connect: max", max, 1);
  const given = url ?? process.env.DATABASE_URL;
  const target = given && withoutForeignParameters(given).href;
  const settings = {
    max: 1,
    connect_timeout: statementTimeout / 1_000,
    idle_timeout: 20,
    // By default it grows to 20 s, during which no statement is answered.
    backoff: () => 0.25,
    fetch_types: false,
    onnotice: () => {},
  };
  const client = new ConnectionPool(
    (prepare, socket) => {
      const options = { ...settings, prepare, socket };
      return target === undefined
        ? postgres(options)
        : postgres(target, options);
    },
    { max, prepare: prepare ?? false, cancelTimeout: statementTimeout },
  );
  const repository = new PostgresPipelineRunRepository(client, {
    ...rest,
    onClose: () => client.end(),
  });
  try {
    if (migrate) await repository.migrate();
    if (prepare === undefined) await client.prepareIfDirect(statementTimeout);
    return repository;
  } catch (error) {
    await repository.close();
    throw error;
  }
}

/** A URL without the parameters that Postgres refuses. */
function withoutForeignParameters(url: string): URL {
  const target = new URL(url);
  for (const name of FOREIGN_PARAMETERS) target.searchParams.delete(name);
  return target;
}
