import type { TopTerm } from "./term_counts.ts";

/**
 * Shows terms as a table.
 *
 * @param terms The terms, in the order to show them.
 * @returns The lines.
 */
export function termTable(terms: readonly TopTerm[]): string[] {
  const lines = terms.map(({ term, count, files }) =>
    [
      term.padEnd(32),
      count.toLocaleString("en-US").padStart(12),
      files.toLocaleString("en-US").padStart(8),
    ].join("  ")
  );
  const header = ["TERM".padEnd(32), "COUNT".padStart(12), "FILES".padStart(8)];
  return [header.join("  "), ...lines];
}
