import type { Equivalent } from "./mutation.ts";

/** Edits that change nothing that can be observed. They are not made. */
export const EQUIVALENTS: readonly Equivalent[] = [];
