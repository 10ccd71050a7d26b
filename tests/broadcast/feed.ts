import { BroadcastController } from "../../src/broadcast/broadcast_controller.ts";

/** A stream of numbers together with what feeds it. */
export interface Feed {
  readonly stream: ReadableStream<number>;
  enqueue(chunk: number): void;
  close(): void;
  error(reason: unknown): void;
}

/** Feeds a stream of the platform, the oracle of what any stream does. */
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

/** Feeds a branch so roomy that it never lags. */
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
 * Registers a test of what the Streams Standard says, which a stream of the
 * platform must pass as well as a branch.
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
