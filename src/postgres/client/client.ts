/** What a client may do with a statement. */
export interface StatementOptions {
  /** Whether it is worth preparing, if the client prepares statements at all. */
  prepare?: boolean;
  /**
   * Fires when the statement has missed its deadline and nobody waits for it any more.
   * A client that does not cancel it leaves it waiting at the server.
   */
  signal?: AbortSignal;
}

/**
 * What the repository needs of a Postgres client. `npm:postgres` meets it.
 *
 * The repository sends single statements only, with strings and nulls as parameters.
 * So it needs no session state, and a transaction pooler may be in between.
 */
export interface PostgresClient {
  /**
   * Sends one statement.
   *
   * @param query The statement, with `$1`, `$2` … for its parameters.
   * @param parameters The parameters.
   * @param options What the client may do with the statement.
   * @returns The rows.
   */
  unsafe(
    query: string,
    parameters?: (string | number | null)[],
    options?: StatementOptions,
  ): PromiseLike<readonly unknown[]>;

  /**
   * Listens for notifications on a connection of its own, which it reconnects when
   * lost. Without it, or behind a transaction pooler, news arrives by polling.
   *
   * @param channel The channel.
   * @param onNotify Called with each notification's payload.
   * @param onListen Called each time that listening has begun.
   * @returns How to stop.
   */
  listen?(
    channel: string,
    onNotify: (payload: string) => void,
    onListen?: () => void,
  ): PromiseLike<{ unlisten(): PromiseLike<void> }>;
}
