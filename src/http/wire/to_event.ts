import type { RunEvent } from "../../model/event.ts";
import type { WireEvent } from "./messages.ts";

const KINDS: ReadonlySet<unknown> = new Set<RunEvent["kind"]>([
  "Started",
  "Yield",
  "AlreadyCompleted",
  "Completed",
  "Errored",
  "Lagged",
]);

/**
 * Parses an event.
 *
 * @throws {TypeError} If the JSON is not an event.
 */
export function toEvent<P>(json: string): RunEvent<P> {
  let wire: Partial<WireEvent> | null;
  try {
    wire = JSON.parse(json);
  } catch (cause) {
    throw new TypeError("Cannot decode event: it is not JSON", { cause });
  }
  const { pipeline_run_id: runId, status, seq, payload } = wire ?? {};
  const kind = String(status).replace(/^PipelineRun/, "");
  const at = new Date(wire?.at ?? NaN);
  if (
    typeof runId !== "string" || !KINDS.has(kind) ||
    !Number.isSafeInteger(seq) || Number.isNaN(at.getTime())
  ) {
    throw new TypeError(
      `Cannot decode event: it is no event of a run: ${json.slice(0, 200)}`,
    );
  }
  const event = { runId, seq, at, kind };
  if (kind === "Yield") Object.assign(event, { payload });
  if (kind === "Errored") {
    const { code = "work", message = "", name } = wire!;
    Object.assign(event, { code, message });
    if (name !== undefined) Object.assign(event, { name });
  }
  if (kind === "Lagged") Object.assign(event, { missed: wire?.missed ?? 0 });
  return event as RunEvent<P>;
}
