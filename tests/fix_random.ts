/** Fixes `Math.random()`, and so the waits between attempts. */
export function fixRandom(value: number): Disposable {
  const { random } = Math;
  Math.random = () => value;
  return { [Symbol.dispose]: () => void (Math.random = random) };
}
