import type { FollowedStream } from "../repository/run_log.ts";
import { tooManyAwaited } from "./awaited_runs.ts";

/** A stream that has not ended. */
interface OpenStream {
  readonly runId: string;
  readonly close: () => void;
}

/** The streams of events that a run log follows, until they end. */
export class FollowedStreams {
  readonly #maxAwaiting: number;
  readonly #open = new Set<OpenStream>();
  /** How many of them have no event yet of a run that is not known here. */
  #awaiting = 0;
  #onEmpty: (() => void) | undefined;

  /** @param maxAwaiting How many streams may wait for runs that are not known here. */
  constructor(maxAwaiting: number) {
    this.#maxAwaiting = maxAwaiting;
  }

  /** How many have not ended. */
  get size(): number {
    return this.#open.size;
  }

  /**
   * Takes up a stream.
   *
   * @param runId The run that it follows.
   * @param isKnown Whether the run is one of this instance.
   * @param close Closes the stream.
   * @throws {RegistryFullError} If too many wait for unknown runs already.
   */
  add(runId: string, isKnown: boolean, close: () => void): FollowedStream {
    let isAwaiting = !isKnown;
    if (isAwaiting && this.#awaiting >= this.#maxAwaiting) {
      throw tooManyAwaited(runId, this.#maxAwaiting);
    }
    const stream = { runId, close };
    this.#open.add(stream);
    if (isAwaiting) this.#awaiting++;
    const onEvent = () => {
      if (isAwaiting) this.#awaiting--;
      isAwaiting = false;
    };
    const onEnd = () => {
      onEvent();
      this.#open.delete(stream);
      if (this.#open.size === 0) this.#onEmpty?.();
    };
    return { onEvent, onEnd };
  }

  /**
   * Closes the streams of other instances' runs, and waits until the others have
   * delivered their last event.
   *
   * @param isOwn Whether a run is one of this instance.
   */
  async drain(isOwn: (runId: string) => boolean): Promise<void> {
    this.#close(({ runId }) => !isOwn(runId));
    if (this.#open.size === 0) return;
    await new Promise<void>((resolve) => this.#onEmpty = resolve);
  }

  /** Closes the streams that are left. */
  close(): void {
    this.#close(() => true);
  }

  #close(isMeant: (stream: OpenStream) => boolean): void {
    for (const stream of this.#open) if (isMeant(stream)) stream.close();
  }
}
