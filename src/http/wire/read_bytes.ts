import { onAbort } from "../../async/on_abort.ts";

/**
 * Reads the bytes of a body.
 *
 * @param signal Stops reading when it fires; the bytes read so far are returned.
 * @returns The bytes; `undefined` if there are more than `maxBytes`.
 */
export async function readBytes(
  body: ReadableStream<Uint8Array<ArrayBuffer>> | null,
  maxBytes: number,
  signal?: AbortSignal,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  if (body === null) return new Uint8Array();
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  const reader = body.getReader();
  const stop = () => void reader.cancel().catch(() => {}); // It may have failed.
  const unlisten = onAbort(signal, stop);
  try {
    while (true) {
      const { done, value } = await reader.read();
      if (done) return await new Blob(chunks).bytes();
      length += value.length;
      if (length > maxBytes) {
        stop();
        return undefined;
      }
      chunks.push(value);
    }
  } finally {
    unlisten();
  }
}
