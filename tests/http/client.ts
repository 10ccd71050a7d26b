import type { PipelineRunRegistry } from "../../mod.ts";
import {
  allowAll,
  createRunHandler,
  type RunHandlerOptions,
} from "../../src/http/mod.ts";

/** Sends a request to a handler, without a server in between. */
export type Client = (
  method: string,
  path: string,
  init?: RequestInit,
) => Promise<Response>;

/** A client of a handler of its own. */
export function client(
  registry: PipelineRunRegistry,
  options?: RunHandlerOptions,
): Client {
  const handler = createRunHandler(registry, {
    authorize: allowAll,
    ...options,
  });
  return async (method, path, init) =>
    await handler(new Request(`http://localhost${path}`, { method, ...init }));
}
