/** Waits until the callbacks of `setImmediate` that are due have run. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
