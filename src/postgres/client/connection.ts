import { deadline } from "@std/async/deadline";
import { Socket } from "node:net";
import type postgres from "postgres";
import { onAbort } from "../../async/on_abort.ts";

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

/** Options of {@linkcode Connection}. */
export interface ConnectionOptions {
  /** Makes the client. */
  readonly open: OpenClient;
  /** How long a request to cancel a statement may take, in milliseconds. */
  readonly cancelTimeout: number;
  /**
   * Called when an overdue statement was neither sent nor answered, not even to be
   * cancelled, with the time when it was given.
   */
  readonly onSilence: (sentAt: number) => void;
}

/** Makes a client of `npm:postgres` with one connection. */
export type OpenClient = (socket: OpenSocket) => postgres.Sql;

/**
 * One connection of `npm:postgres`, which connects again when it is lost.
 *
 * A statement that nobody waits for any more is cancelled: otherwise it goes on
 * waiting at the server, and a connection opened instead of its own adds to those
 * that the server has. Statements before it are cancelled first, since a request to
 * cancel reaches whatever the connection executes: often also the statement that
 * follows, which then fails with 57014 and has to be repeated.
 */
export class Connection {
  /** The client. */
  readonly sql: postgres.Sql;
  /** When the last statement was answered, by a monotonic clock. */
  answeredAt: number = -Infinity;
  readonly #options: ConnectionOptions;
  /** The statements in the order in which they are executed. */
  readonly #pending: PendingStatement[] = [];
  readonly #sockets = new Set<Socket>();
  /** The place of the host that the last socket went to. */
  #host = -1;
  #isCancelling = false;
  #closed = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.sql = options.open(this.#openSocket);
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
    const stopListening = onAbort(signal, () => {
      statement.isOverdue = true;
      this.#cancelOverdue();
    });
    try {
      return await query;
    } finally {
      stopListening();
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
    const open = [...this.#sockets].filter(({ destroyed }) => !destroyed);
    const closed = open.map((socket) =>
      new Promise((resolve) => socket.once("close", resolve).destroy())
    );
    // The client rejects what is pending when it gets no socket to send it.
    const settled = this.#pending.map((statement) => statement.settled);
    await deadline(Promise.all([...closed, ...settled]), CANCELLED_TIMEOUT)
      .catch(() => {});
  }

  /** Cancels the statement that is executed, if nobody waits for it. */
  async #cancelOverdue(): Promise<void> {
    const [head] = this.#pending;
    if (head === undefined || !head.isOverdue || head.isCancelled) return;
    head.isCancelled = true;
    const { query, sentAt, settled } = head;
    const { cancelTimeout, onSilence } = this.#options;
    let isSent: boolean | undefined;
    do {
      // A query that is not sent yet must not be cancelled: the client would keep the
      // connection for it. It can be sent meanwhile, when the client connects again.
      isSent = query.active;
      try {
        const asked = isSent ? this.#cancel(query) : undefined;
        await deadline(Promise.resolve(asked), cancelTimeout);
      } catch {
        // The server cannot be reached, so it does not answer either.
      }
      const isSettled = await deadline(settled, CANCELLED_TIMEOUT)
        .then(() => true, () => false);
      if (isSettled || this.#closed) return;
    } while (!isSent && query.active);
    onSilence(sentAt);
  }

  /** Asks the server to cancel; the driver makes the socket within this call. */
  #cancel(query: Query): Promise<void> | undefined {
    this.#isCancelling = true;
    try {
      return query.canceller?.(query);
    } finally {
      this.#isCancelling = false;
    }
  }

  /**
   * The client would connect again after its end, when it was waiting to do so: then
   * it gets no socket.
   */
  readonly #openSocket: OpenSocket = ({ host, port, path }) => {
    if (this.#closed) throw new Error("The connection was closed");
    // The driver removes listeners for "close" when it upgrades to TLS.
    for (const former of this.#sockets) {
      if (former.destroyed) this.#sockets.delete(former);
    }
    const socket = new Socket();
    this.#sockets.add(socket);
    if (path) return socket.connect(path);
    // A request to cancel goes to the host that executes the statement.
    if (!this.#isCancelling) this.#host = (this.#host + 1) % host.length;
    // The client verifies the certificate of this host.
    const address = { host: host[this.#host], port: port[this.#host] };
    return Object.assign(socket.connect(address), address);
  };
}
