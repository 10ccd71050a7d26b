import type { RunEvent } from "../mod.ts";

/** The payload of a Yield; `null` for any other event. */
export function payloadOf<P>(event: RunEvent<P> | undefined): P | null {
  return event?.kind === "Yield" ? event.payload : null;
}
