import { hasPooler, type Pooler, startPooler } from "../postgres/pooler.ts";
import { ChaosProcess } from "./chaos_process.ts";
import type { Cluster } from "./cluster.ts";
import type { Deed, Entry } from "./journal.ts";
import { type LinkFault, POOLED_SLOTS, POOLER, SLOTS } from "./plan.ts";
import { ProxyLink } from "./proxy.ts";

/** How leases are set up: shorter than by default, so that more of them expire. */
export const LEASES = { leaseDuration: 6_000, renewInterval: 1_000 } as const;

/** A place of an instance and its way to the server; instances in it come and go. */
interface Slot {
  readonly link: ProxyLink;
  readonly pooled: boolean;
  process: ChaosProcess;
}

/** The instances, each behind a link of its own. */
export class Fleet implements AsyncDisposable {
  readonly #record: (entry: Entry) => void;
  readonly #stack: AsyncDisposableStack;
  readonly #slots: Slot[] = [];
  /** From the pooler to the server, if there is a pooler. */
  readonly #poolerLink: ProxyLink | undefined;
  readonly #ending = new Set<Promise<void>>();
  #started = 0;

  private constructor(
    record: (entry: Entry) => void,
    stack: AsyncDisposableStack,
    poolerLink: ProxyLink | undefined,
  ) {
    this.#record = record;
    this.#stack = stack;
    this.#poolerLink = poolerLink;
  }

  /** Starts an instance in each slot; they may not be connected yet. */
  static async start(
    cluster: Cluster,
    record: (entry: Entry) => void,
  ): Promise<Fleet> {
    await using stack = new AsyncDisposableStack();
    let pooler: Pooler | undefined;
    let poolerLink: ProxyLink | undefined;
    if (await hasPooler()) {
      poolerLink = stack.use(new ProxyLink(() => cluster.port));
      pooler = stack.use(
        await startPooler(
          `postgres://postgres@127.0.0.1:${poolerLink.port}/postgres`,
          // By default it waits 15 s after a refused login.
          "server_login_retry = 1",
        ),
      );
    }
    const poolerPort = pooler && Number(new URL(pooler.url).port);
    const fleet = new Fleet(record, stack.move(), poolerLink);
    for (let index = 0; index < SLOTS; index++) {
      const pooled = poolerPort !== undefined && POOLED_SLOTS.includes(index);
      const link = new ProxyLink(() => pooled ? poolerPort : cluster.port);
      fleet.#stack.use(link);
      const process = fleet.#launch(link, pooled, false);
      fleet.#slots.push({ link, pooled, process });
    }
    return fleet;
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
