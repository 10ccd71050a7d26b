import { delay } from "@std/async/delay";
import type { PostgresClient } from "../../src/postgres/client/client.ts";
import { postgresError } from "./stub_client.ts";
import { statementName } from "./statement_name.ts";
import { turn } from "./turn.ts";

/**
 * What goes wrong with a statement.
 *
 * - `"lose"`: it is executed, and the answer gets lost.
 * - `"miss"`: it never arrives, and the caller is told that the connection is lost.
 * - `"late"`: the caller is told so too, and it is executed later.
 * - `"stray"`: it is executed and answered, and executed again later.
 * - `"delay"`: statements that are sent after it overtake it.
 * - `"break"`: it is executed, and the caller is told of an error that is final.
 * - `"refuse"`: it is not executed, and the caller is told of an error that is final.
 */
export type Fault =
  | "lose"
  | "miss"
  | "late"
  | "stray"
  | "delay"
  | "break"
  | "refuse";

/** The statements that can go wrong. */
export const FAULTY_STATEMENTS = [
  "claim",
  "renew",
  "reap",
  "release",
  "request abort",
  "write steps",
  "write steps again",
] as const;
export type FaultyStatement = typeof FAULTY_STATEMENTS[number];

/** A claim as its caller knows it. */
export interface SentClaim {
  readonly claimId: string;
  /** The number of the first event, if the claim is answered. */
  firstSeq: number | undefined;
}

/** A statement as it was sent. */
interface Sent {
  readonly name: string;
  readonly parameters: readonly unknown[];
  readonly execute: () => Promise<readonly unknown[]>;
}

/** How long a delayed statement waits for others to overtake it, in milliseconds. */
const DELAY = 10;

/** The client of one instance, over which statements go wrong as planned. */
export class FaultyClient implements PostgresClient {
  /** The newest claim on each run. */
  readonly claims: Map<string, SentClaim> = new Map();
  readonly #client: PostgresClient;
  readonly #planned: { name: FaultyStatement; fault: Fault }[] = [];
  readonly #strays: Sent[] = [];
  #executing = 0;
  #thawed: PromiseWithResolvers<void> | undefined;

  /** @param client The client that executes the statements. */
  constructor(client: PostgresClient) {
    this.#client = client;
  }

  get isFrozen(): boolean {
    return this.#thawed !== undefined;
  }

  /** Lets the next statement of a name go wrong. */
  plan(name: FaultyStatement, fault: Fault): void {
    this.#planned.push({ name, fault });
  }

  /** Lets nothing that was planned go wrong any more. */
  heal(): void {
    this.#planned.length = 0;
    this.thaw();
  }

  /** Holds every statement back from now on, and waits for those under way. */
  async freeze(): Promise<void> {
    this.#thawed ??= Promise.withResolvers();
    while (this.#executing > 0) await turn();
  }

  thaw(): void {
    this.#thawed?.resolve();
    this.#thawed = undefined;
  }

  /** Executes the oldest late statement, and tells whether there was one. */
  async arrive(): Promise<boolean> {
    const stray = this.#strays.shift();
    // Whatever the server says, nobody hears it.
    await stray?.execute().catch(() => {});
    return stray !== undefined;
  }

  async unsafe(
    query: string,
    parameters: (string | number | null)[] = [],
    { prepare }: { prepare?: boolean } = {},
  ): Promise<readonly unknown[]> {
    const name = statementName(query)!;
    const claim = name === "claim" ? this.#noteClaim(parameters) : undefined;
    await this.#thawed?.promise;
    const execute = async () =>
      await this.#client.unsafe(query, parameters, { prepare });
    const sent = { name, parameters, execute };
    this.#executing++;
    const rows = await this.#executeFaultily(sent)
      .finally(() => this.#executing--);
    if (claim !== undefined) claim.firstSeq = firstSeqOf(rows);
    return rows;
  }

  async #executeFaultily(sent: Sent): Promise<readonly unknown[]> {
    const { execute, name } = sent;
    switch (this.#takeFault(name)) {
      case "lose":
        await execute();
        throw postgresError("CONNECTION_CLOSED", "the answer is lost");
      case "miss":
        throw postgresError("CONNECTION_CLOSED", "it never arrived");
      case "late":
        this.#strays.push(sent);
        throw postgresError("CONNECTION_CLOSED", "it arrives late");
      case "stray":
        this.#strays.push(sent);
        return await execute();
      case "delay":
        await delay(DELAY);
        return await execute();
      case "break":
        await execute();
        throw postgresError("XX000", "it broke");
      case "refuse":
        throw postgresError("XX000", "it is refused");
      default:
        return await execute();
    }
  }

  #takeFault(name: string): Fault | undefined {
    const place = this.#planned.findIndex((each) => each.name === name);
    return place < 0 ? undefined : this.#planned.splice(place, 1)[0].fault;
  }

  #noteClaim([runId, _owner, claimId]: unknown[]): SentClaim {
    const known = this.claims.get(runId as string);
    if (known !== undefined && known.claimId === claimId) return known;
    const claim = { claimId: claimId as string, firstSeq: undefined };
    this.claims.set(runId as string, claim);
    return claim;
  }
}

/** What the answer to a claim says; `undefined` if it was not taken. */
function firstSeqOf([row]: readonly unknown[]): number | undefined {
  if (row === undefined) return undefined;
  const [json] = Object.values(row as Record<string, string>);
  const [_generation, lastSeq] = JSON.parse(json);
  return lastSeq === undefined ? undefined : lastSeq + 1;
}
