import { delay } from "@std/async/delay";
import { onAbort } from "../../async/on_abort.ts";
import { every } from "../../async/timers.ts";
import { RegistryShutdownError } from "../../model/errors.ts";
import type { RunEvent } from "../../model/event.ts";
import { hasEnded, type RunPhase } from "../../model/phase.ts";
import type { PipelineRunRegistry } from "../../registry/registry.ts";
import { type ListedRun, listedRuns, statusOfPhase } from "./listed_run.ts";
import type { PageFilter } from "./page_filter.ts";
import type { RunFeed, RunFeedListener } from "./run_feed.ts";

/** How many live runs a viewer follows at once. */
const MAX_FOLLOWED = 100;
/** How many live runs may wait until another one has ended. */
const MAX_WAITING = 1_000;
/** How many of the runs that have ended a viewer is shown at first. */
const MAX_ENDED = 100;
/** How many of the newest rows are searched for the first runs. */
const SEARCHED_ROWS = 1_000;
/** With how many of the last events a viewer begins to follow a run. */
const TAIL = 20;
/** How many events of a run a viewer is sent within {@linkcode PACE_INTERVAL}. */
const MAX_PACE = 50;
const PACE_INTERVAL = 1_000;
/** How many bytes may wait for a slow viewer, plus one message for each run. */
const MAX_BUFFERED = 65_536;
/** How many characters of a payload or of an error message are sent. */
const PREVIEW = 300;

const ENCODER = new TextEncoder();

/** Options of {@linkcode runPageStream}. */
export interface RunPageStreamOptions {
  readonly registry: PipelineRunRegistry;
  readonly feed: RunFeed;
  /** Which runs the viewer asks for. */
  readonly filter: PageFilter;
  /** Whether the viewer may read, or follow, a run. */
  readonly may: (kind: "read" | "follow", runId: string) => Promise<boolean>;
  readonly heartbeat: number;
  readonly onError: (error: unknown) => void;
}

/**
 * All that one viewer of the page is told, as server-sent events.
 *
 * - `snapshot`: the runs to show, once the viewer has come; again if it was too slow
 * - `run`: a run that is new or has changed
 * - `event`: an event of a run that is followed
 * - `waiting`: how many live runs are not followed, since there are too many
 * - `trouble`: the rows cannot be read; `fine`: they can be read again
 * - `beat`: the heartbeat
 *
 * No event has an id: a viewer that comes again gets a snapshot and the last
 * {@linkcode TAIL} events of each live run. By their numbers it finds those that it
 * knows, and those that it has missed, which the API still has.
 */
export function runPageStream(
  options: RunPageStreamOptions,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream(
    new RunPageSource(options),
    new ByteLengthQueuingStrategy({ highWaterMark: MAX_BUFFERED }),
  );
}

/** What a viewer was told of a run. */
interface ToldRun {
  /** The newest row then. */
  readonly rowId: string;
  readonly isShown: boolean;
  readonly isLive: boolean;
}

