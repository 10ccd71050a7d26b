import { EventEmitter, on } from "node:events";
import { BroadcastController, PipelineRunRegistry } from "../mod.ts";
import type { Contender, Contest, Figures, MeasureOptions } from "./contest.ts";
import { importPeer } from "./peers.ts";

const SUBSCRIBERS = [1, 10, 100, 1_000] as const;
const BURST = 32;

/** A source that many can subscribe to. */
interface FanOut {
  publish(chunk: number): void;
  /** Calls back for each chunk, reading as users of the source do. */
  subscribe(onChunk: () => void): void;
}

type Read = (stream: ReadableStream<number>, onChunk: () => void) => void;

async function iterate(stream: ReadableStream<number>, onChunk: () => void) {
  for await (const _ of stream) onChunk();
}

async function getReader(stream: ReadableStream<number>, onChunk: () => void) {
  const reader = stream.getReader();
  while (!(await reader.read()).done) onChunk();
}

function broadcast(read: Read): FanOut {
  const controller = new BroadcastController<number>({ capacity: 64 });
  return {
    publish: (chunk) => controller.enqueue(chunk),
    subscribe: (onChunk) => read(controller.tee(), onChunk),
  };
}

function streamPerSubscriber(read: Read): FanOut {
  const controllers: ReadableStreamDefaultController<number>[] = [];
  return {
    publish(chunk) {
      for (const controller of controllers) controller.enqueue(chunk);
    },
    subscribe(onChunk) {
      const stream = new ReadableStream<number>({
        start: (controller) => void controllers.push(controller),
      });
      read(stream, onChunk);
    },
  };
}

function teeChain(read: Read): FanOut {
  let controller!: ReadableStreamDefaultController<number>;
  let rest = new ReadableStream<number>({
    start: (each) => void (controller = each),
  });
  return {
    publish: (chunk) => controller.enqueue(chunk),
    subscribe(onChunk) {
      const [branch, others] = rest.tee();
      rest = others;
      read(branch, onChunk);
    },
  };
}

function eventsOn(): FanOut {
  const emitter = new EventEmitter();
  emitter.setMaxListeners(0);
  return {
    publish: (chunk) => void emitter.emit("chunk", chunk),
    async subscribe(onChunk) {
      for await (const _ of on(emitter, "chunk")) onChunk();
    },
  };
}

async function rxjsSubject(): Promise<FanOut> {
  const { Subject } = await importPeer("rxjs");
  const subject = new Subject();
  return {
    publish: (chunk) => subject.next(chunk),
    subscribe: (onChunk) => void subject.subscribe(onChunk),
  };
}

/** Publishes bursts, and waits until every subscriber has received them. */
class Bursts {
  readonly #fanOut: FanOut;
  readonly #subscribers: number;
  #left = 0;
  #onBurst = () => {};

