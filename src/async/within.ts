/**
 * The value of a promise; `undefined` if it takes longer.
 *
 * @param ms How long to wait, in milliseconds; with 0 only for what is there already.
 */
export async function within<T>(
  promise: Promise<T>,
  ms: number,
): Promise<T | undefined> {
  if (ms === Infinity) return await promise;
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), ms);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
