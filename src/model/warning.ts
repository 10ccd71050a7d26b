/** A problem that the caller is not told of otherwise, or not in full. */
export interface RegistryWarning {
  /**
   * `"work"`: the work of a run failed; `cause` is what it threw.
   * `"row"`: a row of the audit trail could not be written yet, or ever.
   * `"payload"`: a payload field could not be written.
   * `"result"`: the result of a run cannot be stored.
   * `"ending"`: a run ended before its ending was durable.
   * `"retention"`: a sweep failed, or a timer has replaced the cron job.
   * `"lease"`: leases could not be renewed.
   * `"log"`: events of other instances could not be read.
   * `"notifications"`: notifications do not arrive.
   * `"reader"`: the read replica failed.
   */
  kind:
    | "work"
    | "row"
    | "payload"
    | "result"
    | "ending"
    | "retention"
    | "lease"
    | "log"
    | "notifications"
    | "reader";
  /** What happened, for people. */
  message: string;
  /** The run it happened to, if any. */
  runId?: string;
  /** The underlying error, if any. */
  cause?: unknown;
}

/** Wraps a listener so that its errors and rejections are ignored. */
export function contain<Args extends unknown[]>(
  listener: (...args: Args) => void,
): (...args: Args) => void {
  return async (...args) => {
    try {
      await listener(...args);
    } catch {
      // A listener for problems must not cause another one.
    }
  };
}

/** Writes a warning to the console. */
export function logWarning({ message, cause }: RegistryWarning): void {
  if (cause === undefined) console.warn(message);
  else console.warn(message, cause);
}
