import { isLast } from "../../../model/event.ts";
import type { RunStatus } from "../../../repository/run_log.ts";
import type { EventBatch } from "./event_batches.ts";

/** How far a read has come in the stream of a run. */
export interface StreamPosition {
  /** The number of the last event read. */
  readonly seq: number;
  /** Whether it is the last one that is there. */
  readonly isUpToDate: boolean;
  /** Whether none will follow. */
  readonly isClosed: boolean;
}

/** The position before anything is read. */
export function positionAt(
  seq: number,
  { ended, lastSeq }: RunStatus,
): StreamPosition {
  const isUpToDate = seq === lastSeq;
  return { seq, isUpToDate, isClosed: isUpToDate && ended };
}

/**
 * The position behind a batch.
 *
 * @param status The state of the run before the batch was read.
 */
export function positionBehind(
  { last }: EventBatch,
  status: RunStatus,
): StreamPosition {
  // The last event of an attempt is not that of the run if a newer attempt has begun.
  // Behind the status, a burst may have brought more than the batch has: to know that
  // would take a query for each batch.
  return last.seq > status.lastSeq
    ? { seq: last.seq, isUpToDate: true, isClosed: isLast(last) }
    : positionAt(last.seq, status);
}
