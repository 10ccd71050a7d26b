import { hasPooler, type Pooler, startPooler } from "../postgres/pooler.ts";
import { ChaosProcess } from "./chaos_process.ts";
import type { Cluster } from "./cluster.ts";
import type { Deed, Entry } from "./journal.ts";
import { type LinkFault, POOLED_SLOTS, POOLER, SLOTS } from "./plan.ts";
import { ProxyLink } from "./proxy.ts";

/** How leases are set up: shorter than by default, so that more of them expire. */
export const LEASES = {
  leaseDuration: 8_000,
  renewInterval: 2_000,
  statementTimeout: 1_000,
} as const;

/** The fault of a pooler that ends by itself. */
export const POOLER_CRASH = "crash of the pooler";

/** A place of an instance and its way to the server; instances in it come and go. */
interface Slot {
  readonly link: ProxyLink;
  readonly pooled: boolean;
  process: ChaosProcess;
}

/** The instances, each behind a link of its own. */
export class Fleet implements AsyncDisposable {
  readonly #record: (entry: Entry) => void;
  readonly #stack = new AsyncDisposableStack();
  readonly #ending = new Set<Promise<void>>();
  readonly #slots: Slot[] = [];
  /** From the pooler to the server, if there is a pooler. */
  #poolerLink: ProxyLink | undefined;
  #pooler: Pooler | undefined;
  #started = 0;
  #closed = false;

  private constructor(record: (entry: Entry) => void) {
    this.#record = record;
  }

  /** Starts an instance in each slot; they may not be connected yet. */
  static async start(
    cluster: Cluster,
    record: (entry: Entry) => void,
  ): Promise<Fleet> {
    const fleet = new Fleet(record);
    const hasOne = await hasPooler();
    if (hasOne) {
      fleet.#poolerLink = fleet.#stack.use(new ProxyLink(() => cluster.port));
      await fleet.#startPooler(fleet.#poolerLink);
    }
    for (let index = 0; index < SLOTS; index++) {
      const pooled = hasOne && POOLED_SLOTS.includes(index);
      const link = new ProxyLink(() =>
        pooled ? Number(new URL(fleet.#pooler!.url).port) : cluster.port
      );
      fleet.#stack.use(link);
      const process = fleet.#launch(link, pooled, false);
      fleet.#slots.push({ link, pooled, process });
    }
    return fleet;
  }

  /** Starts a pooler, and another one whenever it crashes. */
  async #startPooler(link: ProxyLink): Promise<void> {
    const pooler = await startPooler(
      `postgres://postgres@127.0.0.1:${link.port}/postgres`,
      // By default it waits 15 s after a refused login.
      "server_login_retry = 1",
    );
    this.#pooler = this.#stack.use(pooler);
    pooler.ended.then(async () => {
      if (this.#closed) return;
      const from = Date.now();
      await this.#startPooler(link);
      for (const { name } of this.#behind(link)) {
        this.#tell(name, { told: "cut", from, fault: POOLER_CRASH });
      }
    });
  }

  /** The instance in a slot. */
  at(index: number): ChaosProcess {
    return this.#slots[index].process;
  }

  /** The instances that connect without a pooler, and their links. */
  direct(): { name: string; link: ProxyLink }[] {
    return this.#slots.filter(({ pooled }) => !pooled)
      .map(({ link, process: { name } }) => ({ name, link }));
  }

  /** Puts another instance into a slot. */
  replace(index: number, orphanReset: boolean): void {
    const slot = this.#slots[index];
    slot.process = this.#launch(slot.link, slot.pooled, orphanReset);
  }

  /** Ends an instance in order, whatever becomes of its slot. */
  async stop(process: ChaosProcess): Promise<void> {
    const stopped = process.stop().finally(() => this.#ending.delete(stopped));
    this.#ending.add(stopped);
    await stopped;
  }

  /** Breaks a link until the wait is over. */
  async breakLink(
    { slot, fault }: LinkFault,
    wait: () => Promise<void>,
  ): Promise<void> {
    const link = slot === POOLER ? this.#poolerLink : this.#slots[slot].link;
    if (link === undefined) return;
    if (fault === "drop") return link.drop();
    if (fault === "lose answers") return link.loseAnswers();
    const from = Date.now();
    const before = this.#behind(link);
    link.mode = fault === "delay" ? "slow" : fault;
    await wait();
    link.mode = "open";
    if (fault === "delay") return;
    for (const { name } of new Set([...before, ...this.#behind(link)])) {
      this.#tell(name, { told: "cut", from, fault });
    }
  }

  /** The instances whose way to the server a link is part of. */
  #behind(link: ProxyLink): ChaosProcess[] {
    const isPooler = link === this.#poolerLink;
    return this.#slots
      .filter((slot) => isPooler ? slot.pooled : slot.link === link)
      .map(({ process }) => process);
  }

  /** Opens all links and continues all instances. */
  heal(): void {
    this.#poolerLink?.heal();
    for (const { link, process } of this.#slots) {
      link.heal();
      process.thaw();
    }
  }

  /** Ends all instances in order. */
  async stopAll(): Promise<void> {
    await Promise.all(this.#slots.map(({ process }) => this.stop(process)));
    await Promise.all(this.#ending);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#stack[Symbol.asyncDispose]();
  }

  #launch(link: ProxyLink, pooled: boolean, orphanReset: boolean) {
    const name = `i${this.#started++}`;
    const url = new URL(`postgres://postgres@127.0.0.1:${link.port}/postgres`);
    url.searchParams.set("application_name", `chaos_${name}`);
    const options = { ...LEASES, url: url.href, orphanReset };
    return new ChaosProcess(name, options, pooled, this.#record);
  }

  #tell(instance: string, deed: Deed): void {
    this.#record({ ...deed, at: Date.now(), instance });
  }
}
