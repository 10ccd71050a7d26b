import { delay } from "@std/async/delay";
import { RunAlreadyActiveError } from "../../model/errors.ts";
import type { RunEvent } from "../../model/event.ts";
import { LEASE_EXPIRED } from "../../model/failure.ts";
import type { Telemetry, TracedRun } from "../../model/telemetry.ts";
import type { RegistryWarning } from "../../model/warning.ts";
import type { LoggedRun } from "../../repository/run_log.ts";
import type { Database } from "../client/database.ts";
import type {
  NotificationListener,
  Notifications,
} from "../client/notifications.ts";
import { type EventRow, READ_ENDING, toEvent } from "../sql/events.ts";
import {
  CLAIM,
  READ_REQUESTS,
  REAP,
  RELEASE,
  RENEW,
  REQUEST_ABORT,
} from "../sql/leases.ts";
import type { RunState } from "../sql/status.ts";
import type { GroupCommit } from "../write/group_commit.ts";
import type { Write } from "../write/write.ts";
import { Lease, type LeaseHolder } from "./lease.ts";

/**
 * For how long a claim or a request to abort is repeated, in milliseconds: a pooler
 * that was refused by the server refuses everybody for 15 s by default (pgbouncer's
 * `server_login_retry`).
 */
const PERSISTENCE = 30_000;
/** How many runs one statement ends. */
const REAPED_AT_ONCE = 500;
/**
 * How many renewals a live instance misses while its expired lease is under notice,
 * so that it has a chance after an outage of Postgres.
 */
const RENEWALS_UNDER_NOTICE = 2;
/** How soon renewing is tried again after a failure, in intervals of renewal. */
const RETRY_INTERVAL = 0.1;

/** What REAP answers. */
type ReapAnswer = [
  count: number,
  isAnyLeft: boolean,
  notified: number,
  runs: TracedRun[],
];

/** Options of {@linkcode Leases}. */
export interface LeasesOptions {
  readonly database: Database;
  readonly writes: GroupCommit<Write>;
  readonly notifications: Pick<Notifications, "start" | "stop">;
  /** The UUID of this instance. */
  readonly owner: string;
  /** How long a lease is, in milliseconds. */
  readonly duration: number;
  /** How often leases are renewed, in milliseconds. */
  readonly renewInterval: number;
  /** Called when there are new events of a run, or of any run. */
  readonly onLogged: (runId?: string) => void;
  readonly telemetry?: Telemetry;
  readonly warn: (warning: RegistryWarning) => void;
}

/**
 * The leases of this instance: claims and renews them, hears requests to abort, and
 * ends the runs whose lease expired.
 */
export class Leases implements LeaseHolder, NotificationListener {
  readonly onLogged: (runId?: string) => void;
  readonly #options: LeasesOptions;
  readonly #held = new Map<string, Lease>();
  /** Requests to abort a run whose claim is not answered yet, by claim. */
  readonly #earlyRequests = new Map<string, { reason: string | undefined }>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #readingRequests = false;
  #requestsDue = false;
  /** Whether renewing has failed since it last succeeded. */
  #inTrouble = false;
  readonly #closed = new AbortController();

  constructor(options: LeasesOptions) {
    this.#options = options;
    this.onLogged = options.onLogged;
  }

