import { NAMESPACE_OID, NIL_UUID } from "@std/uuid/constants";
import { generate } from "@std/uuid/v5";

const CANONICAL =
  /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const GROUPS =
  /^([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})$/;
/** The longest spelling of a UUID: a URN with hyphens. */
const LONGEST = "urn:uuid:".length + 36;

/**
 * The canonical spelling of a UUID of any version: lower case, with hyphens.
 * Upper case, braces, missing hyphens and `urn:uuid:` are understood.
 *
 * @throws {TypeError} If `text` is no UUID; `name` begins the message.
 */
export function canonicalUuid(text: unknown, name: string): string {
  if (typeof text === "string" && text.length <= LONGEST) {
    if (CANONICAL.test(text)) return text;
    let bare = text.toLowerCase();
    if (bare.startsWith("urn:uuid:")) bare = bare.slice("urn:uuid:".length);
    else if (/^\{.*\}$/.test(bare)) bare = bare.slice(1, -1);
    const groups = GROUPS.exec(bare);
    if (groups !== null) return groups.slice(1).join("-");
  }
  throw new TypeError(`${name} must be a UUID, received ${shown(text)}`);
}

/**
 * The id of a pipeline for a user and a dataset, the same for cognee in Python
 * and Rust: uuid5(OID, `"{user}{name}{dataset}"`).
 *
 * @param userId The user's UUID.
 * @param datasetId The dataset's UUID; absent, it is the nil UUID.
 * @param pipelineName The name of the pipeline.
 * @returns The pipeline's UUID.
 * @throws {TypeError} If an id is no UUID.
 *
 * @example Usage
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { pipelineId } from "@pipeline/run-registry";
 *
 * const userId = "00000000-0000-0000-0000-000000000001";
 * assertEquals(
 *   await pipelineId(userId, undefined, "cognify_pipeline"),
 *   await pipelineId(userId, undefined, "cognify_pipeline"),
 * );
 * ```
 */
export async function pipelineId(
  userId: string,
  datasetId: string | undefined,
  pipelineName: string,
): Promise<string> {
  const user = canonicalUuid(userId, "Cannot make pipeline id: userId");
  const dataset = canonicalUuid(
    datasetId ?? NIL_UUID,
    "Cannot make pipeline id: datasetId",
  );
  return await oid(`${user}${pipelineName}${dataset}`);
}

/**
 * The deterministic run id of a pipeline on a dataset, the same for cognee in
 * Python and Rust: uuid5(OID, `"{pipeline id}_{dataset}"`). Runs that follow
 * one another share it.
 *
 * @param pipelineId The pipeline's UUID.
 * @param datasetId The dataset's UUID; absent, it is the nil UUID.
 * @returns The run's UUID.
 * @throws {TypeError} If an id is no UUID.
 *
 * @example Usage
 * ```ts
 * import { assertNotEquals } from "@std/assert";
 * import { pipelineRunId } from "@pipeline/run-registry";
 *
 * const pipeline = "00000000-0000-0000-0000-000000000001";
 * assertNotEquals(
 *   await pipelineRunId(pipeline, "00000000-0000-0000-0000-000000000002"),
 *   await pipelineRunId(pipeline),
 * );
 * ```
 */
export async function pipelineRunId(
  pipelineId: string,
  datasetId?: string,
): Promise<string> {
  const pipeline = canonicalUuid(
    pipelineId,
    "Cannot make pipeline run id: pipelineId",
  );
  const dataset = canonicalUuid(
    datasetId ?? NIL_UUID,
    "Cannot make pipeline run id: datasetId",
  );
  return await oid(`${pipeline}_${dataset}`);
}

/** The id that the registry's own rows carry: uuid5(OID, name). */
export async function registryPipelineId(
  pipelineName: string,
): Promise<string> {
  return await oid(pipelineName);
}

async function oid(text: string): Promise<string> {
  return await generate(NAMESPACE_OID, new TextEncoder().encode(text));
}

function shown(value: unknown): string {
  if (typeof value !== "string") return typeof value;
  return JSON.stringify(
    value.length > LONGEST ? `${value.slice(0, LONGEST)}…` : value,
  );
}
