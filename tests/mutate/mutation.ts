/** One edit of a source file that a test must notice. */
export interface Mutation {
  /** What the edit takes out or changes. */
  readonly name: string;
  /** The file, in `src`. */
  readonly file: string;
  /** The text to replace; the file has it exactly once. */
  readonly find: string;
  readonly replace: string;
  /** The test files that are to notice, in `tests`. */
  readonly tests: readonly string[];
  /** Which of their tests are run, as `deno test --filter` takes it: all by default. */
  readonly filter?: string;
}

/** An edit that changes nothing that can be observed, and so is not made. */
export interface Equivalent extends Omit<Mutation, "tests" | "filter"> {
  /** Why it changes nothing. */
  readonly reason: string;
}

/** An edit of a file: its name, the text to find, the text instead. */
export type Edit = readonly [name: string, find: string, replace: string];

/** The mutations of one file that the same tests are to notice. */
export function mutationsOf(
  file: string,
  tests: readonly string[],
  edits: readonly Edit[],
  filter?: string,
): Mutation[] {
  return edits.map(([name, find, replace]) => ({
    name,
    file,
    find,
    replace,
    tests,
    filter,
  }));
}
