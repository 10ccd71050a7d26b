import type { RunEvent } from "../../model/event.ts";
import { RunEventParser } from "./run_event_parser.ts";

/** Options of {@linkcode RunEventDecoderStream}. */
export interface RunEventDecoderStreamOptions {
  /**
   * The length of the longest event, in UTF-16 code units: a positive integer.
   *
   * @default {16_777_216}
   */
  maxEventLength?: number;
}

/**
 * Turns server-sent events back into the events of a run: the reverse of
 * {@linkcode RunEventEncoderStream}. To connect and reconnect as well, use
 * {@linkcode followRun}.
 *
 * @typeParam P The type of the payloads. It is not checked.
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
   * Creates a stream.
   *
   * @param options The length of the longest event.
   * @throws {RangeError} If a number is out of range.
   * @throws {TypeError} If an option has the wrong type.
   */
  constructor(options: RunEventDecoderStreamOptions = {}) {
    const parser = new RunEventParser<P>(options.maxEventLength);
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
          // Throwing now would discard the events that are not read yet.
          failure = { error };
        }
      },
      flush: check,
    });
    this.#parser = parser;
  }

  /**
   * The number of the last event, or of an id without event, from which to resume;
   * `undefined` before the first one.
   */
  get lastEventId(): number | undefined {
    return this.#parser.lastEventId;
  }
}
