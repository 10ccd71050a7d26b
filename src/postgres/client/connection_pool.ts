import type postgres from "postgres";
import { statement } from "../sql/statement.ts";
import type { PostgresClient, StatementOptions } from "./client.ts";
import { Connection, type OpenSocket } from "./connection.ts";
import { Database } from "./database.ts";

/** How long statements may take that are under way at the end, in milliseconds. */
const CLOSE_TIMEOUT = 1_000;

const BACKEND_PID = statement("backend pid", {}, () => `
  select to_json(pg_backend_pid())::text`);

/** Options of {@linkcode ConnectionPool}. */
export interface ConnectionPoolOptions {
  /** How many connections to hold at most. */
  max: number;
  /** Whether to prepare statements. */
  prepare: boolean;
  /** How long a request to cancel a statement may take, in milliseconds. */
  cancelTimeout: number;
}

/**
 * Connections of `npm:postgres`. Those that do not answer are replaced.
 *
 * A statement goes to the first connection that is free, not to each in turn as in a
 * pool of `npm:postgres`. So no more are opened than are needed at once, and runs one
 * after the other take a seventh less time: the server's caches for the connection
 * are warm.
 */
export class ConnectionPool implements PostgresClient {
  readonly #open: (prepare: boolean, socket: OpenSocket) => postgres.Sql;
  readonly #cancelTimeout: number;
  readonly #connections: Connection[];
  readonly #listeners = new Set<Connection>();
  #prepare: boolean;

  /**
   * @param open Makes a client with one connection, which may or may not prepare
   * statements.
   * @param options How many connections, whether to prepare, and how long to cancel.
   */
  constructor(
    open: (prepare: boolean, socket: OpenSocket) => postgres.Sql,
    { max, prepare, cancelTimeout }: ConnectionPoolOptions,
  ) {
    this.#open = open;
    this.#cancelTimeout = cancelTimeout;
    this.#connections = Array.from({ length: max }, () => this.#connect());
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

  unsafe(
    query: string,
    parameters: (string | number | null)[] = [],
    { prepare = false, signal }: StatementOptions = {},
  ): Promise<postgres.RowList<postgres.Row[]>> {
    const connection = this.#connections.reduce((quietest, each) =>
      each.pending < quietest.pending ? each : quietest
    );
    const isPrepared = prepare && this.#prepare;
    return connection.execute(query, parameters, isPrepared, signal);
  }

  async listen(
    channel: string,
    onNotify: (payload: string) => void,
    onListen?: () => void,
  ): Promise<{ unlisten(): Promise<void> }> {
    const listener = new Connection({
      open: (socket) => this.#open(false, socket),
      cancelTimeout: this.#cancelTimeout,
      onSilence: () => {},
    });
    this.#listeners.add(listener);
    const unlisten = async () => {
      this.#listeners.delete(listener);
      await listener.close(CLOSE_TIMEOUT);
    };
    try {
      await listener.sql.listen(channel, onNotify, onListen);
    } catch (error) {
      await unlisten();
      throw error;
    }
    return { unlisten };
  }

  /** Closes the connections. */
  async end(): Promise<void> {
    const open = [...this.#connections, ...this.#listeners];
    await Promise.all(open.map((each) => each.close(CLOSE_TIMEOUT)));
  }

  #connect(): Connection {
    const connection = new Connection({
      open: (socket) => this.#open(true, socket),
      cancelTimeout: this.#cancelTimeout,
      onSilence: (sentAt) => this.#replace(connection, sentAt),
    });
    return connection;
  }

  /**
   * Replaces a connection that does not answer, and the idle ones that may be as dead:
   * those that have answered nothing since then.
   */
  #replace(silent: Connection, sentAt: number): void {
    for (const [index, connection] of this.#connections.entries()) {
      const isIdle = connection.pending === 0;
      if (
        connection === silent || isIdle && connection.answeredAt < sentAt
      ) {
        this.#connections[index] = this.#connect();
        connection.close(0);
      }
    }
  }
}
