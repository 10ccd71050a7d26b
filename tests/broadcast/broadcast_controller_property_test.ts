import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import fc from "fast-check";
import { BroadcastController } from "../../src/broadcast/broadcast_controller.ts";
import { runMicrotasks } from "../assert_pending.ts";
import { type Reading, WAYS_TO_READ } from "./ways_to_read.ts";

/** The chunk that reports a lag. */
interface Missed {
  missed: number;
  position: number;
}

type Outcome = PromiseSettledResult<IteratorResult<number | Missed>>;

interface Following {
  /** The position to begin at, counted from the next chunk; by default the oldest held. */
  offset: number | undefined;
  lag: "close" | "skip" | "error";
  way: number;
  /** Whether readers may follow each other. */
  preventCancel: boolean;
  /** Whether the end of this branch cancels the branch before it. */
  cancelsAnother: boolean;
}

type Operation =
  | { name: "enqueue"; count: number }
  | { name: "close" }
  | { name: "tee"; following: Following }
  | { name: "read" | "cancel"; which: number }
  | { name: "hand over"; which: number; way: number };

const which = fc.nat(7);
const way = fc.nat(WAYS_TO_READ.length - 1);
const count = fc.integer({ min: 1, max: 6 });
const following: fc.Arbitrary<Following> = fc.record({
  offset: fc.option(fc.integer({ min: -6, max: 3 }), { nil: undefined }),
  lag: fc.constantFrom("close", "skip", "error"),
  way,
  preventCancel: fc.boolean(),
  cancelsAnother: fc.boolean(),
});

const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ name: fc.constant("read"), which }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ name: fc.constant("enqueue"), count }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ name: fc.constant("tee"), following }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ name: fc.constant("hand over"), which, way }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ name: fc.constant("cancel"), which }),
  },
  { weight: 1, arbitrary: fc.record({ name: fc.constant("close") }) },
);

/** A broadcast of the numbers from 0 up, so that a chunk is its position. */
class Count extends BroadcastController<number | Missed> {
  readonly #capacity: number;
  closed = false;

  constructor(capacity: number) {
    super({ capacity });
    this.#capacity = capacity;
  }

  override get oldest(): number {
    return Math.max(0, this.enqueued - this.#capacity);
  }

  override close(): void {
    super.close();
    this.closed = true;
  }
}

/** Reads one branch and accounts for every chunk since its position. */
class Follower {
  releases = 0;
  /** Whether the branch has ended or was cancelled. */
  over = false;
  readonly #broadcast: Count;
  readonly #following: Following;
  readonly #branch: ReadableStream<number | Missed>;
  #reading: Reading<number | Missed>;
  /** The position after all chunks received or reported missed. */
  #position: number;
  #lagged = false;
  /** Whether the stream may hold a chunk for a previous reader. */
  #handedOver = false;
  #waiting = false;
  #outcome: Outcome | undefined;

