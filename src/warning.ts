/** Something that went wrong without stopping a run. */
export interface RegistryWarning {
  /**
   * `"row"`: a row of the audit trail could not be written yet, or ever.
   * `"payload"`: a payload field could not be written.
   * `"ending"`: a run ended before its ending was durable.
   * `"retention"`: a sweep failed, or is not timed as was asked for.
   * `"lease"`: leases could not be renewed.
   * `"log"`: events of other instances could not be read.
   * `"notifications"`: notifications do not arrive.
   */
  kind:
    | "row"
    | "payload"
    | "ending"
    | "retention"
    | "lease"
    | "log"
    | "notifications";
  /** What happened, for people. */
  message: string;
  /** The run it happened to, where it was one. */
  runId?: string;
  /** The error behind it, where there was one. */
  cause?: unknown;
}

/**
 * A listener that neither throws nor rejects: what listens to warnings must not become a
 * failure itself.
 *
 * @param onWarning The listener, or none for `console.warn`.
 */
export function contain(
  onWarning: (warning: RegistryWarning) => void = logToConsole,
): (warning: RegistryWarning) => void {
  return async (warning) => {
    try {
      await onWarning(warning);
    } catch {
      // Told above: there is nobody left to tell.
    }
  };
}

function logToConsole({ message, cause }: RegistryWarning): void {
  if (cause === undefined) console.warn(message);
  else console.warn(message, cause);
}
