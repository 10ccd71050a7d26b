import { ProblemError } from "../wire/problem_error.ts";
import { readBytes } from "../wire/read_bytes.ts";

/**
 * Reads the JSON in a request's body; `undefined` for an empty body.
 *
 * The type must be `application/json`. A request from a page must declare it even for
 * an empty body: pages of another origin can send other types without a preflight.
 *
 * @throws {ProblemError} If the body is too large, of another type, or not JSON.
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
  if (bytes.length === 0 && !headers.has("Origin")) return undefined;
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
