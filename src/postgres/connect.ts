import { checkInteger } from "../arguments/checks.ts";
import postgres from "postgres";
import {
  PostgresPipelineRunRepository,
  type PostgresPipelineRunRepositoryOptions,
} from "./postgres_repository.ts";
import { RenewableClient } from "./client/renewable_client.ts";
import { STATEMENT_TIMEOUT } from "./client/statement.ts";

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
   * Whether to prepare statements. That saves a round trip and the planning of
   * each, but needs a pooler that knows of them.
   *
   * @default {where no pooler is in between, which one query finds out}
   */
  prepare?: boolean;
  /**
   * Whether to run `migrate()`.
   *
   * @default {true}
   */
  migrate?: boolean;
}

/** Parameters that providers put into URLs and that Postgres refuses. */
const FOREIGN_PARAMETERS = ["channel_binding", "pgbouncer"];

/**
 * Connects to Postgres and makes a repository that closes its connections when
 * it is closed.
 *
 * @param url Where Postgres is, such as `postgres://user@host:5432/database`.
 * Absent, it is the environment's `DATABASE_URL`, else `PGHOST` and its kin.
 * @param options Connections, time limits, whom to warn.
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
  const given = url ?? Deno.env.get("DATABASE_URL");
  const target = given && withoutForeignParameters(given).href;
  const settings = {
    max: 1,
    connect_timeout: 5,
    // By default it grows to 20 s, in which no statement gets an answer.
    backoff: () => 0.25,
    fetch_types: false,
    onnotice: () => {},
  };
  const client = new RenewableClient(
    (prepare) =>
      target === undefined
        ? postgres({ ...settings, prepare })
        : postgres(target, { ...settings, prepare }),
    { max, prepare: prepare ?? false },
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

/** A URL of Postgres without what only its provider understands. */
export function withoutForeignParameters(url: string): URL {
  const target = new URL(url);
  for (const name of FOREIGN_PARAMETERS) target.searchParams.delete(name);
  return target;
}
