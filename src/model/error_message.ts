import { storableText } from "../json/storable.ts";

/** Longer messages are cut: they go into rows, events and phases. */
const MAX_LENGTH = 10_000;

/**
 * A storable message for any thrown value. It never throws itself, not even if
 * the value's properties do.
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
