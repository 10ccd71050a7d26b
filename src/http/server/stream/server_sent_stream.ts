import { every, unref } from "../../../async/timers.ts";
import type { RunStatus } from "../../../repository/run_log.ts";
import type { EventBatches } from "./event_batches.ts";
import { nextCursor } from "./stream_cursor.ts";
import {
  positionAt,
  positionBehind,
  type StreamPosition,
} from "./stream_position.ts";
import { offsetOf } from "./stream_query.ts";

/** After how long the stream closes, in milliseconds: §5.8 of the protocol. */
const DURATION = 60_000;

const ENCODER = new TextEncoder();

/** Options of {@linkcode openServerSentStream}. */
export interface ServerSentStreamOptions {
  readonly batches: EventBatches;
  /** The number of the event after which the batches begin. */
  readonly after: number;
  /** The state of the run before. */
  readonly status: RunStatus;
  /** The client's `Stream-Cursor`. */
  readonly cursor: string | null;
  /** How often to send a comment, in milliseconds. */
  readonly heartbeat: number;
  readonly onError: (error: unknown) => void;
}

/** Batches as server-sent events, each followed by one that says where it ends. */
class ServerSentSource
  implements UnderlyingDefaultSource<Uint8Array<ArrayBuffer>> {
  readonly #options: ServerSentStreamOptions;
  #position: StreamPosition;
  #cancelled = false;
  #stop = () => {};

  constructor(options: ServerSentStreamOptions) {
    this.#options = options;
    this.#position = positionAt(options.after, options.status);
  }

  start(controller: ReadableStreamDefaultController): void {
    const { batches, heartbeat } = this.#options;
    const timer = setTimeout(() => this.#stop(), DURATION);
    unref(timer);
    const stopHeartbeat = every(heartbeat, () => {
      if (controller.desiredSize! > 0) controller.enqueue(encode(":\n\n"));
    });
    this.#stop = () => {
      clearTimeout(timer);
      stopHeartbeat();
      batches.cancel();
    };
    if (this.#position.isUpToDate) controller.enqueue(encode(this.#control()));
  }

  async pull(controller: ReadableStreamDefaultController): Promise<void> {
    const { batches, status, onError } = this.#options;
    try {
      const batch = await batches.next(status.lastSeq);
      if (this.#cancelled) return;
      if (batch === undefined) {
        this.#stop();
        return controller.close();
      }
      this.#position = positionBehind(batch, status);
      const data = `event: data\ndata:${batch.json}\n\n`;
      controller.enqueue(encode(data + this.#control()));
    } catch (error) {
      this.#stop();
      onError(error);
      throw error; // The stream errors with it.
    }
  }

  cancel(): void {
    this.#cancelled = true;
    this.#stop();
  }

  #control(): string {
    const { seq, isUpToDate, isClosed } = this.#position;
    const control = {
      streamNextOffset: offsetOf(seq),
      streamCursor: isClosed ? undefined : nextCursor(this.#options.cursor),
      upToDate: isUpToDate || undefined,
      streamClosed: isClosed || undefined,
    };
    // Without a space behind the colon, as the protocol's own tests expect it.
    return `event: control\ndata:${JSON.stringify(control)}\n\n`;
  }
}

/** Opens the body of a response with `live=sse`. */
export function openServerSentStream(
  options: ServerSentStreamOptions,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  // With a high water mark of 0 no heartbeat fits.
  return new ReadableStream(new ServerSentSource(options), {
    highWaterMark: 1,
  });
}

function encode(text: string): Uint8Array<ArrayBuffer> {
  return ENCODER.encode(text);
}
