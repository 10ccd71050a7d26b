import { ProblemError } from "../wire/problem_error.ts";
import { readBytes } from "../wire/read_bytes.ts";

/**
 * The JSON in a request's body; `undefined` for none.
 *
 * Only `application/json` is taken, and from a browser's page nothing else, not even
 * nothing: a page of another origin can send that without asking first.
 *
 * @throws {ProblemError} If it is too large, of another type, or no JSON.
 */
export async function readJson(
  request: Request,
  maxBytes: number,
): Promise<unknown> {
  const { body, bodyUsed, headers } = request;
  if (bodyUsed) throw new TypeError("The body was read before the handler");
  let bytes: Uint8Array<ArrayBuffer> | undefined;
  const declared = Number(headers.get("Content-Length") ?? 0);
  try {
    if (declared <= maxBytes) bytes = await readBytes(body, maxBytes);
  } catch (cause) {
    throw new ProblemError(400, "The body could not be read", { cause });
  }
  if (bytes === undefined) {
    throw new ProblemError(413, `The body must be at most ${maxBytes} bytes`);
  }
  const isFromPage = headers.has("Origin");
  if (bytes.length === 0 && !isFromPage) return undefined;
  const type = headers.get("Content-Type") ?? "";
  if (!/^application\/json\s*(;|$)/i.test(type)) {
    throw new ProblemError(415, "The body must be application/json", {
      headers: { Accept: "application/json" },
    });
  }
  if (bytes.length === 0) return undefined;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return JSON.parse(text);
  } catch (cause) {
    throw new ProblemError(400, "The body must be JSON", { cause });
  }
}