  constructor(fanOut: FanOut, subscribers: number) {
    this.#fanOut = fanOut;
    this.#subscribers = subscribers;
    for (let i = 0; i < subscribers; i++) {
      fanOut.subscribe(() => {
        if (--this.#left === 0) this.#onBurst();
      });
    }
  }

  /** Times are in milliseconds. */
  async run(
    time: number,
  ): Promise<{ bursts: number; total: number; publishing: number }> {
    let publishing = 0;
    const start = performance.now();
    for (let bursts = 1;; bursts++) {
      this.#left = BURST * this.#subscribers;
      const burst = new Promise<void>((resolve) => this.#onBurst = resolve);
      const published = performance.now();
      for (let chunk = 0; chunk < BURST; chunk++) this.#fanOut.publish(chunk);
      publishing += performance.now() - published;
      await burst;
      const total = performance.now() - start;
      if (total >= time) return { bursts, total, publishing };
    }
  }
}

/** Measures chunks delivered per second, and nanoseconds per publish. */
async function measureFanOut(
  open: () => FanOut | Promise<FanOut>,
  { quick }: MeasureOptions,
): Promise<Figures> {
  const figures: Record<string, number> = {};
  const time = quick ? 150 : 500;
  for (const subscribers of SUBSCRIBERS) {
    const all = new Bursts(await open(), subscribers);
    await turn();
    await all.run(time / 3); // to warm up
    const { bursts, total, publishing } = await all.run(time);
    const delivered = bursts * BURST * subscribers;
    figures[`delivered ${subscribers}`] = delivered / total * 1_000;
    figures[`publish ${subscribers}`] = publishing / bursts / BURST * 1e6;
  }
  return figures;
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function fanOut(
  name: string,
  includes: string,
  open: () => FanOut | Promise<FanOut>,
): Contender {
  return { name, includes, measure: (options) => measureFanOut(open, options) };
}

const columns = (figure: string) =>
  Object.fromEntries(
    SUBSCRIBERS.map((each) => [`${figure} ${each}`, `S=${each}`]),
  );

const DELIVERED = "delivered to S subscribers, million chunks/s";
const PUBLISH = "within publish, ns per chunk";
const OURS = "bounded, reports lag";
const STREAMS = "unbounded, does not report lag";

/** Measures the heap bytes of each of many objects. */
async function bytesEach(
  count: number,
  make: (index: number) => unknown,
): Promise<number> {
  const { gc } = globalThis as unknown as { gc: () => void };
  const kept = new Array<unknown>(count);
  for (let i = 0; i < 100; i++) await make(i); // for what is allocated once
  gc();
  const before = Deno.memoryUsage().heapUsed;
  for (let i = 0; i < count; i++) kept[i] = await make(i);
  gc();
  return (Deno.memoryUsage().heapUsed - before) / kept.length;
}

/** Waits for a chunk that never arrives. */
function waitForever(stream: ReadableStream<number>): unknown {
  const iterator = stream[Symbol.asyncIterator]();
  return [iterator, iterator.next()];
}

/** The contests in broadcasting. */
export const contests: readonly Contest[] = [
  {
    name: "for-await",
    contenders: [
      fanOut("ours", OURS, () => broadcast(iterate)),
      fanOut(
        "stream per subscriber",
        STREAMS,
        () => streamPerSubscriber(iterate),
      ),
      fanOut("tee() chain", STREAMS, () => teeChain(iterate)),
      fanOut("events.on", "no stream, " + STREAMS, eventsOn),
      fanOut(
        "rxjs Subject",
        "callbacks within publish: no stream, no buffer, no waiting",
        rxjsSubject,
      ),
    ],
    tables: [
      {
        title: `for await: ${DELIVERED}`,
        better: "more",
        columns: columns("delivered"),
        scale: 1e-6,
      },
      {
        title: `for await: ${PUBLISH}`,
        better: "less",
        columns: columns("publish"),
      },
    ],
  },
  {
    name: "getReader",
    contenders: [
      fanOut("ours", OURS, () => broadcast(getReader)),
      fanOut(
        "stream per subscriber",
        STREAMS,
        () => streamPerSubscriber(getReader),
      ),
      fanOut("tee() chain", STREAMS, () => teeChain(getReader)),
    ],
    tables: [{
      title: `getReader(): ${DELIVERED}`,
      better: "more",
      columns: columns("delivered"),
      scale: 1e-6,
    }],
  },
  {
    name: "memory",
    contenders: [
      {
        name: "ours",
        includes:
          "a subscriber that waits in for await; a live run whose work waits; a finished run with its two events",
        async measure() {
          const controller = new BroadcastController<number>({ capacity: 64 });
          const subscriber = await bytesEach(
            10_000,
            () => waitForever(controller.tee()),
          );
          const registry = new PipelineRunRegistry({
            maxInMemoryRuns: Infinity,
            onWarning: () => {},
          });
          const run = await bytesEach(
            10_000,
            () =>
              registry.registerBackground(
                { pipelineName: "idle" },
                () => new Promise(() => {}),
              ),
          );
          const finished = await bytesEach(
            10_000,
            () => registry.registerInline({ pipelineName: "noop" }, () => {}),
          );
          return { subscriber, run, finished };
        },
      },
      {
        name: "stream per subscriber",
        includes: "a subscriber that waits in for await",
        async measure() {
          const subscriber = await bytesEach(
            10_000,
            () => waitForever(new ReadableStream()),
          );
          return { subscriber };
        },
      },
    ],
    tables: [{
      title: "memory, bytes",
      better: "less",
      columns: {
        subscriber: "idle subscriber",
        run: "idle run",
        finished: "finished run",
      },
    }],
  },
];
