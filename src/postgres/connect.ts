import postgres from "postgres";
import type { PostgresClient } from "./client.ts";
import {
  PostgresPipelineRunRepository,
  type PostgresPipelineRunRepositoryOptions,
} from "./postgres_repository.ts";

/** Options of {@linkcode connect}. */
export interface ConnectOptions
  extends Omit<PostgresPipelineRunRepositoryOptions, "onClose"> {
  /**
   * How many connections to hold at most: one writes, the others read.
   *
   * @default {4}
   */
  max?: number;
  /**
   * Whether to prepare statements, which saves a round trip for each but needs
   * a pooler that knows of them.
   *
   * @default {false}
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

/** A pool that is replaced when it does not answer: its connections may be dead. */
class RenewableClient implements PostgresClient {
  readonly #open: () => postgres.Sql;
  #sql: postgres.Sql;
  #listener: postgres.Sql | undefined;

  constructor(open: () => postgres.Sql) {
    this.#open = open;
    this.#sql = open();
  }

  unsafe(
    query: string,
    parameters?: (string | number | null)[],
    options?: { prepare?: boolean },
  ): PromiseLike<readonly unknown[]> {
    return this.#sql.unsafe(query, parameters, options);
  }

  // On a pool that stays: it connects again by itself.
  listen(
    channel: string,
    onNotify: (payload: string) => void,
    onListen?: () => void,
  ): PromiseLike<{ unlisten(): PromiseLike<void> }> {
    this.#listener ??= this.#open();
    return this.#listener.listen(channel, onNotify, onListen);
  }

  renew(): void {
    const silent = this.#sql;
    this.#sql = this.#open();
    silent.end({ timeout: 0 }).catch(() => {});
  }

  async end(): Promise<void> {
    await Promise.all([
      this.#sql.end({ timeout: 1 }),
      this.#listener?.end({ timeout: 1 }),
    ]);
  }
}

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
 * @throws {RangeError} If a number is not positive.
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
  const { max = 4, prepare = false, migrate = true, ...rest } = options;
  const given = url ?? Deno.env.get("DATABASE_URL");
  const target = given && withoutForeignParameters(given).href;
  const settings = {
    max,
    prepare,
    connect_timeout: 5,
    // By default it grows to 20 s, in which no statement gets an answer.
    backoff: () => 0.25,
    fetch_types: false,
    onnotice: () => {},
  };
  const client = new RenewableClient(() =>
    target === undefined ? postgres(settings) : postgres(target, settings)
  );
  const repository = new PostgresPipelineRunRepository(client, {
    ...rest,
    onClose: () => client.end(),
  });
  try {
    if (migrate) await repository.migrate();
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
