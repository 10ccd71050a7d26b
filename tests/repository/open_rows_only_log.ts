import { FakeTime } from "@std/testing/time";
import type { RegistryWarning } from "../../mod.ts";
import { RowsOnlyLog } from "../../src/repository/rows_only_log.ts";
import type { RunLease } from "../../src/repository/run_log.ts";
import { runMicrotasks } from "../assert_pending.ts";
import { noop, RUN_ID } from "../known_run.ts";
import { recordWarnings } from "../registry/recorded_warnings.ts";
import { AnsweredRepository } from "./answered_repository.ts";

/** A log in fake time whose repository is answered by the test. */
export interface OpenRowsOnlyLog extends AsyncDisposable {
  readonly time: FakeTime;
  readonly repository: AnsweredRepository;
  readonly warnings: RegistryWarning[];
  readonly warn: (warning: RegistryWarning) => void;
  readonly log: RowsOnlyLog;
  /** The lease of a run; it is abandoned when the log is disposed. */
  lease(runId?: string): RunLease;
}

/** Opens a log for one test. */
export function openRowsOnlyLog(): OpenRowsOnlyLog {
  const time = new FakeTime();
  const repository = new AnsweredRepository();
  const { warnings, onWarning: warn } = recordWarnings();
  const log = new RowsOnlyLog({ repository, payloads: "json", warn });
  const leases: RunLease[] = [];
  return {
    time,
    repository,
    warnings,
    warn,
    log,
    lease(runId = RUN_ID) {
      const lease = log.open({
        runId,
        given: true,
        maxPayloadBytes: 1_024,
        onAbortRequest: noop,
        onLost: noop,
      });
      leases.push(lease);
      return lease;
    },
    async [Symbol.asyncDispose]() {
      for (const lease of leases) lease.abandon();
      await runMicrotasks();
      time.restore();
    },
  };
}
