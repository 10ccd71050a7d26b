import { checkType } from "../arguments/checks.ts";
import { InvalidInputError } from "../model/errors.ts";
import type { PipelineWork, RunContext, WorkOutput } from "./run_context.ts";
import type { RunSpec } from "./run_spec.ts";

/**
 * A schema that checks the input of a pipeline: one of Zod, Valibot, ArkType or any other
 * library that implements Standard Schema, of which this is the part used here:
 * https://standardschema.dev/schema
 *
 * @typeParam I The type before the check.
 * @typeParam C The type after it.
 */
export interface InputSchema<I = unknown, C = I> {
  /** What the libraries implement. */
  readonly "~standard": {
    /** Checks a value. */
    readonly validate: (
      value: unknown,
    ) => InputSchemaResult<C> | Promise<InputSchemaResult<C>>;
    /** Holds the types. */
    readonly types?: { readonly input: I; readonly output: C } | undefined;
  };
}

/** The checked value, or what is wrong. */
export type InputSchemaResult<C> =
  | { readonly value: C; readonly issues?: undefined }
  | {
    readonly issues: readonly {
      readonly message: string;
      readonly path?:
        | readonly (PropertyKey | { readonly key: PropertyKey })[]
        | undefined;
    }[];
  };

/** What a run of a pipeline has besides its work and the pipeline's name. */
export type PipelineRunSpec = Omit<RunSpec, "pipelineName">;

/**
 * What {@linkcode definePipeline} makes a pipeline of.
 *
 * @typeParam N The pipeline's name.
 * @typeParam I The type of its input before it is checked.
 * @typeParam C The type of the checked input.
 * @typeParam P What its work publishes through its context.
 * @typeParam O What its work returns.
 */
export interface PipelineDefinition<
  N extends string,
  I,
  C,
  P,
  O extends WorkOutput<P>,
> {
  /** The pipeline's name: 1 to 512 characters. */
  name: N;
  /**
   * Checks the input, and may change it.
   *
   * @default {any input is accepted}
   */
  input?: InputSchema<I, C>;
  /**
   * The dataset, ids and limits of a run with this input. `request` is the request that
   * starts the run, if one does; its `signal` must not be the run's.
   *
   * @default {none}
   */
  spec?: (
    input: C,
    request: Request | undefined,
  ) => PipelineRunSpec | Promise<PipelineRunSpec>;
  /** The work of a run with this input. */
  run: (input: C, run: RunContext<P>) => O;
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
  I = unknown,
  C = I,
  P = unknown,
  O extends WorkOutput<P> = WorkOutput<P>,
>(
  definition: PipelineDefinition<N, I, C, P, O>,
): Pipeline<N, I, P, O> {
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
async function check<C>(
  schema: InputSchema<unknown, C> | undefined,
  input: unknown,
  name: string,
): Promise<C> {
  if (schema === undefined) return input as C;
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
