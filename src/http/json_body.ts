import { ProblemError } from "./problem_error.ts";

/**
 * The JSON in a request's body; `undefined` for none.
 *
 * Only `application/json` is taken: a page of another origin can send other types
 * without asking first.
 *
 * @throws {ProblemError} If it is too large, of another type, or no JSON.
 */
export async function readJson(
  request: Request,
  maxBytes: number,
): Promise<unknown> {
  const bytes = await readBytes(request, maxBytes);
  if (bytes.length === 0) return undefined;
  const type = request.headers.get("Content-Type") ?? "";
  if (!/^application\/json\s*(;|$)/i.test(type)) {
    throw new ProblemError(415, "The body must be application/json", {
      headers: { Accept: "application/json" },
    });
  }
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return JSON.parse(text);
  } catch (cause) {
    throw new ProblemError(400, "The body must be JSON", { cause });
  }
}

async function readBytes(
  request: Request,
  maxBytes: number,
): Promise<Uint8Array> {
  const tooLarge = () =>
    new ProblemError(413, `The body must be at most ${maxBytes} bytes`);
  if (Number(request.headers.get("Content-Length") ?? 0) > maxBytes) {
    throw tooLarge();
  }
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body ?? []) {
    length += chunk.length;
    if (length > maxBytes) throw tooLarge(); // Leaving the loop cancels the body.
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}
