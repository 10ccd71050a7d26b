import type { RegistryWarning } from "../model/warning.ts";
import type { PipelineRunRepository } from "../repository/repository.ts";

/** What {@linkcode formerTraceparent} needs of the registry. */
export interface FormerTraceparentDependencies {
  readonly repository: PipelineRunRepository;
  readonly warn: (warning: RegistryWarning) => void;
}

/** The `traceparent` of the last attempt of a run; `undefined` if it has none. */
export async function formerTraceparent(
  runId: string,
  { repository, warn }: FormerTraceparentDependencies,
): Promise<string | undefined> {
  try {
    // The row of the beginning is the last one, or the one before the ending.
    const rows = await repository.listByRun(runId, 2);
    return rows.map(({ runInfo }) => runInfo?.traceparent)
      .find((traceparent) => traceparent !== undefined);
  } catch (cause) {
    const message = `The former attempt of run ${runId} could not be read`;
    warn({ kind: "log", runId, message, cause });
    return undefined;
  }
}
