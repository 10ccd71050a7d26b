/** Checks at compile time that a type is `true`. */
export function assertType<T extends boolean>(_expectTrue: T): void {}

/** Whether two types are the same. */
export type IsExact<T, U> = (<X>() => X extends T ? 1 : 2) extends
  (<X>() => X extends U ? 1 : 2) ? true : false;
