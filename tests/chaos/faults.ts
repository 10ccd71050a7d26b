import { delay } from "@std/async/delay";
import type { Cluster } from "./cluster.ts";
import type { Fleet } from "./fleet.ts";
import { type Entry, MAIN } from "./journal.ts";
import type { LinkFault, Plan, ProcessFault, ServerFault } from "./plan.ts";

/** What faults act on. */
export interface FaultOptions {
  readonly cluster: Cluster;
  readonly fleet: Fleet;
  readonly record: (entry: Entry) => void;
  /** Ends the waiting within faults, and lets no other begin. */
  readonly over: AbortSignal;
}

/** Makes the faults of a plan: those of the server, the links and the processes at once. */
export class Faults {
  /** How many were made, by name. */
  readonly counts: Map<string, number> = new Map();
  /** Since when Postgres is away. */
  outageSince: number | undefined;
  readonly #options: FaultOptions;

  constructor(options: FaultOptions) {
    this.#options = options;
  }

  /** Makes the faults, and mends what they broke. */
  async make({ server, links, processes }: Plan): Promise<void> {
    await Promise.all([
      this.#makeEach("server", server, (fault) => this.#breakServer(fault)),
      this.#makeEach("link", links, (fault) => this.#breakLink(fault)),
      this.#makeEach("process", processes, (fault) => this.#strike(fault)),
    ]);
  }

  async #makeEach<F extends { pause: number; fault: string }>(
    what: string,
    faults: readonly F[],
    make: (fault: F) => Promise<void>,
  ): Promise<void> {
    for (const fault of faults) {
      await this.#wait(fault.pause);
      if (this.#options.over.aborted) return;
      const name = `${what} ${fault.fault}`;
      this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
      await make(fault);
    }
  }

  async #breakServer(fault: ServerFault): Promise<void> {
    const { cluster, record } = this.#options;
    const from = this.outageSince = Date.now();
    switch (fault.fault) {
      case "crash":
      case "restart":
        await cluster.primary.kill(
          fault.fault === "crash" ? "SIGKILL" : "SIGINT",
        );
        await this.#wait(fault.duration);
        await cluster.primary.start();
        break;
      case "freeze":
        await cluster.primary.suspend();
        await this.#wait(fault.duration);
        cluster.primary.resume();
        break;
      case "lock":
        await this.#lock(fault);
        break;
      case "failover":
        await cluster.losePrimary();
        await this.#wait(fault.duration);
        await cluster.promote();
        break;
    }
    if (fault.fault !== "failover") await cluster.isSynchronous();
    this.outageSince = undefined;
    const name = fault.fault === "lock"
      ? `lock of ${fault.table}`
      : fault.fault;
    const told = "outage" as const;
    record({ told, at: Date.now(), instance: MAIN, from, fault: name });
    if (fault.fault === "failover") await cluster.replaceStandby();
  }

  async #lock({ duration, table }: ServerFault): Promise<void> {
    // If it is not granted in time there is a deadlock to be feared, not a fault to make.
    await this.#options.cluster.query(`
      begin;
      set local lock_timeout = '3s';
      lock table ${table} in access exclusive mode;
      select pg_sleep(${duration / 1_000});
      commit`).catch(() => {});
  }

  async #breakLink(fault: LinkFault): Promise<void> {
    const { fleet } = this.#options;
    await fleet.breakLink(fault, () => this.#wait(fault.duration));
  }

  async #strike(
    { slot, fault, duration, orphanReset }: ProcessFault,
  ): Promise<void> {
    const { fleet } = this.#options;
    const process = fleet.at(slot);
    switch (fault) {
      case "freeze":
        process.freeze();
        await this.#wait(duration);
        return process.thaw();
      case "kill":
        await process.kill();
        await this.#wait(duration / 2);
        return fleet.replace(slot, orphanReset);
      case "stop": {
        const stopped = fleet.stop(process);
        // One that resets orphans does so while the other shuts down.
        if (!orphanReset) await stopped;
        fleet.replace(slot, orphanReset);
        await stopped;
      }
    }
  }

  async #wait(duration: number): Promise<void> {
    const { over } = this.#options;
    await delay(duration, { signal: over }).catch(() => {});
  }
}