  /** Makes the lease of a run. Nothing is written yet. */
  open(run: LoggedRun): Lease {
    return new Lease(run, this, this.#options.writes);
  }

  async claim(lease: Lease): Promise<{ generation: number; lastSeq: number }> {
    let expected = 0;
    try {
      for (let isReaped = false;;) {
        const [generation, lastSeq] = await this.#claim(lease, expected);
        if (lastSeq !== undefined) {
          if (lease.isAbandoned) this.#giveUp(lease, expected);
          else this.hold(lease);
          return { generation: generation!, lastSeq };
        }
        if (generation !== undefined) expected = generation;
        else if (isReaped) break;
        else {
          // Meanwhile another instance may have ended it instead.
          await this.reap("lease_expired", lease.runId);
          isReaped = true;
        }
      }
    } catch (error) {
      this.#giveUp(lease, expected); // The claim may have succeeded.
      throw error;
    }
    throw new RunAlreadyActiveError(lease.runId);
  }

  hold(lease: Lease): void {
    if (this.#held.size === 0) this.#options.notifications.start();
    this.#held.set(lease.runId, lease);
    const early = this.#earlyRequests.get(lease.claimId);
    if (early !== undefined) lease.requestAbort(early.reason);
    this.#arm();
  }

  release(lease: Lease): void {
    if (this.#held.get(lease.runId) !== lease) return;
    this.#held.delete(lease.runId);
    if (this.#held.size > 0) return;
    this.#options.notifications.stop();
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  async readEnding(runId: string, from: number): Promise<RunEvent | undefined> {
    try {
      const values = { runId, from };
      const [row] = await this.#options.database.query(READ_ENDING, values);
      return row === undefined ? undefined : toEvent(runId, row as EventRow);
    } catch (cause) {
      const message = `The recorded ending of run ${runId} could not be read`;
      this.#options.warn({ kind: "log", runId, message, cause });
      return undefined;
    }
  }

  /**
   * Asks the holder of a run's lease to abort it. If its lease has expired, this ends
   * the run unless the holder comes back meanwhile.
   *
   * @returns The state that the run had.
   */
  async requestAbort(
    runId: string,
    reason: string | undefined,
  ): Promise<RunState> {
    const [state] = await this.#options.database.query(
      REQUEST_ABORT,
      { runId, reason },
      { persistence: PERSISTENCE },
    ) as [RunState];
    if (state.lease === "expired") this.#reapLater(runId);
    return state;
  }

  /**
   * Renews the leases, and learns which are lost and which runs to abort.
   *
   * @throws {RepositoryError} If it fails, at the first attempt or at the last.
   */
  async renew(attempts: "once" | "repeatedly" = "repeatedly"): Promise<void> {
    if (this.#held.size === 0) return;
    const { database, duration, owner } = this.#options;
    // Leases that are claimed while the statement is under way are not in it. Those
    // whose ending is pending are: it may wait for longer than the lease.
    const held = [...this.#held.values()];
    const claimIds = `{${held.map(({ claimId }) => claimId).join(",")}}`;
    const values = { owner, duration, claimIds };
    const rows = attempts === "once"
      ? await database.execute(RENEW, values)
      : await database.query(RENEW, values);
    const renewed = new Map(
      (rows as [string, boolean, string | null][])
        .map(([claimId, isRequested, reason]) => [
          claimId,
          { isRequested, reason: reason ?? undefined },
        ]),
    );
    for (const lease of held) {
      const found = renewed.get(lease.claimId);
      if (found?.isRequested) lease.requestAbort(found.reason);
      // If its ending is pending by now, that write finds out whether it is lost.
      if (found === undefined && !lease.isEnding) lease.lose();
    }
  }

  /**
   * Ends the runs whose lease has expired. If it is the first to find one, it gives
   * notice and waits for two intervals of renewal, in case the instance is live and
   * Postgres was away.
   *
   * @param reason What their rows and events say.
   * @param runId Only this run.
   * @returns How many were ended.
   */
  async reap(reason: string, runId?: string): Promise<number> {
    const { renewInterval } = this.#options;
    const notice = Math.ceil(RENEWALS_UNDER_NOTICE * renewInterval);
    const first = await this.#reap(reason, notice, runId);
    if (!first.isAnyLeft) return first.reaped;
    try {
      // A little longer, since the clock of Postgres may go slower.
      await delay(1.02 * notice, { signal: this.#closed.signal });
    } catch {
      return first.reaped; // Closed: whoever sweeps next ends them.
    }
    const second = await this.#reap(reason, notice, runId);
    return first.reaped + second.reaped;
  }

  onNotify(payload: string): void {
    if (payload === `abort ${this.#options.owner}`) this.#readRequests();
  }

  onListen(): void {
    this.#readRequests();
  }

  /** Stops renewing. */
  close(): void {
    this.#closed.abort();
    clearTimeout(this.#timer);
  }

  async #reapLater(runId: string): Promise<void> {
    try {
      await this.reap("lease_expired", runId);
    } catch (cause) {
      this.#warn(`Run ${runId} could not be ended yet`, cause);
    }
  }

  async #reap(
    reason: string,
    notice: number,
    runId: string | undefined,
  ): Promise<{ reaped: number; isAnyLeft: boolean }> {
    const { database, telemetry } = this.#options;
    let reaped = 0;
    while (true) {
      const values = { reason, notice, limit: REAPED_AT_ONCE, runId };
      const [answer] = await database.query(REAP, values);
      const [count, isAnyLeft, , runs] = answer as ReapAnswer;
      reaped += count;
      if (count > 0) {
        this.onLogged(runId);
        const code = reason === LEASE_EXPIRED.code ? reason : "orphan";
        telemetry?.onReaped({ code, count, runs });
      }
      if (count < REAPED_AT_ONCE) return { reaped, isAnyLeft };
    }
  }

  /**
   * Claims a run behind the attempt of a generation.
   *
   * @returns The generation of the claim and the run's last event; of an attempt that
   * ended later only the generation; nothing if the run is live.
   */
  async #claim(
    { runId, claimId }: Lease,
    expected: number,
  ): Promise<[generation?: number, lastSeq?: number]> {
    const { database, duration, owner } = this.#options;
    const values = { runId, owner, claimId, expected, duration };
    const [found = []] = await database.query(CLAIM, values, {
      persistence: PERSISTENCE,
    });
    return found as [number?, number?];
  }

  /** Gives up a claim; if that fails, the lease expires. */
  async #giveUp({ runId, claimId }: Lease, expected: number): Promise<void> {
    const { database, owner } = this.#options;
    try {
      await database.query(RELEASE, { runId, owner, claimId, expected });
    } catch (cause) {
      this.#warn("A claim could not be given up yet", cause);
    }
  }

  #arm(wait: number = this.#options.renewInterval): void {
    if (this.#closed.signal.aborted) return;
    this.#timer ??= setTimeout(async () => {
      this.#timer = undefined;
      let next: number | undefined;
      try {
        await this.renew("once");
        this.#inTrouble = false;
      } catch (cause) {
        if (!this.#inTrouble) {
          this.#warn("Renewing the leases failed and is tried again", cause);
        }
        this.#inTrouble = true;
        next = RETRY_INTERVAL * this.#options.renewInterval;
        // A run that was claimed meanwhile has armed the usual one.
        clearTimeout(this.#timer);
        this.#timer = undefined;
      }
      if (this.#held.size > 0) this.#arm(next);
    }, wait);
  }

  /** Reads the requests to abort, with one query for all that arrive meanwhile. */
  async #readRequests(): Promise<void> {
    this.#requestsDue = true;
    if (this.#readingRequests) return;
    this.#readingRequests = true;
    const { database, owner } = this.#options;
    try {
      while (this.#requestsDue && !this.#closed.signal.aborted) {
        this.#requestsDue = false;
        const rows = await database.query(READ_REQUESTS, { owner });
        this.#earlyRequests.clear();
        for (const row of rows) {
          const [runId, claimId, text] = row as [string, string, string | null];
          const reason = text ?? undefined;
          const lease = this.#held.get(runId);
          if (lease?.claimId === claimId) lease.requestAbort(reason);
          else this.#earlyRequests.set(claimId, { reason });
        }
      }
    } catch (cause) {
      this.#warn("Requests to abort could not be read yet", cause);
    } finally {
      this.#readingRequests = false;
    }
  }

  #warn(message: string, cause: unknown): void {
    if (this.#closed.signal.aborted) return;
    this.#options.warn({ kind: "lease", message, cause });
  }
}
