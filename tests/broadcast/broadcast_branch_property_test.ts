import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { runMicrotasks } from "../assert_pending.ts";
import { type Feed, feedBranch, feedStream } from "./feed.ts";

type Feeding =
  | { name: "enqueue"; count: number }
  | { name: "close" | "error" };

type Reading =
  | { name: "read" | "next"; count: number }
  | { name: "getReader" | "new ReadableStreamDefaultReader" }
  | { name: "values" | "pipeTo"; preventCancel: boolean }
  | { name: "releaseLock" | "return" | "stop piping" };

type Cancelling = { name: "cancel" | "reader.cancel" };

type Operation = Feeding | Reading | Cancelling;

const count = fc.integer({ min: 1, max: 3 });

const enqueue = fc.record({ name: fc.constant("enqueue"), count });

function reading(
  preventCancel: fc.Arbitrary<boolean>,
): fc.Arbitrary<Reading> {
  const calls = fc.record({ name: fc.constantFrom("read", "next"), count });
  const readers = fc.record({
    name: fc.constantFrom("getReader", "new ReadableStreamDefaultReader"),
  });
  const others = fc.record({
    name: fc.constantFrom("values", "pipeTo"),
    preventCancel,
  });
  const leaving = fc.record({
    name: fc.constantFrom("releaseLock", "return", "stop piping"),
  });
  return fc.oneof(
    { weight: 4, arbitrary: calls },
    { weight: 2, arbitrary: readers },
    { weight: 2, arbitrary: others },
    { weight: 3, arbitrary: leaving },
  );
}

const ending = fc.record({
  name: fc.constantFrom("close", "error", "cancel", "reader.cancel"),
});

const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 3, arbitrary: enqueue },
  { weight: 12, arbitrary: reading(fc.boolean()) },
  { weight: 2, arbitrary: ending },
);

/** Runs operations on a stream and records their results. */
class Trial {
  /** The results of the operations, in the order they arrived. */
  readonly log: string[] = [];
  /** How each reader was closed: beside the last read, the order does not count. */
  readonly closings: string[] = [];
  /** The chunks received by any reader. */
  readonly received: number[] = [];
  /** The number of chunks enqueued. */
  enqueued = 0;
  readonly #feed: Feed;
  #closed = false;
  #operations = 0;
  #reader: ReadableStreamDefaultReader<number> | undefined;
  #iterator: AsyncIterableIterator<number> | undefined;
  #nexts = 0;
  #piping: AbortController | undefined;

  constructor(feed: Feed) {
    this.#feed = feed;
  }

  get locked(): boolean {
    return this.#feed.stream.locked;
  }

  /** The number of pending calls of `next()`. */
  get nexts(): number {
    return this.#nexts;
  }

