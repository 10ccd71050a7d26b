/**
 * Fan-out in one process: bursts of 32 chunks to S subscribers, from the first
 * `enqueue()` until every subscriber has read the last chunk of the burst.
 *
 * @module
 */
import { BroadcastController } from "../mod.ts";

const BURST = 32;

/** A source with subscribers that read as fast as they can. */
interface FanOut {
  enqueue(chunk: number): void;
  close(): void;
}

type Read = (stream: ReadableStream<number>, read: () => void) => Promise<void>;

async function iterate(stream: ReadableStream<number>, read: () => void) {
  for await (const _ of stream) read();
}

async function getReader(stream: ReadableStream<number>, read: () => void) {
  const reader = stream.getReader();
  while (!(await reader.read()).done) read();
}

/** One broadcast, a branch for each subscriber. */
function broadcast(
  subscribe: (stream: ReadableStream<number>) => void,
  S: number,
): FanOut {
  const controller = new BroadcastController<number>({ capacity: 64 });
  for (let i = 0; i < S; i++) subscribe(controller.tee());
  return controller;
}

/** A plain stream for each subscriber. */
function streams(
  subscribe: (stream: ReadableStream<number>) => void,
  S: number,
): FanOut {
  const controllers: ReadableStreamDefaultController<number>[] = [];
  for (let i = 0; i < S; i++) {
    subscribe(
      new ReadableStream({
        start: (controller) => void controllers.push(controller),
      }),
    );
  }
  return {
    enqueue: (chunk) => controllers.forEach((each) => each.enqueue(chunk)),
    close: () => controllers.forEach((each) => each.close()),
  };
}

for (const S of [1, 10, 100, 1_000]) {
  for (const [way, read] of Object.entries<Read>({ iterate, getReader })) {
    for (const [name, open] of Object.entries({ broadcast, streams })) {
      Deno.bench({
        name,
        group: `${way}, ${S} subscribers`,
        baseline: name === "broadcast",
        n: Math.max(10, Math.ceil(20_000 / S)),
        async fn(bench) {
          let left = BURST * S;
          const burst = Promise.withResolvers<void>();
          const onRead = () => void (--left === 0 && burst.resolve());
          const readers: Promise<void>[] = [];
          const fanOut = open(
            (stream) => readers.push(read(stream, onRead)),
            S,
          );
          bench.start();
          for (let chunk = 0; chunk < BURST; chunk++) fanOut.enqueue(chunk);
          await burst.promise;
          bench.end();
          fanOut.close();
          await Promise.all(readers);
        },
      });
    }
  }
}
