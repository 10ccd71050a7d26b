// Stands for @std/uuid@1.1.1 where jsr.io cannot be reached.

import { v5, validate } from "npm:uuid@14";

/** The version 5 UUID of `data` within `namespace`. */
export async function generate(
  namespace: string,
  data: Uint8Array,
): Promise<string> {
  if (!validate(namespace)) {
    throw new TypeError(`Cannot generate UUID: invalid namespace ${namespace}`);
  }
  return await Promise.resolve(v5(data, namespace));
}
