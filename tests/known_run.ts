import type {
  PipelineRunRegistry,
  RunContext,
  RunEvent,
  RunHandle,
  RunSpec,
  SubscribeOptions,
} from "../mod.ts";

export const RUN_ID: string = "14818e76-a756-5be2-a535-a40479dcbd43";
export const OTHER_RUN_ID: string = "f414757d-37c1-5ff3-99e6-974059b3eb5d";

/** Other spellings of {@linkcode RUN_ID}. */
export const SPELLINGS: readonly string[] = [
  RUN_ID.toUpperCase(),
  RUN_ID.replaceAll("-", ""),
  `{${RUN_ID}}`,
  `urn:uuid:${RUN_ID}`,
];

/** A run under a random id. */
export const SPEC = { pipelineName: "ingest" } as const;
/** A run under {@linkcode RUN_ID}. */
export const KNOWN = { ...SPEC, runId: RUN_ID } as const;
/** What Python's uuid.uuid5(uuid.NAMESPACE_OID, "ingest") gives. */
export const PIPELINE_ID: string = "97e5187d-e237-5b93-a948-5fc1e2877aea";

/** Work that does nothing. */
export function noop(): void {}

/** Work that never settles. */
export function forever(): Promise<never> {
  return new Promise(noop);
}

/** The events of a run up to its last. */
export async function eventsOf<P>(
  registry: PipelineRunRegistry,
  runId: string,
  options?: SubscribeOptions,
): Promise<RunEvent<P>[]> {
  return await Array.fromAsync(registry.subscribe<P>(runId, options));
}

/** The kinds of the events of a run up to its last. */
export async function kindsOf(
  registry: PipelineRunRegistry,
  runId: string,
  options?: SubscribeOptions,
): Promise<string[]> {
  return (await eventsOf(registry, runId, options)).map(({ kind }) => kind);
}

/** A run whose work has begun and does nothing until it is told to. */
export interface HeldRun extends RunHandle {
  run: RunContext<unknown>;
  complete(): void;
  reject(error?: unknown): void;
}

/** Registers a run that a test holds on to. */
export async function registerHeld(
  registry: PipelineRunRegistry,
  spec: RunSpec = KNOWN,
): Promise<HeldRun> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<RunContext<unknown>>();
  const handle = await registry.registerBackground(spec, (run) => {
    begun.resolve(run);
    return promise;
  });
  return { ...handle, run: await begun.promise, complete: resolve, reject };
}
