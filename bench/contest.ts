/** What one measurement gives, by the names of the figures. */
export type Figures = Readonly<Record<string, number>>;

/** How to measure. */
export interface MeasureOptions {
  /** Whether a rough figure will do. */
  readonly quick: boolean;
}

/** One who takes part. */
export interface Contender {
  readonly name: string;
  /** What its figures include, and what they do not. */
  readonly includes: string;
  /** Measures once. It is called once in a process. */
  readonly measure: (options: MeasureOptions) => Promise<Figures>;
}

/** Some figures of a contest, side by side. */
export interface Table {
  readonly title: string;
  /** What is better. */
  readonly better: "more" | "less";
  /** The names of the figures, with their headings. */
  readonly columns: Readonly<Record<string, string>>;
  /** What to multiply a figure with for the table. */
  readonly scale?: number;
}

/** What is measured side by side. */
export interface Contest {
  /** Its name on the command line. */
  readonly name: string;
  /** Whether it needs the Postgres server. */
  readonly needsPostgres?: boolean;
  /** Who takes part; the first is ours. */
  readonly contenders: readonly Contender[];
  readonly tables: readonly Table[];
}

/** What came of one contender: a sample for each round that it survived. */
export interface Result {
  readonly contender: string;
  readonly includes: string;
  readonly samples: (Figures | undefined)[];
  /** Why it failed the last time that it did. */
  failure?: string;
}

/** The middle one of some numbers, or the mean of the two in the middle. */
export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? sorted[middle]
    : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The number below which a share of some numbers lies. */
export function quantile(numbers: readonly number[], share: number): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

/** How many times better ours is: the median over the rounds that both survived. */
function ratio(
  ours: Result,
  theirs: Result,
  figure: string,
  better: Table["better"],
): number | undefined {
  const ratios = ours.samples.flatMap((sample, round) => {
    const [a, b] = [sample?.[figure], theirs.samples[round]?.[figure]];
    if (a === undefined || b === undefined) return [];
    return better === "more" ? a / b : b / a;
  });
  return ratios.length === 0 ? undefined : median(ratios);
}

/**
 * Shows what came of a contest: a table of medians. In brackets is how many times
 * better ours is.
 */
export function markdown(contest: Contest, results: readonly Result[]): string {
  const tables = contest.tables.map(({ title, better, columns, scale = 1 }) => {
    const figures = Object.keys(columns);
    const rows = results.map((result) => [
      result.contender,
      ...figures.map((figure) =>
        cell(results[0], result, figure, better, scale)
      ),
    ]);
    return `**${title}** (${better} is better)\n\n${
      toTable([["", ...Object.values(columns)], ...rows])
    }`;
  });
  const notes = results.map(({ contender, includes, failure }) => {
    const failed = failure === undefined ? "" : ` **Failed:** ${failure}`;
    return `- ${contender}: ${includes}${failed}`;
  });
  return [...tables, notes.join("\n")].join("\n\n");
}

function cell(
  ours: Result,
  result: Result,
  figure: string,
  better: Table["better"],
  scale: number,
): string {
  const samples = result.samples.flatMap((each) => each?.[figure] ?? []);
  if (samples.length === 0) {
    return result.failure === undefined ? "–" : "failed";
  }
  const shown = format(median(samples) * scale);
  if (result === ours) return shown;
  const times = ratio(ours, result, figure, better);
  return times === undefined ? shown : `${shown} (${format(times)} ×)`;
}

/** Three digits that mean something. */
function format(number: number): string {
  if (number >= 1_000) {
    return Number(number.toPrecision(3)).toLocaleString("en-US");
  }
  return String(Number(number.toPrecision(number < 10 ? 2 : 3)));
}

function toTable(rows: readonly string[][]): string {
  const widths = rows[0].map((_, column) =>
    Math.max(...rows.map((row) => row[column].length), 3)
  );
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i])).join(" | ")} |`;
  const [head, ...rest] = rows;
  return [
    line(head),
    line(widths.map((width) => "-".repeat(width))),
    ...rest.map(line),
  ].join("\n");
}
