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

export const DATASET_ID: string = "0f14d0ab-9605-4a62-a9e4-5ed26688389b";
export const DATA_ID: string = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";

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

/** The message of an error that cannot be converted to a string. */
export const UNSHOWABLE: string =
  "Unknown error: it cannot be shown as a string";

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

/** The numbers and kinds of events. */
export function numberedKinds(events: RunEvent[]): string[] {
  return events.map(({ seq, kind }) => `${seq} ${kind}`);
}

/** A run whose work has begun and waits until the test settles it. */
export interface HeldRun extends RunHandle {
  run: RunContext<unknown>;
  complete(): void;
  reject(error?: unknown): void;
}

/** Registers a run whose work the test settles. */
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
