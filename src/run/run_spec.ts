import { canonicalUuid } from "../model/ids.ts";
import { checkDelay, checkSignal } from "../arguments/checks.ts";
import { storableText } from "../json/storable.ts";
import type { RunLog } from "../repository/run_log.ts";

/** What to register: one run of a pipeline. */
export interface RunSpec {
  /** The pipeline's name: 1 to 512 characters. */
  pipelineName: string;
  /**
   * The run's UUID. It can be used again after its run has ended.
   *
   * @default {a new UUID}
   */
  runId?: string;
  /** The user whom the run is for. */
  userId?: string;
  /** The tenant the run is for. */
  tenantId?: string;
  /** The UUID of the dataset the run works on. */
  datasetId?: string;
  /** The UUIDs of the data the run works on. */
  dataIds?: readonly string[];
  /** Aborts the run when it fires. */
  signal?: AbortSignal;
  /**
   * How long the run may take, in milliseconds: from 1 to 2^31 - 1. Then it ends as
   * `Errored`.
   */
  timeout?: number;
}

/** A checked {@linkcode RunSpec}. */
export interface CheckedRunSpec extends RunSpec {
  runId: string;
  /** Whether the caller gave the run id. */
  given: boolean;
  dataIds: readonly string[];
}

/** An index entry of Postgres has at most 2,704 bytes, a character at most 4. */
const MAX_NAME_LENGTH = 512;

const NONE: readonly string[] = Object.freeze([]);

/**
 * The spec with a run id, and its UUIDs in canonical spelling.
 *
 * @throws {TypeError} If a field has the wrong shape.
 * @throws {RangeError} If a field is out of range.
 */
export function checkSpec(
  spec: RunSpec,
  ids: Pick<RunLog, "newId">,
): CheckedRunSpec {
  const { pipelineName, runId, datasetId, dataIds = NONE, signal, timeout } =
    spec;
  if (
    typeof pipelineName !== "string" || pipelineName === "" ||
    storableText(pipelineName) !== pipelineName
  ) {
    throw new TypeError(
      "Cannot register run: pipelineName must be a non-empty, well-formed string",
    );
  }
  if (pipelineName.length > MAX_NAME_LENGTH) {
    throw new RangeError(
      `Cannot register run: pipelineName must have at most ${MAX_NAME_LENGTH} characters, received ${pipelineName.length}`,
    );
  }
  checkSignal("Cannot register run: signal", signal);
  if (timeout !== undefined) {
    checkDelay("Cannot register run: timeout", timeout, 1);
  }
  return {
    ...spec,
    given: runId !== undefined,
    runId: runId === undefined
      ? ids.newId()
      : canonicalUuid(runId, "Cannot register run: runId"),
    datasetId: datasetId === undefined
      ? undefined
      : canonicalUuid(datasetId, "Cannot register run: datasetId"),
    dataIds: dataIds === NONE
      ? NONE
      : dataIds.map((id) => canonicalUuid(id, "Cannot register run: dataIds")),
  };
}
