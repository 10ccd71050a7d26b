import {
  type LogPipelineRunOptions,
  MemoryPipelineRunRepository,
  type PipelineRunRepository,
  type PipelineRunTransition,
} from "../../mod.ts";

/** A repository in memory over whose writing a test decides. */
export class ControlledRepository extends MemoryPipelineRunRepository {
  /** The rows it was asked to write, whatever became of them. */
  readonly asked: PipelineRunTransition[] = [];
  /** Runs before a row is written: to throw refuses it, to wait delays it. */
  beforeRow: (row: PipelineRunTransition) => void | Promise<void> = () => {};
  /** Runs before a payload field is written. */
  beforePayload: (key: string) => void | Promise<void> = () => {};

  override async logPipelineRun(
    row: PipelineRunTransition,
    _options?: LogPipelineRunOptions,
  ): Promise<string> {
    this.asked.push(row);
    const decision = this.beforeRow(row);
    if (decision !== undefined) await decision;
    return await super.logPipelineRun(row);
  }

  override async setPayloadField(
    runId: string,
    key: string,
    value: unknown,
  ): Promise<void> {
    await this.beforePayload(key);
    await super.setPayloadField(runId, key, value);
  }
}

/** A repository in memory that records the names of the methods called. */
export function recordingRepository(): {
  repository: PipelineRunRepository;
  calls: string[];
} {
  const calls: string[] = [];
  const repository = new Proxy(new MemoryPipelineRunRepository(), {
    get(target, key) {
      const member = Reflect.get(target, key);
      if (typeof member !== "function") return member;
      return (...args: unknown[]) => {
        calls.push(String(key));
        return member.apply(target, args);
      };
    },
  });
  return { repository, calls };
}

/** The statuses of a run's rows without their prefix, oldest first. */
export async function statuses(
  repository: PipelineRunRepository,
  runId: string,
): Promise<string[]> {
  return (await repository.listRecent(undefined, 10_000))
    .filter(({ pipelineRunId }) => pipelineRunId === runId)
    .map(({ status }) => status.replace("DATASET_PROCESSING_", ""))
    .reverse();
}
