import type { ClientRun } from "../http/client/mod.ts";
import type { PipelineRunRow, RunEvent } from "../../mod.ts";

/** Where runs are: a database, or a server in front of one. */
export interface RunSource extends AsyncDisposable {
  /** How many runs `list()` returns at most. */
  readonly maxListed: number;
  /** The newest row of each of the newest runs, newest first. */
  list(
    options: { datasetId?: string; limit: number },
  ): Promise<PipelineRunRow[]>;
  /** The state of a run; `undefined` if there is none of this id. */
  get(runId: string): Promise<ClientRun | undefined>;
  /** The events of a run, until its last. */
  follow(runId: string, options: { after?: number }): ReadableStream<RunEvent>;
  /** Aborts a run; rejects if there is none of this id. */
  abort(
    runId: string,
    reason: string | undefined,
  ): Promise<"requested" | "ended">;
}
