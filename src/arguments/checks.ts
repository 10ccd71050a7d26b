/** The longest delay that timers keep on every platform, in milliseconds. */
const MAX_DELAY = 2 ** 31 - 1;

/**
 * Checks a number.
 *
 * @param name What the message begins with: `"Cannot create registry: timeout"`.
 * @param expected What the number must be, for the message.
 * @throws {TypeError} If it is not a number.
 * @throws {RangeError} If it is not as expected.
 */
export function checkNumber(
  name: string,
  value: unknown,
  expected: string,
  isExpected: (value: number) => boolean,
): void {
  if (typeof value !== "number") {
    throw new TypeError(`${name} must be a number, received ${typeof value}`);
  }
  if (!isExpected(value)) {
    throw new RangeError(`${name} must be ${expected}, received ${value}`);
  }
}

/** Checks an integer from 0 or 1 on; see {@linkcode checkNumber}. */
export function checkInteger(name: string, value: unknown, least: 0 | 1): void {
  const expected = least === 1
    ? "a positive integer"
    : "a non-negative integer";
  checkNumber(name, value, expected, (number) => isInteger(number, least));
}

/** Checks a bound: a positive integer or `Infinity`. */
export function checkBound(name: string, value: unknown): void {
  checkNumber(
    name,
    value,
    "a positive integer or Infinity",
    (number) => number === Infinity || isInteger(number, 1),
  );
}

/** Checks a number of milliseconds to give to a timer. */
export function checkDelay(
  name: string,
  value: unknown,
  least: number = 0,
): void {
  checkNumber(
    name,
    value,
    `between ${least} and ${MAX_DELAY}`,
    (number) => number >= least && number <= MAX_DELAY,
  );
}

/** Checks the type of a value. */
export function checkType(
  name: string,
  value: unknown,
  type: "boolean" | "function" | "string",
): void {
  const received: string = typeof value;
  if (received === type) return;
  throw new TypeError(`${name} must be a ${type}, received ${received}`);
}

/** Checks an `AbortSignal` that may be absent. */
export function checkSignal(name: string, value: unknown): void {
  if (value === undefined || value instanceof AbortSignal) return;
  throw new TypeError(`${name} must be an AbortSignal`);
}

/** Checks a choice between texts. */
export function checkOneOf(
  name: string,
  value: unknown,
  choices: readonly string[],
): void {
  if ((choices as readonly unknown[]).includes(value)) return;
  const listed = choices.map((choice) => `"${choice}"`).join(" or ");
  throw new TypeError(`${name} must be ${listed}, received ${value}`);
}

function isInteger(value: number, least: number): boolean {
  return Number.isSafeInteger(value) && value >= least;
}
