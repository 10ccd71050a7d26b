import { deadline } from "@std/async/deadline";
import { delay } from "@std/async/delay";
import {
  checkDelay,
  checkInteger,
  checkNumber,
  checkSignal,
  checkType,
} from "../../arguments/checks.ts";
import { onAbort } from "../../async/on_abort.ts";
import { isLast, type RunEvent } from "../../model/event.ts";
import { ProblemError } from "../wire/problem_error.ts";
import { RunEventParser } from "../wire/run_event_parser.ts";
import { readProblem } from "./read_problem.ts";

/** Options of {@linkcode followRun}. */
export interface FollowRunOptions {
  /**
   * The number of the last event already known: a non-negative integer.
   *
   * @default {begin with the oldest held event of the current attempt}
   */
  after?: number;
  /** Errors the stream with the signal's reason when it fires. */
  signal?: AbortSignal;
  /**
   * Sends the requests; use it to add credentials and other headers.
   *
   * @default {fetch}
   */
  fetch?: (url: URL, init: RequestInit) => Promise<Response>;
  /**
   * How long to wait before the first reconnect, in milliseconds. It doubles with
   * every failure in a row. Each actual wait is a random part of it.
   *
   * @default {500}
   */
  minBackoff?: number;
  /**
   * The longest wait before a reconnect, in milliseconds.
   *
   * @default {30_000}
   */
  maxBackoff?: number;
  /**
   * How long the server may send nothing, not even a heartbeat, before the
   * connection counts as dead, in milliseconds.
   *
   * @default {15_000}
   */
  idleTimeout?: number;
  /**
   * How many failures in a row to allow before the stream errors. A connection that
   * delivers an event, or lasts longer than `maxBackoff`, resets the count.
   *
   * @default {Infinity}
   */
  maxFailures?: number;
}

type Chunk = Uint8Array<ArrayBuffer>;
type Controller<P> = ReadableStreamDefaultController<RunEvent<P>>;
type Settings =
  & Pick<FollowRunOptions, "after" | "signal">
  & Required<Omit<FollowRunOptions, "after" | "signal">>;

/** Statuses of 4xx after which a retry can succeed. */
const TRANSIENT: ReadonlySet<number> = new Set([408, 425, 429]);

/** The events of a run, over one connection after another. */
class FollowSource<P> implements UnderlyingDefaultSource<RunEvent<P>> {
  readonly #url: URL;
  readonly #settings: Settings;
  readonly #cancelling = new AbortController();
  #lastEventId: number | undefined;
  #body: ReadableStreamDefaultReader<Chunk> | undefined;
  #parser = new RunEventParser<P>();
  /** Received events that are not delivered yet. */
  #parsed: Iterator<RunEvent<P>, undefined> = [].values();
  #failures = 0;
  #openedAt = 0;
  #unlisten: (() => void) | undefined;

  constructor(url: URL, settings: Settings) {
    this.#url = url;
    this.#settings = settings;
    this.#lastEventId = settings.after;
  }

