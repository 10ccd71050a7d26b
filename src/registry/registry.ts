import { AuditTrail } from "../repository/audit_trail.ts";
import { AwaitedRuns } from "./awaited_runs.ts";
import { errorMessage } from "../model/error_message.ts";
import {
  RegistryShutdownError,
  RepositoryError,
  UnknownRunError,
} from "../model/errors.ts";
import type { RunEvent } from "../model/event.ts";
import { canonicalUuid, registryPipelineId } from "../model/ids.ts";
import { MemoryPipelineRunRepository } from "../repository/memory_repository.ts";
import { checkDelay } from "../arguments/checks.ts";
import type {
  LocalEvents,
  RunStatus,
  SubscribeOptions,
} from "../repository/run_log.ts";
import {
  checkSubscribeOptions,
  type PipelineRunRegistryOptions,
  type ResolvedOptions,
  resolveOptions,
} from "./options.ts";
import { hasEnded, type RunPhase } from "../model/phase.ts";
import { phaseOfStatus } from "../model/row.ts";
import type { PipelineRunRepository } from "../repository/repository.ts";
import { startSweeping, stopSweeping } from "./retention.ts";
import {
  Run,
  type RunDependencies,
  type RunHandle,
  type RunOutcome,
  type StartedRun,
} from "../run/run.ts";
import { RunBroadcast } from "../run/run_events.ts";
import type { PipelineWork } from "../run/run_context.ts";
import { checkSpec, type RunSpec } from "../run/run_spec.ts";
import { RunTable } from "./run_table.ts";
import type { ScopedRunWatcher } from "../cognee/scoped_run_watcher.ts";

/** What a sweep did. */
export interface SweepReport {
  /** How many finished runs this instance forgot. */
  evicted: number;
  /** How many runs of instances that died were ended. */
  reaped: number;
  /** How many events of runs that ended long ago were deleted. */
  pruned: number;
}

/** How many pipelines' ids are remembered at once. */
const MAX_PIPELINE_IDS = 1_000;

/**
 * Registers runs of pipelines, broadcasts their events, aborts them, and keeps
 * their audit trail in a repository.
 *
 * With a repository that shares runs, such as the one in Postgres, all this holds
 * for the runs of every instance, but for what `snapshotStatus()`, `watcherFor()`
 * and `publishAlreadyCompleted()` say of this one.
 *
 * A run belongs to the registry, not to the call that registered it: it goes on
 * when its caller leaves, and ends in exactly one of `Completed` and `Errored`.
 *
 * **Events.** `subscribe()` gives a `ReadableStream` that begins with the oldest
 * event held, ends with the run's last event, and then closes. A run that ended
 * is replayed, and a run that nobody registered yet is waited for.
 *
 * **Repository failures** never stop a run. They are told to `onWarning`, and
 * what could not be written is written when it can be.
 *
 * **Memory** is bounded by `maxInMemoryRuns`. When full, the run that finished
 * first makes room. A run whose ending is not written yet is not forgotten.
 *
 * @example Usage
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { PipelineRunRegistry } from "@pipeline/run-registry";
 *
 * await using registry = new PipelineRunRegistry();
 * const { runId } = await registry.registerBackground(
 *   { pipelineName: "count" },
 *   async function* () {
 *     yield 1;
 *     yield 2;
 *   },
 * );
 *
 * const kinds = [];
 * for await (const event of registry.subscribe(runId)) kinds.push(event.kind);
 * assertEquals(kinds, ["Started", "Yield", "Yield", "Completed"]);
 * ```
 */
export class PipelineRunRegistry implements AsyncDisposable {
  readonly #options: ResolvedOptions;
  readonly #repository: PipelineRunRepository;
  readonly #auditTrail: AuditTrail;
  readonly #runs: RunTable<Run<unknown>>;
  readonly #awaited: AwaitedRuns;
  readonly #dependencies: RunDependencies;
  readonly #pipelineIds = new Map<string, string>();
  /** Closes the streams of runs that others may run. */
  readonly #closing = new AbortController();
  #shutdown: Promise<void> | undefined;

