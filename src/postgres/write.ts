import type { Lease } from "./lease.ts";

/** Something to write. */
export type Write =
  | {
    /** A row of the audit trail, without a lease. */
    readonly kind: "row";
    readonly json: string;
  }
  | {
    /** A payload field. */
    readonly kind: "field";
    readonly json: string;
    /** What a later write of the same field replaces. */
    readonly key: string;
  }
  | {
    /** A step of a run that is leased. */
    readonly kind: "step";
    readonly lease: Lease;
    readonly row?: string;
    readonly event?: string;
    /** The number of the event. */
    readonly seq: number;
    /** Whether the lease begins with it. */
    readonly begins?: boolean;
    /** The UUID of the ending, where this is one. */
    readonly ending?: string;
  };
