import { LeaseLostError, RunAlreadyActiveError } from "../../model/errors.ts";
import type { RunEvent } from "../../model/event.ts";
import type {
  LocalEvents,
  LoggedRun,
  RunLease,
  RunLog,
  RunStatus,
  SubscribeOptions,
} from "../../repository/run_log.ts";
import { hasEnded, type RunPhase } from "../../model/phase.ts";
import { phaseOfStatus, type PipelineRunStatus } from "../../model/row.ts";
import type { RegistryWarning } from "../../model/warning.ts";
import type { PostgresClient } from "../client/client.ts";
import { Lease } from "./lease.ts";
import { LogFollower, type News, type WaitingReader } from "./log_follower.ts";
import { openLogStream } from "./log_stream.ts";
import { Notifications } from "./notifications.ts";
import * as sql from "../sql/log.ts";
import type { Step } from "../write/write.ts";

/** How many events of a run one query gives. */
const EVENTS_AT_ONCE = 200;
/** How long their payloads may be in all, but for the last one's. */
const BYTES_AT_ONCE = 64 * 1024;
/** How many runs one statement ends. */
const REAPED_AT_ONCE = 500;
/** How many events one statement deletes. */
const PRUNED_AT_ONCE = 5_000;

/** Options of {@linkcode PostgresRunLog}. */
export interface PostgresRunLogOptions {
  /** Sends what may be repeated, and gives its rows. */
  read: (query: string, parameters: (string | null)[]) => Promise<unknown[]>;
  /** Does so for longer: somebody relies on it. */
  claim: (query: string, parameters: (string | null)[]) => Promise<unknown[]>;
  /** Writes something, in order. */
  write: (step: Step, bytes: number, droppable: boolean) => Promise<void>;
  /** Whose notifications are listened to; `undefined` is nobody's. */
  listener: PostgresClient | undefined;
  lease: number;
  renewal: number;
  pollInterval: number;
  logRetention: number;
  warn: (warning: RegistryWarning) => void;
}

/** Shares runs between instances through leases, a log of events and NOTIFY. */
export class PostgresRunLog implements RunLog {
  /** Who holds the leases of this instance. */
  readonly owner: string = crypto.randomUUID();
  readonly #options: PostgresRunLogOptions;
  readonly #leases = new Map<string, Lease>();
  readonly #follower: LogFollower;
  readonly #notifications: Notifications | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Requests on claims of which this instance does not know yet that it has them. */
  readonly #earlyRequests = new Map<string, { reason: string | undefined }>();
  #readingRequests = false;
  #requestsDue = false;
  #closed = false;

