import { deadline } from "@std/async/deadline";
import { delay } from "@std/async/delay";
import { isLast, type RunEvent } from "../../model/event.ts";
import { checkDelay } from "../../arguments/checks.ts";
import { checkSubscribeOptions } from "../../registry/options.ts";
import { ProblemError, problemOf } from "../wire/problem_error.ts";
import { RunEventParser } from "../wire/run_event_parser.ts";

/** Options of {@linkcode followRun}. */
export interface FollowRunOptions {
  /**
   * The number of the last event that is known already: a non-negative integer.
   *
   * @default {begin with the oldest event held of the current attempt}
   */
  after?: number;
  /** Errors the stream with its reason when it fires. */
  signal?: AbortSignal;
  /**
   * Sends the requests: the place for credentials and further headers.
   *
   * @default {fetch}
   */
  fetch?: (url: URL, init: RequestInit) => Promise<Response>;
  /**
   * How long to wait before connecting again, in milliseconds, at most the first
   * time. It doubles with every failure in a row; the wait is a random part of it.
   *
   * @default {500}
   */
  minBackoff?: number;
  /**
   * How long to wait at most, in milliseconds.
   *
   * @default {30_000}
   */
  maxBackoff?: number;
  /**
   * How long nothing may come, no heartbeat either, until the connection counts
   * as dead, in milliseconds.
   *
   * @default {15_000}
   */
  idleTimeout?: number;
  /**
   * How often in a row it may fail before the stream errors. A connection that
   * brought an event, or was of use for as long as `maxBackoff`, ends the row.
   *
   * @default {Infinity}
   */
  maxFailures?: number;
}

type Settings = Required<Omit<FollowRunOptions, "after" | "signal">>;

/** Statuses of 4xx that say nothing against asking again. */
const TRANSIENT: ReadonlySet<number> = new Set([408, 425, 429]);

/** The events of a run over one connection after another. */
class FollowSource<P> implements UnderlyingDefaultSource<RunEvent<P>> {
  readonly #url: URL;
  readonly #settings: Settings;
  readonly #signal: AbortSignal | undefined;
  readonly #cancelling = new AbortController();
  #position: number | undefined;
  #body: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>> | undefined;
  #parser = new RunEventParser<P>();
  /** What has come in and was not given yet. */
  #parsed: Iterator<RunEvent<P>, undefined> = [].values();
  #failures = 0;
  #openedAt = 0;
  #removeListener: (() => void) | undefined;

  constructor(
    url: URL,
    position: number | undefined,
    signal: AbortSignal | undefined,
    settings: Settings,
  ) {
    this.#url = url;
    this.#position = position;
    this.#signal = signal;
    this.#settings = settings;
  }

  start(controller: ReadableStreamDefaultController<RunEvent<P>>): void {
    const signal = this.#signal;
    const onAbort = () => {
      controller.error(signal!.reason);
      this.cancel();
    };
    if (signal?.aborted) return onAbort();
    signal?.addEventListener("abort", onAbort);
    this.#removeListener = () => signal?.removeEventListener("abort", onAbort);
  }

