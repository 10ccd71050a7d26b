import { assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  MemoryPipelineRunRepository,
  PipelineRunRegistry,
  type PipelineRunRegistryOptions,
} from "../../mod.ts";
import { runMicrotasks } from "../assert_pending.ts";
import { noop, SPEC } from "../known_run.ts";
import { MOD, runChildProcess } from "../child_process.ts";
import { recordWarnings } from "./recorded_warnings.ts";

const MINUTE = 60_000;

/** A registry with one finished run, which is evicted when it is swept. */
async function openRegistry(options: PipelineRunRegistryOptions = {}) {
  const registry = new PipelineRunRegistry({
    finishedRetention: 0,
    ...options,
  });
  const { runId } = await registry.registerInline(SPEC, noop);
  return {
    registry,
    get isSwept() {
      return registry.snapshotStatus(runId) === undefined;
    },
    async [Symbol.asyncDispose]() {
      await registry.shutdown();
    },
  };
}

type Cron = (
  name: string,
  schedule: string,
  options: { signal: AbortSignal; backoffSchedule: number[] },
  handler: () => Promise<void>,
) => Promise<void>;

/** Replaces `Deno.cron`; `undefined` removes it. */
function replaceCron(cron: Cron | undefined): Disposable {
  const present = Object.getOwnPropertyDescriptor(Deno, "cron");
  Object.defineProperty(Deno, "cron", { value: cron, configurable: true });
  return {
    [Symbol.dispose]() {
      if (present === undefined) delete (Deno as { cron?: unknown }).cron;
      else Object.defineProperty(Deno, "cron", present);
    },
  };
}

/** A `Deno.cron` that a test fires by hand. */
function fakeCron() {
  const crons: {
    name: string;
    schedule: string;
    signal: AbortSignal;
    backoffSchedule: number[];
    fire: () => Promise<void>;
  }[] = [];
  const replaced = replaceCron((name, schedule, options, fire) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    options.signal.addEventListener("abort", () => resolve());
    crons.push({ name, schedule, ...options, fire });
    return promise;
  });
  return { crons, [Symbol.dispose]: () => replaced[Symbol.dispose]() };
}

Deno.test("PipelineRunRegistry is swept every minute by a timer if Deno.cron is missing", async () => {
  using _cron = replaceCron(undefined);
  using time = new FakeTime();
  await using opened = await openRegistry();
  time.tick(MINUTE - 1);
  assertEquals(opened.isSwept, false);
  time.tick(1);
  assertEquals(opened.isSwept, true);
  const { runId } = await opened.registry.registerInline(SPEC, noop);
  time.tick(MINUTE);
  assertEquals(opened.registry.snapshotStatus(runId), undefined);
});

Deno.test("PipelineRunRegistryOptions.sweeps leaves sweeping to the caller", async () => {
  using _cron = replaceCron(undefined);
  using time = new FakeTime();
  await using swept = await openRegistry();
  await using opened = await openRegistry({ sweeps: false });
  time.tick(MINUTE);
  assertEquals([swept.isSwept, opened.isSwept], [true, false]);
  await opened.registry.sweep();
  assertEquals(opened.isSwept, true);
});

Deno.test("PipelineRunRegistry is swept by one timer together with all others", async () => {
  using _cron = replaceCron(undefined);
  using time = new FakeTime();
  await using first = await openRegistry();
  time.tick(MINUTE / 2);
  await using second = await openRegistry();
  time.tick(MINUTE / 2);
  assertEquals([first.isSwept, second.isSwept], [true, true]);
});

Deno.test("PipelineRunRegistry.shutdown() keeps the timer for the other registries", async () => {
  using _cron = replaceCron(undefined);
  using time = new FakeTime();
  const first = await openRegistry();
  const second = await openRegistry();
  await first.registry.shutdown();
  time.tick(MINUTE);
  assertEquals([first.isSwept, second.isSwept], [false, true]);
  await second.registry.shutdown();
});