  constructor(options: PostgresRunLogOptions) {
    this.#options = options;
    const { listener, pollInterval, warn } = options;
    this.#follower = new LogFollower({
      read: (readers) => this.#read(readers),
      pollInterval,
      onTrouble: (cause) =>
        warn({
          kind: "log",
          message: "Reading the log failed and is tried again",
          cause,
        }),
    });
    this.#notifications = listener && new Notifications({
      client: listener,
      notify: async (payload) => {
        await options.read(sql.NOTIFY, [payload]);
      },
      onNotify: (payload) => this.#onNotify(payload),
      onListen: () => {
        this.#follower.wake();
        this.#readRequests();
      },
      warn,
    });
  }

  open(run: LoggedRun): RunLease {
    return new Lease(run, {
      claim: (lease) => this.#claim(lease),
      write: this.#options.write,
      onEnded: (lease) => this.#release(lease),
      ending: (runId, from) => this.#readEnding(runId, from),
    });
  }

  follow(
    runId: string,
    options: SubscribeOptions,
    closing: AbortSignal,
    local?: () => Promise<LocalEvents | undefined>,
  ): ReadableStream<RunEvent> {
    if (local === undefined) this.#notifications?.start();
    return openLogStream({
      ...options,
      runId,
      follower: this.#follower,
      closing,
      local,
    });
  }

  async requestAbort(
    runId: string,
    reason: string | undefined,
  ): Promise<boolean> {
    const [answer] = await this.#options.claim(sql.REQUEST_ABORT, [
      runId,
      reason ?? null,
    ]);
    const { live, known } = answer as { live: boolean | null; known: boolean };
    if (live === false) await this.#reap("lease_expired", runId);
    return known;
  }

  async status(runId: string): Promise<RunStatus | undefined> {
    const [answer] = await this.#options.read(sql.STATUS, [runId]);
    return toStatus(runId, answer as StatusAnswer);
  }

  async sweep(
    reason: string = "lease_expired",
  ): Promise<{ reaped: number; pruned: number }> {
    // After an outage of our own the runs we hold are not to be ended.
    if (this.#leases.size > 0) await this.#renew();
    return {
      reaped: await this.#reap(reason),
      pruned: this.#options.logRetention === Infinity ? 0 : await this.#prune(),
    };
  }

  /** Takes note of what was written: readers of this instance wait for it too. */
  onWritten(runIds: ReadonlySet<string>): void {
    this.#follower.wake(runIds);
  }

  /** Takes over a lease that has been written. */
  hold(lease: Lease): void {
    this.#leases.set(lease.runId, lease);
    const early = this.#earlyRequests.get(lease.token);
    if (early !== undefined) lease.requestAbort(early.reason);
    this.#notifications?.start();
    this.#arm();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#follower.close();
    await this.#notifications?.close();
  }

  #release(lease: Lease): void {
    if (this.#leases.get(lease.runId) === lease) {
      this.#leases.delete(lease.runId);
    }
    if (this.#leases.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #arm(): void {
    if (this.#closed) return;
    this.#timer ??= setTimeout(async () => {
      this.#timer = undefined;
      try {
        await this.#renew();
      } catch (cause) {
        const message = "Renewing the leases failed and is tried again";
        this.#options.warn({ kind: "lease", message, cause });
      }
      if (this.#leases.size > 0) this.#arm();
    }, this.#options.renewal);
  }

  async #claim(lease: Lease): Promise<{ generation: number; lastSeq: number }> {
    const { runId, token } = lease;
    const parameters = [runId, this.owner, token, String(this.#options.lease)];
    let claimed: unknown;
    try {
      [claimed] = await this.#options.claim(sql.CLAIM, parameters);
      if (
        claimed === undefined && await this.#reap("lease_expired", runId) > 0
      ) [claimed] = await this.#options.claim(sql.CLAIM, parameters);
    } catch (error) {
      // It may be claimed all the same.
      this.#giveUp(lease);
      throw error;
    }
    if (claimed === undefined) throw new RunAlreadyActiveError(runId);
    if (lease.abandoned) {
      this.#giveUp(lease);
      throw new LeaseLostError(runId);
    }
    this.hold(lease);
    const [generation, lastSeq] = claimed as [number, number];
    return { generation, lastSeq };
  }

  /** Gives up a claim; where that fails, the lease runs out. */
  async #giveUp({ token }: Lease): Promise<void> {
    try {
      await this.#options.read(sql.RELEASE, [token]);
    } catch (cause) {
      const message = "A claim could not be given up yet";
      this.#options.warn({ kind: "lease", message, cause });
    }
  }

  /** Renews all leases, and hears what became of them and what is asked for. */
  async #renew(): Promise<void> {
    // What is claimed or ended while the statement is under way is not in it.
    const held = [...this.#leases.values()].filter((lease) => !lease.ending);
    const rows = await this.#options.read(sql.RENEW, [
      this.owner,
      String(this.#options.lease),
      `{${held.map((lease) => lease.token).join(",")}}`,
    ]) as [string, string, boolean, string | null][];
    const renewed = new Map(rows.map((row) => [row[1], row]));
    for (const lease of held) {
      const row = renewed.get(lease.token);
      if (row === undefined) lease.lose();
      else if (row[2]) lease.requestAbort(row[3] ?? undefined);
    }
  }

  async #reap(reason: string, runId?: string): Promise<number> {
    let reaped = 0;
    while (true) {
      const [answer] = await this.#options.read(sql.REAP, [
        reason,
        String(REAPED_AT_ONCE),
        runId ?? null,
      ]);
      const [count] = answer as [number];
      reaped += count;
      if (count > 0) this.#follower.wake();
      if (count < REAPED_AT_ONCE) return reaped;
    }
  }

  async #prune(): Promise<number> {
    let pruned = 0;
    while (true) {
      const [count] = await this.#options.read(sql.PRUNE, [
        String(this.#options.logRetention),
        String(PRUNED_AT_ONCE),
      ]);
      pruned += count as number;
      if (count as number < PRUNED_AT_ONCE) return pruned;
    }
  }

  async #read(readers: readonly WaitingReader[]): Promise<News[]> {
    const waiting = readers.map(({ runId, after }) => ({ id: runId, after }));
    const rows = await this.#options.read(sql.READ_EVENTS, [
      JSON.stringify(waiting),
      String(EVENTS_AT_ONCE),
      String(BYTES_AT_ONCE),
    ]) as { id: string; after: number | null; events: EventRow[] | null }[];
    return rows.map(({ id, after, events }) => ({
      runId: id,
      after: after ?? undefined,
      events: (events ?? []).map((row) => toEvent(id, row)),
    }));
  }

  async #readEnding(
    runId: string,
    from: number,
  ): Promise<RunEvent | undefined> {
    try {
      const [row] = await this.#options.read(sql.READ_ENDING, [
        runId,
        String(from),
      ]);
      return row === undefined ? undefined : toEvent(runId, row as EventRow);
    } catch (cause) {
      const message = `The recorded ending of run ${runId} could not be read`;
      this.#options.warn({ kind: "log", runId, message, cause });
      return undefined;
    }
  }

  #onNotify(payload: string): void {
    if (payload === "*") return this.#follower.wake();
    const [kind, owner] = payload.split(" ");
    if (kind !== "abort") {
      return this.#follower.wake(new Set(payload.split(",")));
    }
    if (owner === this.owner) this.#readRequests();
  }

  /** Hears who is to be aborted: one query for all that came during the last one. */
  async #readRequests(): Promise<void> {
    this.#requestsDue = true;
    if (this.#readingRequests) return;
    this.#readingRequests = true;
    try {
      while (this.#requestsDue && !this.#closed) {
        this.#requestsDue = false;
        const rows = await this.#options.read(sql.READ_REQUESTS, [
          this.owner,
        ]) as [string, string, string | null][];
        this.#earlyRequests.clear();
        for (const [runId, claim, told] of rows) {
          const reason = told ?? undefined;
          const lease = this.#leases.get(runId);
          if (lease?.token === claim) lease.requestAbort(reason);
          else this.#earlyRequests.set(claim, { reason });
        }
      }
    } catch (cause) {
      const message = "Requests to abort could not be read yet";
      this.#options.warn({ kind: "lease", message, cause });
    } finally {
      this.#readingRequests = false;
    }
  }
}

