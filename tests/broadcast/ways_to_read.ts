/** Reads a stream one chunk at a time. */
export interface Reading<T> {
  /** The next chunk; call it again only after the previous one arrived. */
  next(): Promise<IteratorResult<T, undefined>>;
  /** Stops reading, even while `next()` is pending, and cancels the stream. */
  stop(reason?: unknown): Promise<void>;
}

/** A way to read a stream. */
export interface WayToRead {
  name: string;
  /** Locks the stream; with `preventCancel`, `stop()` only unlocks it. */
  open<T>(
    stream: ReadableStream<T>,
    options?: { preventCancel: boolean },
  ): Reading<T>;
}

/** The stream's own iterator, its own reader, and the platform's. */
export const WAYS_TO_READ: readonly WayToRead[] = [
  { name: "values()", open: iterate },
  { name: "getReader()", open: read },
  { name: "pipeTo()", open: pipe },
];

/** Registers a test once for each way to read. */
export function testEachWay(
  name: string,
  test: (open: WayToRead["open"]) => Promise<void>,
): void {
  for (const way of WAYS_TO_READ) {
    Deno.test(`${name}, read by ${way.name}`, () => test(way.open));
  }
}

/** Reads to the end; rejects if the stream errors. */
export async function rest<T>(reading: Reading<T>): Promise<T[]> {
  const chunks: T[] = [];
  for (;;) {
    const { done, value } = await reading.next();
    if (done) return chunks;
    chunks.push(value);
  }
}

/** Reads this many chunks; rejects if the stream ends first. */
export async function take<T>(
  reading: Reading<T>,
  count: number,
): Promise<T[]> {
  const chunks: T[] = [];
  while (chunks.length < count) {
    const { done, value } = await reading.next();
    if (done) throw new Error(`Stream ended after ${chunks.length} chunks`);
    chunks.push(value);
  }
  return chunks;
}

function iterate<T>(
  stream: ReadableStream<T>,
  options = { preventCancel: false },
): Reading<T> {
  const iterator = stream.values(options);
  return {
    next: () => iterator.next(),
    stop: async (reason) => {
      await iterator.return!(reason);
    },
  };
}

function read<T>(
  stream: ReadableStream<T>,
  { preventCancel } = { preventCancel: false },
): Reading<T> {
  const reader = stream.getReader();
  return {
    next: () => reader.read() as Promise<IteratorResult<T, undefined>>,
    async stop(reason) {
      const cancelled = preventCancel ? undefined : reader.cancel(reason);
      reader.releaseLock();
      await cancelled;
    },
  };
}

/** Each write waits until the next chunk is requested, so none is read ahead. */
function pipe<T>(
  stream: ReadableStream<T>,
  { preventCancel } = { preventCancel: false },
): Reading<T> {
  const stopping = new AbortController();
  const { signal } = stopping;
  let asked = Promise.withResolvers<void>();
  let answer: PromiseWithResolvers<IteratorResult<T, undefined>>;
  const destination = new WritableStream<T>({
    write(chunk) {
      asked = Promise.withResolvers();
      answer.resolve({ done: false, value: chunk });
      if (!signal.aborted) return asked.promise;
    },
  }, { highWaterMark: 1 });
  let piping: Promise<void> | undefined;
  return {
    next() {
      answer = Promise.withResolvers();
      const { promise, resolve, reject } = answer;
      asked.resolve();
      piping ??= stream.pipeTo(destination, { signal, preventCancel });
      piping.then(() => resolve({ done: true, value: undefined }), (error) => {
        if (signal.aborted) resolve({ done: true, value: undefined });
        else reject(error);
      });
      return promise;
    },
    async stop(reason) {
      if (piping !== undefined) {
        stopping.abort(reason);
        asked.resolve();
        await piping.catch(() => {});
      } else if (!preventCancel) await stream.cancel(reason);
    },
  };
}
