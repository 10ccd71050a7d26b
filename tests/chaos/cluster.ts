import postgres from "postgres";
import {
  type PostgresServer,
  startPostgresServer,
  startStandbyServer,
} from "../../bench/postgres_server.ts";

/** How long a standby may take to stream, in milliseconds. */
const STANDBY_TIMEOUT = 20_000;

/**
 * A primary and a standby that every commit waits for, so that a failover loses
 * nothing that was acknowledged.
 */
export class Cluster implements AsyncDisposable {
  #primary: PostgresServer;
  #standby: PostgresServer;
  /** The server that clients are led to. */
  #current: PostgresServer;

  private constructor(primary: PostgresServer, standby: PostgresServer) {
    this.#primary = this.#current = primary;
    this.#standby = standby;
  }

  /** Starts both. */
  static async start(): Promise<Cluster> {
    await using stack = new AsyncDisposableStack();
    const primary = stack.use(await startPostgresServer());
    const standby = stack.use(await startStandbyServer(primary));
    const cluster = new Cluster(primary, standby);
    await cluster.#synchronize();
    stack.move();
    return cluster;
  }

  /** The port of the server that clients should reach now. */
  get port(): number {
    return this.#current.port;
  }

  get primary(): PostgresServer {
    return this.#primary;
  }

  /** Executes statements on a connection of their own, which they may break. */
  async query(text: string): Promise<postgres.Row[]> {
    const sql = postgres(this.#primary.url, {
      max: 1,
      connect_timeout: 5,
      fetch_types: false,
      onnotice: () => {},
      connection: { application_name: "chaos" },
    });
    try {
      return await sql.unsafe(text);
    } finally {
      await sql.end({ timeout: 0 });
    }
  }

  /** Waits until the standby confirms every commit. */
  async isSynchronous(): Promise<void> {
    const deadline = performance.now() + STANDBY_TIMEOUT;
    while (true) {
      const rows = await this.query(
        "select sync_state from pg_stat_replication where state = 'streaming'",
      ).catch(() => []);
      if (rows[0]?.sync_state === "sync") return;
      if (performance.now() > deadline) {
        throw new Error("The standby does not stream");
      }
      await new Promise((go) => setTimeout(go, 50));
    }
  }

  /** Crashes the primary and leads clients to the standby, which only reads. */
  async losePrimary(): Promise<void> {
    await this.isSynchronous();
    await this.#primary.kill("SIGKILL");
    this.#current = this.#standby;
  }

  /** Lets the standby write; there is none after that. */
  async promote(): Promise<void> {
    const former = this.#primary;
    this.#primary = this.#standby;
    await this.query("select pg_promote()");
    await former.stop();
  }

  /** Starts another standby, after a promotion. */
  async replaceStandby(): Promise<void> {
    this.#standby = await startStandbyServer(this.#primary);
    await this.#synchronize();
  }

  async #synchronize(): Promise<void> {
    // Not in one string: that would be a transaction, which may not alter the system.
    await this.query("alter system set synchronous_standby_names = 'standby'");
    await this.query("select pg_reload_conf()");
    await this.isSynchronous();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#standby.stop(), this.#primary.stop()]);
  }
}