class RunPageSource
  implements UnderlyingDefaultSource<Uint8Array<ArrayBuffer>>, RunFeedListener {
  readonly #options: RunPageStreamOptions;
  #controller!: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;
  /** Fires when the viewer has left, or was told all. */
  readonly #left = new AbortController();
  #isShutDown = false;
  #drained = Promise.withResolvers<void>();
  /** The runs of the newest rows, as the viewer knows them. */
  #told = new Map<string, ToldRun>();
  /** The streams of the runs that are followed, once they are open. */
  readonly #followed = new Map<
    string,
    ReadableStreamDefaultReader<RunEvent> | undefined
  >();
  /** The live runs that are not followed, since there are too many. */
  readonly #waiting = new Map<string, ListedRun>();
  #toldWaiting = 0;
  /** Whether a listing is being told. */
  #isTelling = false;
  /** Whether the viewer needs a snapshot: it has just come, or missed a listing. */
  #isStale = true;
  #isTroubled = false;

  constructor(options: RunPageStreamOptions) {
    this.#options = options;
  }

  start(
    controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>,
  ): void {
    const { feed, heartbeat } = this.#options;
    this.#controller = controller;
    const remove = feed.add(this);
    const stop = every(heartbeat, () => this.#hasRoom && this.#send("beat"));
    onAbort(this.#left.signal, () => {
      remove();
      stop();
    });
    this.onRuns([]);
  }

  pull(): void {
    this.#drained.resolve();
    this.#drained = Promise.withResolvers();
  }

  cancel(): void {
    this.#left.abort();
    this.#drained.resolve();
    for (const reader of this.#followed.values()) {
      reader?.cancel().catch(() => {}); // It may have failed.
    }
  }

  onRuns(runs: readonly ListedRun[]): void {
    if (this.#isTelling) return;
    if (!this.#hasRoom) {
      this.#isStale = true;
      return;
    }
    this.#isTelling = true;
    this.#tell(runs).catch((error) => {
      this.#isStale = true;
      if (!this.#hasLeft) this.onFailure(error);
    }).finally(() => this.#isTelling = false);
  }

  onFailure(error: unknown): void {
    if (this.#isTroubled) return;
    this.#isTroubled = true;
    this.#send("trouble");
    this.#options.onError(error);
  }

  onShutdown(): void {
    this.#isShutDown = true;
    this.#closeIfOver();
  }

  get #hasLeft(): boolean {
    return this.#left.signal.aborted;
  }

  get #hasRoom(): boolean {
    return this.#controller.desiredSize! > 0;
  }

  async #tell(runs: readonly ListedRun[]): Promise<void> {
    if (this.#isStale) await this.#tellAll();
    else await this.#tellChanges(runs);
    if (this.#isTroubled) this.#send("fine");
    this.#isTroubled = false;
    this.#followWaiting();
    if (this.#toldWaiting === this.#waiting.size) return;
    this.#toldWaiting = this.#waiting.size;
    this.#send("waiting", this.#toldWaiting);
  }

  async #tellAll(): Promise<void> {
    const { registry, filter } = this.#options;
    const rows = await registry.repository
      .listRecent(filter.datasetId, SEARCHED_ROWS);
    const all = listedRuns(rows);
    const asked = all.filter((run) => filter.matches(run));
    const live = await this.#readable(asked.filter(({ isLive }) => isLive));
    const ended = await this.#readable(
      asked.filter(({ isLive }) => !isLive),
      MAX_ENDED,
    );
    const followed = new Set(this.#followed.keys());
    const free = MAX_FOLLOWED - followed.size;
    const shown = [
      ...live.filter(({ runId }) => !followed.has(runId)).slice(0, free),
      ...live.filter(({ runId }) => followed.has(runId)),
      ...ended,
    ];
    const wires = await Promise.all(shown.map((run) => this.#wireOf(run)));
    this.#send("snapshot", wires);
    this.#isStale = false;
    const ids = new Set(shown.map(({ runId }) => runId));
    this.#told = new Map(
      all.map(({ runId, row, isLive }) => [
        runId,
        { rowId: row.id, isShown: ids.has(runId), isLive },
      ]),
    );
    this.#waiting.clear();
    for (const run of live) await this.#admit(run);
  }

  /** The first of the runs that the viewer may read. */
  async #readable(
    runs: readonly ListedRun[],
    limit = Infinity,
  ): Promise<ListedRun[]> {
    const readable: ListedRun[] = [];
    for (let from = 0; from < runs.length; from += MAX_ENDED) {
      const some = runs.slice(from, from + MAX_ENDED);
      const answers = await Promise.all(
        some.map(({ runId }) => this.#options.may("read", runId)),
      );
      readable.push(...some.filter((_, index) => answers[index]));
      if (readable.length >= limit) return readable.slice(0, limit);
    }
    return readable;
  }

  async #tellChanges(runs: readonly ListedRun[]): Promise<void> {
    const { filter, may } = this.#options;
    const former = this.#told;
    const next = new Map<string, ToldRun>();
    for (const run of runs) {
      const { runId, row, isLive } = run;
      const told = former.get(runId);
      former.delete(runId);
      if (told?.rowId === row.id) {
        next.set(runId, told);
        // The end of a followed run comes as its last event, unless it has no events.
        if (!isLive) this.#followed.get(runId)?.cancel().catch(() => {});
        continue;
      }
      const isShown = (told?.isShown || filter.matches(run)) &&
        await may("read", runId);
      next.set(runId, { rowId: row.id, isShown, isLive });
      if (!isShown) continue;
      if (isLive && await this.#admit(run)) continue;
      this.#waiting.delete(runId);
      this.#send("run", await this.#wireOf(run));
    }
    for (const [runId, told] of former) {
      const isLive = told.isShown && told.isLive ||
        this.#followed.has(runId) || this.#waiting.has(runId);
      // The events of a run may have ended since its turn came above.
      if (isLive || next.has(runId)) next.set(runId, told);
    }
    this.#told = next;
  }

  /**
   * Follows a live run, now or when another one has ended.
   *
   * @returns Whether the viewer is told of the run then.
   */
  async #admit(run: ListedRun): Promise<boolean> {
    if (this.#followed.has(run.runId)) return true;
    if (!await this.#options.may("follow", run.runId)) return false;
    if (this.#followed.size < MAX_FOLLOWED) this.#follow(run);
    else if (this.#waiting.size < MAX_WAITING) {
      this.#waiting.set(run.runId, run);
    }
    return true;
  }

  #followWaiting(): void {
    for (const run of this.#waiting.values()) {
      if (this.#followed.size >= MAX_FOLLOWED) return;
      this.#follow(run);
    }
  }

  async #follow(run: ListedRun): Promise<void> {
    const { runId, row } = run;
    this.#waiting.delete(runId);
    this.#followed.set(runId, undefined);
    try {
      await this.#sendEvents(run);
    } catch (error) {
      const isExpected = this.#hasLeft ||
        error instanceof RegistryShutdownError;
      if (!isExpected) {
        this.#options.onError(error);
        this.#waiting.set(runId, run); // After the next listing.
      }
    } finally {
      this.#followed.delete(runId);
      // A row that is newer says how it has ended, or that it goes on.
      this.#told.set(runId, { rowId: row.id, isShown: true, isLive: false });
      this.#closeIfOver();
    }
  }

  /**
   * Sends the events of a run from its last ones on. If there are more than
   * {@linkcode MAX_PACE} within a second, it waits for the next second and goes on
   * with the last ones then.
   */
  async #sendEvents(run: ListedRun): Promise<void> {
    const { runId } = run;
    const { registry } = this.#options;
    let after = 0;
    for (let isFirst = true; !this.#hasLeft; isFirst = false) {
      const status = await registry.status(runId);
      if (status === undefined) return;
      const { phase, ended, firstSeq, lastSeq } = status;
      await this.#room();
      // A run whose lease has expired may come back until a sweep ends it.
      const told = hasEnded(phase) === ended ? phase : run.phase;
      if (isFirst || ended) this.#send("run", await this.#wireOf(run, told));
      after = Math.max(after, firstSeq - 1, lastSeq - TAIL);
      if (this.#hasLeft || ended && after >= lastSeq) return;
      const events = registry.subscribe(runId, {
        after,
        durable: true,
        lag: "skip",
      }).getReader();
      this.#followed.set(runId, events);
      let sent = 0;
      let paceEnds = Date.now() + PACE_INTERVAL;
      while (sent < MAX_PACE) {
        await this.#room();
        const { done, value: event } = await events.read();
        if (done || this.#hasLeft) return;
        this.#send("event", toPageEvent(event));
        after = event.seq;
        if (Date.now() >= paceEnds) {
          paceEnds = Date.now() + PACE_INTERVAL;
          sent = 0;
        } else sent++;
      }
      this.#followed.set(runId, undefined);
      events.cancel().catch(() => {}); // It may have failed.
      await delay(paceEnds - Date.now(), { signal: this.#left.signal });
    }
  }

  /** Waits until the viewer has read what waits for it, or has left. */
  async #room(): Promise<void> {
    while (!this.#hasLeft && !this.#hasRoom) await this.#drained.promise;
  }

  async #wireOf(run: ListedRun, phase: RunPhase = run.phase): Promise<unknown> {
    const { runId, row } = run;
    if (run.began === undefined) {
      const { repository } = this.#options.registry;
      const [whole] = listedRuns(await repository.listByRun(runId, 3));
      run.began = whole?.began;
    }
    return {
      run: runId,
      pipeline: row.pipelineName,
      dataset: row.datasetId,
      status: statusOfPhase(phase),
      began: run.began,
      ended: !run.isLive && hasEnded(phase) ? row.createdAt : undefined,
      error: phase.name === "Errored" ? preview(phase.message) : undefined,
    };
  }

  #send(event: string, data: unknown = null): void {
    if (this.#hasLeft) return;
    const text = `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
    this.#controller.enqueue(ENCODER.encode(text));
  }

  #closeIfOver(): void {
    if (!this.#isShutDown || this.#hasLeft || this.#followed.size > 0) return;
    this.#left.abort();
    this.#controller.close();
  }
}

function toPageEvent(event: RunEvent): unknown {
  const { runId: run, seq, kind, at } = event;
  const code = kind === "Errored" ? event.code : undefined;
  return { run, seq, kind, at, code, text: textOf(event) };
}

function textOf(event: RunEvent): string | undefined {
  switch (event.kind) {
    case "Yield":
      return previewOf(event.payload);
    case "Errored":
      return preview(event.message);
    case "Lagged":
      return `${event.missed} missed`;
    default:
      return undefined;
  }
}

/** The beginning of a payload, which need not be JSON without a log. */
function previewOf(payload: unknown): string {
  if (typeof payload === "string") return preview(payload);
  try {
    return preview(JSON.stringify(payload) ?? typeof payload);
  } catch {
    return `${typeof payload} that is not JSON`;
  }
}

function preview(text: string): string {
  return text.length > PREVIEW
    ? `${text.slice(0, PREVIEW).toWellFormed()}…`
    : text;
}
