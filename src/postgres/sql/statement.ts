/** A value to send; `undefined` is null. */
export type SqlValue = string | number | boolean | undefined;

/** Items to send, each column as one array: its type in SQL, and its value of an item. */
export type Batch<T> = Readonly<
  Record<string, readonly [type: string, value: (item: T) => SqlValue]>
>;

/** The parameters of a statement: the type of one value, or the columns of a batch. */
// deno-lint-ignore no-explicit-any -- each batch has items of its own type
export type Parameters = Readonly<Record<string, string | Batch<any>>>;

/** What a statement is executed with. */
export type StatementValues<P extends Parameters> = {
  [Name in keyof P]: P[Name] extends Batch<infer T> ? readonly T[] : SqlValue;
};

/** A statement and the order of its parameters. */
export interface Statement<P extends Parameters> {
  /** Its text, which begins with its name in a comment. */
  readonly text: string;
  /** Its text for tables in a schema, instead of those in the search path. */
  textIn(schema: string): string;
  /** The values in the order of their numbers. */
  values(values: StatementValues<P>): (string | null)[];
}

/** The tables of ours and of cognee's that statements name. */
const TABLE =
  /\b(pipeline_runs|pipeline_run_(payload_fields|results|leases|events|migrations)|datasets)\b/g;

/**
 * Makes a statement and numbers its parameters.
 *
 * @param name The name, for `pg_stat_activity`.
 * @param parameters The parameters.
 * @param text The text, from the SQL of each parameter: for one value a typed
 * placeholder, for a batch rows to select from, under the parameter's name and with
 * their place in the column `ordinality`.
 */
export function statement<P extends Parameters>(
  name: string,
  parameters: P,
  text: (sql: Readonly<Record<keyof P, string>>) => string,
): Statement<P> {
  let count = 0;
  const next = (type: string) => `$${++count}::text::${type}`;
  const sql: Record<string, string> = {};
  for (const [key, parameter] of Object.entries(parameters)) {
    sql[key] = typeof parameter === "string"
      ? next(parameter)
      : unnest(key, parameter, next);
  }
  const body = text(sql as Record<keyof P, string>);
  const comment = `/* ${name} */`;
  return {
    text: `${comment} ${body}`,
    textIn: (schema) => `${comment} ${body.replace(TABLE, `"${schema}".$&`)}`,
    values: (values) =>
      Object.entries(parameters).flatMap(([key, parameter]) =>
        typeof parameter === "string"
          ? [values[key]?.toString() ?? null]
          : arrays(parameter, values[key] as readonly unknown[])
      ),
  };
}

/**
 * The rows of a batch. Postgres must not see how long the arrays are: it plans a
 * prepared statement again each time if it thinks that a plan for these very
 * parameters is better.
 */
function unnest(
  alias: string,
  batch: Batch<unknown>,
  next: (type: string) => string,
): string {
  const columns = Object.entries(batch);
  const sent = columns.map(([name, [type]]) =>
    `${next(`${type}[]`)} as ${name}`
  );
  const names = columns.map(([name]) => name);
  return `(select ${sent.join(", ")} offset 0) sent
    cross join lateral unnest(
      ${names.map((name) => `sent.${name}`).join(", ")}
    ) with ordinality ${alias} (${names.join(", ")}, ordinality)`;
}

/** The columns of a batch as array literals. */
function arrays(batch: Batch<unknown>, items: readonly unknown[]): string[] {
  return Object.values(batch).map(([type, value]) => {
    const literals = type === "text"
      ? items.map((item) => quoted(value(item) as string | undefined))
      : items.map((item) => value(item) ?? "NULL");
    return `{${literals.join(",")}}`;
  });
}

/** The array literal of texts. */
export function arrayOf(texts: readonly string[]): string {
  return `{${texts.map(quoted).join(",")}}`;
}

function quoted(text: string | undefined): string {
  if (text === undefined) return "NULL";
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}
