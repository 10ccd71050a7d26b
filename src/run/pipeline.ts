import type { StandardSchemaV1 } from "@standard-schema/spec";
import { checkType } from "../arguments/checks.ts";
import { InvalidInputError } from "../model/errors.ts";
import type { PipelineWork, RunContext, WorkOutput } from "./run_context.ts";
import type { RunSpec } from "./run_spec.ts";

/** What a run of a pipeline has besides its work and the pipeline's name. */
export type PipelineRunSpec = Omit<RunSpec, "pipelineName">;

/**
 * What {@linkcode definePipeline} makes a pipeline of.
 *
 * @typeParam N The pipeline's name.
 * @typeParam S The schema of its input.
 * @typeParam P What its work publishes through its context.
 * @typeParam O What its work returns.
 */
export interface PipelineDefinition<
  N extends string,
  S extends StandardSchemaV1,
  P,
  O extends WorkOutput<P>,
> {
  /** The pipeline's name: 1 to 512 characters. */
  name: N;
  /**
   * Checks the input, and may change it: a schema of Zod, Valibot, ArkType or any other
   * library that implements Standard Schema (https://standardschema.dev).
   *
   * @default {any input is accepted}
   */
  input?: S;
  /**
   * The dataset, ids and limits of a run with this input. `request` is the request that
   * starts the run, if one does; its `signal` must not be the run's.
   *
   * @default {none}
   */
  spec?: (
    input: StandardSchemaV1.InferOutput<S>,
    request: Request | undefined,
  ) => PipelineRunSpec | Promise<PipelineRunSpec>;
  /** The work of a run with this input. */
  run: (input: StandardSchemaV1.InferOutput<S>, run: RunContext<P>) => O;
}

/**
 * A pipeline whose input, events and result have types, for the registry, the handler of
 * `./http` and the client of `./client`.
 *
 * @typeParam N The pipeline's name.
 * @typeParam I The type of its input before it is checked.
 * @typeParam P What its work publishes through its context.
 * @typeParam O What its work returns.
 */
export interface Pipeline<
  N extends string = string,
  I = unknown,
  P = unknown,
  O extends WorkOutput<P> = WorkOutput<P>,
> {
  /** The pipeline's name. */
  readonly name: N;
  /** Holds the types of the input and the work; there is no such member at run time. */
  readonly "~types"?: { readonly input: I; readonly work: [P, O] };
  /**
   * Checks an input and makes a run of it, to be registered:
   * `registry.registerBackground(...await pipeline.prepare(input))`.
   *
   * @param request The request that starts the run, if one does.
   * @throws {InvalidInputError} If the input is not what the schema says.
   */
  prepare(
    input: unknown,
    request?: Request,
  ): Promise<[spec: RunSpec, work: PipelineWork<P, O>]>;
}

/**
 * Defines a pipeline once, with types from its input to the viewers of its runs.
 *
 * @throws {TypeError} If a member has the wrong type.
 *
 * @example Usage
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { definePipeline, PipelineRunRegistry } from "@pipeline/run-registry";
 *
 * const count = definePipeline({
 *   name: "count",
 *   async *run() {
 *     yield 1;
 *     return "done";
 *   },
 * });
 *
 * await using registry = new PipelineRunRegistry();
 * const run = await registry.registerBackground(...await count.prepare({}));
 * assertEquals((await run.outcome).result, "done");
 * ```
 */
export function definePipeline<
  const N extends string,
  S extends StandardSchemaV1 = StandardSchemaV1<unknown, unknown>,
  P = unknown,
  O extends WorkOutput<P> = WorkOutput<P>,
>(
  definition: PipelineDefinition<N, S, P, O>,
): Pipeline<N, StandardSchemaV1.InferInput<S>, P, O> {
  const { name, input: schema, spec, run } = definition;
  const here = "Cannot define pipeline:";
  checkType(`${here} name`, name, "string");
  checkType(`${here} run`, run, "function");
  if (spec !== undefined) checkType(`${here} spec`, spec, "function");
  if (schema !== undefined && typeof schema["~standard"] !== "object") {
    throw new TypeError(`${here} input must be a Standard Schema`);
  }
  return {
    name,
    prepare: async (given, request) => {
      const input = await check(schema, given, name);
      return [
        { ...await spec?.(input, request), pipelineName: name },
        (context) => run(input, context),
      ];
    },
  };
}

/** The input as the schema has it. */
async function check<S extends StandardSchemaV1>(
  schema: S | undefined,
  input: unknown,
  name: string,
): Promise<StandardSchemaV1.InferOutput<S>> {
  if (schema === undefined) return input as StandardSchemaV1.InferOutput<S>;
  const result = await schema["~standard"].validate(input);
  if (result.issues === undefined) return result.value;
  throw new InvalidInputError(
    name,
    result.issues.map(({ message, path = [] }) => ({
      message,
      path: Array.from(
        path,
        (part) => typeof part === "object" ? part.key : part,
      ),
    })),
  );
}
