import type postgres from "postgres";
import type { PostgresClient } from "./client.ts";
import { execute } from "./statement.ts";

const BACKEND_PID = "select to_json(pg_backend_pid())::text";

/** A pool that is replaced when it does not answer: its connections may be dead. */
export class RenewableClient implements PostgresClient {
  readonly #open: (prepare: boolean) => postgres.Sql;
  #sql: postgres.Sql;
  #prepare: boolean;
  #listener: postgres.Sql | undefined;

  /**
   * @param open Makes a pool, which prepares what it is told to or nothing.
   * @param prepare Whether to prepare statements.
   */
  constructor(open: (prepare: boolean) => postgres.Sql, prepare: boolean) {
    this.#open = open;
    this.#sql = open(true);
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
        const answer = await this.#sql.unsafe(query, [], { prepare: false });
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
  ): PromiseLike<readonly unknown[]> {
    return this.#sql.unsafe(query, parameters, {
      prepare: prepare && this.#prepare,
    });
  }

  // On a pool that stays: it connects again by itself.
  listen(
    channel: string,
    onNotify: (payload: string) => void,
    onListen?: () => void,
  ): PromiseLike<{ unlisten(): PromiseLike<void> }> {
    this.#listener ??= this.#open(false);
    return this.#listener.listen(channel, onNotify, onListen);
  }

  renew(): void {
    const silent = this.#sql;
    this.#sql = this.#open(true);
    silent.end({ timeout: 0 }).catch(() => {});
  }

  async end(): Promise<void> {
    await Promise.all([
      this.#sql.end({ timeout: 1 }),
      this.#listener?.end({ timeout: 1 }),
    ]);
  }
}
