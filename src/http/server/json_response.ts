/** Options of {@linkcode jsonResponse}. */
export interface JsonResponseOptions {
  status: number;
  headers?: HeadersInit;
  /**
   * What kind of JSON it is.
   *
   * @default {"application/json"}
   */
  type?: string;
}

/** A response in JSON that nobody keeps. */
export function jsonResponse(
  body: unknown,
  { status, headers, type = "application/json" }: JsonResponseOptions,
): Response {
  const all = new Headers(headers);
  all.set("Content-Type", type);
  all.set("Cache-Control", "no-store");
  all.set("X-Content-Type-Options", "nosniff");
  return new Response(JSON.stringify(body), { status, headers: all });
}
