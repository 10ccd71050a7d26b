import { assert, assertEquals } from "@std/assert";
import type {
  PipelineRunRegistry,
  RunContext,
  RunOutcome,
  RunPhase,
} from "../../mod.ts";
import type { PostgresPipelineRunRepository } from "../../src/postgres/mod.ts";
import type { FaultyClient, SentClaim } from "./faulty_client.ts";
import type { LoggedEvent } from "./logged_attempts.ts";

/** One of the instances that share the database. */
export interface LeasingInstance {
  readonly client: FaultyClient;
  readonly repository: PostgresPipelineRunRepository;
  readonly registry: PipelineRunRegistry;
}

/** An attempt that an instance was asked to register. */
export interface LeasedAttempt {
  readonly runId: string;
  readonly instance: LeasingInstance;
  readonly work: PromiseWithResolvers<void>;
  /** What its work was told to do. */
  told: "work" | "complete" | "throw";
  context: RunContext | undefined;
  /** Its claim, if that succeeded. */
  claim: SentClaim | undefined;
  /** Whether the registration was answered. */
  isAnswered: boolean;
  outcome: RunOutcome | undefined;
}

/** Whether an attempt has begun, and its instance does not say that it has ended. */
export function isOpen({ claim, outcome }: LeasedAttempt): boolean {
  return claim !== undefined && outcome === undefined;
}

/** A phase as one text. */
export function textOf(phase: RunPhase): string {
  return phase.name === "Errored" ? `Errored: ${phase.message}` : phase.name;
}

/** An attempt ends for a reason, and as the log has it. */
export function checkOutcome(
  { claim, outcome, told }: LeasedAttempt,
  events: readonly LoggedEvent[],
  { isAborted, isExpired }: { isAborted: boolean; isExpired: boolean },
): void {
  if (outcome === undefined) return;
  assert(outcome.durable, "an ending is not durable");
  const text = textOf(outcome.phase);
  const endings: Record<string, boolean> = {
    "Completed": told === "complete",
    "Errored: broken": told === "throw",
    "Errored: aborted: enough": isAborted,
    "Errored: lease_expired": isExpired,
  };
  assert(endings[text], `a run ended for no reason: ${text}`);
  const logged = events.find(({ kind, seq }) =>
    seq >= claim!.firstSeq! && (kind === "Completed" || kind === "Errored")
  );
  assertEquals(logged?.text, text, "the log has another ending");
}
