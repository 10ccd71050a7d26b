import { BroadcastController } from "../../src/broadcast/broadcast_controller.ts";

/** A stream of numbers and the functions that feed it. */
export interface Feed {
  readonly stream: ReadableStream<number>;
  enqueue(chunk: number): void;
  close(): void;
  error(reason: unknown): void;
}

/** Feeds a stream of the platform, the reference for every stream. */
export function feedStream(): Feed {
  let controller!: ReadableStreamDefaultController<number>;
  const stream = new ReadableStream<number>({
    start(given) {
      controller = given;
    },
  }, { highWaterMark: 0 });
  return {
    stream,
    enqueue: (chunk) => controller.enqueue(chunk),
    close: () => controller.close(),
    error: (reason) => controller.error(reason),
  };
}

/** Feeds a branch whose capacity is too large for a lag. */
export function feedBranch(): Feed {
  const broadcast = new BroadcastController<number>({ capacity: 10_000 });
  const aborting = new AbortController();
  return {
    stream: broadcast.tee({ signal: aborting.signal }),
    enqueue: (chunk) => broadcast.enqueue(chunk),
    close: () => broadcast.close(),
    error: (reason) => aborting.abort(reason),
  };
}

/**
 * Registers a test of the Streams Standard that a stream of the platform and a
 * branch must both pass.
 */
export function testAnyStream(
  name: string,
  test: (feed: Feed) => Promise<void>,
): void {
  Deno.test(name, async (t) => {
    await t.step("a stream of the platform", () => test(feedStream()));
    await t.step("a branch", () => test(feedBranch()));
  });
}
