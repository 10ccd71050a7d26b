import type { RunEvent } from "../../model/event.ts";
import {
  RunEventParser,
  type RunEventParserOptions,
} from "./run_event_parser.ts";

/** Options of {@linkcode RunEventDecoderStream}. */
export type RunEventDecoderStreamOptions = RunEventParserOptions;

/**
 * Turns server-sent events back into the events of a run: the reverse of
 * {@linkcode RunEventEncoderStream}. It neither connects nor reconnects;
 * {@linkcode followRun} does.
 *
 * @typeParam P The type of what the work publishes. It is not checked.
 *
 * @example Usage
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { PipelineRunRegistry } from "@pipeline/run-registry";
 * import {
 *   RunEventDecoderStream,
 *   RunEventEncoderStream,
 * } from "@pipeline/run-registry/http";
 *
 * await using registry = new PipelineRunRegistry();
 * const { runId } = await registry.registerInline(
 *   { pipelineName: "count" },
 *   async function* () {
 *     yield 1;
 *   },
 * );
 *
 * const events = await Array.fromAsync(
 *   registry.subscribe(runId)
 *     .pipeThrough(new RunEventEncoderStream())
 *     .pipeThrough(new RunEventDecoderStream()),
 * );
 * assertEquals(events, await Array.fromAsync(registry.subscribe(runId)));
 * ```
 */
export class RunEventDecoderStream<P = unknown>
  extends TransformStream<Uint8Array<ArrayBuffer>, RunEvent<P>> {
  readonly #parser: RunEventParser<P>;

  /**
   * Makes a stream.
   *
   * @param options How long an event may be.
   * @throws {RangeError} If a number is out of range.
   */
  constructor(options: RunEventDecoderStreamOptions = {}) {
    const parser = new RunEventParser<P>(options);
    let failure: { error: unknown } | undefined;
    const check = () => {
      if (failure !== undefined) throw failure.error;
    };
    super({
      transform(chunk, controller) {
        check();
        try {
          for (const event of parser.push(chunk)) controller.enqueue(event);
        } catch (error) {
          // To throw now would lose what nobody has read yet.
          failure = { error };
        }
      },
      flush: check,
    });
    this.#parser = parser;
  }

  /**
   * The number of the last event that came in, or of an id without event: where to
   * go on. `undefined` until there was one.
   */
  get position(): number | undefined {
    return this.#parser.position;
  }
}
