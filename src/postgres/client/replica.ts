import type { RegistryWarning } from "../../model/warning.ts";
import type {
  Parameters,
  Statement,
  StatementValues,
} from "../sql/statement.ts";
import type { Database } from "./database.ts";

/** For how long a replica that failed is not asked, in milliseconds. */
const PAUSE = 10_000;

/** A read replica. It may be behind the database, and it may be away. */
export class Replica {
  readonly #database: Database;
  readonly #warn: (warning: RegistryWarning) => void;
  #pausedUntil = -Infinity;
  #inTrouble = false;

  constructor(database: Database, warn: (warning: RegistryWarning) => void) {
    this.#database = database;
    this.#warn = warn;
  }

  /** Executes a statement that only reads; `undefined` if the replica is away. */
  async query<P extends Parameters>(
    statement: Statement<P>,
    values: StatementValues<P>,
  ): Promise<unknown[] | undefined> {
    if (performance.now() < this.#pausedUntil) return undefined;
    try {
      const answer = await this.#database.execute(statement, values);
      this.#inTrouble = false;
      return answer;
    } catch (cause) {
      this.#pausedUntil = performance.now() + PAUSE;
      const message = "The reader failed: the client is asked instead";
      if (!this.#inTrouble) this.#warn({ kind: "reader", message, cause });
      this.#inTrouble = true;
      return undefined;
    }
  }
}
