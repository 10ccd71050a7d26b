import { assertEquals } from "@std/assert";
import {
  type EventRow,
  READ_ENDING,
  READ_EVENTS,
} from "../../src/postgres/sql/events.ts";
import { RunTables } from "./run_tables.ts";

interface Bounds {
  maxEvents?: number;
  maxBytes?: number;
}

/**
 * What a reader of a run is told: the events by number and kind, none if it has
 * ended, or that it is to wait.
 */
async function read(
  tables: RunTables,
  runId: string,
  after?: number,
  { maxEvents = 100, maxBytes = 1_000 }: Bounds = {},
): Promise<string[] | "wait"> {
  const readers = JSON.stringify([{ runId, after }]);
  const values = { readers, maxEvents, maxBytes };
  const news = await tables.execute(READ_EVENTS, values) as {
    runId: string;
    after: number | null;
    events: EventRow[];
  }[];
  if (news.length === 0) return "wait";
  assertEquals(news.length, 1);
  assertEquals([news[0].runId, news[0].after], [runId, after ?? null]);
  return news[0].events.map(([seq, kind]) => `${seq} ${kind}`);
}

async function readEnding(
  tables: RunTables,
  runId: string,
  from: number,
): Promise<string | undefined> {
  const [row] = await tables.execute(READ_ENDING, {
    runId,
    from,
  }) as EventRow[];
  return row && `${row[0]} ${row[1]}`;
}

Deno.test("READ_EVENTS gives the events after the reader's position, in order", async () => {
  await using tables = await RunTables.open();
  await tables.addOther();
  const runId = await tables.addTwoAttempts();
  assertEquals(await read(tables, runId, 2), [
    "3 Started",
    "4 Yield",
    "5 Errored",
  ]);
  assertEquals(await read(tables, runId, 4), ["5 Errored"]);
});

Deno.test("READ_EVENTS begins with the newest attempt", async () => {
  await using tables = await RunTables.open();
  await tables.addOther();
  const runId = await tables.addTwoAttempts();
  const attempt = ["3 Started", "4 Yield", "5 Errored"];
  assertEquals(await read(tables, runId), attempt);
  await tables.addLease({ runId, firstSeq: 3, lastSeq: 5, ended: true });
  assertEquals(await read(tables, runId), attempt);
});

Deno.test("READ_EVENTS begins with what is left of a pruned run", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  await tables.addEvents({ runId, seq: 4, kind: "Completed" });
  assertEquals(await read(tables, runId), ["4 Completed"]);
});

Deno.test("READ_EVENTS waits for a live attempt that has no event yet", async () => {
  await using tables = await RunTables.open();
  await tables.addOther();
  const runId = await tables.addTwoAttempts();
  await tables.addRow({ runId, status: "ERRORED" });
  await tables.addLease({ runId, firstSeq: 6, lastSeq: 5 });
  assertEquals(await read(tables, runId), "wait");
  assertEquals(await read(tables, runId, 5), "wait");
});

Deno.test("READ_EVENTS begins with the last attempt that began if a newer one was given up", async () => {
  await using tables = await RunTables.open();
  const runId = await tables.addTwoAttempts();
  await tables.addLease({ runId, firstSeq: 6, lastSeq: 5, ended: true });
  assertEquals(await read(tables, runId), [
    "3 Started",
    "4 Yield",
    "5 Errored",
  ]);
});

Deno.test("READ_EVENTS begins with an attempt of one event", async () => {
  await using tables = await RunTables.open();
  const runId = await tables.addTwoAttempts();
  await tables.addEvents({ runId, seq: 6, kind: "Errored", message: "reaped" });
  await tables.addLease({ runId, firstSeq: 6, lastSeq: 6, ended: true });
  assertEquals(await read(tables, runId), ["6 Errored"]);
});

Deno.test("READ_EVENTS gives as many events as asked for, the first ones", async () => {
  await using tables = await RunTables.open();
  const runId = await tables.addTwoAttempts();
  assertEquals(await read(tables, runId, 0, { maxEvents: 2 }), [
    "1 Started",
    "2 Completed",
  ]);
});

