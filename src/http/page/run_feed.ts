import type { PipelineRunRegistry } from "../../registry/registry.ts";
import { type ListedRun, listedRuns } from "./listed_run.ts";

/** How often to list the newest rows, in milliseconds. */
const INTERVAL = 1_000;
/** How many of the newest rows to list each time. */
const LISTED_ROWS = 300;

/** Who is told of the newest runs. */
export interface RunFeedListener {
  /** Called once a second with the runs of the newest rows. */
  onRuns(runs: readonly ListedRun[]): void;
  /** Called each time that the rows cannot be listed. */
  onFailure(error: unknown): void;
  /** Called once, when the registry is shut down. */
  onShutdown(): void;
}

/** Lists the newest rows once a second, for all viewers of an instance together. */
export class RunFeed {
  readonly #registry: PipelineRunRegistry;
  readonly #listeners = new Set<RunFeedListener>();
  /** Stops listing; `undefined` while nobody listens. */
  #stop: (() => void) | undefined;

  /** @param registry The registry of the runs. */
  constructor(registry: PipelineRunRegistry) {
    this.#registry = registry;
  }

  /**
   * Adds a listener.
   *
   * @returns Removes it.
   * @throws {RegistryShutdownError} If the registry was shut down.
   */
  add(listener: RunFeedListener): () => void {
    this.#stop ??= this.#start();
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      this.#stop?.();
      this.#stop = undefined;
    };
  }

  #start(): () => void {
    // Nobody registers this run, so its stream ends when the registry is shut down.
    const unknown = this.#registry.subscribe(crypto.randomUUID()).getReader();
    let isStopped = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const list = async () => {
      try {
        const { repository } = this.#registry;
        const rows = await repository.listRecent(undefined, LISTED_ROWS);
        if (isStopped) return;
        const runs = listedRuns(rows);
        for (const listener of this.#listeners) listener.onRuns(runs);
      } catch (error) {
        if (isStopped) return;
        for (const listener of this.#listeners) listener.onFailure(error);
      }
      timer = setTimeout(list, INTERVAL);
    };
    timer = setTimeout(list, INTERVAL);
    const stop = () => {
      isStopped = true;
      clearTimeout(timer);
      unknown.cancel();
    };
    const onShutdown = () => {
      if (isStopped) return;
      stop();
      this.#stop = undefined; // So that the next listener is refused.
      for (const listener of this.#listeners) listener.onShutdown();
    };
    unknown.closed.then(onShutdown);
    return stop;
  }
}
