/**
 * A list of UUIDs, numbers or booleans as Postgres reads an array; what is
 * `undefined` is null.
 */
export function plainArray(
  values: readonly (string | number | boolean | undefined)[],
): string {
  return `{${values.map((value) => value ?? "NULL").join(",")}}`;
}

/** A list of texts as Postgres reads an array; what is `undefined` is null. */
export function textArray(values: readonly (string | undefined)[]): string {
  return `{${values.map(quoted).join(",")}}`;
}

function quoted(text: string | undefined): string {
  if (text === undefined) return "NULL";
  return `"${/["\\]/.test(text) ? text.replace(/["\\]/g, "\\$&") : text}"`;
}
