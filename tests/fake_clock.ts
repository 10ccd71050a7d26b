import { FakeTime } from "@std/testing/time";

/** A fake time that `performance.now()` tells too. */
export class FakeClock extends FakeTime {
  readonly #now = performance.now;

  constructor() {
    super();
    performance.now = () => this.now;
  }

  override restore(): void {
    performance.now = this.#now;
    super.restore();
  }
}
