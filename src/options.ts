import { coarseClock } from "./coarse_clock.ts";
import type { PipelineRunRepository } from "./repository.ts";
import { contain, logWarning, type RegistryWarning } from "./warning.ts";

/** Options of {@linkcode PipelineRunRegistry}. */
export interface PipelineRunRegistryOptions {
  /**
   * Where the audit trail and the payload fields go. The registry does not
   * close it.
   *
   * @default {new MemoryPipelineRunRepository()}
   */
  repository?: PipelineRunRepository;
  /**
   * How many runs are held in memory, live and finished: a positive integer or
   * `Infinity`.
   *
   * @default {4096}
   */
  maxInMemoryRuns?: number;
  /**
   * How many subscriptions may wait for runs that nobody registered yet: a
   * positive integer or `Infinity`.
   *
   * @default {100_000}
   */
  maxAwaitedSubscriptions?: number;
  /**
   * For how long a finished run is held in memory, in milliseconds, by a clock
   * that is never set. 0 is until the next call or sweep, `Infinity` for ever.
   *
   * @default {3_600_000}
   */
  finishedRetention?: number;
  /**
   * How many events of a run are held for its subscribers: a positive integer.
   *
   * @default {64}
   */
  channelCapacity?: number;
  /**
   * The least time between two Yield events of a run, in milliseconds. Of the
   * Yields in between the latest is published when the time is over, or before
   * the run's last event; the others are not published. 0 publishes every one.
   *
   * @default {0}
   */
  yieldThrottle?: number;
  /**
   * Whether an aborted run gets an ERRORED row.
   *
   * @default {true}
   */
  abortWritesErroredRow?: boolean;
  /**
   * How large a payload field may be as JSON, in bytes of UTF-8: a positive
   * integer or `Infinity`.
   *
   * @default {1_048_576}
   */
  maxPayloadBytes?: number;
  /**
   * For how long a run's last event waits until its ending is durable, in
   * milliseconds. When it is over the event goes out all the same, the outcome
   * says so, and the row is written when it can be.
   *
   * @default {5_000}
   */
  endingTimeout?: number;
  /**
   * Told of what went wrong without stopping a run. What it throws is ignored.
   *
   * @default {console.warn}
   */
  onWarning?: (warning: RegistryWarning) => void;
  /**
   * A clock that never goes back, in milliseconds.
   *
   * @default {performance.now}
   */
  clock?: () => number;
}

/** Options of {@linkcode PipelineRunRegistry.subscribe}. */
export interface SubscribeOptions {
  /**
   * The number of the last event that is known already: what follows it is
   * given, and what of that is no longer held counts as lag. A non-negative
   * integer.
   *
   * @default {begin with the oldest event held of the current attempt}
   */
  after?: number;
  /**
   * Whether to give events of this instance's runs only once they are in the
   * log, a commit later. Whoever goes on elsewhere behind such an event finds the
   * same ones, also when this instance dies. Without a log it changes nothing.
   *
   * @default {false}
   */
  durable?: boolean;
  /** Errors the stream with its reason when it fires; the run goes on. */
  signal?: AbortSignal;
  /**
   * What follows a `Lagged` event: `"close"` closes the stream, `"skip"` goes
   * on with the oldest event held.
   *
   * @default {"close"}
   */
  lag?: "close" | "skip";
}

/** {@linkcode PipelineRunRegistryOptions} with their defaults. */
export interface ResolvedOptions
  extends
    Required<Omit<PipelineRunRegistryOptions, "repository" | "onWarning">> {
  /** Tells of what went wrong, and never throws. */
  warn: (warning: RegistryWarning) => void;
}

/**
 * The options with their defaults.
 *
 * @throws {RangeError} If a number is out of range.
 * @throws {TypeError} If an option has the wrong type.
 */
