/** Base class of this package's errors. */
export class RegistryError extends Error {
  /** The name of the error's class. */
  override name = "RegistryError";
  /** Tells the kinds of errors apart, also across versions of this package. */
  readonly code: string = "registry";
}

/** Thrown when no run has the given id. */
export class UnknownRunError extends RegistryError {
  /** Always `"unknown_run"`. */
  override readonly code = "unknown_run";
  /** The id that was asked for. */
  readonly runId: string;

  /** Makes the error for an id. */
  constructor(runId: string) {
    super(`Unknown run: ${runId}`);
    this.name = "UnknownRunError";
    this.runId = runId;
  }
}

/**
 * Thrown when a run id is registered while its previous attempt is live, here or
 * on another instance, or has unwritten rows.
 */
export class RunAlreadyActiveError extends RegistryError {
  /** Always `"run_already_active"`. */
  override readonly code = "run_already_active";
  /** The run that is live. */
  readonly runId: string;

  /** Makes the error for a run. */
  constructor(runId: string) {
    super(
      `Cannot register run ${runId}: it is still active, or not written yet`,
    );
    this.name = "RunAlreadyActiveError";
    this.runId = runId;
  }
}

/** Thrown when a registry has reached a bound and cannot make room. */
export class RegistryFullError extends RegistryError {
  /** Always `"registry_full"`. */
  override readonly code = "registry_full";
  /** The run that found no room. */
  readonly runId: string;

  /** Makes the error for a run; the message says what is full. */
  constructor(runId: string, message: string) {
    super(message);
    this.name = "RegistryFullError";
    this.runId = runId;
  }
}

/** Thrown, and given as an abort reason, once a registry is shut down. */
export class RegistryShutdownError extends RegistryError {
  /** Always `"registry_shutdown"`. */
  override readonly code = "registry_shutdown";
  /** Makes the error; the message says what was refused or ended. */
  constructor(message: string = "The registry was shut down") {
    super(message);
    this.name = "RegistryShutdownError";
  }
}

/** Thrown when a repository fails; `cause` says why. */
export class RepositoryError extends RegistryError {
  /** Always `"repository"`. */
  override readonly code = "repository";
  /** The run it concerns, if any. */
  readonly runId: string | undefined;
  /** Whether the same call may succeed later. */
  readonly transient: boolean;

  /**
   * Makes the error; the message says what failed.
   *
   * @param options The cause, the run, and whether a retry may succeed (by
   * default, it may).
   */
  constructor(
    message: string,
    options: { cause?: unknown; runId?: string; transient?: boolean } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = "RepositoryError";
    this.runId = options.runId;
    this.transient = options.transient ?? true;
  }
}

/** What is wrong with a part of an input. */
export interface InputIssue {
  /** What is wrong, in the words of the schema's library. */
  readonly message: string;
  /** The keys and indexes that lead to the part; empty for the whole input. */
  readonly path: readonly PropertyKey[];
}

/** Thrown when the input of a pipeline is not what its schema says. */
export class InvalidInputError extends RegistryError {
  /** Always `"invalid_input"`. */
  override readonly code = "invalid_input";
  /** What is wrong. */
  readonly issues: readonly InputIssue[];

  /** Makes the error for a pipeline. */
  constructor(pipelineName: string, issues: readonly InputIssue[]) {
    super(`The input of pipeline ${pipelineName} is invalid`);
    this.name = "InvalidInputError";
    this.issues = issues;
  }
}

/**
 * The abort reason of a run's work when its lease has expired and another
 * instance has ended the run.
 */
export class LeaseLostError extends RegistryError {
  /** Always `"lease_lost"`. */
  override readonly code = "lease_lost";
  /** The run that was lost. */
  readonly runId: string;

  /** Makes the error for a run. */
  constructor(runId: string) {
    super(`The lease on run ${runId} was lost`);
    this.name = "LeaseLostError";
    this.runId = runId;
  }
}
