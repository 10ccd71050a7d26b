import type { RunEvent } from "../../model/event.ts";
import { uuidV7 } from "../../model/ids.ts";
import type { Telemetry } from "../../model/telemetry.ts";
import type { RegistryWarning } from "../../model/warning.ts";
import type {
  FollowOptions,
  LocalRun,
  LoggedRun,
  RunLease,
  RunLog,
  RunStatus,
} from "../../repository/run_log.ts";
import type { PostgresClient } from "../client/client.ts";
import type { Database } from "../client/database.ts";
import { Notifications } from "../client/notifications.ts";
import type { Replica } from "../client/replica.ts";
import { Leases } from "../leases/leases.ts";
import { type RunState, STATUS, toStatus } from "../sql/status.ts";
import type { GroupCommit } from "../write/group_commit.ts";
import type { Write } from "../write/write.ts";
import { LogFollower } from "./log_follower.ts";
import { openLogStream } from "./log_stream.ts";

/** Options of {@linkcode PostgresRunLog}. */
export interface PostgresRunLogOptions {
  readonly database: Database;
  /** Reads old events, if there is one. */
  readonly replica: Replica | undefined;
  readonly writes: GroupCommit<Write>;
  /** The UUID of this instance. */
  readonly owner: string;
  /** Listens for notifications, if anything does. */
  readonly listener: PostgresClient | undefined;
  readonly leaseDuration: number;
  readonly renewInterval: number;
  readonly pollInterval: number;
  readonly telemetry?: Telemetry;
  readonly warn: (warning: RegistryWarning) => void;
}

/** Shares runs between instances through leases, a log of events and NOTIFY. */
export class PostgresRunLog implements RunLog {
  readonly keepsEvents = true;
  readonly #database: Database;
  readonly #replica: Replica | undefined;
  readonly #follower: LogFollower;
  readonly #notifications: Notifications;
  readonly #leases: Leases;
  readonly #telemetry: Telemetry | undefined;

  constructor(options: PostgresRunLogOptions) {
    const { database, listener, replica, telemetry, warn } = options;
    this.#database = database;
    this.#replica = replica;
    this.#telemetry = telemetry;
    this.#notifications = new Notifications({
      client: listener,
      database,
      warn,
    });
    this.#follower = new LogFollower({
      ...options,
      notifications: this.#notifications,
    });
    this.#leases = new Leases({
      ...options,
      duration: options.leaseDuration,
      notifications: this.#notifications,
      onLogged: (runId) => this.#follower.wake(runId),
    });
    this.#notifications.add(this.#follower);
    this.#notifications.add(this.#leases);
  }

  newId(): string {
    return uuidV7();
  }

  open(run: LoggedRun): RunLease {
    return this.#leases.open(run);
  }

  follow(
    runId: string,
    options: FollowOptions,
    local: LocalRun,
  ): ReadableStream<RunEvent> {
    const unrecorded = options.durable ? undefined : local.unrecorded;
    return openLogStream({
      ...options,
      runId,
      follower: this.#follower,
      replica: this.#replica,
      follow: local.follow,
      unrecorded,
    });
  }

  async requestAbort(
    runId: string,
    reason: string | undefined,
  ): Promise<"requested" | "ended" | "unknown"> {
    const state = await this.#leases.requestAbort(runId, reason);
    const status = toStatus(runId, state);
    if (status === undefined) return "unknown";
    if (status.ended) return "ended";
    if (state.row !== null) {
      this.#telemetry?.onAbortRequest({
        runId,
        pipelineName: state.row.pipelineName,
        datasetId: state.row.datasetId ?? undefined,
        traceparent: state.row.runInfo?.traceparent,
      }, reason);
    }
    return "requested";
  }

  async status(runId: string): Promise<RunStatus | undefined> {
    const [state] = await this.#database.query(STATUS, { runId });
    return toStatus(runId, state as RunState);
  }

  async reap(reason: string = "lease_expired"): Promise<number> {
    // After an outage this instance's own leases may have expired; its runs go on.
    await this.#leases.renew();
    return await this.#leases.reap(reason);
  }

  async close(): Promise<void> {
    this.#leases.close();
    this.#follower.close();
    await this.#notifications.close();
  }
}
