import { deadline } from "@std/async/deadline";
import { checkDelay, checkType } from "../arguments/checks.ts";
import { Deadlines } from "../async/deadlines.ts";
import type { ScopedRunWatcher } from "../cognee/scoped_run_watcher.ts";
import { errorMessage } from "../model/error_message.ts";
import { RegistryShutdownError, UnknownRunError } from "../model/errors.ts";
import type { RunEvent } from "../model/event.ts";
import { canonicalUuid } from "../model/ids.ts";
import { hasEnded, type RunPhase } from "../model/phase.ts";
import type { Gauges } from "../model/telemetry.ts";
import type { RegistryWarning } from "../model/warning.ts";
import { MemoryPipelineRunRepository } from "../repository/memory_repository.ts";
import {
  asRepositoryError,
  type PipelineRunRepository,
  type RunResult,
} from "../repository/repository.ts";
import { RowsOnlyLog } from "../repository/rows_only_log.ts";
import type {
  FollowOptions,
  RunLog,
  RunStatus,
  SubscribeOptions,
} from "../repository/run_log.ts";
import { Run, type RunDependencies } from "../run/run.ts";
import type {
  PipelineWork,
  PublishedBy,
  ResultOf,
  WorkOutput,
} from "../run/run_context.ts";
import { RunEvents } from "../run/run_events.ts";
import type { RunHandle, RunOutcome } from "../run/run_handle.ts";
import { checkSpec, type RunSpec } from "../run/run_spec.ts";
import { AwaitedRuns } from "./awaited_runs.ts";
import { FollowedStreams } from "./followed_streams.ts";
import {
  checkSubscribeOptions,
  type PipelineRunRegistryOptions,
  type ResolvedOptions,
  resolveOptions,
} from "./options.ts";
import { startSweeping, stopSweeping, type SweepReport } from "./retention.ts";
import { RunTable } from "./run_table.ts";

/**
 * Registers runs of pipelines, broadcasts their events, aborts them, and keeps
 * their audit trail in a repository.
 *
 * With a repository that shares runs, such as the one in Postgres, this holds for
 * the runs of every instance; only `snapshotStatus()`, `watcherFor()` and
 * `publishAlreadyCompleted()` are about the runs of this one.
 *
 * A run belongs to the registry, not to the call that registered it: it goes on
 * when its caller leaves, and ends in exactly one of `Completed` and `Errored`.
 *
 * **Events.** `subscribe()` returns a `ReadableStream` that begins with the oldest
 * event held, ends with the run's last event, and then closes. A run that ended is
 * replayed, and a run that nobody has registered yet is awaited.
 *
 * **Repository failures** never stop a run. They are reported to `onWarning`, and
 * failed writes are retried.
 *
 * **Memory** is bounded by `maxInMemoryRuns`. When full, the run that finished
 * first makes room. A run whose ending is not written yet is never forgotten.
 */
export class PipelineRunRegistry implements AsyncDisposable {
  readonly #options: ResolvedOptions;
  readonly #repository: PipelineRunRepository;
  readonly #log: RunLog;
  readonly #endings: Deadlines;
  readonly #runs: RunTable<Run>;
  readonly #awaited: AwaitedRuns;
  readonly #dependencies: RunDependencies;
  readonly #followed: FollowedStreams;
  readonly #stopObserving: (() => void) | undefined;
  #shutdown: Promise<void> | undefined;

