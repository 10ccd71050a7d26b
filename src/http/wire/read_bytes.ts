/**
 * The bytes of a body; `undefined` if there are too many, and then no more of them
 * is read.
 *
 * @param signal Stops reading when it fires: what has come by then is given.
 */
export async function readBytes(
  body: ReadableStream<Uint8Array<ArrayBuffer>> | null,
  maxBytes: number,
  signal?: AbortSignal,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  const reader = body?.getReader();
  const stop = () => void reader?.cancel().catch(() => {}); // It may have failed.
  signal?.addEventListener("abort", stop);
  if (signal?.aborted) stop();
  try {
    for (
      let read = await reader?.read();
      read !== undefined && !read.done;
      read = await reader!.read()
    ) {
      length += read.value.length;
      if (length > maxBytes) {
        stop();
        return undefined;
      }
      chunks.push(read.value);
    }
  } finally {
    signal?.removeEventListener("abort", stop);
  }
  return await new Blob(chunks).bytes();
}
