import { checkType } from "../../arguments/checks.ts";
import type { RunEvent } from "../../model/event.ts";
import type { RunPhase } from "../../model/phase.ts";
import type { PipelineRunRow } from "../../model/row.ts";
import type { Pipeline } from "../../run/pipeline.ts";
import type { PublishedBy, ResultOf } from "../../run/run_context.ts";
import type { WireRow, WireRun } from "../wire/messages.ts";
import { followRun, type FollowRunOptions } from "./follow_run.ts";
import { readProblem } from "./read_problem.ts";

/** The pipelines that have one of the names `N`. */
export type PipelineNamed<T extends readonly Pipeline[], N> = Extract<
  T[number],
  { name: N }
>;

/** What a pipeline takes. */
export type PipelineInput<D extends Pipeline> = NonNullable<
  D["~types"]
>["input"];

/** What the runs of a pipeline publish. */
export type PipelinePayload<D extends Pipeline> = D extends
  { readonly "~types"?: { readonly work: [infer P, infer O] } }
  ? PublishedBy<P, O>
  : never;

/** What the runs of a pipeline have as their result. */
export type PipelineResult<D extends Pipeline> = D extends
  { readonly "~types"?: { readonly work: [unknown, infer O] } } ? ResultOf<O>
  : never;

/**
 * A run, and by its type the pipeline that it is of.
 *
 * @typeParam N The pipeline's name.
 */
export interface RunReference<N extends string = string> {
  /** The run's UUID. */
  readonly runId: string;
  /** The pipeline's name. */
  readonly pipelineName: N;
}

/**
 * The state of a run.
 *
 * @typeParam R The type of its result.
 */
export interface ClientRun<R = unknown> {
  /** The run's UUID. */
  runId: string;
  /** Its phase. */
  phase: RunPhase;
  /** The number of its last event; 0 if no event is known. */
  lastSeq: number;
  /** Its newest rows, newest first: 50 at most. */
  rows: PipelineRunRow[];
  /** The payload fields that it has set. */
  payload: Record<string, unknown>;
  /** What the work returned, if the run completed and has a result. */
  result?: R;
  /** Why the result is not stored. */
  resultError?: string;
}

/** Options of {@linkcode createRunClient}. */
export interface RunClientOptions {
  /**
   * Sends the requests; use it to add credentials and other headers.
   *
   * @default {fetch}
   */
  fetch?: (url: URL, init: RequestInit) => Promise<Response>;
}

/**
 * A client for runs over HTTP. A run is named by its id, or by what `start()` returned,
 * which knows the types of its pipeline. For an id, say which pipeline it is of, as in
 * `client.follow<"ingest">(id)`; otherwise it is one of any.
 *
 * Every call but `follow()` rejects with a {@linkcode ProblemError} if the server answers
 * with an error, and as `fetch` does if it cannot be reached.
 *
 * @typeParam T The pipelines that the server runs.
 */
export interface RunClient<T extends readonly Pipeline[]> {
  /**
   * Starts a run of a pipeline.
   *
   * @returns The run, once it has begun.
   */
  start<N extends T[number]["name"]>(
    pipelineName: N,
    input: PipelineInput<PipelineNamed<T, N>>,
    options?: { signal?: AbortSignal },
  ): Promise<RunReference<N>>;
  /**
   * The events of a run, over one connection after another; see {@linkcode followRun}.
   */
  follow<N extends T[number]["name"] = T[number]["name"]>(
    run: string | RunReference<N>,
    options?: Omit<FollowRunOptions, "fetch">,
  ): ReadableStream<RunEvent<PipelinePayload<PipelineNamed<T, N>>>>;
  /**
   * Aborts a run.
   *
   * @param reason What its last event and its row are to say.
   * @returns `"ended"` if the run had ended before.
   */
  abort(
    run: string | RunReference,
    reason?: string,
  ): Promise<"requested" | "ended">;
  /** The state of a run; `undefined` if the server knows none of this id. */
  get<N extends T[number]["name"] = T[number]["name"]>(
    run: string | RunReference<N>,
  ): Promise<ClientRun<PipelineResult<PipelineNamed<T, N>>> | undefined>;
  /**
   * The newest row of each of the newest runs, newest first.
   *
   * @param options `datasetId` lists only runs of a dataset; `limit` is from 1 to 100, by
   * default 50.
   */
  list(
    options?: { datasetId?: string; limit?: number },
  ): Promise<PipelineRunRow[]>;
}

/**
 * Makes a client for the runs of a server.
 *
 * @typeParam T The pipelines that the server runs: `typeof` their array. It is a claim of
 * yours; the server checks inputs, and nobody checks what it sends.
 * @param origin Where the server's handler is mounted, such as `https://example.com` or,
 * in a page, `/api`.
 * @param options How to send requests.
 * @throws {TypeError} If the origin is not a URL, or an option has the wrong type.
 *
 * @example Usage
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { definePipeline, PipelineRunRegistry } from "@pipeline/run-registry";
 * import { allowAll, createRunHandler } from "@pipeline/run-registry/http";
 * import { createRunClient } from "@pipeline/run-registry/client";
 *
 * const pipelines = [
 *   definePipeline({ name: "count", run: () => [1, 2].values() }),
 * ];
 * await using registry = new PipelineRunRegistry();
 * const handler = createRunHandler(registry, { pipelines, authorize: allowAll });
 *
 * const client = createRunClient<typeof pipelines>("https://example.com", {
 *   fetch: (url, init) => handler(new Request(url, init)), // no network needed
 * });
 * const run = await client.start("count", {});
 * let sum = 0;
 * for await (const event of client.follow(run)) {
 *   if (event.kind === "Yield") sum += event.payload;
 * }
 * assertEquals(sum, 3);
 * ```
 */
