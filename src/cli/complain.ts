import process from "node:process";
import { ProblemError } from "../http/client/mod.ts";
import { printable } from "./printable.ts";

/** Writes one line to standard error: an error, a warning or a note. */
export function complain(message: string): void {
  process.stderr.write(`run-registry: ${printable(message)}\n`);
}

/** The message of an error, and those of its causes that it does not repeat. */
export function describeError(error: unknown): string {
  // The errors of closing hide the first one.
  while (error instanceof SuppressedError) error = error.suppressed;
  if (!(error instanceof Error)) return String(error);
  const { code, cause } = error as { code?: string; cause?: unknown };
  if (error instanceof ProblemError && code === "problem") {
    return `${error.status} ${error.title}: ${error.message}`;
  }
  const text = error.message || code || error.name;
  if (cause === undefined) return text;
  const why = describeError(cause);
  return text.includes(why) ? text : `${text}: ${why}`;
}
