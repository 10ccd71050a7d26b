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
 * A listener that neither throws nor rejects: what listens to failures must not
 * become a failure itself.
 */
export function contain<Told extends unknown[]>(
  listener: (...told: Told) => void,
): (...told: Told) => void {
  return async (...told) => {
    try {
      await listener(...told);
    } catch {
      // Told above: there is nobody left to tell.
    }
  };
}

/** Tells the console of a warning. */
export function logWarning({ message, cause }: RegistryWarning): void {
  if (cause === undefined) console.warn(message);
  else console.warn(message, cause);
}
