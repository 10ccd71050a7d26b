import { deadline } from "@std/async/deadline";
import { Socket } from "node:net";
import type postgres from "postgres";

/** How long a request to cancel a statement may take, in milliseconds. */
const CANCEL_TIMEOUT = 5_000;

/** How soon a cancelled statement must be answered, in milliseconds. */
const CANCELLED_TIMEOUT = 1_000;

/** A statement as `npm:postgres` sends it, with what its types leave out. */
type Query =
  & postgres.PendingQuery<postgres.Row[]>
  & {
    /** Whether it is at the head of the connection, so that the server executes it. */
    readonly active?: boolean;
    /** What `cancel()` calls, dropping its promise: a rejection would end the process. */
    readonly canceller?: ((query: Query) => Promise<void>) | null;
  };

/** A statement that waits for its answer. */
interface PendingStatement {
  readonly query: Query;
  /** When it was sent, by a monotonic clock. */
  readonly sentAt: number;
  /** Settles with it, but never rejects. */
  readonly settled: Promise<unknown>;
  /** Whether nobody waits for it any more. */
  isOverdue: boolean;
  /** Whether it is being cancelled. */
  isCancelled: boolean;
}

/** Where `npm:postgres` connects to, as it parses it. */
export interface Target {
  readonly host: string[];
  readonly port: number[];
  /** The path of a Unix socket, if it is one. */
  readonly path: string | false;
}

/** Makes the socket of a connection; `npm:postgres` takes it as its option `socket`. */
export type OpenSocket = (target: Target) => Socket;

/** Makes a client of `npm:postgres` with one connection. */
export type OpenClient = (socket: OpenSocket) => postgres.Sql;

/**
 * One connection of `npm:postgres`, which connects again when it is lost.
 *
 * A statement that nobody waits for any more is cancelled: otherwise it goes on
 * waiting at the server, and a connection opened instead of its own adds to those
 * that the server has. Statements before it are cancelled first, since a request to
 * cancel reaches whatever the connection executes.
 */
export class Connection {
  /** The client. */
  readonly sql: postgres.Sql;
  /** When the last statement was answered, by a monotonic clock. */
  answeredAt: number = -Infinity;
  readonly #onSilence: (sentAt: number) => void;
  /** The statements in the order in which they are executed. */
  readonly #pending: PendingStatement[] = [];
  readonly #sockets = new Set<Socket>();
  #attempts = 0;
  #closed = false;

  /**
   * @param open Makes the client.
   * @param onSilence Called when a statement is not answered even though it was
   * cancelled, with the time when it was sent.
   */
  constructor(open: OpenClient, onSilence: (sentAt: number) => void) {
    this.#onSilence = onSilence;
    this.sql = open(this.#openSocket);
  }

  /** How many statements wait for their answers. */
  get pending(): number {
    return this.#pending.length;
  }

  /**
   * Sends a statement.
   *
   * @param signal Cancels it.
   */
  async execute(
    text: string,
    parameters: (string | number | null)[],
    prepare: boolean,
    signal: AbortSignal | undefined,
  ): Promise<postgres.RowList<postgres.Row[]>> {
    const query = this.sql.unsafe(text, parameters, { prepare }) as Query;
    const statement: PendingStatement = {
      query,
      sentAt: performance.now(),
      settled: Promise.allSettled([query]),
      isOverdue: false,
      isCancelled: false,
    };
    this.#pending.push(statement);
    const onAbort = () => {
      statement.isOverdue = true;
      this.#cancelOverdue();
    };
    signal?.addEventListener("abort", onAbort);
    try {
      return await query;
    } finally {
      this.answeredAt = performance.now();
      this.#pending.splice(this.#pending.indexOf(statement), 1);
      this.#cancelOverdue();
    }
  }

  /** Closes the connection, after `timeout` milliseconds even if it is being used. */
  async close(timeout: number): Promise<void> {
    this.#closed = true;
    await this.sql.end({ timeout: timeout / 1_000 });
    // What a server does not close, and what is still connecting.
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Cancels the statement that is executed, if nobody waits for it. */
  async #cancelOverdue(): Promise<void> {
    const [head] = this.#pending;
    if (head === undefined || !head.isOverdue || head.isCancelled) return;
    head.isCancelled = true;
    const { query, sentAt, settled } = head;
    try {
      // A query that is not sent yet must not be cancelled: the client would keep the
      // connection for it.
      const asked = query.active ? query.canceller?.(query) : undefined;
      await deadline(Promise.resolve(asked), CANCEL_TIMEOUT);
    } catch {
      // The server cannot be reached, so it does not answer either.
    }
    try {
      await deadline(settled, CANCELLED_TIMEOUT);
    } catch {
      if (!this.#closed) this.#onSilence(sentAt);
    }
  }

  /**
   * The client would connect again after its end, when it was waiting to do so: then
   * it gets no socket.
   */
  readonly #openSocket: OpenSocket = ({ host, port, path }) => {
    if (this.#closed) throw new Error("The connection was closed");
    const index = this.#attempts++ % host.length;
    const socket = new Socket();
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    if (path) return socket.connect(path);
    // The client verifies the certificate of this host.
    const address = { host: host[index], port: port[index] };
    return Object.assign(socket.connect(address), address);
  };
}