Deno.test("READ_EVENTS bounds the lengths of the payloads but for the last one", async () => {
  await using tables = await RunTables.open();
  const runId = crypto.randomUUID();
  await tables.addEvents(
    ...[1, 2, 3, 4, 5].map((seq) => ({
      runId,
      seq,
      kind: "Yield" as const,
      length: 40,
    })),
  );
  const seqs = async (maxBytes: number) =>
    (await read(tables, runId, 0, { maxBytes }) as string[]).length;
  assertEquals(await seqs(1), 1);
  assertEquals(await seqs(40), 1);
  assertEquals(await seqs(41), 2);
  assertEquals(await seqs(100), 3);
  assertEquals(await seqs(1_000), 5);
});

for (const kind of ["Completed", "Errored"] as const) {
  Deno.test(`READ_EVENTS tells who has read ${kind} that the run has ended`, async () => {
    await using tables = await RunTables.open();
    const runId = crypto.randomUUID();
    await tables.addEvents(
      { runId, seq: 1, kind: "Started" },
      { runId, seq: 2, kind },
    );
    assertEquals(await read(tables, runId, 2), []);
    await tables.addLease({ runId, lastSeq: 2, ended: true });
    assertEquals(await read(tables, runId, 2), []);
  });
}

Deno.test("READ_EVENTS lets readers wait for a run that goes on", async () => {
  await using tables = await RunTables.open();
  await tables.addOther();
  const runId = await tables.addTwoAttempts();
  await tables.addEvents({ runId, seq: 6, kind: "Started" });
  assertEquals(await read(tables, runId, 6), "wait");
  // A row alone ends no run that has events.
  await tables.addRow({ runId, status: "COMPLETED" });
  assertEquals(await read(tables, runId, 6), "wait");
});

Deno.test("READ_EVENTS lets readers wait for a run that nobody knows", async () => {
  await using tables = await RunTables.open();
  await tables.addOther();
  assertEquals(await read(tables, crypto.randomUUID()), "wait");
  assertEquals(await read(tables, crypto.randomUUID(), 7), "wait");
});

Deno.test("READ_EVENTS lets readers wait for the next attempt that is claimed", async () => {
  await using tables = await RunTables.open();
  const runId = await tables.addTwoAttempts();
  await tables.addLease({ runId, firstSeq: 6, lastSeq: 5 });
  assertEquals(await read(tables, runId, 5), "wait");
});

Deno.test("READ_EVENTS tells by the newest row that a pruned run has ended", async () => {
  await using tables = await RunTables.open();
  await tables.addOther();
  const [ended, again] = [crypto.randomUUID(), crypto.randomUUID()];
  await tables.addRow({ runId: ended, status: "STARTED", writtenIn: 1 });
  await tables.addRow({ runId: ended, status: "COMPLETED", writtenIn: 2 });
  await tables.addRow({ runId: again, status: "COMPLETED", writtenIn: 1 });
  await tables.addRow({ runId: again, status: "STARTED", writtenIn: 2 });
  assertEquals(await read(tables, ended), []);
  assertEquals(await read(tables, again), "wait");
});

Deno.test("READ_ENDING gives the first ending from an event on", async () => {
  await using tables = await RunTables.open();
  const runId = await tables.addTwoAttempts();
  const otherId = crypto.randomUUID();
  await tables.addEvents({ runId: otherId, seq: 1, kind: "Errored" });
  assertEquals(await readEnding(tables, runId, 1), "2 Completed");
  assertEquals(await readEnding(tables, runId, 2), "2 Completed");
  assertEquals(await readEnding(tables, runId, 3), "5 Errored");
  assertEquals(await readEnding(tables, runId, 6), undefined);
});

for (const kind of ["Started", "Yield", "AlreadyCompleted"] as const) {
  Deno.test(`READ_ENDING does not take ${kind} for an ending`, async () => {
    await using tables = await RunTables.open();
    const runId = crypto.randomUUID();
    await tables.addEvents({ runId, seq: 1, kind });
    assertEquals(await readEnding(tables, runId, 1), undefined);
  });
}
