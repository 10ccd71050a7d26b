// Stands for @std/uuid@1.1.1 where jsr.io cannot be reached.

/** The namespace of names that are ISO object identifiers. */
export const NAMESPACE_OID = "6ba7b812-9dad-11d1-80b4-00c04fd430c8";

/** The UUID of zeros. */
export const NIL_UUID = "00000000-0000-0000-0000-000000000000";