  start(controller: Controller<P>): void {
    this.#unlisten = onAbort(this.#settings.signal, (reason) => {
      controller.error(reason);
      this.cancel();
    });
  }

  async pull(controller: Controller<P>): Promise<void> {
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
    this.#unlisten?.();
    this.#cancelling.abort();
    this.#disconnect();
  }

  /** The next event; `undefined` if the server says that none will follow. */
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

  /** The next chunk, over a new connection if the last one failed. */
  async #receive(): Promise<Chunk | undefined> {
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
      const timeout = AbortSignal.timeout(this.#settings.idleTimeout);
      const either = AbortSignal.any([signal, timeout]);
      const problem = await readProblem(response, either);
      if (status < 500 && !TRANSIENT.has(status)) throw problem;
      await this.#backOff(problem);
    }
  }

  async #request(): Promise<Response> {
    const { fetch, idleTimeout } = this.#settings;
    const url = new URL(this.#url);
    if (this.#lastEventId !== undefined) {
      url.searchParams.set("after", String(this.#lastEventId));
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
      // `fetch` may ignore the signal and still respond.
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

  async #read(body: ReadableStreamDefaultReader<Chunk>): Promise<Chunk> {
    const { idleTimeout, maxBackoff } = this.#settings;
    let isIdle = false;
    const timer = setTimeout(() => {
      isIdle = true;
      body.cancel().catch(() => {}); // The body may have failed.
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
    this.#body?.cancel().catch(() => {}); // The body may have failed.
    this.#body = undefined;
    // All parsed events are delivered.
    this.#lastEventId = this.#parser.lastEventId ?? this.#lastEventId;
    this.#parser = new RunEventParser();
  }

  /** Waits before the next request; throws after too many failures in a row. */
  async #backOff(error: unknown): Promise<void> {
    const { minBackoff, maxBackoff, maxFailures } = this.#settings;
    const { signal } = this.#cancelling;
    this.#disconnect();
    signal.throwIfAborted();
    if (++this.#failures > maxFailures) throw error;
    const doubled = minBackoff * 2 ** (this.#failures - 1);
    const random = Math.min(maxBackoff, doubled) * Math.random();
    const asked = error instanceof ProblemError ? retryAfter(error) : 0;
    await delay(Math.min(maxBackoff, Math.max(asked, random)), { signal });
  }
}

/** How long the server asks the client to wait, in milliseconds. */
function retryAfter({ headers }: ProblemError): number {
  const seconds = Number(headers.get("Retry-After"));
  return Number.isFinite(seconds) ? seconds * 1_000 : 0;
}

/**
 * Follows the events of a run over HTTP, from any instance that serves it with
 * {@linkcode createRunHandler}. It works in Deno, in browsers and elsewhere.
 *
 * When the connection ends before the run does, or is idle for too long, the client
 * reconnects after the last event, so that no event is lost or delivered twice. The
 * stream closes after the run's last event, or when the server says that nothing
 * follows `after`.
 *
 * @typeParam P The type of the payloads. It is not checked.
 * @param url The URL of the run's events, such as
 * `https://example.com/runs/14818e76-a756-5be2-a535-a40479dcbd43/events`.
 * @param options Where to begin and how to reconnect.
 * @returns The stream. It errors with a {@linkcode ProblemError} if the server
 * refuses, with a `TypeError` if the response does not contain events, and with the
 * last failure after more than `maxFailures` in a row.
 * @throws {TypeError} If the URL is invalid or an option has the wrong type.
 * @throws {RangeError} If a number is out of range.
 *
 * @example Usage
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { PipelineRunRegistry } from "@pipeline/run-registry";
 * import { allowAll, createRunHandler, followRun } from "@pipeline/run-registry/http";
 *
 * await using registry = new PipelineRunRegistry();
 * const handler = createRunHandler(registry, { authorize: allowAll });
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
  const here = "Cannot follow run:";
  if (after !== undefined) checkInteger(`${here} after`, after, 0);
  checkSignal(`${here} signal`, signal);
  const target = new URL(url, globalThis.location?.href);
  if (!/^https?:$/.test(target.protocol)) {
    throw new TypeError(
      `${here} url must be one of HTTP, received ${target.protocol}`,
    );
  }
  checkType(`${here} fetch`, fetch, "function");
  checkDelay(`${here} minBackoff`, minBackoff, 1);
  checkDelay(`${here} maxBackoff`, maxBackoff, 1);
  checkDelay(`${here} idleTimeout`, idleTimeout, 1);
  checkNumber(
    `${here} maxFailures`,
    maxFailures,
    "a non-negative number",
    (number) => number >= 0,
  );
  const source = new FollowSource<P>(target, {
    after,
    signal,
    fetch,
    minBackoff,
    maxBackoff,
    idleTimeout,
    maxFailures,
  });
  return new ReadableStream(source, { highWaterMark: 0 });
}