  run(operation: Operation): void {
    const { stream } = this.#feed;
    const name = `${this.#operations++} ${operation.name}`;
    switch (operation.name) {
      case "enqueue":
        for (let i = 0; i < operation.count; i++) this.#enqueue();
        break;
      case "close":
        this.#close();
        break;
      case "error":
        if (!this.#closed) this.#feed.error(new EvalError("errored"));
        break;
      case "getReader":
        this.#try(name, () => this.#open(name, stream.getReader()));
        break;
      case "new ReadableStreamDefaultReader":
        this.#try(name, () => {
          this.#open(name, new ReadableStreamDefaultReader(stream));
        });
        break;
      case "read":
        for (let i = 0; i < operation.count; i++) {
          this.#record(name, this.#reader?.read());
        }
        break;
      case "releaseLock":
        this.#reader?.releaseLock();
        break;
      case "reader.cancel":
        this.#record(name, this.#reader?.cancel("cancelled"));
        break;
      case "cancel":
        this.#record(name, stream.cancel("cancelled"));
        break;
      case "values":
        this.#try(name, () => {
          this.#iterator = stream.values(operation);
          this.#nexts = 0;
        });
        break;
      case "next":
        for (let i = 0; i < operation.count; i++) this.#next(name);
        break;
      case "return":
        this.#record(name, this.#iterator?.return?.("returned"));
        break;
      case "pipeTo":
        this.#pipe(name, operation.preventCancel);
        break;
      case "stop piping":
        this.#piping?.abort(new EvalError("stopped"));
        break;
    }
  }

  /** Takes the stream from its reader and reads it to the end. */
  async finish(): Promise<void> {
    this.#piping?.abort(new EvalError("stopped"));
    await runMicrotasks();
    this.#close();
    await runMicrotasks();
    this.#reader?.releaseLock();
    await runMicrotasks();
    while (this.locked) {
      this.#next("rest");
      await runMicrotasks();
    }
    const reader = this.#feed.stream.getReader();
    let ended = false;
    const end = () => ended = true;
    while (!ended) {
      const read = reader.read();
      this.#record("rest", read);
      read.then(({ done }) => done && end(), end);
      await runMicrotasks();
    }
    this.#record("closed", reader.closed);
    await runMicrotasks();
  }

  #open(name: string, reader: ReadableStreamDefaultReader<number>): void {
    this.#reader = reader;
    const close = (result: unknown) =>
      void this.closings.push(`${name}: ${describe(result)}`);
    reader.closed.then(close, close);
  }

  #enqueue(): void {
    if (this.#closed) return;
    try {
      this.#feed.enqueue(this.enqueued++);
    } catch {
      // A broadcast outlives its branch; a plain stream throws.
    }
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      this.#feed.close();
    } catch {
      // As above.
    }
  }

  #next(name: string): void {
    const iterator = this.#iterator;
    if (iterator === undefined) return;
    this.#nexts++;
    const next = iterator.next();
    this.#record(name, next);
    const settled = () => {
      if (iterator === this.#iterator) this.#nexts--;
    };
    next.then(settled, settled);
  }

  #pipe(name: string, preventCancel: boolean): void {
    const piping = new AbortController();
    if (!this.locked) this.#piping = piping;
    const destination = new WritableStream<number>({
      write: (chunk) => {
        this.log.push(`${name} writes ${chunk}`);
        this.received.push(chunk);
      },
      close: () => {
        this.log.push(`${name} closes`);
      },
      abort: (reason) => {
        this.log.push(`${name} aborts: ${describe(reason)}`);
      },
    });
    const { signal } = piping;
    this.#record(
      name,
      this.#feed.stream.pipeTo(destination, { signal, preventCancel }),
    );
  }

  #try(name: string, action: () => void): void {
    try {
      action();
    } catch (error) {
      this.log.push(`${name}: ${describe(error)}`);
    }
  }

  #record(name: string, outcome: Promise<unknown> | undefined): void {
    outcome?.then(
      (result) => {
        this.log.push(`${name}: ${describe(result)}`);
        if (isChunk(result)) this.received.push(result.value);
      },
      (error) => this.log.push(`${name}: ${describe(error)}`),
    );
  }
}

function isChunk(result: unknown): result is IteratorYieldResult<number> {
  return typeof result === "object" && result !== null &&
    "done" in result && !result.done;
}

/** Errors by their class, since messages differ from the platform's. */
function describe(result: unknown): string {
  if (result instanceof Error) return result.name;
  if (typeof result !== "object" || result === null) return String(result);
  const { done, value } = result as IteratorResult<unknown>;
  return done ? `done ${value}` : `${value}`;
}

Deno.test("BroadcastBranch does what a plain stream of the same chunks does", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(operation, { maxLength: 24, size: "max" }),
      async (operations) => {
        const plain = new Trial(feedStream());
        const branch = new Trial(feedBranch());
        for (const operation of operations) {
          if (plain.nexts > 0) {
            // The branch differs on purpose: its return() does not wait.
            if (operation.name === "return") continue;
            // The platform may hang: it forgets its queue of calls.
            if (operation.name === "next") continue;
          }
          plain.run(operation);
          branch.run(operation);
          await runMicrotasks();
          assertEquals(branch.log, plain.log);
          assertEquals(branch.closings, plain.closings);
          assertEquals(branch.locked, plain.locked);
        }
        await plain.finish();
        await branch.finish();
        assertEquals(branch.log, plain.log);
      },
    ),
    { numRuns: 2_000 },
  );
});

Deno.test("BroadcastBranch delivers each chunk once, in order, however readers come and go", async () => {
  const step = fc.record({
    operation: fc.oneof(
      { weight: 1, arbitrary: enqueue },
      { weight: 4, arbitrary: reading(fc.constant(true)) },
    ),
    microtasks: fc.integer({ min: 0, max: 3 }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 24, size: "max" }),
      async (steps) => {
        const branch = new Trial(feedBranch());
        for (const { operation, microtasks } of steps) {
          branch.run(operation);
          for (let i = 0; i < microtasks; i++) await undefined;
          // A pipe of the platform drops chunks that arrive while it stops.
          if (operation.name === "stop piping") await runMicrotasks();
        }
        await branch.finish();
        assertEquals(
          branch.received,
          Array.from({ length: branch.enqueued }, (_, chunk) => chunk),
        );
      },
    ),
    { numRuns: 1_000 },
  );
});
