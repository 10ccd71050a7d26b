// Stands for @std/assert@1.0.19, of which it offers the part used here.
import nodeAssert, { AssertionError } from "node:assert/strict";

export { AssertionError };

type ErrorClass<E extends Error> = abstract new (...args: never[]) => E;

/** Fails unless `expr` is truthy. */
export function assert(expr: unknown, msg?: string): asserts expr {
  nodeAssert(expr, msg);
}

/** Fails always. */
export function fail(msg?: string): never {
  nodeAssert.fail(msg);
}

/** Fails unless both have the same structure. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  nodeAssert.deepStrictEqual(actual, expected, msg);
}

/** Fails if both have the same structure. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  nodeAssert.notDeepStrictEqual(actual, expected, msg);
}

/** Fails unless both are the same value. */
export function assertStrictEquals<T>(
  actual: unknown,
  expected: T,
  msg?: string,
): asserts actual is T {
  nodeAssert.strictEqual(actual, expected, msg);
}

/** Fails unless `actual` is an instance of the class. */
export function assertInstanceOf<T>(
  actual: unknown,
  expected: abstract new (...args: never[]) => T,
  msg?: string,
): asserts actual is T {
  nodeAssert(
    actual instanceof expected,
    msg ?? `Expected an instance of ${expected.name}`,
  );
}

/** Fails unless the text matches. */
export function assertMatch(
  actual: string,
  expected: RegExp,
  msg?: string,
): void {
  nodeAssert.match(actual, expected, msg);
}

/** Fails unless the text has the other in it. */
export function assertStringIncludes(
  actual: string,
  expected: string,
  msg?: string,
): void {
  nodeAssert(
    actual.includes(expected),
    msg ?? `Expected "${actual}" to include "${expected}"`,
  );
}

/** Fails unless `fn` throws such an error, and returns it. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  errorClass?: ErrorClass<E>,
  msgIncludes?: string,
): E {
  try {
    fn();
  } catch (error) {
    return check(error, errorClass, msgIncludes);
  }
  fail("Expected the function to throw");
}

/** Fails unless `fn` rejects with such an error, and resolves to it. */
export async function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  errorClass?: ErrorClass<E>,
  msgIncludes?: string,
): Promise<E> {
  let promise;
  try {
    promise = fn();
  } catch {
    fail("Expected the function to reject, it threw");
  }
  try {
    await promise;
  } catch (error) {
    return check(error, errorClass, msgIncludes);
  }
  fail("Expected the function to reject");
}

function check<E extends Error>(
  error: unknown,
  errorClass: ErrorClass<E> | undefined,
  msgIncludes: string | undefined,
): E {
  if (errorClass !== undefined) assertInstanceOf(error, errorClass);
  if (msgIncludes !== undefined) {
    assertStringIncludes((error as Error).message, msgIncludes);
  }
  return error as E;
}