export function resolveOptions(
  options: PipelineRunRegistryOptions,
): ResolvedOptions {
  const {
    maxInMemoryRuns = 4096,
    maxAwaitedSubscriptions = 100_000,
    finishedRetention = 3_600_000,
    channelCapacity = 64,
    yieldThrottle = 0,
    abortWritesErroredRow = true,
    maxPayloadBytes = 1_048_576,
    endingTimeout = 5_000,
    onWarning = logWarning,
    clock = coarseClock,
  } = options;
  const counts = { maxInMemoryRuns, maxAwaitedSubscriptions, maxPayloadBytes };
  for (const [name, count] of Object.entries(counts)) {
    checkNumber(
      `Cannot create registry: ${name}`,
      count,
      "a positive integer or Infinity",
      count === Infinity || (Number.isSafeInteger(count) && count > 0),
    );
  }
  checkNumber(
    "Cannot create registry: channelCapacity",
    channelCapacity,
    "a positive integer",
    Number.isSafeInteger(channelCapacity) && channelCapacity > 0,
  );
  checkNumber(
    "Cannot create registry: finishedRetention",
    finishedRetention,
    "a non-negative number",
    finishedRetention >= 0,
  );
  checkDelay("Cannot create registry: yieldThrottle", yieldThrottle);
  checkDelay("Cannot create registry: endingTimeout", endingTimeout);
  if (typeof abortWritesErroredRow !== "boolean") {
    throw new TypeError(
      `Cannot create registry: abortWritesErroredRow must be a boolean, received ${typeof abortWritesErroredRow}`,
    );
  }
  for (const [name, value] of Object.entries({ onWarning, clock })) {
    if (typeof value !== "function") {
      throw new TypeError(
        `Cannot create registry: ${name} must be a function, received ${typeof value}`,
      );
    }
  }
  return {
    maxInMemoryRuns,
    maxAwaitedSubscriptions,
    finishedRetention,
    channelCapacity,
    yieldThrottle,
    abortWritesErroredRow,
    maxPayloadBytes,
    endingTimeout,
    warn: contain(onWarning),
    clock,
  };
}

/** The longest delay that timers keep on every platform, in milliseconds. */
const MAX_DELAY = 2 ** 31 - 1;

/**
 * Checks a number of milliseconds to give to a timer.
 *
 * @throws {TypeError} If it is no number.
 * @throws {RangeError} If it is negative or more than a timer can keep.
 */
export function checkDelay(name: string, delay: unknown, least = 0): void {
  checkNumber(
    name,
    delay,
    `between ${least} and ${MAX_DELAY}`,
    (delay as number) >= least && (delay as number) <= MAX_DELAY,
  );
}

function checkNumber(
  name: string,
  value: unknown,
  expected: string,
  isExpected: boolean,
): void {
  if (typeof value !== "number") {
    throw new TypeError(`${name} must be a number, received ${typeof value}`);
  }
  if (!isExpected) {
    throw new RangeError(`${name} must be ${expected}, received ${value}`);
  }
}

/**
 * Checks what a subscription was asked with.
 *
 * @throws {RangeError} If `after` is not a non-negative integer.
 * @throws {TypeError} If `lag` or `signal` is none.
 */
export function checkSubscribeOptions(options: SubscribeOptions): void {
  const { after, durable, lag, signal } = options;
  if (after !== undefined && !(Number.isSafeInteger(after) && after >= 0)) {
    throw new RangeError(
      `Cannot subscribe: after must be a non-negative integer, received ${after}`,
    );
  }
  if (durable !== undefined && typeof durable !== "boolean") {
    throw new TypeError(
      `Cannot subscribe: durable must be a boolean, received ${typeof durable}`,
    );
  }
  if (lag !== undefined && lag !== "close" && lag !== "skip") {
    throw new TypeError(
      `Cannot subscribe: lag must be "close" or "skip", received ${lag}`,
    );
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError("Cannot subscribe: signal must be an AbortSignal");
  }
}
