import { assert, assertEquals } from "@std/assert";
import type { RegistryWarning } from "../../mod.ts";
import type {
  DecidedRepository,
  DecidedRow,
} from "../repository/decided_repository.ts";
import type { AttemptModel } from "./attempt_model.ts";
import type { RegistryModel } from "./registry_model.ts";

/** The row of an attempt's end, if it was asked for. */
export function endingOf(
  attempt: AttemptModel,
  { rows }: DecidedRepository,
): DecidedRow | undefined {
  return attempt.rowsOf(rows).find(({ transition: { status } }) =>
    status.endsWith("COMPLETED") || status.endsWith("ERRORED")
  );
}

/** Whether every row of an ended attempt is written or given up. */
export function isWritten(
  attempt: AttemptModel,
  { rows }: DecidedRepository,
): boolean {
  const { ending } = attempt;
  if (ending === undefined) return false;
  const own = attempt.rowsOf(rows);
  return own.length === (ending.writesRow ? 2 : 1) &&
    own.every(({ settled }) => settled);
}

/**
 * Checks that an attempt ended if it must and may, and tells the model. That depends
 * on the repository: the row first, unless it takes too long.
 */
export function checkAttempt(
  attempt: AttemptModel,
  model: RegistryModel,
  { repository, warnings }: {
    repository: DecidedRepository;
    warnings: readonly RegistryWarning[];
  },
): void {
  const { context, ending, published, outcome } = attempt;
  if (context !== undefined) {
    const isStopped = ending?.stops ?? false;
    assertEquals(context.signal.aborted, isStopped, "the signal fires");
  }
  if (ending === undefined) {
    assertEquals(outcome, undefined, "a run ended for no reason");
    return;
  }
  if (!published) {
    const isSettled = !ending.writesRow ||
      endingOf(attempt, repository)?.settled === true;
    const { until, from } = model.patience(ending);
    if (outcome === undefined) {
      assert(!isSettled, "an ending was written and not published");
      assert(!model.down, "an ending was not published at shutdown");
      assert(model.now < until, "an ending was not published in time");
      return;
    }
    const isLate = model.down || model.now >= from;
    assert(isSettled || isLate, "an ending was published before its row");
    attempt.conclude();
    checkOutcome(attempt, isSettled, isLate, warnings);
  }
  if (!attempt.finished && isWritten(attempt, repository)) {
    model.finish(attempt);
  }
}

function checkOutcome(
  attempt: AttemptModel,
  isSettled: boolean,
  isLate: boolean,
  warnings: readonly RegistryWarning[],
): void {
  const { firstWarning, outcome, phase, runId, wasAcknowledged } = attempt;
  const { writesRow } = attempt.ending!;
  const { durable } = outcome!;
  assertEquals(outcome, { runId, phase, durable });
  if (durable) {
    assert(
      writesRow && wasAcknowledged,
      "an ending that is not written is said to be durable",
    );
    return;
  }
  if (!writesRow) return;
  assert(
    isLate || !wasAcknowledged,
    "an ending that is written is said not to be durable",
  );
  // A row that is settled by now may have been late for the ending.
  const kinds = [...isSettled ? ["row"] : [], ...isLate ? ["ending"] : []];
  assert(
    warnings.slice(firstWarning).some((warning) =>
      warning.runId === runId && kinds.includes(warning.kind)
    ),
    "nobody was warned of an ending that is not durable",
  );
}

/** One row for the beginning, one at most for the end, in agreement with the event. */
export function checkRows(
  attempt: AttemptModel,
  { rows }: DecidedRepository,
): void {
  assert(attempt.published, "a run is open after shutdown()");
  const [started, ending, ...others] = attempt.rowsOf(rows);
  assertEquals(others, [], "an attempt has more than two rows");
  assertEquals(started.transition.status, "DATASET_PROCESSING_STARTED");
  if (ending === undefined) return;
  const { error, failure, writesRow } = attempt.ending!;
  assert(writesRow, "an abort wrote a row");
  const isInOrder = (started.place ?? -1) < (ending.place ?? Infinity);
  assert(isInOrder, "the row of the end is older than that of the beginning");
  const { runInfo, status } = ending.transition;
  assertEquals(
    [status, runInfo?.error],
    failure === undefined
      ? ["DATASET_PROCESSING_COMPLETED", undefined]
      : ["DATASET_PROCESSING_ERRORED", error],
  );
}
