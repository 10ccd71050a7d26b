import { MemoryPipelineRunRepository, type RunEvent } from "../../mod.ts";
import type {
  LocalRun,
  LoggedRun,
  RunLease,
  RunLog,
  RunStep,
  SubscribeOptions,
} from "../../src/repository/run_log.ts";
import { LocalRunLog } from "./local_run_log.ts";

/** A lease whose claim a test answers, and whose steps are written at once. */
export class StubLease implements RunLease {
  readonly run: LoggedRun;
  readonly claimed = Promise.withResolvers<number | undefined>();
  /** The steps, in order. */
  readonly steps: RunStep[] = [];
  /** The events that were appended without waiting. */
  readonly appended: RunEvent[] = [];
  /** Decides what becomes of each step: to wait delays it, to reject refuses it. */
  beforeStep: (step: RunStep) => void | Promise<void> = () => {};
  /** Whether a run that has not begun must be refused when it is abandoned. */
  refusesPending = true;
  /** The ending that another instance logged. */
  recorded: RunEvent | undefined;

  constructor(run: LoggedRun) {
    this.run = run;
  }

  claim(): Promise<number | undefined> {
    return this.claimed.promise;
  }

  async write(step: RunStep): Promise<void> {
    this.steps.push(step);
    await this.beforeStep(step);
  }

  serialize(payload: unknown): string {
    return JSON.stringify(payload);
  }

  append(event: RunEvent): void {
    this.appended.push(event);
  }

  abandon(): boolean {
    return this.refusesPending;
  }

  recordedEnding(): Promise<RunEvent | undefined> {
    return Promise.resolve(this.recorded);
  }
}

/** A log whose leases a test answers. Its runs are followed from memory. */
export class StubLog extends LocalRunLog {
  /** The leases, in the order in which they were opened. */
  readonly leases: StubLease[] = [];
  /** What the registry has of the runs that were followed, in order. */
  readonly followed: LocalRun[] = [];

  /** A repository with this log. */
  get repository(): MemoryPipelineRunRepository & { runLog: RunLog } {
    return Object.assign(new MemoryPipelineRunRepository(), { runLog: this });
  }

  open(run: LoggedRun): RunLease {
    const lease = new StubLease(run);
    this.leases.push(lease);
    return lease;
  }

  override follow(
    runId: string,
    options: SubscribeOptions,
    local: LocalRun,
  ): ReadableStream<RunEvent> {
    this.followed.push(local);
    return super.follow(runId, options, local);
  }
}
