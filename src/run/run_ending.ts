import { storableJson } from "../json/storable.ts";
import { errorMessage } from "../model/error_message.ts";
import type { RunFailure } from "../model/failure.ts";
import type { RunPhase } from "../model/phase.ts";
import type { RunOutcome } from "./run_handle.ts";

/** A way for a run to end. */
export interface RunEnding {
  /** Why it failed; `undefined` is completion. */
  readonly failure?: RunFailure;
  /** What the work threw. */
  readonly cause?: unknown;
  readonly writesRow: boolean;
  /** The reason the signal fires with. */
  readonly reason?: unknown;
  /** What the work returned. */
  readonly result?: unknown;
}

/** A result as it is stored, and why it is not, if so. */
export interface StoredResult {
  /** The `RunResult` as JSON. */
  readonly json: string;
  readonly error?: string;
  readonly cause?: unknown;
}

/** A result as it is stored; `undefined` if there is none. */
export function storedResult(
  result: unknown,
  maxBytes: number,
): StoredResult | undefined {
  if (result === undefined) return undefined;
  try {
    const json = storableJson(result, "Cannot store result: it", maxBytes);
    return { json: `{"value":${json}}` };
  } catch (cause) {
    const error = errorMessage(cause);
    return { json: JSON.stringify({ error }), error, cause };
  }
}

/** The outcome that the caller gets who registered the run. */
export function outcomeOf(
  runId: string,
  phase: RunPhase,
  durable: boolean,
  { cause, result }: RunEnding,
  resultError: string | undefined,
): RunOutcome {
  if (phase.name !== "Completed") {
    return { runId, phase: withCause(phase, cause), durable };
  }
  if (result === undefined) return { runId, phase, durable };
  return resultError === undefined
    ? { runId, phase, durable, result }
    : { runId, phase, durable, result, resultError };
}

/** A phase with what the work threw, which neither JSON nor a copy contains. */
function withCause(phase: RunPhase, cause: unknown): RunPhase {
  if (cause === undefined) return phase;
  return Object.defineProperty({ ...phase }, "cause", { value: cause });
}
