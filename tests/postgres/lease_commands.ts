import fc from "fast-check";
import { type Fault, FAULTY_STATEMENTS } from "./faulty_client.ts";
import { isOpen } from "./leased_attempt.ts";
import type { LeaseTrial } from "./lease_trial.ts";

/** One step of a sequence, printed as a call. */
export type LeaseCommand = fc.AsyncCommand<Record<never, never>, LeaseTrial>;

/** Commands of one name; each is followed by a look at the tables. */
function commandsOf<A>(
  name: string,
  argument: fc.Arbitrary<A>,
  run: (argument: A, trial: LeaseTrial) => void | Promise<void>,
): fc.Arbitrary<LeaseCommand> {
  return argument.map((argument) => ({
    check: () => true,
    async run(_model, trial): Promise<void> {
      await run(argument, trial);
      await trial.check();
    },
    toString: () => `${name}(${JSON.stringify(argument)})`,
  }));
}

const on = fc.constantFrom(0, 1);
const run = fc.constantFrom(0, 0, 0, 1);
const target = fc.record({ on, run });
const fault: fc.Arbitrary<Fault> = fc.constantFrom(
  ...["late", "late", "stray", "stray", "lose", "miss"] as const,
  ...["delay", "break", "break", "refuse", "refuse"] as const,
);

const plan = commandsOf(
  "plan",
  fc.record({
    on,
    name: fc.constantFrom(
      ...["claim", "claim", "claim", "claim"] as const,
      ...["write steps", "write steps again"] as const,
      ...FAULTY_STATEMENTS,
    ),
    fault,
  }),
  ({ on, name, fault }, { instances }) => {
    // Rows that are refused for good are no part of this, nor leases left to expire.
    const isFinal = fault === "break" || fault === "refuse";
    const isBad = isFinal && (name.startsWith("write") || name === "release");
    const { client } = instances[on];
    // Only what may be written is written again.
    if (name === "write steps again") client.plan("write steps", "lose");
    client.plan(name, isBad ? "lose" : fault);
  },
);

const register = commandsOf(
  "register",
  target,
  ({ on, run }, trial) => trial.register(trial.instances[on], trial.ids[run]),
);

const publish = commandsOf("publish", run, (run, { attempts, ids }) => {
  for (const { context, runId } of attempts) {
    if (runId === ids[run]) context?.publish("step");
  }
});

const publishTwice = commandsOf("publish twice", run, async (run, trial) => {
  const attempt = trial.attempts.findLast((each) =>
    each.runId === trial.ids[run] && each.context !== undefined &&
    isOpen(each)
  );
  if (attempt !== undefined) await trial.publishTwice(attempt);
});

const settle = commandsOf(
  "settle",
  fc.record({ run, error: fc.boolean(), yields: fc.nat(2) }),
  async ({ run, error, yields }, trial) => {
    const attempt = trial.attempts.findLast((each) =>
      each.runId === trial.ids[run] && each.context !== undefined &&
      each.told === "work"
    );
    if (attempt === undefined) return;
    for (let i = 0; i < yields; i++) attempt.context!.publish(i);
    attempt.told = error ? "throw" : "complete";
    if (error) attempt.work.reject(new Error("broken"));
    else attempt.work.resolve();
    await trial.ended(attempt);
  },
);

const abort = commandsOf("abort", target, async ({ on, run }, trial) => {
  const runId = trial.ids[run];
  trial.aborted.add(runId);
  const instance = trial.instances[on];
  await trial.track(instance, instance.registry.abort(runId, "enough"));
});

const expire = commandsOf(
  "expire",
  run,
  (run, trial) => trial.expire(trial.ids[run]),
);

const sweep = commandsOf(
  "sweep",
  on,
  (on, trial) => trial.sweep(trial.instances[on]),
);

const freeze = commandsOf(
  "freeze",
  fc.record({ on, isFrozen: fc.constantFrom(false, false, true) }),
  async ({ on, isFrozen }, { instances }) => {
    const { client } = instances[on];
    if (isFrozen) await client.freeze();
    else client.thaw();
  },
);

const takeOver = commandsOf(
  "take over",
  fc.record({ on, run, by: fc.constantFrom("sweep", "register") }),
  ({ on, run, by }, trial) =>
    trial.takeOver(trial.instances[on], trial.ids[run], by),
);

const arrive = commandsOf("arrive", on, async (on, { instances }) => {
  await instances[on].client.arrive();
});

/** All commands, each as often as it is useful. */
export const LEASE_COMMANDS: fc.Arbitrary<LeaseCommand>[] = [
  ...[plan, plan, plan, plan, register, register, register, register],
  ...[publish, publishTwice, settle, settle, abort, expire, sweep, sweep],
  ...[takeOver, takeOver, freeze, freeze, arrive, arrive],
];
