import fc from "fast-check";
import { registryPipelineId } from "../../src/model/ids.ts";
import { SPEC } from "../known_run.ts";
import { REGISTRY_COMMANDS } from "./registry_commands.ts";
import { RegistryModel, type TrialOptions } from "./registry_model.ts";
import { RegistryTrial } from "./registry_trial.ts";

const options: fc.Arbitrary<TrialOptions> = fc.record({
  maxInMemoryRuns: fc.integer({ min: 1, max: 4 }),
  maxAwaitedSubscriptions: fc.integer({ min: 1, max: 3 }),
  channelCapacity: fc.integer({ min: 1, max: 4 }),
  finishedRetention: fc.constantFrom(Infinity, 1_000, 0),
  yieldThrottle: fc.constantFrom(0, 73),
  abortWritesErroredRow: fc.boolean(),
});

Deno.test("PipelineRunRegistry keeps its contract in any sequence of calls, whatever the repository answers", async () => {
  // Remembered from here on, so that runs begin within microtasks.
  await registryPipelineId(SPEC.pipelineName);
  await fc.assert(
    fc.asyncProperty(
      options,
      fc.commands(REGISTRY_COMMANDS, { maxCommands: 40, size: "max" }),
      async (options, commands) => {
        const model = new RegistryModel(options);
        using trial = new RegistryTrial(model);
        await fc.asyncModelRun(() => ({ model, real: trial }), commands);
        await trial.finish();
      },
    ),
    { numRuns: 1_000 },
  );
});
