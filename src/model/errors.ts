/** What every error of this module that callers may want to catch extends. */
export class RegistryError extends Error {
  /** The name of the class. */
  override name = "RegistryError";
}

/** A run id that this registry does not hold. */
export class UnknownRunError extends RegistryError {
  /** The name of the class. */
  override name = "UnknownRunError";
  /** The run that was asked for. */
  readonly runId: string;

  /**
   * Names the run.
   *
   * @param runId The run that was asked for.
   */
  constructor(runId: string) {
    super(`Unknown run: ${runId}`);
    this.runId = runId;
  }
}

/**
 * A run id that was registered while its former attempt is live, here or
 * elsewhere, or has rows that are not written yet.
 */
export class RunAlreadyActiveError extends RegistryError {
  /** The name of the class. */
  override name = "RunAlreadyActiveError";
  /** The run that is live. */
  readonly runId: string;

  /**
   * Names the run.
   *
   * @param runId The run that is live.
   */
  constructor(runId: string) {
    super(
      `Cannot register run ${runId}: it is still active, or not written yet`,
    );
    this.runId = runId;
  }
}

/** A registry at its bound with nothing that could make room. */
export class RegistryFullError extends RegistryError {
  /** The name of the class. */
  override name = "RegistryFullError";
  /** The run that found no room. */
  readonly runId: string;

  /**
   * Names the run.
   *
   * @param runId The run that found no room.
   * @param message What is full.
   */
  constructor(runId: string, message: string) {
    super(message);
    this.runId = runId;
  }
}

/** A registry that was shut down. */
export class RegistryShutdownError extends RegistryError {
  /** The name of the class. */
  override name = "RegistryShutdownError";

  /**
   * Says what was refused or ended.
   *
   * @param message What was refused or ended.
   */
  constructor(message: string = "The registry was shut down") {
    super(message);
  }
}

/** A repository that could not do what it was asked; `cause` says why. */
export class RepositoryError extends RegistryError {
  /** The name of the class. */
  override name = "RepositoryError";
  /** The run it was about, where it was about one. */
  readonly runId: string | undefined;
  /** Whether the same call may succeed later. */
  readonly transient: boolean;

  /**
   * Says what could not be done and why.
   *
   * @param message What could not be done.
   * @param options The cause, the run, and whether trying again can help.
   */
  constructor(
    message: string,
    options: { cause?: unknown; runId?: string; transient?: boolean } = {},
  ) {
    super(message, { cause: options.cause });
    this.runId = options.runId;
    this.transient = options.transient ?? true;
  }
}

/**
 * A run that this instance no longer holds, since its lease ran out and another
 * instance ended it. It is the reason of the signal that the run's work gets.
 */
export class LeaseLostError extends RegistryError {
  /** The name of the class. */
  override name = "LeaseLostError";
  /** The run that was lost. */
  readonly runId: string;

  /**
   * Names the run.
   *
   * @param runId The run that was lost.
   */
  constructor(runId: string) {
    super(`The lease on run ${runId} was lost`);
    this.runId = runId;
  }
}
