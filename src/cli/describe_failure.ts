import type { RunFailure } from "../http/client/mod.ts";

/** What ended a run, for people: the code, unless it is `work`, and the message. */
export function describeFailure({ code, message, name }: RunFailure): string {
  const text = name === undefined ? message : `${name}: ${message}`;
  return code === "work" || text.startsWith(code) ? text : `${code}: ${text}`;
}
