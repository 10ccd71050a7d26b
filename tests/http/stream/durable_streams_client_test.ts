import { stream } from "@durable-streams/client";
import { assertEquals } from "@std/assert";
import { delay } from "@std/async/delay";
import { startPostgresServer } from "../../../bench/postgres_server.ts";
import type { WireEvent } from "../../../src/http/mod.ts";
import { InstanceProcess } from "../../postgres/instance_process.ts";

const BACKOFF = { initialDelay: 20, maxDelay: 200, multiplier: 1.5 };

/** Reads a stream until it is closed, as users of the client do: with its offsets. */
async function read(
  url: string,
  live: false | "long-poll" | "sse",
  onEvent: (event: WireEvent) => void,
): Promise<void> {
  let offset = "-1";
  let isClosed = false;
  while (!isClosed) {
    const response = await stream<WireEvent>({
      url,
      offset,
      live,
      backoffOptions: BACKOFF,
    });
    response.subscribeJson((batch) => {
      batch.items.forEach(onEvent);
      offset = batch.offset;
      isClosed = batch.streamClosed;
    });
    try {
      await response.closed;
    } catch (error) {
      // Version 0.2.7 repeats requests, but not one whose answer has begun.
      if (!(error instanceof TypeError)) throw error;
    }
    await delay(20); // What does not wait has to ask again.
  }
}

/** Reads a stream in one mode, and tells how far it has come. */
class Reader {
  readonly seqs: number[] = [];
  readonly #marks = new Map<number, () => void>();
  last: WireEvent | undefined;
  readonly closed: Promise<void>;

  constructor(url: string, live: false | "long-poll" | "sse") {
    this.closed = read(url, live, (event) => {
      this.seqs.push(event.seq);
      this.last = event;
      this.#marks.get(event.seq)?.();
    });
  }

  /** Waits for an event. */
  async reaches(seq: number): Promise<void> {
    if (this.seqs.includes(seq)) return;
    await new Promise<void>((resolve) => this.#marks.set(seq, resolve));
  }
}

Deno.test("@durable-streams/client follows a run in each mode while its server, and then the run's instance, are killed", async () => {
  await using postgres = await startPostgresServer();
  const options = {
    url: postgres.url,
    leaseDuration: 1_500,
    renewInterval: 300,
  };
  await using owner = await InstanceProcess.start(options);
  await using first = await InstanceProcess.start({ ...options, port: 0 });
  const { port } = await first.told("ready");
  const runId = crypto.randomUUID();
  await owner.tell({ do: "run", runId, yields: 10_000, pace: 10 });
  await owner.told("began");

  const url = `http://127.0.0.1:${port}/runs/${runId}/stream`;
  const readers = [false, "long-poll", "sse"] as const;
  const reading = readers.map((live) => new Reader(url, live));
  await Promise.all(reading.map((reader) => reader.reaches(30)));
  first.kill("SIGKILL");
  await using second = await InstanceProcess.start({ ...options, port });
  await Promise.all(reading.map((reader) => reader.reaches(200)));
  owner.kill("SIGKILL");
  for (let sweeps = 1, reaped = 0; reaped === 0; sweeps++) {
    await second.tell({ do: "sweep" });
    reaped = (await second.toldTimes("swept", sweeps)).at(-1)!.reaped;
  }
  for (const reader of reading) {
    await reader.closed;
    const { seqs, last } = reader;
    assertEquals(seqs, Array.from(seqs, (_, index) => index + 1));
    assertEquals(last?.status, "PipelineRunErrored");
    assertEquals(last?.code, "lease_expired");
  }
});
