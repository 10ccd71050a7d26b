/** U+FFFD replaces the characters that Postgres cannot store. */
const MARKER = "\ufffd";
/** Deeper JSON can exhaust a parser's stack. */
const MAX_DEPTH = 500;

/**
 * A text with U+FFFD in place of the characters that Postgres cannot store:
 * U+0000 and lone surrogates.
 */
export function storableText(text: string): string {
  return text.replaceAll("\0", MARKER).toWellFormed();
}

/**
 * A value as JSON that any database can store; see {@linkcode storableText}.
 *
 * @throws {TypeError} If the value is not JSON; see {@linkcode checkJson}.
 * @throws {RangeError} If it takes more than `maxBytes` bytes in UTF-8, or is
 * nested more than 500 deep.
 */
export function storableJson(
  value: unknown,
  name: string,
  maxBytes: number = Infinity,
): string {
  checkJson(value, name);
  const json = stringify(value, name);
  if (byteLength(json, maxBytes) > maxBytes) {
    throw new RangeError(`${name} must be at most ${maxBytes} bytes of JSON`);
  }
  return markEscapes(json);
}

/**
 * Checks that a value is JSON: null, booleans, finite numbers, strings, and arrays and
 * plain objects of these. A member that is `undefined` counts as absent.
 *
 * @throws {TypeError} If it is not: JSON would change or drop what is in it, or it has
 * a cycle or a getter that throws.
 * @throws {RangeError} If it is nested more than 500 deep.
 */
export function checkJson(value: unknown, name: string): void {
  let change: Change | undefined;
  try {
    change = changeIn(value, 0);
  } catch (cause) {
    throw new TypeError(`${name} must be JSON`, { cause });
  }
  if (change === undefined) return;
  if (change === TOO_DEEP) {
    stringify(value, name); // It throws if this is a cycle.
    throw tooDeep(name);
  }
  throw new TypeError(
    `${name}${change.path} must be JSON, received ${change.found}`,
  );
}

/** A part of a value that JSON would change. */
interface Change {
  /** Where it is, such as `.rows[2]`. */
  path: string;
  readonly found: string;
}

const TOO_DEEP: Change = Object.freeze({ path: "", found: "" });

function changeIn(value: unknown, depth: number): Change | undefined {
  if (typeof value === "string" || typeof value === "boolean") return undefined;
  if (typeof value === "number") {
    return Number.isFinite(value)
      ? undefined
      : { path: "", found: String(value) };
  }
  if (typeof value !== "object") return { path: "", found: typeof value };
  if (value === null) return undefined;
  if (depth === MAX_DEPTH) return TOO_DEEP;
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      const change = changeIn(value[index], depth + 1);
      if (change !== undefined) return within(`[${index}]`, change);
    }
    return undefined;
  }
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && !isPlain(prototype)) {
    return { path: "", found: `a ${prototype.constructor.name}` };
  }
  // The prototype has no enumerable members, and for-in needs no array of the keys.
  for (const key in value) {
    const member = (value as Record<string, unknown>)[key];
    if (member === undefined) continue;
    const change = changeIn(member, depth + 1);
    if (change !== undefined) return within(`.${key}`, change);
  }
  return undefined;
}

/** Whether a prototype is that of plain objects, also of another realm. */
function isPlain(prototype: object | null): boolean {
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function within(path: string, change: Change): Change {
  if (change !== TOO_DEEP) change.path = path + change.path;
  return change;
}

function stringify(value: unknown, name: string): string {
  try {
    return JSON.stringify(value);
  } catch (cause) {
    if (isOutOfStack(cause)) throw tooDeep(name);
    throw new TypeError(`${name} must be JSON`, { cause });
  }
}

function tooDeep(name: string): RangeError {
  return new RangeError(`${name} must be nested at most ${MAX_DEPTH} deep`);
}

/** V8 throws a RangeError, as a getter also may. */
function isOutOfStack(error: unknown): boolean {
  return error instanceof RangeError && error.message.includes("call stack");
}

/** The length in UTF-8, counted only if the length in UTF-16 does not decide. */
function byteLength(text: string, bound: number): number {
  if (text.length > bound || text.length * 3 <= bound) return text.length;
  return new TextEncoder().encode(text).length;
}

/** `JSON.stringify` escapes exactly the characters that cannot be stored: \u0000, \ud8xx to \udfxx. */
function markEscapes(json: string): string {
  if (!json.includes("\\u")) return json;
  return json.replace(
    /\\(?:u0000|ud[89a-f][0-9a-f]{2}|[^])/g,
    (escape) => escape.length > 2 ? MARKER : escape,
  );
}
