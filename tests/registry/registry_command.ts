import type fc from "fast-check";
import type { RegistryModel } from "./registry_model.ts";
import type { RegistryTrial } from "./registry_trial.ts";

/** One step of a sequence, printed as a call. */
export type RegistryCommand = fc.AsyncCommand<RegistryModel, RegistryTrial>;

/** Commands of one name; each is followed by a comparison of everything. */
export function commandsOf<A>(
  name: string,
  argument: fc.Arbitrary<A>,
  run: (
    argument: A,
    model: RegistryModel,
    trial: RegistryTrial,
  ) => void | Promise<void>,
): fc.Arbitrary<RegistryCommand> {
  return argument.map((argument) => ({
    check: () => true,
    async run(model, trial): Promise<void> {
      model.step++;
      await run(argument, model, trial);
      await trial.check();
    },
    toString: () => `${name}(${show(argument)})`,
  }));
}

function show(argument: unknown): string {
  return argument === undefined ? "" : JSON.stringify(argument);
}

/** One of several, if there is one. */
export function pick<T>(all: readonly T[], which: number): T | undefined {
  return all[which % all.length];
}
