/**
 * What the repository needs of a Postgres client. `npm:postgres` meets it.
 *
 * Only single statements are sent, with strings, numbers and nulls as
 * parameters, so that no session state is needed and a transaction pooler may
 * be in between.
 */
export interface PostgresClient {
  /**
   * Sends one statement.
   *
   * @param query The statement, with `$1`, `$2` … for its parameters.
   * @param parameters The parameters.
   * @param options Whether the statement is worth preparing, where the client
   * prepares statements at all.
   * @returns The rows.
   */
  unsafe(
    query: string,
    parameters?: (string | number | null)[],
    options?: { prepare?: boolean },
  ): PromiseLike<readonly unknown[]>;

  /**
   * Listens for notifications on a connection of its own, and again when that
   * was lost. Without it, or behind a transaction pooler, news arrives by
   * polling.
   *
   * @param channel The channel.
   * @param onNotify Called with each notification's payload.
   * @param onListen Called each time that it listens anew.
   * @returns A way to stop.
   */
  listen?(
    channel: string,
    onNotify: (payload: string) => void,
    onListen?: () => void,
  ): PromiseLike<{ unlisten(): PromiseLike<void> }>;

  /**
   * Gives up connections that do not answer, where the client can. It is called
   * when a statement missed its deadline.
   */
  renew?(): void;
}
