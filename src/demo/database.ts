import type postgres from "postgres";

/** An open database, to be disposed of. */
export interface Database extends AsyncDisposable {
  /** The client, for all that the demo has to say to the database. */
  readonly sql: postgres.Sql;
  /** Where it is, for people. */
  readonly name: string;
  /** Whether nobody else can be using it. */
  readonly exclusive: boolean;
}