  async pull(
    controller: ReadableStreamDefaultController<RunEvent<P>>,
  ): Promise<void> {
    let event: RunEvent<P> | undefined;
    try {
      event = await this.#next();
    } catch (error) {
      if (this.#cancelling.signal.aborted) return;
      this.cancel();
      throw error; // The stream errors with it.
    }
    if (this.#cancelling.signal.aborted) return;
    if (event !== undefined) controller.enqueue(event);
    if (event === undefined || isLast(event)) {
      this.cancel();
      controller.close();
    }
  }

  cancel(): void {
    this.#removeListener?.();
    this.#cancelling.abort();
    this.#disconnect();
  }

  /** The next event; `undefined` when the server has none and will have none. */
  async #next(): Promise<RunEvent<P> | undefined> {
    while (true) {
      const { done, value: event } = this.#parsed.next();
      if (!done) {
        this.#failures = 0;
        return event;
      }
      const chunk = await this.#receive();
      if (chunk === undefined) return undefined;
      this.#parsed = this.#parser.push(chunk);
    }
  }

  /** What comes next, over a new connection where the last one failed. */
  async #receive(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const { signal } = this.#cancelling;
    while (true) {
      signal.throwIfAborted();
      let response: Response;
      try {
        if (this.#body !== undefined) return await this.#read(this.#body);
        response = await this.#request();
      } catch (error) {
        await this.#backOff(error);
        continue;
      }
      const { status } = response;
      if (status === 204) return undefined;
      if (status < 400) {
        await this.#open(response);
        continue;
      }
      const { idleTimeout } = this.#settings;
      const problem = await problemOf(
        response,
        AbortSignal.any([signal, AbortSignal.timeout(idleTimeout)]),
      );
      if (status < 500 && !TRANSIENT.has(status)) throw problem;
      await this.#backOff(problem);
    }
  }

  async #request(): Promise<Response> {
    const { fetch, idleTimeout } = this.#settings;
    const url = new URL(this.#url);
    if (this.#position !== undefined) {
      url.searchParams.set("after", String(this.#position));
    }
    const { signal } = this.#cancelling;
    const given = new AbortController();
    const response = fetch(url, {
      headers: { Accept: "text/event-stream" },
      cache: "no-store",
      signal: AbortSignal.any([signal, given.signal]),
    });
    try {
      return await deadline(response, idleTimeout, { signal });
    } catch (error) {
      given.abort();
      // It may answer all the same, and to nobody.
      response.then(({ body }) => body?.cancel()).catch(() => {});
      throw error;
    }
  }

  async #open({ headers, body }: Response): Promise<void> {
    const type = headers.get("Content-Type") ?? "";
    if (!/^text\/event-stream\b/i.test(type) || body === null) {
      await body?.cancel();
      throw new TypeError(
        `Cannot follow run: the answer must be text/event-stream, received "${type}"`,
      );
    }
    this.#body = body.getReader();
    this.#openedAt = performance.now();
    if (this.#cancelling.signal.aborted) this.#disconnect();
  }

  async #read(
    body: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { idleTimeout, maxBackoff } = this.#settings;
    let isIdle = false;
    const timer = setTimeout(() => {
      isIdle = true;
      body.cancel().catch(() => {}); // It may have failed by itself.
    }, idleTimeout);
    try {
      const { done, value } = await body.read();
      if (isIdle) throw new Error(`Nothing came for ${idleTimeout} ms`);
      if (done) throw new Error("The connection ended before the run did");
      if (performance.now() - this.#openedAt > maxBackoff) this.#failures = 0;
      return value;
    } finally {
      clearTimeout(timer);
    }
  }

  #disconnect(): void {
    this.#body?.cancel().catch(() => {}); // It may have failed by itself.
    this.#body = undefined;
    // All that was parsed has been given.
    this.#position = this.#parser.position ?? this.#position;
    this.#parser = new RunEventParser();
  }

  /** Waits until it is time to ask again; throws where it has failed too often. */
  async #backOff(error: unknown): Promise<void> {
    const { minBackoff, maxBackoff, maxFailures } = this.#settings;
    const { signal } = this.#cancelling;
    this.#disconnect();
    signal.throwIfAborted();
    if (++this.#failures > maxFailures) throw error;
    const longest = Math.min(
      maxBackoff,
      minBackoff * 2 ** (this.#failures - 1),
    );
    const asked = error instanceof ProblemError ? retryAfter(error) : 0;
    const wait = Math.max(asked, longest * Math.random());
    await delay(Math.min(wait, maxBackoff), { signal });
  }
}

/** For how long a server asks to be left alone, in milliseconds. */
function retryAfter({ headers }: ProblemError): number {
  const seconds = Number(headers.get("Retry-After"));
  return Number.isFinite(seconds) ? seconds * 1_000 : 0;
}

/**
 * The events of a run behind a handler made by {@linkcode createRunHandler}, on
 * any instance, for clients in Deno, in browsers and elsewhere.
 *
 * When the connection ends before the run does, or nothing comes for too long, it
 * connects again behind the last event, so that none is lost and none comes
 * twice. The stream closes after the run's last event, or when the server says
 * that nothing will follow `after`.
 *
 * @typeParam P The type of what the work publishes. It is not checked.
 * @param url Where the run's events are, such as
 * `https://example.com/runs/14818e76-a756-5be2-a535-a40479dcbd43/events`.
 * @param options Where to begin, how to connect again.
 * @returns The stream. It errors with a {@linkcode ProblemError} where the server
 * refuses, with a `TypeError` where what it sends are no events, and with the last
 * failure after `maxFailures` in a row.
 * @throws {TypeError} If the URL is none, or an option has the wrong shape.
 * @throws {RangeError} If a number is out of range.
 *
 * @example Usage
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { PipelineRunRegistry } from "@pipeline/run-registry";
 * import { createRunHandler, followRun } from "@pipeline/run-registry/http";
 *
 * await using registry = new PipelineRunRegistry();
 * const handler = createRunHandler(registry);
 * const { runId } = await registry.registerBackground(
 *   { pipelineName: "count" },
 *   async function* () {
 *     yield 1;
 *   },
 * );
 *
 * const events = followRun(`https://example.com/runs/${runId}/events`, {
 *   fetch: (url, init) => handler(new Request(url, init)), // no network needed
 * });
 * const kinds = [];
 * for await (const { kind } of events) kinds.push(kind);
 * assertEquals(kinds, ["Started", "Yield", "Completed"]);
 * ```
 */
export function followRun<P = unknown>(
  url: string | URL,
  options: FollowRunOptions = {},
): ReadableStream<RunEvent<P>> {
  const {
    after,
    signal,
    fetch = globalThis.fetch,
    minBackoff = 500,
    maxBackoff = 30_000,
    idleTimeout = 15_000,
    maxFailures = Infinity,
  } = options;
  checkSubscribeOptions({ after, signal });
  const target = new URL(url, globalThis.location?.href);
  if (!/^https?:$/.test(target.protocol)) {
    throw new TypeError(
      `Cannot follow run: url must be one of HTTP, received ${target.protocol}`,
    );
  }
  if (typeof fetch !== "function") {
    throw new TypeError(
      `Cannot follow run: fetch must be a function, received ${typeof fetch}`,
    );
  }
  const delays = { minBackoff, maxBackoff, idleTimeout };
  for (const [name, delay] of Object.entries(delays)) {
    checkDelay(`Cannot follow run: ${name}`, delay, 1);
  }
  if (!(maxFailures >= 0)) {
    throw new RangeError(
      `Cannot follow run: maxFailures must be a non-negative number, received ${maxFailures}`,
    );
  }
  const source = new FollowSource<P>(
    target,
    after,
    signal,
    { fetch, minBackoff, maxBackoff, idleTimeout, maxFailures },
  );
  return new ReadableStream(source, { highWaterMark: 0 });
}
