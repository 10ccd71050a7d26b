import type { RunEvent } from "../../model/event.ts";
import type { Lease } from "../log/lease.ts";
import type { RowValues } from "./row_values.ts";

/** Something to write. */
export type Write =
  | {
    /** A row of the audit trail, without a lease. */
    readonly kind: "row";
    readonly row: RowValues;
  }
  | {
    /** A payload field. */
    readonly kind: "field";
    readonly json: string;
    /** What a later write of the same field replaces. */
    readonly key: string;
  }
  | Step;

/** A step of a run that is leased. */
export interface Step {
  readonly kind: "step";
  readonly lease: Lease;
  readonly row?: RowValues;
  readonly event?: RunEvent;
  /** The payload of the event as JSON. */
  readonly payload?: string;
  /** Whether the lease begins with it. */
  readonly begins?: boolean;
  /** The UUID of the ending, where this is one. */
  readonly ending?: string;
}
