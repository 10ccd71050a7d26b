import { assertStrictEquals } from "@std/assert";

/** More turns than any chain of reactions in these tests takes. */
const TURNS = 100;

const PENDING = Symbol("pending");

/** Runs the pending microtasks and those that they enqueue. */
export async function runMicrotasks(): Promise<void> {
  for (let turn = 0; turn < TURNS; turn++) await undefined;
}

/** Fails if a promise settles within the pending microtasks. */
export async function assertPending(
  ...promises: Promise<unknown>[]
): Promise<void> {
  await runMicrotasks();
  for (const promise of promises) {
    assertStrictEquals(
      await Promise.race([promise, Promise.resolve(PENDING)]),
      PENDING,
      "a promise is settled that should be pending",
    );
  }
}
