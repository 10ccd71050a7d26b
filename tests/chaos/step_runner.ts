import { delay } from "@std/async/delay";
import type { ChaosProcess } from "./chaos_process.ts";
import type { Fleet } from "./fleet.ts";
import type { Entry } from "./journal.ts";
import type { Step } from "./plan.ts";

/** Sends the steps of a plan to the instances, at their times. */
export class StepRunner {
  /** The id of each run, once it is known. */
  readonly #runIds = new Map<number, string>();
  /** What each follower follows, and the number of the last event that it saw. */
  readonly #positions = new Map<number, { runId: string; seq?: number }>();

  /** Learns from the journal what later steps refer to. */
  learn(entry: Entry): void {
    switch (entry.told) {
      case "registered":
        this.#runIds.set(entry.run, entry.runId);
        break;
      case "following": {
        const { follower, runId, after } = entry;
        this.#positions.set(follower, { runId, seq: after });
        break;
      }
      case "saw":
        this.#positions.get(entry.follower)!.seq = entry.seq;
    }
  }

  /** Sends the steps; one that refers to what never began is left out. */
  async run(
    steps: readonly Step[],
    fleet: Fleet,
    over: AbortSignal,
  ): Promise<void> {
    for (const step of steps) {
      if (step.do === "register" && step.runId !== undefined) {
        this.#runIds.set(step.run, step.runId);
      }
    }
    const begun = performance.now();
    for (const step of steps) {
      const wait = step.at - (performance.now() - begun);
      if (wait > 0) await delay(wait, { signal: over }).catch(() => {});
      if (over.aborted) return;
      this.#send(step, fleet.at(step.slot));
    }
  }

  #send(step: Step, process: ChaosProcess): void {
    if (step.do === "register") return process.send(step);
    if (step.do === "resume") {
      const { follower, former, durable } = step;
      const position = this.#positions.get(former);
      if (position === undefined) return;
      const { runId, seq: after } = position;
      return process.send({ do: "follow", follower, runId, after, durable });
    }
    const runId = this.#runIds.get(step.run);
    if (runId === undefined) return;
    process.send({ ...step, runId });
  }
}
