import { storableText } from "../json/storable.ts";

/** Longer messages are cut; they go into rows, events and the phase. */
const MAX_LENGTH = 10_000;

/**
 * A message for anything that can be thrown, fit for storing. It never throws
 * itself, whatever the thrown value's properties do.
 */
export function errorMessage(thrown: unknown): string {
  let message: string;
  try {
    message = thrown instanceof Error
      ? String(thrown.message || thrown.name)
      : String(thrown);
  } catch {
    message = "Unknown error: it cannot be shown as a string";
  }
  return storableText(
    message.length > MAX_LENGTH ? `${message.slice(0, MAX_LENGTH)}…` : message,
  );
}