/** An event as the log gives it: seq, kind, at, payload, message. */
type EventRow = [number, RunEvent["kind"], string, unknown, string | null];

function toEvent(runId: string, row: EventRow): RunEvent {
  const [seq, kind, at, payload, message] = row;
  const base = { runId, seq, at: new Date(at), payload };
  return (
    kind === "Errored"
      ? { ...base, kind, message: message ?? "" }
      : { ...base, kind }
  ) as RunEvent;
}

interface StatusAnswer {
  status: PipelineRunStatus | null;
  error: string | null;
  beginning: number | null;
  event: EventRow | null;
  lease: "live" | "expired" | "ended" | null;
}

function toStatus(
  runId: string,
  { status, error, beginning, event, lease }: StatusAnswer,
): RunStatus | undefined {
  if (status === null && event === null && lease === null) return undefined;
  const lastSeq = event?.[0] ?? 0;
  const phase = phaseOf(status, error, event, lease);
  return {
    runId,
    phase,
    ended: hasEnded(phase) && lease !== "expired",
    firstSeq: (beginning ?? lastSeq) + 1,
    lastSeq,
  };
}

function phaseOf(
  status: PipelineRunStatus | null,
  error: string | null,
  event: EventRow | null,
  lease: StatusAnswer["lease"],
): RunPhase {
  if (lease === "expired") return { name: "Errored", message: "lease_expired" };
  if (lease === "live") {
    return { name: event === null ? "Pending" : "Running" };
  }
  if (event?.[1] === "Completed") return { name: "Completed" };
  if (event?.[1] === "Errored") {
    return { name: "Errored", message: event[4] ?? "" };
  }
  return phaseOfStatus(status, error);
}
