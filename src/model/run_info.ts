import {
  abortFailure,
  abortReason,
  LEASE_EXPIRED,
  type RunErrorCode,
  type RunFailure,
} from "./failure.ts";

/** The `run_info` JSON of a row, in the shape that cognee reads and writes. */
export interface RunInfo {
  /** The ids of the run's data, or `"None"`; cognee in Python may write other texts. */
  data?: readonly string[] | string;
  /** The message of the error that ended the run. */
  error?: string;
  /** Why an orphaned run was ended. */
  reason?: string;
  /** What ended the run; absent for an error of its work. cognee has no codes. */
  code?: RunErrorCode;
  /** The name of the work's error, as in `RunFailure`. */
  name?: string;
  /** The W3C `traceparent` of the run's span, in a STARTED row of a traced run. */
  traceparent?: string;
}

/**
 * The `data` of a `run_info`.
 *
 * @param dataIds The ids of the run's data, as hyphenated UUIDs.
 * @returns The ids, or `"None"` if there are none.
 *
 * @example Usage
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { dataInfo } from "@pipeline/run-registry";
 *
 * assertEquals(dataInfo([]), "None");
 * ```
 */
export function dataInfo(
  dataIds: readonly string[],
): readonly string[] | "None" {
  return dataIds.length === 0 ? "None" : dataIds;
}

/**
 * The `run_info` of an INITIATED row: an empty object.
 *
 * @example Usage
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { runInfoForInitiated } from "@pipeline/run-registry";
 *
 * assertEquals(JSON.stringify(runInfoForInitiated()), "{}");
 * ```
 */
export function runInfoForInitiated(): RunInfo {
  return {};
}

/**
 * The `run_info` of a STARTED or COMPLETED row: `{ data }`.
 *
 * @example Usage
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { runInfoForRunning } from "@pipeline/run-registry";
 *
 * assertEquals(JSON.stringify(runInfoForRunning([])), '{"data":"None"}');
 * ```
 */
export function runInfoForRunning(dataIds: readonly string[]): RunInfo {
  return { data: dataInfo(dataIds) };
}

/**
 * The `run_info` of an ERRORED row: `{ data, error }`, in this order.
 *
 * @example Usage
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { runInfoForErrored } from "@pipeline/run-registry";
 *
 * assertEquals(
 *   JSON.stringify(runInfoForErrored([], "boom")),
 *   '{"data":"None","error":"boom"}',
 * );
 * ```
 */
export function runInfoForErrored(
  dataIds: readonly string[],
  error: string,
): RunInfo {
  return { data: dataInfo(dataIds), error };
}

/**
 * The `run_info` of the ERRORED row of a run that failed: cognee's keys, then ours if
 * they say more. Of an abort cognee has the reason alone, or `"abort"`.
 */
export function runInfoForFailure(
  dataIds: readonly string[],
  { code, message, name }: RunFailure,
): RunInfo {
  const isAbort = code === "aborted" || code === "shutdown";
  const error = isAbort ? abortReason(message) ?? "abort" : message;
  const runInfo: RunInfo = runInfoForErrored(dataIds, error);
  if (code !== "work") runInfo.code = code;
  if (name !== undefined) runInfo.name = name;
  return runInfo;
}

/**
 * The failure that the `run_info` of an ERRORED row tells of. cognee's rows, and those of
 * releases without codes, count as failures of the work, unless a reset wrote them.
 */
export function failureOf(runInfo: RunInfo | undefined): RunFailure {
  const { error = "", reason, code, name } = runInfo ?? {};
  if (code === "aborted" || code === "shutdown") {
    return abortFailure(code, error === "abort" ? undefined : error);
  }
  if (code !== undefined) return { code, message: error };
  if (reason === LEASE_EXPIRED.code) return LEASE_EXPIRED;
  if (reason !== undefined) return { code: "orphan", message: error };
  return name === undefined
    ? { code: "work", message: error }
    : { code: "work", message: error, name };
}
