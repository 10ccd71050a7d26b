/** A file that is not UTF-8 text. */
export class NotTextError extends Error {
  override name = "NotTextError";

  constructor(path: string) {
    super(`${path} is not a text file`);
  }
}

const CHUNK_SIZE = 64 * 1024;

/**
 * Reads a text file in chunks.
 *
 * @returns Its text, in chunks that never split a character.
 * @throws {NotTextError} If it contains a NUL or is not UTF-8.
 */
export async function* readText(path: string): AsyncGenerator<string> {
  using file = await Deno.open(path);
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const buffer = new Uint8Array(CHUNK_SIZE);
  while (true) {
    const length = await file.read(buffer);
    const bytes = buffer.subarray(0, length ?? 0);
    if (bytes.includes(0)) throw new NotTextError(path);
    let text: string;
    try {
      text = decoder.decode(bytes, { stream: length !== null });
    } catch {
      throw new NotTextError(path);
    }
    if (text !== "") yield text;
    if (length === null) return;
  }
}