  constructor(
    broadcast: Count,
    following: Following,
    another: Follower | undefined,
  ) {
    const { offset, lag, way, cancelsAnother } = following;
    this.#broadcast = broadcast;
    this.#following = following;
    this.#position = offset === undefined
      ? broadcast.oldest
      : broadcast.enqueued + offset;
    this.#branch = broadcast.tee({
      position: offset === undefined ? undefined : this.#position,
      ...(lag === "error" ? {} : {
        lag,
        lagged: (missed, position) => ({ missed, position }),
      }),
      onRelease: () => {
        this.releases++;
        if (cancelsAnother) another?.cancel();
      },
    });
    this.#reading = this.#open(way);
  }

  read(): void {
    if (this.over || this.#waiting) return;
    this.#waiting = true;
    const reading = this.#reading;
    const settle = (outcome: Outcome) => {
      if (reading === this.#reading) this.#outcome = outcome;
    };
    reading.next().then(
      (value) => settle({ status: "fulfilled", value }),
      (reason) => settle({ status: "rejected", reason }),
    );
  }

  /** Continues with another reader, even if the current one has a pending read. */
  async handOver(way: number): Promise<void> {
    if (this.over || !this.#following.preventCancel) return;
    await this.#reading.stop();
    await runMicrotasks();
    this.#handedOver = true;
    this.#waiting = false;
    this.#outcome = undefined;
    this.#reading = this.#open(way);
  }

  async cancel(): Promise<void> {
    if (this.over) return;
    this.over = true;
    try {
      await this.#reading.stop();
      if (this.#following.preventCancel) await this.#branch.cancel();
    } catch (error) {
      // The lag had not been read yet.
      assertEquals(this.#following.lag, "error");
      assertInstanceOf(error, RangeError);
    }
  }

  /** Compares the result of the read with the broadcast. */
  check(): void {
    if (this.over || !this.#waiting) return;
    const outcome = this.#outcome;
    const { enqueued, closed } = this.#broadcast;
    if (outcome === undefined) {
      assert(this.#position >= enqueued, "a chunk that is there was not given");
      assert(!closed, "the end was not given");
      assert(!this.#lagged, "the end behind a lag was not given");
      return;
    }
    this.#waiting = false;
    this.#outcome = undefined;
    if (outcome.status === "rejected") this.#checkError(outcome.reason);
    else if (outcome.value.done) this.#checkEnd();
    else this.#checkChunk(outcome.value.value);
  }

  #checkChunk(chunk: number | Missed): void {
    assert(!this.#lagged, "a chunk came behind the end");
    if (typeof chunk === "number") {
      assertEquals(chunk, this.#position);
      this.#position++;
      return;
    }
    const { missed, position } = chunk;
    assert(missed > 0);
    assertEquals(this.#position + missed, position);
    if (!this.#handedOver) assertEquals(position, this.#broadcast.oldest);
    assert(position <= this.#broadcast.oldest);
    this.#position = position;
    this.#lagged = this.#following.lag === "close";
  }

  #checkEnd(): void {
    const { closed, enqueued } = this.#broadcast;
    assert(this.#lagged || closed && this.#position >= enqueued);
    this.over = true;
  }

  #checkError(error: Error): void {
    assertEquals(this.#following.lag, "error");
    const missed = /(\d+) chunks were missed/.exec(error.message)?.[1];
    if (!this.#handedOver) {
      assertEquals(Number(missed), this.#broadcast.oldest - this.#position);
    }
    assert(this.#position < this.#broadcast.oldest);
    this.over = true;
  }

  #open(way: number): Reading<number | Missed> {
    return WAYS_TO_READ[way].open(this.#branch, this.#following);
  }
}

Deno.test("BroadcastController.tee() accounts for every chunk in any order of operations", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 5 }),
      fc.array(operation, { maxLength: 40, size: "max" }),
      async (capacity, operations) => {
        const broadcast = new Count(capacity);
        const followers: Follower[] = [];
        const check = async () => {
          await runMicrotasks();
          for (const follower of followers) follower.check();
        };
        for (const operation of operations) {
          const follower = "which" in operation
            ? followers[operation.which % followers.length]
            : undefined;
          switch (operation.name) {
            case "enqueue":
              for (let i = 0; i < operation.count && !broadcast.closed; i++) {
                broadcast.enqueue(broadcast.enqueued);
              }
              break;
            case "close":
              if (!broadcast.closed) broadcast.close();
              break;
            case "tee":
              followers.push(
                new Follower(broadcast, operation.following, followers.at(-1)),
              );
              break;
            case "read":
              follower?.read();
              break;
            case "hand over":
              await follower?.handOver(operation.way);
              break;
            case "cancel":
              await follower?.cancel();
              break;
          }
          await check();
        }
        if (!broadcast.closed) broadcast.close();
        await check();
        while (followers.some((follower) => !follower.over)) {
          for (const follower of followers) follower.read();
          await check();
        }
        for (const follower of followers) assertEquals(follower.releases, 1);
      },
    ),
    { numRuns: 500 },
  );
});