  /**
   * Makes a registry without runs.
   *
   * @param options Its bounds, its repository, whom to warn.
   * @throws {RangeError} If a number is out of range.
   * @throws {TypeError} If an option has the wrong shape.
   */
  constructor(options: PipelineRunRegistryOptions = {}) {
    const resolved = resolveOptions(options);
    const { warn, endingTimeout } = resolved;
    const repository: PipelineRunRepository = options.repository ??
      new MemoryPipelineRunRepository();
    this.#options = resolved;
    this.#repository = repository;
    this.#auditTrail = new AuditTrail({
      repository,
      endingTimeout,
      warn,
    });
    this.#runs = new RunTable(
      resolved.maxInMemoryRuns,
      resolved.finishedRetention,
      resolved.clock,
    );
    this.#awaited = new AwaitedRuns(
      resolved.channelCapacity,
      resolved.maxAwaitedSubscriptions,
    );
    this.#dependencies = {
      ...resolved,
      repository,
      runLog: repository.runLog,
      auditTrail: this.#auditTrail,
      pipelineIdOf: (name) =>
        this.#pipelineIds.get(name) ?? this.#makePipelineId(name),
      onRefused: (run) => this.#runs.delete(run),
      onFinished: (run) => this.#runs.finish(run),
    };
    startSweeping(this, warn);
  }

  /**
   * Makes a registry and first ends the runs that a crash left unfinished: each
   * gets an ERRORED row with the reason `"server_restart_orphan"`.
   *
   * Where runs are shared between instances, those whose lease has not run out are
   * left alone. Any other unfinished run counts as left by a crash, also one that
   * a program without a registry is at.
   *
   * @param options As for the constructor.
   * @returns The registry.
   * @throws {RepositoryError} If the repository cannot be reached.
   * @throws {RangeError} If a number is out of range.
   * @throws {TypeError} If an option has the wrong shape.
   */
  static async withOrphanReset(
    options: PipelineRunRegistryOptions = {},
  ): Promise<PipelineRunRegistry> {
    resolveOptions(options);
    const { repository } = options;
    if (repository !== undefined) {
      await asRepositoryError(
        "Cannot reset orphans",
        () => repository.resetOrphans("server_restart_orphan"),
      );
    }
    return new PipelineRunRegistry(options);
  }

  /** Where the audit trail and the payload fields are. */
  get repository(): PipelineRunRepository {
    return this.#repository;
  }

  /**
   * Registers a run and waits for its end. Work that fails is an `Errored`
   * phase, not a rejection.
   *
   * @typeParam P The type of what the work publishes.
   * @param spec What the run is.
   * @param work What it does.
   * @returns How it ended.
   * @throws {TypeError} If an argument has the wrong shape.
   * @throws {RangeError} If a number is out of range.
   * @throws {RunAlreadyActiveError} If the run id is that of a live run.
   * @throws {RegistryFullError} If there is no room.
   * @throws {RegistryShutdownError} If the registry was shut down.
   */
  async registerInline<P = unknown>(
    spec: RunSpec,
    work: PipelineWork<P>,
  ): Promise<RunOutcome> {
    const { begun, handle } = this.#register(spec, work);
    await begun;
    return await handle.outcome;
  }

  /**
   * Registers a run and returns when it has begun.
   *
   * @typeParam P The type of what the work publishes.
   * @param spec What the run is.
   * @param work What it does.
   * @returns The run's handle. The run can be found by its id before that, as
   * soon as this was called.
   * @throws {TypeError} If an argument has the wrong shape.
   * @throws {RangeError} If a number is out of range.
   * @throws {RunAlreadyActiveError} If the run id is that of a live run.
   * @throws {RegistryFullError} If there is no room.
   * @throws {RegistryShutdownError} If the registry was shut down.
   */
  async registerBackground<P = unknown>(
    spec: RunSpec,
    work: PipelineWork<P>,
  ): Promise<RunHandle> {
    const { begun, handle } = this.#register(spec, work);
    await begun;
    return handle;
  }

  /**
   * The events of a run, from the oldest one held of its current attempt to the
   * last. A run that nobody registered yet is waited for.
   *
   * A reader who falls more than `channelCapacity` events behind gets one
   * `Lagged` event that tells how many are gone; then the stream closes, or goes
   * on with `lag: "skip"`. Cancelling the stream does not touch the run.
   *
   * @typeParam P The type of what the work publishes.
   * @param runId The run's UUID.
   * @param options Where to begin, when to stop, what to do about lag.
   * @returns The stream. It closes after the run's last event.
   * @throws {TypeError} If the run id is no UUID, or an option has the wrong shape.
   * @throws {RangeError} If `after` is not a non-negative integer.
   * @throws {RegistryFullError} If too many subscriptions wait for unknown runs.
   * @throws {RegistryShutdownError} If the run is unknown and the registry was
   * shut down.
   */
  subscribe<P = unknown>(
    runId: string,
    options: SubscribeOptions = {},
  ): ReadableStream<RunEvent<P>> {
    const id = canonicalUuid(runId, "Cannot subscribe: runId");
    checkSubscribeOptions(options);
    const run = this.#runs.get(id);
    const isShutDown = this.#shutdown !== undefined;
    if (run === undefined && isShutDown) {
      throw new RegistryShutdownError(
        `Cannot subscribe to run ${id}: it is unknown and the registry was shut down`,
      );
    }
    const log = this.#repository.runLog;
    if (log !== undefined && !isShutDown) {
      return log.follow(
        id,
        options,
        this.#closing.signal,
        run === undefined || options.durable
          ? undefined
          : () => replayed(run, options.after),
      ) as ReadableStream<RunEvent<P>>;
    }
    const events = run === undefined
      ? this.#awaited.subscribe(id, options)
      : run.broadcast.subscribe(options);
    return events as ReadableStream<RunEvent<P>>;
  }

  /**
   * The phase of a run of this instance.
   *
   * @param runId The run's UUID.
   * @returns The phase, or `undefined` for a run that is not held.
   * @throws {TypeError} If the run id is no UUID.
   */
  snapshotStatus(runId: string): RunPhase | undefined {
    return this.#find(runId, "Cannot snapshot status: runId")?.phase;
  }

  /**
   * Aborts a run: its signal fires, it gets an ERRORED row and an `Errored`
   * event. A run that has ended stays as it is.
   *
   * @param runId The run's UUID.
   * @param reason What the signal fires with; it goes into the row and the event
   * as text.
   * @returns When the run has ended; when it runs on another instance, when the
   * request is recorded.
   * @throws {TypeError} If the run id is no UUID.
   * @throws {UnknownRunError} If no instance knows the run.
   * @throws {RepositoryError} If the run is another instance's and the
   * repository fails.
   */
  async abort(runId: string, reason?: unknown): Promise<void> {
    const id = canonicalUuid(runId, "Cannot abort run: runId");
    const told = reason === undefined ? undefined : errorMessage(reason);
    const run = this.#runs.get(id);
    const log = this.#repository.runLog;
    // A newer attempt of a run that has ended here may be live elsewhere.
    if (run !== undefined && (log === undefined || !run.recorded)) {
      run.abort(reason, told);
      await run.outcome;
    } else if (!await log?.requestAbort(id, told)) {
      throw new UnknownRunError(id);
    }
  }

  /**
   * The payload fields that a run has set.
   *
   * @param runId The run's UUID.
   * @returns Name to value; empty when it set none.
   * @throws {TypeError} If the run id is no UUID.
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
   * Publishes an `AlreadyCompleted` event: the run's work found nothing to do.
   * It does not end the run.
   *
   * @param runId The run's UUID.
   * @returns Whether it was published; not for an unknown run or one that ended.
   * @throws {TypeError} If the run id is no UUID.
   */
  publishAlreadyCompleted(runId: string): boolean {
    const run = this.#find(runId, "Cannot publish: runId");
    return run?.publishAlreadyCompleted() ?? false;
  }

  /**
   * A watcher that reports into a run.
   *
   * @param runId The run's UUID.
   * @returns The watcher, or `undefined` for a run that is not held.
   * @throws {TypeError} If the run id is no UUID.
   */
  watcherFor(runId: string): ScopedRunWatcher | undefined {
    return this.#find(runId, "Cannot make watcher: runId")?.watcher;
  }

  /**
   * What is known of a run, wherever it runs.
   *
   * @param runId The run's UUID.
   * @returns Phase, newest row and last event; `undefined` for an unknown run.
   * @throws {TypeError} If the run id is no UUID.
   * @throws {RepositoryError} If the repository fails.
   */
  async status(runId: string): Promise<RunStatus | undefined> {
    const id = canonicalUuid(runId, "Cannot get status: runId");
    const run = this.#runs.get(id);
    return await asRepositoryError(
      `Cannot get status of run ${id}`,
      async () => {
        const [shared, row] = await Promise.all([
          this.#repository.runLog?.status(id),
          this.#repository.getPipelineRun(id),
        ]);
        if (shared !== undefined && (run === undefined || run.recorded)) {
          return { ...shared, row };
        }
        if (run !== undefined) {
          const { phase, broadcast: { firstSeq, lastSeq } } = run;
          const ended = hasEnded(phase);
          return { runId: id, phase, ended, row, firstSeq, lastSeq };
        }
        if (row === undefined) return undefined;
        const phase = phaseOfStatus(row.status, row.runInfo?.error);
        const ended = hasEnded(phase);
        return { runId: id, phase, ended, row, firstSeq: 1, lastSeq: 0 };
      },
      id,
    );
  }

  /**
   * Forgets the finished runs whose time is over, ends the runs of instances
   * that died, and prunes old events. It runs by itself every minute.
   *
   * @returns What it did.
   * @throws {RepositoryError} If the repository fails.
   */
  async sweep(): Promise<SweepReport> {
    const evicted = this.#runs.expire();
    const shared = await this.#repository.runLog?.sweep();
    return { evicted, reaped: 0, pruned: 0, ...shared };
  }

  /**
   * Shuts the registry down: what is live is aborted, every stream closes, and
   * nothing can be registered any more. Finished runs stay as they are. The
   * repository is not closed.
   *
   * A second call changes nothing and waits for the first.
   *
   * @param options `timeout` is for how long endings may take to become durable,
   * in milliseconds, 5,000 by default. The runs whose endings did not are told
   * to `onWarning`.
   * @returns When every run has ended.
   * @throws {TypeError} If the timeout is no number.
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

  /** Admits a run and starts it, without a wait in between that others could use. */
  #register<P>(spec: RunSpec, work: PipelineWork<P>): StartedRun {
    if (this.#shutdown !== undefined) {
      throw new RegistryShutdownError(
        "Cannot register run: the registry was shut down",
      );
    }
    const checked = checkSpec(spec);
    if (typeof work !== "function") {
      throw new TypeError(
        `Cannot register run: work must be a function, received ${typeof work}`,
      );
    }
    const { runId } = checked;
    const former = this.#runs.makeRoom(runId);
    const broadcast = this.#awaited.take(runId) ?? new RunBroadcast(
      runId,
      this.#options.channelCapacity,
      former?.broadcast.lastSeq,
    );
    const run = new Run<P>(
      checked,
      broadcast as RunBroadcast<P>,
      this.#dependencies,
    );
    this.#runs.add(run as Run<unknown>);
    return run.start(work);
  }

  #find(runId: string, name: string): Run<unknown> | undefined {
    return this.#runs.get(canonicalUuid(runId, name));
  }

  async #makePipelineId(pipelineName: string): Promise<string> {
    const id = await registryPipelineId(pipelineName);
    if (this.#pipelineIds.size >= MAX_PIPELINE_IDS) this.#pipelineIds.clear();
    this.#pipelineIds.set(pipelineName, id);
    return id;
  }

  async #shutDown(timeout: number): Promise<void> {
    // The signals that fire below may make others call: all must find it begun.
    await undefined;
    stopSweeping(this);
    this.#awaited.close();
    const live = this.#runs.live();
    for (const run of live) run.abort(new RegistryShutdownError());
    const outcomes = Promise.all(live.map((run) => run.outcome));
    await this.#auditTrail.close(timeout, outcomes);
    for (const run of live) run.abandon();
    await outcomes;
    this.#closing.abort();
  }
}

/**
 * The events of a run of this instance from memory, as long as the log may not
 * have them all.
 */
async function replayed(
  run: Run<unknown>,
  known: number | undefined,
): Promise<LocalEvents | undefined> {
  try {
    await run.begun;
  } catch {
    return undefined; // It was refused: the run is another instance's.
  }
  if (run.recorded) return undefined;
  const after = known ?? run.broadcast.firstSeq - 1;
  return { after, events: run.broadcast.subscribe({ after, lag: "skip" }) };
}

/** Gives what a repository's method gives, and errors as `RepositoryError`. */
async function asRepositoryError<T>(
  message: string,
  call: () => Promise<T>,
  runId?: string,
): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    if (cause instanceof RepositoryError) throw cause;
    throw new RepositoryError(message, { cause, runId });
  }
}
