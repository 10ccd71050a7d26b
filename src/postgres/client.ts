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
   * Gives up connections that do not answer, where the client can. It is called
   * when a statement missed its deadline.
   */
  renew?(): void;
}
