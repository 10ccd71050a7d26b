import {
  checkBound,
  checkDelay,
  checkInteger,
  checkNumber,
  checkOneOf,
  checkSignal,
  checkType,
} from "../arguments/checks.ts";
import type { PipelineRunRepository } from "../repository/repository.ts";
import type { SubscribeOptions } from "../repository/run_log.ts";
import type { Telemetry } from "../model/telemetry.ts";
import { contain, logWarning, type RegistryWarning } from "../model/warning.ts";

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
   * How many subscriptions may wait for runs that nobody has registered yet: a
   * positive integer or `Infinity`. With a log, those count that have no event yet
   * and whose run is not one of this instance.
   *
   * @default {100_000}
   */
  maxAwaitedSubscriptions?: number;
  /**
   * How long a finished run is held in memory, in milliseconds: a non-negative
   * number. 0 is until the next call or sweep, `Infinity` is for ever.
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
   * The shortest time between two Yield events of a run, in milliseconds. Of the
   * Yields in between, only the latest is published: when the time is over, or before
   * the run's last event. 0 publishes every one.
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
   * How large a payload field or a result may be as JSON, in bytes of UTF-8, and with a
   * log the payload of an event too: a positive integer or `Infinity`.
   *
   * @default {1_048_576}
   */
  maxPayloadBytes?: number;
  /**
   * What a payload of an event may be: `"json"` for JSON only, so that it is the same
   * for every subscriber, wherever the run is; `"any"` for any value, published as it
   * is. `"any"` needs a repository without a log, such as the default one.
   *
   * @default {"json"}
   */
  payloads?: "json" | "any";
  /**
   * How long a run's last event waits for its ending to be durable, in milliseconds.
   * When the time is over, the event is published without it, the outcome says
   * `durable: false`, and the row is retried.
   *
   * @default {5_000}
   */
  endingTimeout?: number;
  /**
   * Whether it sweeps every minute by itself. Otherwise call `sweep()`, or leave that to
   * other instances.
   *
   * @default {true}
   */
  sweeps?: boolean;
  /**
   * Called with problems that do not stop a run; errors it throws are ignored.
   *
   * @default {console.warn}
   */
  onWarning?: (warning: RegistryWarning) => void;
  /**
   * Where to report runs and subscriptions: `createTelemetry()` of `./telemetry`. Then
   * `onWarning` is called with the span of the run active, if it has one.
   *
   * @default {none}
   */
  telemetry?: Telemetry;
  /**
   * A clock that never goes back, in milliseconds.
   *
   * @default {performance.now}
   */
  clock?: () => number;
}

/** {@linkcode PipelineRunRegistryOptions} with their defaults. */
export interface ResolvedOptions extends
  Required<
    Omit<
      PipelineRunRegistryOptions,
      "repository" | "onWarning" | "telemetry"
    >
  >,
  Pick<PipelineRunRegistryOptions, "telemetry"> {
  /** Calls `onWarning`; it never throws. */
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
    payloads = "json",
    endingTimeout = 5_000,
    sweeps = true,
    onWarning = logWarning,
    telemetry,
    clock = () => performance.now(),
  } = options;
  const here = "Cannot create registry:";
  checkBound(`${here} maxInMemoryRuns`, maxInMemoryRuns);
  checkBound(`${here} maxAwaitedSubscriptions`, maxAwaitedSubscriptions);
  checkBound(`${here} maxPayloadBytes`, maxPayloadBytes);
  checkOneOf(`${here} payloads`, payloads, ["json", "any"]);
  if (payloads === "any" && options.repository?.runLog !== undefined) {
    throw new TypeError(
      `${here} payloads must be "json" where the repository has a log`,
    );
  }
  checkInteger(`${here} channelCapacity`, channelCapacity, 1);
  checkNumber(
    `${here} finishedRetention`,
    finishedRetention,
    "a non-negative number",
    (number) => number >= 0,
  );
  checkDelay(`${here} yieldThrottle`, yieldThrottle);
  checkDelay(`${here} endingTimeout`, endingTimeout);
  checkType(`${here} abortWritesErroredRow`, abortWritesErroredRow, "boolean");
  checkType(`${here} sweeps`, sweeps, "boolean");
  checkType(`${here} onWarning`, onWarning, "function");
  checkType(`${here} clock`, clock, "function");
  return {
    maxInMemoryRuns,
    maxAwaitedSubscriptions,
    finishedRetention,
    channelCapacity,
    yieldThrottle,
    abortWritesErroredRow,
    maxPayloadBytes,
    payloads,
    endingTimeout,
    sweeps,
    warn: contain(onWarning),
    telemetry,
    clock,
  };
}

/**
 * Checks the options of a subscription.
 *
 * @throws {RangeError} If a number is out of range.
 * @throws {TypeError} If an option has the wrong type.
 */
export function checkSubscribeOptions(options: SubscribeOptions): void {
  const { after, durable, lag, signal } = options;
  if (after !== undefined) checkInteger("Cannot subscribe: after", after, 0);
  if (durable !== undefined) {
    checkType("Cannot subscribe: durable", durable, "boolean");
  }
  if (lag !== undefined) {
    checkOneOf("Cannot subscribe: lag", lag, ["close", "skip"]);
  }
  checkSignal("Cannot subscribe: signal", signal);
}
