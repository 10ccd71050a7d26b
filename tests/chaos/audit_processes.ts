import type { Evidence, Finding } from "./evidence.ts";
import { entriesOf, type EntryOf } from "./journal.ts";

/** Finds what instances left behind: connections, processes, files. */
export function auditProcesses({ journal, bounds }: Evidence): Finding[] {
  const findings: Finding[] = [];
  const find = (
    kind: Finding["kind"],
    saw: string,
    ...lines: Finding["lines"]
  ): void => {
    findings.push({ kind, saw, lines });
  };
  const killed = new Set(
    entriesOf(journal, "killed").map(({ instance }) => instance),
  );
  for (const entry of entriesOf(journal, "exited")) {
    const { instance, code, afterStopping } = entry;
    if (killed.has(instance)) continue;
    if (afterStopping === undefined) {
      const saw = `${instance} ended by itself with code ${code}`;
      find("unfinished", saw, entry);
    } else if (afterStopping > bounds.exit) {
      const saw = `${instance} exited ${afterStopping} ms after it was to stop`;
      find("leaked", saw, entry);
    } else if (code !== 0) {
      find("unfinished", `${instance} exited with code ${code}`, entry);
    }
  }
  for (const entry of entriesOf(journal, "leftover")) {
    find("leaked", entry.what, entry);
  }
  const samples = Map.groupBy(
    entriesOf(journal, "connections"),
    ({ instance }) => instance,
  );
  for (const [instance, counts] of samples) {
    const worst = worstOf(counts, bounds.connections);
    if (worst === undefined) continue;
    const saw = `${instance} had ${worst.count} connections, ` +
      `${bounds.connections} and ${worst.excused} allowed`;
    find("leaked", saw, worst);
  }
  return findings;
}

/** The sample most over the bound; a single one may show a replacement under way. */
function worstOf(
  samples: readonly EntryOf<"connections">[],
  bound: number,
): EntryOf<"connections"> | undefined {
  const over = ({ count, excused }: EntryOf<"connections">) =>
    count - excused - bound;
  return samples
    .filter((sample, i) =>
      i > 0 && over(sample) > 0 && over(samples[i - 1]) > 0
    )
    .sort((a, b) => over(b) - over(a))[0];
}
