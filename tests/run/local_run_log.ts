import type { RunEvent } from "../../src/model/event.ts";
import type {
  LocalRun,
  LoggedRun,
  RunLease,
  RunLog,
  RunStatus,
  SubscribeOptions,
} from "../../src/repository/run_log.ts";

/** A log whose leases a test makes, and whose runs are followed in memory. */
export abstract class LocalRunLog implements RunLog {
  readonly keepsEvents = false;

  newId(): string {
    return crypto.randomUUID();
  }

  abstract open(run: LoggedRun): RunLease;

  follow(
    _runId: string,
    _options: SubscribeOptions,
    local: LocalRun,
  ): ReadableStream<RunEvent> {
    return local.subscribe();
  }

  requestAbort(): Promise<"unknown"> {
    return Promise.resolve("unknown");
  }

  status(): Promise<RunStatus | undefined> {
    return Promise.resolve(undefined);
  }

  reap(): Promise<number> {
    return Promise.resolve(0);
  }
}
