import type { FakeTime } from "@std/testing/time";

/** Lets faked time pass in steps, with the microtasks of each in between. */
export async function passTime(
  time: FakeTime,
  ms: number,
  step = 25,
): Promise<void> {
  for (let left = ms; left > 0; left -= step) {
    await time.tickAsync(Math.min(step, left));
  }
  await time.runMicrotasks();
}
