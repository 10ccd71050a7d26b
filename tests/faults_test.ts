import { assertEquals } from "@std/assert";

/** The faults and bad inputs, numbered from 1, that tests are marked with. */
const FAULTS = [
  "a reader that is too slow",
  "lag at the end of a run",
  "subscribing to a run that has ended",
  "subscribing while the run is registered",
  "cancelling a stream while an event is published",
  "an onWarning that throws",
  "many registrations at once",
  "eviction while the run is registered again",
  "options that are zero, negative, fractional, NaN or infinite",
  "the memory of 100,000 runs",
  "abort before the work begins",
  "abort while the run completes",
  "abort twice",
  "work that ignores its signal",
  "work that never yields the event loop",
  "an inline caller that has left",
  "work that throws what is no error",
  "Postgres killed at each transition",
  "an answer that is lost after the commit",
  "Postgres frozen",
  "a pool without a free connection",
  "a server that refuses connections",
  "errors of the server that pass, and those that do not",
  "notifications that get lost",
  "a listener whose connection is half open",
  "a parameter that the driver fails to serialize",
  "a connection that is lost in a transaction",
  "a database that is read-only or full",
  "a table that lacks a column",
  "text that Postgres cannot store",
  "the owner of a run killed",
  "the owner of a run frozen for longer than its lease",
  "many instances that start at once",
  "one run id on two instances",
  "subscribing on another instance",
  "aborting on another instance",
  "clocks that differ",
  "sweeps everywhere at once",
  "run ids in other spellings, or none at all",
  "a flood of subscriptions",
  "payloads that are too large, too deep or throw",
  "hostile error messages",
  "line breaks and field names in event data",
  "a Last-Event-ID that makes no sense",
  "the run of another tenant",
  "registering during the shutdown",
  "finished runs at the shutdown",
  "a shutdown while the database is away",
];

/** The mark in the name of a test, or a comment that says why there is no test. */
const MARK = /\(fault (\d+)\)|\/\/.*\bfault (\d+)\b/g;

/** The sources of the tests, but for this one. */
async function* testSources(folder: URL): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) yield* testSources(new URL(`${name}/`, folder));
    const isTest = name.endsWith("_test.ts") || name.endsWith("_contract.ts");
    if (!isTest || name === "faults_test.ts") continue;
    yield await Deno.readTextFile(new URL(name, folder));
  }
}

Deno.test("tests show what comes of each numbered fault", async () => {
  const shown = new Set<number>();
  for await (const text of testSources(new URL("./", import.meta.url))) {
    for (const [, test, comment] of text.matchAll(MARK)) {
      shown.add(Number(test ?? comment));
    }
  }
  assertEquals(FAULTS.filter((_, index) => !shown.has(index + 1)), []);
  assertEquals([...shown].filter((number) => number > FAULTS.length), []);
});
