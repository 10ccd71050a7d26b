import type {
  PostgresClient,
  StatementOptions,
} from "../../src/postgres/client/client.ts";
import { statementName } from "./statement_name.ts";

/** The values of a statement's parameters. */
export type SentParameters = readonly (string | number | null)[];

/** A statement that a {@linkcode StubClient} was sent. */
export interface SentStatement {
  readonly name: string;
  readonly parameters: SentParameters;
  /** Answers with rows of one JSON column. */
  answer(...rows: unknown[]): void;
  fail(error: unknown): void;
}

/** A client whose statements a test answers. */
export class StubClient implements PostgresClient {
  /** All statements, in order. */
  readonly sent: SentStatement[] = [];
  /**
   * The rows that statements are answered with at once, by the statement's name.
   * Other statements stay pending until the test answers them.
   */
  readonly rows: Record<
    string,
    ((parameters: SentParameters) => unknown[]) | undefined
  > = {};
  /** How many statements missed their deadline. */
  missed = 0;

  unsafe(
    query: string,
    parameters: SentParameters = [],
    { signal }: StatementOptions = {},
  ): Promise<readonly unknown[]> {
    signal?.addEventListener("abort", () => this.missed++);
    const name = statementName(query)!;
    const { promise, resolve, reject } = Promise.withResolvers<
      readonly unknown[]
    >();
    const answer = (...rows: unknown[]) =>
      resolve(rows.map((row) => ({ json: JSON.stringify(row) })));
    this.sent.push({ name, parameters, answer, fail: reject });
    const rowsOf = this.rows[name];
    if (rowsOf !== undefined) {
      try {
        answer(...rowsOf(parameters));
      } catch (error) {
        reject(error);
      }
    }
    return promise;
  }

  /** The names of the statements, in order. */
  get names(): string[] {
    return this.sent.map(({ name }) => name);
  }

  /** The statements of a name. */
  named(name: string): SentStatement[] {
    return this.sent.filter((statement) => statement.name === name);
  }
}

/** An error as `npm:postgres` throws it. */
export function postgresError(code?: unknown, message = "no"): Error {
  return Object.assign(new Error(message), { code });
}
