/** A response in JSON that nobody keeps. */
export function jsonResponse(
  body: unknown,
  status: number,
  headers: HeadersInit = {},
): Response {
  const all = new Headers(headers);
  all.set("Content-Type", "application/json");
  all.set("Cache-Control", "no-store");
  all.set("X-Content-Type-Options", "nosniff");
  return new Response(JSON.stringify(body), { status, headers: all });
}