export function createRunClient<T extends readonly Pipeline[]>(
  origin: string | URL,
  options: RunClientOptions = {},
): RunClient<T> {
  const { fetch = globalThis.fetch } = options;
  checkType("Cannot create client: fetch", fetch, "function");
  const base = new URL(origin, globalThis.location?.href);
  base.pathname = base.pathname.replace(/\/*$/, "/");
  const client = new HttpRunClient(base, fetch);
  return {
    start: (name, input, { signal } = {}) => client.start(name, input, signal),
    follow: (run, options) =>
      followRun(client.urlOf(run, "/events"), { ...options, fetch }),
    abort: (run, reason) => client.abort(run, reason),
    get: (run) => client.get(run) as Promise<ClientRun<never> | undefined>,
    list: (options) => client.list(options),
  };
}

/** Sends the requests of a client. */
class HttpRunClient {
  readonly #base: URL;
  readonly #fetch: NonNullable<RunClientOptions["fetch"]>;

  constructor(base: URL, fetch: NonNullable<RunClientOptions["fetch"]>) {
    this.#base = base;
    this.#fetch = fetch;
  }

  urlOf(run: string | RunReference, rest: string = ""): URL {
    const runId = typeof run === "string" ? run : run.runId;
    return new URL(`runs/${encodeURIComponent(runId)}${rest}`, this.#base);
  }

  async start<N extends string>(
    pipelineName: N,
    input: unknown,
    signal: AbortSignal | undefined,
  ): Promise<RunReference<N>> {
    const path = `pipelines/${encodeURIComponent(pipelineName)}`;
    const started = await this.#json(new URL(path, this.#base), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(input),
      signal,
    }) as { pipeline_run_id: string };
    return { runId: started.pipeline_run_id, pipelineName };
  }

  async abort(
    run: string | RunReference,
    reason: string | undefined,
  ): Promise<"requested" | "ended"> {
    const url = this.urlOf(run);
    if (reason !== undefined) url.searchParams.set("reason", reason);
    const init = { method: "DELETE" };
    const found = await this.#json(url, init, "run_ended");
    return found === undefined ? "ended" : "requested";
  }

  async get(run: string | RunReference): Promise<ClientRun | undefined> {
    // Another 404 says nothing of the run: there is no handler at this URL.
    const found = await this.#json(this.urlOf(run), {}, "unknown_run");
    return found === undefined ? undefined : toRun(found as WireRun);
  }

  async list(
    options: { datasetId?: string; limit?: number } = {},
  ): Promise<PipelineRunRow[]> {
    const { datasetId, limit } = options;
    const url = new URL("runs", this.#base);
    if (datasetId !== undefined) url.searchParams.set("dataset_id", datasetId);
    if (limit !== undefined) url.searchParams.set("limit", String(limit));
    return (await this.#json(url, {}) as WireRow[]).map(toRow);
  }

  /**
   * The JSON of a response; `undefined` if it is a problem with the code `expected`.
   *
   * @throws {ProblemError} If it is another error.
   */
  async #json(
    url: URL,
    init: RequestInit,
    expected?: string,
  ): Promise<unknown> {
    const fetch = this.#fetch;
    const response = await fetch(url, { cache: "no-store", ...init });
    if (response.ok) return await response.json();
    const problem = await readProblem(response);
    if (problem.code === expected) return undefined;
    throw problem;
  }
}

function toRun(wire: WireRun): ClientRun {
  const { phase: name, code = "work", message = "", name: errorName } = wire;
  const run: ClientRun = {
    runId: wire.pipeline_run_id,
    phase: name !== "Errored"
      ? { name }
      : errorName === undefined
      ? { name, code, message }
      : { name, code, message, errorName },
    lastSeq: wire.last_seq,
    rows: wire.rows.map(toRow),
    payload: wire.payload,
  };
  if ("result" in wire) run.result = wire.result;
  if ("result_error" in wire) run.resultError = wire.result_error;
  return run;
}

function toRow(wire: WireRow): PipelineRunRow {
  const row: PipelineRunRow = {
    id: wire.id,
    createdAt: new Date(wire.created_at),
    status: wire.status,
    pipelineRunId: wire.pipeline_run_id,
    pipelineName: wire.pipeline_name,
    pipelineId: wire.pipeline_id,
  };
  if (wire.dataset_id !== null) row.datasetId = wire.dataset_id;
  if (wire.run_info !== null) row.runInfo = wire.run_info;
  return row;
}