Deno.test("PipelineRunRegistry.shutdown() of the last registry leaves no timer", async () => {
  using _cron = replaceCron(undefined);
  const first = await openRegistry();
  const second = await openRegistry();
  await first.registry.shutdown();
  await second.registry.shutdown();
});

Deno.test("PipelineRunRegistry is swept even if created after the last one was shut down", async () => {
  using _cron = replaceCron(undefined);
  using time = new FakeTime();
  const first = await openRegistry();
  await first.registry.shutdown();
  await using second = await openRegistry();
  time.tick(MINUTE);
  assertEquals(second.isSwept, true);
});

Deno.test("PipelineRunRegistry is swept by one Deno.cron together with all others", async () => {
  using cron = fakeCron();
  await using first = await openRegistry();
  await using second = await openRegistry();
  const [{ name, schedule, backoffSchedule, fire }, ...rest] = cron.crons;
  assertEquals(
    { name, schedule, backoffSchedule },
    {
      name: "pipeline-run-retention",
      schedule: "* * * * *",
      backoffSchedule: [],
    },
  );
  assertEquals(rest, []);
  await fire();
  assertEquals([first.isSwept, second.isSwept], [true, true]);
});

Deno.test("PipelineRunRegistry starts no timer if Deno.cron exists", async () => {
  using _cron = fakeCron();
  using time = new FakeTime();
  await using opened = await openRegistry({ clock: () => 0 });
  time.tick(2 * MINUTE);
  assertEquals(opened.isSwept, false);
});

Deno.test("PipelineRunRegistry.shutdown() ends Deno.cron with the last registry", async () => {
  using cron = fakeCron();
  const first = await openRegistry();
  const second = await openRegistry();
  await first.registry.shutdown();
  assertEquals(cron.crons.map(({ signal }) => signal.aborted), [false]);
  await second.registry.shutdown();
  assertEquals(cron.crons.map(({ signal }) => signal.aborted), [true]);
  await using _third = await openRegistry();
  assertEquals(
    cron.crons.map(({ signal }) => signal.aborted),
    [true, false],
  );
});

Deno.test("PipelineRunRegistry is not swept when Deno.cron fires after shutdown()", async () => {
  using cron = fakeCron();
  const opened = await openRegistry();
  await opened.registry.shutdown();
  await cron.crons[0].fire();
  assertEquals(opened.isSwept, false);
});

const REFUSALS: Record<string, (cause: unknown) => Cron> = {
  "throws": (cause) => () => {
    throw cause;
  },
  "rejects": (cause) => () => Promise.reject(cause),
};
for (const [name, refuse] of Object.entries(REFUSALS)) {
  Deno.test(`PipelineRunRegistry warns and is swept by a timer when Deno.cron ${name}`, async () => {
    const cause = new TypeError("refused");
    using _cron = replaceCron(refuse(cause));
    using time = new FakeTime();
    const { warnings, onWarning } = recordWarnings();
    await using opened = await openRegistry({ onWarning });
    await runMicrotasks();
    assertEquals(
      warnings.map(({ kind, cause }) => ({ kind, cause })),
      [{ kind: "retention", cause }],
    );
    time.tick(MINUTE);
    assertEquals(opened.isSwept, true);
  });
}

Deno.test("PipelineRunRegistry.shutdown() ends the timer that replaces Deno.cron", async () => {
  using _cron = replaceCron(() => Promise.reject(new TypeError("refused")));
  const opened = await openRegistry({ onWarning: noop });
  await runMicrotasks();
  await opened.registry.shutdown();
});

Deno.test("PipelineRunRegistry does not warn of a Deno.cron that rejects when it is ended", async () => {
  using _cron = replaceCron((_name, _schedule, { signal }) =>
    new Promise((_, reject) =>
      signal.addEventListener("abort", () => reject(signal.reason))
    )
  );
  const { warnings, onWarning } = recordWarnings();
  const opened = await openRegistry({ onWarning });
  await opened.registry.shutdown();
  await runMicrotasks();
  assertEquals(warnings, []);
});

/** Ends a child process that does not end by itself, without keeping it alive. */
const WATCHDOG = `
  Deno.unrefTimer(setTimeout(() => {
    console.error("The process did not end by itself");
    Deno.exit(1);
  }, 20_000));
`;