  /**
   * Makes a registry without runs.
   *
   * @param options Its repository, its bounds, and the handler of its warnings.
   * @throws {RangeError} If a number is out of range.
   * @throws {TypeError} If an option has the wrong type.
   */
  constructor(options: PipelineRunRegistryOptions = {}) {
    const resolved = resolveOptions(options);
    const repository: PipelineRunRepository = options.repository ??
      new MemoryPipelineRunRepository();
    const warn = (warning: RegistryWarning) => this.#warn(warning);
    this.#options = resolved;
    this.#repository = repository;
    this.#log = repository.runLog ??
      new RowsOnlyLog({ ...resolved, repository, warn });
    this.#endings = new Deadlines(resolved.endingTimeout);
    this.#runs = new RunTable(
      resolved.maxInMemoryRuns,
      resolved.finishedRetention,
      resolved.clock,
    );
    this.#awaited = new AwaitedRuns(
      resolved.channelCapacity,
      resolved.maxAwaitedSubscriptions,
    );
    this.#followed = new FollowedStreams(resolved.maxAwaitedSubscriptions);
    this.#dependencies = {
      ...resolved,
      repository,
      runLog: this.#log,
      endings: this.#endings,
      warn,
      onRefused: (run) => this.#runs.delete(run),
      onFinished: (run) => this.#runs.finish(run),
    };
    this.#stopObserving = resolved.telemetry?.observe(() => this.#gauges());
    if (resolved.sweeps) startSweeping(this, resolved.warn);
  }

  /**
   * Makes a registry, after ending the runs that a crash left unfinished: each gets
   * an ERRORED row with the reason `"server_restart_orphan"`.
   *
   * Where instances share runs, those whose lease has not expired are left alone. The
   * first to find an expired lease waits for two intervals of renewal (20 s by
   * default), so that live instances can renew theirs after an outage.
   * Any other unfinished run counts as an orphan, also one that a program without a
   * registry is running.
   *
   * @param options As for the constructor, which throws the same errors.
   * @returns The registry.
   * @throws {RepositoryError} If the repository cannot be reached.
   */
  static async withOrphanReset(
    options: PipelineRunRegistryOptions = {},
  ): Promise<PipelineRunRegistry> {
    resolveOptions(options);
    await asRepositoryError(
      "Cannot reset orphans",
      async () =>
        await options.repository?.resetOrphans("server_restart_orphan"),
    );
    return new PipelineRunRegistry(options);
  }

  /** Keeps the audit trail and the payload fields. */
  get repository(): PipelineRunRepository {
    return this.#repository;
  }

  /**
   * Registers a run and waits for its end. Work that fails is an `Errored`
   * phase, not a rejection.
   *
   * @typeParam P The type of what the work publishes through its context.
   * @typeParam O What the work returns.
   * @param spec The run's pipeline, ids and limits.
   * @param work What the run does.
   * @returns How it ended.
   * @throws {TypeError} If an argument has the wrong type.
   * @throws {RangeError} If a number is out of range.
   * @throws {RunAlreadyActiveError} If the run id is that of a live run. Where the lease
   * of that run has expired, this takes two intervals of renewal (20 s by default) to
   * find out.
   * @throws {RegistryFullError} If there is no room.
   * @throws {RegistryShutdownError} If the registry was shut down.
   * @throws {RepositoryError} If the run id is given and cannot be claimed, since the
   * repository fails: with Postgres, if it fails for 30 s. A claim that succeeds
   * nevertheless is given up.
   */
  async registerInline<
    P = unknown,
    O extends WorkOutput<P> = WorkOutput<P>,
  >(
    spec: RunSpec,
    work: PipelineWork<P, O>,
  ): Promise<RunOutcome<ResultOf<O>>> {
    const { begun, outcome } = this.#register(spec, work);
    await begun;
    return await outcome! as RunOutcome<ResultOf<O>>;
  }

  /**
   * Registers a run and returns when it has begun. Its id can be used at once.
   *
   * The handle is typed by the work: by what it yields, or by the `P` of its
   * `RunContext<P>`, and by what it returns.
   *
   * @typeParam P The type of what the work publishes through its context.
   * @typeParam O What the work returns.
   * @returns The run's handle. It rejects as {@linkcode registerInline} does.
   */
  async registerBackground<
    P = unknown,
    O extends WorkOutput<P> = WorkOutput<P>,
  >(
    spec: RunSpec,
    work: PipelineWork<P, O>,
  ): Promise<RunHandle<PublishedBy<P, O>, ResultOf<O>>> {
    const run = this.#register(spec, work);
    const { begun, outcome, runId, startedRowId } = run;
    const { userId, datasetId, pipelineName } = run.spec!;
    const startedAt = new Date();
    await begun;
    return {
      runId,
      taskRunId: startedRowId!,
      userId,
      datasetId,
      pipelineName,
      startedAt,
      outcome: outcome as Promise<RunOutcome<ResultOf<O>>>,
      subscribe: (options) => this.subscribe(runId, options),
      abort: (reason) => this.abort(runId, reason),
      status: () => this.status(runId),
    };
  }

  /**
   * The events of a run, from the oldest one held of its current attempt to the
   * last. A run that nobody has registered yet is awaited.
   *
   * A subscriber that falls more than `channelCapacity` events behind gets one
   * `Lagged` event with the number it missed; then the stream closes, or continues
   * with `lag: "skip"`. Cancelling the stream does not touch the run.
   *
   * Without `after`, a `Lagged` event comes first if the attempt had events that are no
   * longer held, and the stream goes on with the oldest held.
   *
   * @typeParam P The type of what the work publishes: a claim of yours, which nothing
   * checks. The `subscribe()` of a {@linkcode RunHandle} is typed by the work, and the
   * client of `./client` by the pipelines.
   * @param options Where to begin, when to stop, what to do about lag.
   * @returns The stream. It closes after the run's last event.
   * @throws {TypeError} If the run id is not a UUID, or an option has the wrong type.
   * @throws {RangeError} If `after` is not a non-negative integer.
   * @throws {RegistryFullError} If too many subscriptions await unknown runs.
   * @throws {RegistryShutdownError} If the registry was shut down, and the run is
   * unknown or `durable` asks for its events in the log.
   */
  subscribe<P = unknown>(
    runId: string,
    options: SubscribeOptions = {},
  ): ReadableStream<RunEvent<P>> {
    const id = canonicalUuid(runId, "Cannot subscribe: runId");
    checkSubscribeOptions(options);
    const { telemetry } = this.#options;
    const followed = telemetry === undefined ? options : {
      ...options,
      onMissed: (events: number) => telemetry.onMissed(events),
    };
    return this.#events(id, followed) as ReadableStream<RunEvent<P>>;
  }

  /**
   * The phase of a run of this instance.
   *
   * @returns The phase, or `undefined` for a run that is not held.
   * @throws {TypeError} If the run id is not a UUID.
   */
  snapshotStatus(runId: string): RunPhase | undefined {
    return this.#find(runId, "Cannot snapshot status: runId")?.phase;
  }

  /**
   * Aborts a run: its signal fires, it gets an ERRORED row and an `Errored`
   * event. A run that has ended stays as it is.
   *
   * @param reason What the signal fires with; its text goes into the row and the
   * event.
   * @returns `"ended"` if the run had ended before; otherwise `"requested"`, as soon
   * as the run has ended or, if another instance runs it, the request is recorded.
   * @throws {TypeError} If the run id is not a UUID.
   * @throws {UnknownRunError} If no instance knows the run.
   * @throws {RepositoryError} If another instance runs it and the repository fails.
   */
  async abort(
    runId: string,
    reason?: unknown,
  ): Promise<"requested" | "ended"> {
    const id = canonicalUuid(runId, "Cannot abort run: runId");
    const text = reason === undefined ? undefined : errorMessage(reason);
    const run = this.#runs.get(id);
    if (run !== undefined && !run.finished) {
      const wasEnded = hasEnded(run.phase);
      if (!wasEnded) {
        this.#options.telemetry?.onAbortRequest(
          { ...run.spec!, traceparent: run.span?.traceparent },
          text,
        );
      }
      run.abort(reason, text);
      await run.outcome;
      return wasEnded ? "ended" : "requested";
    }
    // A newer attempt of a run that finished here may be live elsewhere.
    const answer = await this.#log.requestAbort(id, text);
    if (answer !== "unknown") return answer;
    if (run === undefined) throw new UnknownRunError(id);
    return "ended";
  }

  /**
   * The payload fields that a run has set.
   *
   * @returns Name to value; empty if it set none.
   * @throws {TypeError} If the run id is not a UUID.
   * @throws {RepositoryError} If the repository fails.
   */
  async getPayload(runId: string): Promise<Record<string, unknown>> {
    const id = canonicalUuid(runId, "Cannot get payload: runId");
    return await asRepositoryError(
      `Cannot get payload of run ${id}`,
      () => this.#repository.getPayload(id),
      id,
    );
  }

  /**
   * The stored result of a run: what its work returned.
   *
   * @returns The result; `undefined` if the run has none, has not completed, or the
   * repository stores none.
   * @throws {TypeError} If the run id is not a UUID.
   * @throws {RepositoryError} If the repository fails.
   */
  async getResult(runId: string): Promise<RunResult | undefined> {
    const id = canonicalUuid(runId, "Cannot get result: runId");
    return await asRepositoryError(
      `Cannot get result of run ${id}`,
      async () => await this.#repository.getResult?.(id),
      id,
    );
  }

  /**
   * Publishes an `AlreadyCompleted` event: the run's work found nothing to do.
   * It does not end the run.
   *
   * @returns Whether it was published: not for an unknown run or one that ended.
   * @throws {TypeError} If the run id is not a UUID.
   */
  publishAlreadyCompleted(runId: string): boolean {
    const run = this.#find(runId, "Cannot publish: runId");
    return run?.publishAlreadyCompleted() ?? false;
  }

  /**
   * A watcher that reports into a run.
   *
   * @returns The watcher, or `undefined` for a run that is not held.
   * @throws {TypeError} If the run id is not a UUID.
   */
  watcherFor(runId: string): ScopedRunWatcher | undefined {
    return this.#find(runId, "Cannot make watcher: runId")?.watcher;
  }

  /**
   * The state of a run, wherever it runs.
   *
   * @param options `durable` reports of this instance's runs only what is in the log;
   * without a log it changes nothing.
   * @returns Phase, newest row and last event; `undefined` for an unknown run.
   * @throws {TypeError} If the run id is not a UUID.
   * @throws {RepositoryError} If the repository fails.
   */
  async status(
    runId: string,
    options: { durable?: boolean } = {},
  ): Promise<RunStatus | undefined> {
    const id = canonicalUuid(runId, "Cannot get status: runId");
    const run = this.#runs.get(id);
    const logged = await asRepositoryError(
      `Cannot get status of run ${id}`,
      () => this.#log.status(id),
      id,
    );
    if (run === undefined) return logged;
    const { phase, events: { firstSeq, lastSeq } } = run;
    if (options.durable && this.#log.keepsEvents) {
      const nothing = { ended: false, firstSeq, lastSeq: firstSeq - 1 };
      return logged ?? { runId: id, phase, ...nothing };
    }
    // A newer attempt of a run that finished here may be live elsewhere. Where another
    // instance ended this one, memory may have more events than the log.
    const isLogged = logged !== undefined && logged.lastSeq > 0 &&
      (logged.ended || logged.lastSeq >= lastSeq);
    if (run.finished && isLogged) return logged;
    const ended = hasEnded(phase);
    return { runId: id, phase, ended, row: logged?.row, firstSeq, lastSeq };
  }

  /**
   * Forgets finished runs that have expired, ends the runs of dead instances, and
   * deletes what the repository keeps no longer. It runs by itself every minute, unless
   * the option `sweeps` is off. With Postgres, it takes two intervals of renewal (20 s by
   * default) when it is the first to find an expired lease.
   *
   * @throws {RepositoryError} If the repository fails.
   */
  async sweep(): Promise<SweepReport> {
    const evicted = this.#runs.expire();
    const reaped = await this.#log.reap();
    const pruned = await this.#repository.prune?.() ?? 0;
    return { evicted, reaped, pruned };
  }

  /**
   * Shuts the registry down: live runs are aborted, every stream closes, and nothing
   * can be registered any more. Finished runs stay as they are. The repository is
   * not closed.
   *
   * A second call changes nothing and waits for the first.
   *
   * @param options `timeout` is how long endings may take to become durable and to
   * reach the streams that follow the log, in milliseconds, 5,000 by default.
   * `onWarning` is called for the runs whose endings take longer to become durable.
   * @returns When every run has ended.
   * @throws {TypeError} If the timeout is not a number.
   * @throws {RangeError} If it is negative or over 2^31 - 1.
   */
  async shutdown(options: { timeout?: number } = {}): Promise<void> {
    const { timeout = 5_000 } = options;
    checkDelay("Cannot shut down: timeout", timeout);
    this.#shutdown ??= this.#shutDown(timeout);
    await this.#shutdown;
  }

  /** Shuts the registry down. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  /** Admits a run and starts it, without an await that others could use. */
  #register<P>(spec: RunSpec, work: PipelineWork<P>): Run {
    if (this.#shutdown !== undefined) {
      throw new RegistryShutdownError(
        "Cannot register run: the registry was shut down",
      );
    }
    const checked = checkSpec(spec, this.#log);
    checkType("Cannot register run: work", work, "function");
    const { runId } = checked;
    const former = this.#runs.makeRoom(runId);
    const events = this.#awaited.take(runId) ?? new RunEvents(
      runId,
      this.#options.channelCapacity,
      former?.events.lastSeq,
    );
    const run = new Run(checked, events, this.#dependencies);
    this.#runs.add(run);
    run.start(work);
    return run;
  }

  #events(id: string, options: FollowOptions): ReadableStream<RunEvent> {
    const run = this.#runs.get(id);
    if (this.#shutdown !== undefined) {
      // What memory has may never be in the log, and it may have lost what is there.
      const isOfLog = options.durable && this.#log.keepsEvents;
      if (run !== undefined && !isOfLog) return run.events.subscribe(options);
      throw new RegistryShutdownError(
        `Cannot subscribe to run ${id}: the registry was shut down`,
      );
    }
    return this.#log.follow(id, options, {
      follow: (close) => this.#followed.add(id, run !== undefined, close),
      subscribe: () =>
        run === undefined
          ? this.#awaited.subscribe(id, options)
          : run.events.subscribe(options),
      unrecorded: run && (() => run.unrecorded(options.after)),
    });
  }

  /** Warns within the span of the run, so that what is logged has its trace. */
  #warn(warning: RegistryWarning): void {
    const { runId } = warning;
    const span = runId === undefined ? undefined : this.#runs.get(runId)?.span;
    const warn = () => this.#options.warn(warning);
    if (span === undefined) warn();
    else span.within(warn);
  }

  #gauges(): Gauges {
    // With a log, every stream is a followed one, also of a run that is in memory.
    const subscriptions = this.#repository.runLog !== undefined
      ? this.#followed.size
      : this.#runs.all().reduce(
        (sum, { events }) => sum + events.subscriptions,
        this.#awaited.subscriptions,
      );
    return { activeRuns: this.#runs.live().length, subscriptions };
  }

  #find(runId: string, name: string): Run | undefined {
    return this.#runs.get(canonicalUuid(runId, name));
  }

  async #shutDown(timeout: number): Promise<void> {
    // The signals that fire below may call the registry, which must be shut down by then.
    await undefined;
    stopSweeping(this);
    this.#awaited.close();
    const live = this.#runs.live();
    const outcomes = Promise.all(live.map((run) => run.outcome));
    const finished = Promise.all(live.map((run) => run.whenFinished()));
    for (const run of live) run.abort(new RegistryShutdownError());
    const drained = finished.then(() =>
      this.#followed.drain((runId) => this.#runs.get(runId) !== undefined)
    );
    await deadline(drained, timeout).catch(() => {});
    this.#endings.close();
    for (const run of live) run.abandon();
    await outcomes;
    this.#followed.close();
    this.#stopObserving?.();
  }
}
