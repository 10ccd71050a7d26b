import type postgres from "postgres";
import type { PostgresClient } from "./client.ts";
import { execute } from "./statement.ts";

const BACKEND_PID = "select to_json(pg_backend_pid())::text";

/** One connection, which is made when it is first needed. */
interface Connection {
  readonly sql: postgres.Sql;
  /** How many statements it has to answer. */
  statements: number;
}

/** Options of {@linkcode RenewableClient}. */
export interface RenewableClientOptions {
  /** How many connections to hold at most. */
  max: number;
  /** Whether to prepare statements. */
  prepare: boolean;
}

/**
 * Connections that are replaced when one does not answer: they may be dead.
 *
 * A statement goes to the first connection that is free, not to each in turn as
 * in a pool of `npm:postgres`. So no more are opened than are needed at once, and
 * runs one after the other take a seventh less: on a connection that was used just
 * now everything is at hand.
 */
export class RenewableClient implements PostgresClient {
  readonly #open: (prepare: boolean) => postgres.Sql;
  readonly #max: number;
  #connections: Connection[];
  #prepare: boolean;
  #listener: postgres.Sql | undefined;

  /**
   * @param open Makes a client with one connection, which prepares what it is told
   * to or nothing.
   * @param options How many connections, and whether to prepare.
   */
  constructor(
    open: (prepare: boolean) => postgres.Sql,
    { max, prepare }: RenewableClientOptions,
  ) {
    this.#open = open;
    this.#max = max;
    this.#connections = this.#openAll();
    this.#prepare = prepare;
  }

  /**
   * Prepares statements from now on, unless a pooler is in between, which may
   * bring each to another server. A pooler tells its clients a process id that
   * is not the server's, since it is the pooler whom they ask to cancel.
   *
   * @param timeout For how long to wait for the answer, in milliseconds.
   * @throws {RepositoryError} If Postgres cannot be reached.
   */
  async prepareIfDirect(timeout: number): Promise<void> {
    let told: number | undefined;
    const client: PostgresClient = {
      unsafe: async (query) => {
        const answer = await this.#send(query, [], false);
        told = answer.state.pid;
        return answer;
      },
    };
    const [pid] = await execute(client, BACKEND_PID, [], timeout);
    this.#prepare = pid === told;
  }

  unsafe(
    query: string,
    parameters?: (string | number | null)[],
    { prepare = false }: { prepare?: boolean } = {},
  ): Promise<readonly unknown[]> {
    return this.#send(query, parameters, prepare && this.#prepare);
  }

  // On a connection that stays: it connects again by itself.
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

  async #send(
    query: string,
    parameters: (string | number | null)[] | undefined,
    prepare: boolean,
  ): Promise<postgres.RowList<postgres.Row[]>> {
    const connection = this.#connections.reduce((quietest, each) =>
      each.statements < quietest.statements ? each : quietest
    );
    connection.statements++;
    try {
      return await connection.sql.unsafe(query, parameters, { prepare });
    } finally {
      connection.statements--;
    }
  }

  #openAll(): Connection[] {
    return Array.from(
      { length: this.#max },
      () => ({ sql: this.#open(true), statements: 0 }),
    );
  }
}