Deno.test("PipelineRunRegistry is swept by the genuine Deno.cron, and shutdown() lets the process end", async () => {
  const { stdout, stderr } = await runChildProcess(
    `
      import { PipelineRunRegistry } from "${MOD}";
      ${WATCHDOG}
      const swept = Promise.withResolvers();
      class WatchedRegistry extends PipelineRunRegistry {
        async sweep() {
          const report = await super.sweep();
          swept.resolve(report);
          return report;
        }
      }
      const registry = new WatchedRegistry({ finishedRetention: 0 });
      await registry.registerInline({ pipelineName: "ingest" }, () => {});
      console.log(JSON.stringify(await swept.promise));
      await registry.shutdown();
    `,
    {
      flags: ["--unstable-cron"],
      env: { DENO_CRON_TEST_SCHEDULE_OFFSET: "50" },
    },
  );
  assertEquals(stdout, '{"evicted":1,"reaped":0,"pruned":0}\n');
  assertEquals(stderr, "");
});

Deno.test("PipelineRunRegistry can be created again after the genuine Deno.cron was ended", async () => {
  const { stdout } = await runChildProcess(
    `
      import { PipelineRunRegistry } from "${MOD}";
      ${WATCHDOG}
      const onWarning = ({ message }) => console.log(message);
      for (let i = 0; i < 3; i++) {
        await using registry = new PipelineRunRegistry({ onWarning });
        await registry.sweep();
      }
      console.log("ended");
    `,
    { flags: ["--unstable-cron"] },
  );
  assertEquals(stdout, "ended\n");
});

Deno.test("PipelineRunRegistry falls back to a timer when the genuine Deno.cron refuses", async () => {
  const { stdout } = await runChildProcess(
    `
      import { PipelineRunRegistry } from "${MOD}";
      ${WATCHDOG}
      const controller = new AbortController();
      const { signal } = controller;
      Deno.cron("pipeline-run-retention", "* * * * *", { signal }, () => {});
      const intervals = [];
      globalThis.setInterval = (_, period) => intervals.push(period);
      const registry = new PipelineRunRegistry({
        onWarning: ({ kind }) => console.log(kind),
      });
      await registry.sweep();
      console.log(JSON.stringify(intervals));
      await registry.shutdown();
      controller.abort();
    `,
    { flags: ["--unstable-cron"] },
  );
  assertEquals(stdout, "retention\n[60000]\n");
});

Deno.test("PipelineRunRegistry's timer does not keep the process alive", async () => {
  const { stdout } = await runChildProcess(`
    import { PipelineRunRegistry } from "${MOD}";
    ${WATCHDOG}
    new PipelineRunRegistry();
    console.log("made");
  `);
  assertEquals(stdout, "made\n");
});

Deno.test("mod.ts registers nothing when it is imported", async () => {
  const { stdout } = await runChildProcess(
    `
      ${WATCHDOG}
      const made = [];
      for (const name of ["setTimeout", "setInterval"]) {
        globalThis[name] = () => made.push(name);
      }
      const cron = Deno.cron;
      Object.defineProperty(Deno, "cron", { value: () => made.push("cron") });
      await import("${MOD}");
      console.log(typeof cron, JSON.stringify(made));
    `,
    { flags: ["--unstable-cron"] },
  );
  assertEquals(stdout, "function []\n");
});

Deno.test("PipelineRunRegistry.shutdown() keeps a sweep that it disturbs from warning", async () => {
  using cron = fakeCron();
  const { warnings, onWarning } = recordWarnings();
  const { promise, reject } = Promise.withResolvers<number>();
  const repository = new MemoryPipelineRunRepository();
  const registry = new PipelineRunRegistry({
    repository: Object.assign(repository, { prune: () => promise }),
    onWarning,
  });
  const fired = cron.crons[0].fire();
  await runMicrotasks();
  await registry.shutdown();
  reject(new Error("closed"));
  await fired;
  assertEquals(warnings, []);
});
