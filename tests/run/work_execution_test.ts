import { assertEquals } from "@std/assert";
import {
  MemoryPipelineRunRepository,
  PipelineRunRegistry,
  type PipelineWork,
} from "../../mod.ts";
import {
  ControlledRepository,
  statuses,
} from "../repository/controlled_repository.ts";
import {
  eventsOf,
  kindsOf,
  KNOWN,
  RUN_ID,
  SPEC,
  UNSHOWABLE,
} from "../known_run.ts";
import { payloadOf } from "../payload_of.ts";

const ITERABLES: Record<string, () => AsyncIterable<number>> = {
  "an async generator": async function* () {
    yield 1;
    await null;
    yield 2;
  },
  "a ReadableStream": () => ReadableStream.from([1, 2]),
  "an iterable without return()": () => ({
    [Symbol.asyncIterator]: () => {
      let value = 0;
      return {
        next: () => Promise.resolve({ done: value === 2, value: ++value }),
      };
    },
  }),
};
for (const [name, work] of Object.entries(ITERABLES)) {
  Deno.test(`PipelineRunRegistry.registerInline() publishes every value of ${name}`, async () => {
    await using registry = new PipelineRunRegistry();
    await registry.registerInline(KNOWN, work);
    const events = await eventsOf(registry, RUN_ID);
    assertEquals(
      events.map((event) => [event.kind, payloadOf(event)]),
      [["Started", null], ["Yield", 1], ["Yield", 2], ["Completed", null]],
    );
  });
}

for (const result of [undefined, null, 7, "text"]) {
  Deno.test(`PipelineRunRegistry.registerInline() ends a run whose iterator gives ${result} instead of an object`, async () => {
    await using registry = new PipelineRunRegistry();
    const work = () => ({
      [Symbol.asyncIterator]: () => ({ next: () => result }),
    });
    const { phase } = await registry.registerInline(
      KNOWN,
      work as unknown as PipelineWork<number>,
    );
    assertEquals(phase, {
      name: "Errored",
      code: "work",
      errorName: "TypeError",
      message: `Iterator result ${result} is not an object`,
    });
    assertEquals(await kindsOf(registry, RUN_ID), ["Started", "Errored"]);
  });
}

const FAILURES: Record<string, PipelineWork<number>> = {
  "plain work that throws": () => {
    throw new Error("boom");
  },
  "async work that rejects": () => Promise.reject(new Error("boom")),
  "a generator that throws": async function* () {
    yield 1;
    throw new Error("boom");
  },
  "a stream that errors": () =>
    new ReadableStream({
      pull: (controller) => controller.error(new Error("boom")),
    }),
  "an iterable that gives no iterator": () => ({
    [Symbol.asyncIterator]() {
      throw new Error("boom");
    },
  }),
  "a thenable that throws": () => ({
    then() {
      throw new Error("boom");
    },
  }),
};
for (const [name, work] of Object.entries(FAILURES)) {
  Deno.test(`PipelineRunRegistry.registerInline() gives an Errored phase for ${name}`, async () => {
    await using registry = new PipelineRunRegistry();
    const { phase } = await registry.registerInline(KNOWN, work);
    assertEquals(phase, { name: "Errored", code: "work", message: "boom" });
  });
}

Deno.test("PipelineRunRegistry.registerInline() keeps the values that a generator yielded before it threw", async () => {
  await using registry = new PipelineRunRegistry();
  await registry.registerInline(KNOWN, FAILURES["a generator that throws"]);
  assertEquals(await kindsOf(registry, RUN_ID), [
    "Started",
    "Yield",
    "Errored",
  ]);
});

const unreadable = Object.defineProperty(new Error(), "message", {
  get() {
    throw new Error("from the getter");
  },
});
const THROWN: [string, unknown, string][] = [
  ["an Error", new TypeError("boom"), "boom"],
  ["an Error without a message", new TypeError(), "TypeError"],
  ["an Error with an unreadable message", unreadable, UNSHOWABLE],
  ["a string", "boom", "boom"],
  ["an empty string", "", ""],
  ["undefined", undefined, "undefined"],
  ["null", null, "null"],
  ["a symbol", Symbol("boom"), "Symbol(boom)"],
  ["an object without a prototype", Object.create(null), UNSHOWABLE],
  [
    "an object whose toString() throws",
    {
      toString() {
        throw new Error("from toString");
      },
    },
    UNSHOWABLE,
  ],
  [
    "a proxy that throws at every touch",
    new Proxy({}, {
      get() {
        throw new Error("from get");
      },
      getPrototypeOf() {
        throw new Error("from getPrototypeOf");
      },
    }),
    UNSHOWABLE,
  ],
];
for (const [name, thrown, message] of THROWN) {
  Deno.test(`PipelineRunRegistry.registerInline() gives a message for work that throws ${name} (fault 17)`, async () => {
    await using registry = new PipelineRunRegistry();
    const { phase } = await registry.registerInline(KNOWN, () => {
      throw thrown;
    });
    const named = name.endsWith("Error") || name.endsWith("a message")
      ? { errorName: "TypeError" }
      : {};
    assertEquals({ ...phase }, {
      name: "Errored",
      code: "work",
      message,
      ...named,
    });
  });
}

Deno.test("PipelineRunRegistry.registerInline() truncates a message that is too long (fault 42)", async () => {
  await using registry = new PipelineRunRegistry();
  const { phase } = await registry.registerInline(SPEC, () => {
    throw new Error("🎒".repeat(10_000));
  });
  const message = phase.name === "Errored" ? phase.message : "";
  assertEquals(message, "🎒".repeat(5_000) + "…");
});

Deno.test("PipelineRunRegistry.registerInline() replaces characters in a message that a database cannot store (fault 42)", async () => {
  const repository = new MemoryPipelineRunRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const { phase } = await registry.registerInline(KNOWN, () => {
    throw new Error("a\0b\ud800c");
  });
  const message = "a\ufffdb\ufffdc";
  assertEquals(phase, { name: "Errored", code: "work", message });
  assertEquals((await repository.getPipelineRun(RUN_ID))?.runInfo, {
    data: "None",
    error: message,
  });
});

Deno.test("PipelineRunRegistry.registerInline() does not fire the signal of work that completes", async () => {
  await using registry = new PipelineRunRegistry();
  let signal!: AbortSignal;
  await registry.registerInline(SPEC, (run) => {
    signal = run.signal;
  });
  assertEquals(signal.aborted, false);
});

Deno.test("PipelineRunRegistry.registerBackground() writes an ERRORED row for work that throws undefined (fault 17)", async () => {
  const repository = new ControlledRepository();
  await using registry = new PipelineRunRegistry({ repository });
  const { outcome } = await registry.registerBackground(KNOWN, () => {
    throw undefined;
  });
  await outcome;
  assertEquals(await statuses(repository, RUN_ID), ["STARTED", "ERRORED"]);
});
