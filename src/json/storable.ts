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
 * @throws {TypeError} If the value is not JSON: a cycle, a BigInt, a function,
 * a getter that throws.
 * @throws {RangeError} If it takes more than `maxBytes` bytes in UTF-8, or is
 * nested more than 500 deep.
 */
export function storableJson(
  value: unknown,
  name: string,
  maxBytes: number = Infinity,
): string {
  let json: string | undefined;
  try {
    json = JSON.stringify(value);
  } catch (cause) {
    if (isOutOfStack(cause)) throw tooDeep(name);
    throw new TypeError(`${name} must be JSON`, { cause });
  }
  if (json === undefined) {
    throw new TypeError(`${name} must be JSON, received ${typeof value}`);
  }
  if (byteLength(json, maxBytes) > maxBytes) {
    throw new RangeError(`${name} must be at most ${maxBytes} bytes of JSON`);
  }
  if (json.length > MAX_DEPTH && depth(json) > MAX_DEPTH) throw tooDeep(name);
  return markEscapes(json);
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

function depth(json: string): number {
  let deepest = 0;
  let open = 0;
  let quoted = false;
  for (let i = 0; i < json.length; i++) {
    const char = json[i];
    if (quoted) {
      if (char === "\\") i++;
      else if (char === '"') quoted = false;
    } else if (char === '"') quoted = true;
    else if (char === "{" || char === "[") deepest = Math.max(deepest, ++open);
    else if (char === "}" || char === "]") open--;
  }
  return deepest;
}

/** `JSON.stringify` escapes exactly the characters that cannot be stored: \u0000, \ud8xx to \udfxx. */
function markEscapes(json: string): string {
  if (!json.includes("\\u")) return json;
  return json.replace(
    /\\(?:u0000|ud[89a-f][0-9a-f]{2}|[^])/g,
    (escape) => escape.length > 2 ? MARKER : escape,
  );
}
