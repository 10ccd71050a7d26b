import type postgres from "postgres";
import { statement } from "../sql/statement.ts";
import type { PostgresClient } from "./client.ts";
import { Database } from "./database.ts";

const BACKEND_PID = statement("backend pid", {}, () => `
  select to_json(pg_backend_pid())::text`);

/** One connection, made when it is first needed. */
interface Connection {
  readonly sql: postgres.Sql;
  /** How many statements wait for its answer. */
  statements: number;
}

/** Options of {@linkcode ConnectionPool}. */
export interface ConnectionPoolOptions {
  /** How many connections to hold at most. */
  max: number;
  /** Whether to prepare statements. */
  prepare: boolean;
}

/**
 * Connections that are all replaced when one does not answer, since they may be dead.
 *
 * A statement goes to the first connection that is free, not to each in turn as in a
 * pool of `npm:postgres`. So no more are opened than are needed at once, and runs one
 * after the other take a seventh less time: the server's caches for the connection
 * are warm.
 */
export class ConnectionPool implements PostgresClient {
  readonly #open: (prepare: boolean) => postgres.Sql;
  readonly #max: number;
  #connections: Connection[];
  #prepare: boolean;
  #listener: postgres.Sql | undefined;

  /**
   * @param open Makes a client with one connection, which may or may not prepare
   * statements.
   * @param options How many connections, and whether to prepare.
   */
  constructor(
    open: (prepare: boolean) => postgres.Sql,
    { max, prepare }: ConnectionPoolOptions,
  ) {
    this.#open = open;
    this.#max = max;
    this.#connections = this.#openAll();
    this.#prepare = prepare;
  }

  /**
   * Prepares statements from now on, unless there is a pooler, which may send each
   * statement to another server process. A pooler gives clients a process id of its
   * own, since it must receive their requests to cancel.
   *
   * @param timeout How long to wait for the answer, in milliseconds.
   * @throws {RepositoryError} If Postgres cannot be reached.
   */
  async prepareIfDirect(timeout: number): Promise<void> {
    let given: number | undefined;
    const client: PostgresClient = {
      unsafe: async (query) => {
        const answer = await this.unsafe(query);
        given = answer.state.pid;
        return answer;
      },
    };
    const [pid] = await new Database(client, timeout).execute(BACKEND_PID, {});
    this.#prepare = pid === given;
  }

  async unsafe(
    query: string,
    parameters: (string | number | null)[] = [],
    { prepare = false }: { prepare?: boolean } = {},
  ): Promise<postgres.RowList<postgres.Row[]>> {
    const connection = this.#connections.reduce((quietest, each) =>
      each.statements < quietest.statements ? each : quietest
    );
    connection.statements++;
    try {
      return await connection.sql.unsafe(query, parameters, {
        prepare: prepare && this.#prepare,
      });
    } finally {
      connection.statements--;
    }
  }

  // On a connection that is never replaced: it reconnects by itself.
  listen(
    channel: string,
    onNotify: (payload: string) => void,
    onListen?: () => void,
  ): PromiseLike<{ unlisten(): PromiseLike<void> }> {
    this.#listener ??= this.#open(false);
    return this.#listener.listen(channel, onNotify, onListen);
  }

  renew(): void {
    const silent = this.#connections;
    this.#connections = this.#openAll();
    for (const { sql } of silent) sql.end({ timeout: 0 }).catch(() => {});
  }

  async end(): Promise<void> {
    await Promise.all([
      ...this.#connections.map(({ sql }) => sql.end({ timeout: 1 })),
      this.#listener?.end({ timeout: 1 }),
    ]);
  }

  #openAll(): Connection[] {
    return Array.from(
      { length: this.#max },
      () => ({ sql: this.#open(true), statements: 0 }),
    );
  }
}
